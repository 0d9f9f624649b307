"""Lessons in a vector store, found by the situation in which they apply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from ..embeddings.provider import IEmbeddingProvider
from ..errors import CorruptRecordError, InvalidInputError, VectorStoreError
from ..vector_stores.interfaces import IVectorStore, VectorDocument, VectorQuery
from ..vector_stores.native import NativeVectorStore
from .documents import as_documents, every_document, numbers
from .lesson import SCOPES, SESSION, Lesson, checked_scope

NAMESPACE = "agent_lessons"
MAX_LESSONS = 10_000


class LessonStore:
    """Keeps lessons as documents: the id is the lesson's, the content its rule, the metadata its ``to_dict()``.

    The vector store may hold other documents too, and lessons of other namespaces: none of them is seen here. Lessons
    outside the namespace of the default carry its name in their metadata.

    Vector stores cannot change a document in one step: it is read and written back. Calls on one object wait for each
    other, so that within it nothing is lost; two processes that change one lesson at the same moment may lose one of
    the two changes.

    Args:
        vector_store: Any ``IVectorStore`` or ``VectorStore``, connected. It stays the caller's to close.
        embedding_provider: Makes the vectors; the same one for as long as the lessons live.
        namespace: Which lessons these are.

    Raises:
        MemoryConfigurationError: `vector_store` is no vector store.
    """

    def __init__(self, vector_store: Any, embedding_provider: IEmbeddingProvider, namespace: str = NAMESPACE) -> None:
        self.vector_store = vector_store
        self.embedding_provider = embedding_provider
        self.namespace = namespace
        self._documents: IVectorStore = as_documents(vector_store)
        self._asked: tuple[str, list[float]] | None = None
        self._changing = asyncio.Lock()

    async def add_lesson(self, lesson: Lesson) -> bool:
        """Store a lesson, or replace that of its id; True.

        Raises:
            EmbeddingError: Its trigger could not be embedded.
            VectorStoreError: It could not be stored.
            InvalidInputError: It cannot be stored as it is.
        """
        async with self._changing:
            return await self._put(lesson)

    async def search_lessons(
        self,
        query_text: str,
        limit: int = 5,
        threshold: float = 0.85,
        scope: str | None = None,
        target_role: str | None = None,
        *,
        sessions: Collection[str] | None = None,
    ) -> list[Lesson]:
        """Return the lessons whose situation is nearest, best first.

        Args:
            query_text: The situation at hand.
            limit: How many at most.
            threshold: The least cosine similarity, itself included.
            scope: Only those of this scope.
            target_role: Only those for this role.
            sessions: Lessons of sessions only if they are of one of these. None: of any.

        Raises:
            EmbeddingError: The text could not be embedded.
            VectorStoreError: The store did not answer.
            CorruptRecordError: What it holds is no lesson, though it says so.
            InvalidInputError: There is no such scope.
        """
        if limit <= 0:
            return []
        filters = self._filters()
        if scope is not None:
            filters["scope"] = checked_scope(scope)
        if target_role is not None:
            filters["target_role"] = target_role
        question = await self._question(query_text)
        wanted = limit
        while True:
            query = VectorQuery(question, top_k=wanted, filters=filters or None, min_score=threshold)
            results = await self._documents.query(query)
            found = []
            for result in results:
                lesson = self._lesson(result.id, result.content, result.metadata, numbers(result.embedding))
                if lesson is None or result.score < threshold:
                    continue
                if sessions is None or lesson.scope != SESSION or lesson.session_id in sessions:
                    found.append(lesson)
            # What is not ours takes places: as long as that leaves too few, more are asked for.
            if len(found) >= limit or len(results) < wanted or wanted >= MAX_LESSONS:
                return found[:limit]
            wanted = min(4 * wanted, MAX_LESSONS)

    async def get_lesson(self, lesson_id: str) -> Lesson | None:
        """Return a lesson with its vector; None if there is none."""
        document = await self._documents.get_document(lesson_id)
        return None if document is None else self._of(document)

    async def get_all_lessons(self) -> list[Lesson]:
        """Return all lessons with their vectors in the order of their ids, 10,000 at most."""
        found = []
        async for document in every_document(self._documents, MAX_LESSONS, self._filters()):
            lesson = self._of(document)
            if lesson is not None:
                found.append(lesson)
                if len(found) == MAX_LESSONS:
                    break
        return found

    async def increment_hit_count(self, lesson_id: str) -> bool:
        """Count a use of a lesson; False if there is no such lesson."""
        return await self.update_lesson(lesson_id, _hit)

    async def update_lesson(self, lesson_id: str, change: Callable[[Lesson], None]) -> bool:
        """Change a lesson in place and store it again; False if there is no such lesson.

        Args:
            lesson_id: Which.
            change: Is given the lesson as it is stored. It must set ``vector`` to None if it changes the trigger.
        """
        async with self._changing:
            lesson = await self.get_lesson(lesson_id)
            if lesson is None:
                return False
            change(lesson)
            return await self._put(lesson)

    async def delete_lesson(self, lesson_id: str) -> bool:
        """Delete a lesson; False if there is no such lesson."""
        async with self._changing:
            if await self.get_lesson(lesson_id) is None:  # not there, or none of ours
                return False
            return bool(await self._documents.delete_documents([lesson_id]))

    async def embed(self, text: str) -> list[float]:
        """Return the vector of a trigger."""
        return [float(value) for value in await self.embedding_provider.embed_text(text)]

    async def _put(self, lesson: Lesson) -> bool:
        vector = numbers(lesson.vector) or await self.embed(lesson.trigger_scenario_text)
        metadata = lesson.to_dict()
        if self.namespace != NAMESPACE:
            metadata["namespace"] = self.namespace
        document = VectorDocument(lesson.lesson_id, lesson.rule_content, vector, metadata, lesson.created_at)
        if await self._documents.upsert_documents([document]) is False:
            raise VectorStoreError("the vector store did not take the lesson", backend=self._name)
        return True

    async def _question(self, text: str) -> list[float]:
        """Return the vector of a question. The last one is kept: a prompt asks for one in every tier."""
        if self._asked is None or self._asked[0] != text:
            provider = self.embedding_provider
            embed = provider.embed_query if isinstance(provider, IEmbeddingProvider) else provider.embed_text
            self._asked = text, [float(value) for value in await embed(text)]
        return self._asked[1]

    def _filters(self) -> dict[str, Any]:
        if self.namespace != NAMESPACE:
            return {"namespace": self.namespace}
        # Keeps other documents of a shared collection from being read at all; other classes may know equality only.
        return {"scope": frozenset(SCOPES)} if isinstance(self._documents, NativeVectorStore) else {}

    def _of(self, document: VectorDocument) -> Lesson | None:
        return self._lesson(document.id, document.content, document.metadata, numbers(document.embedding))

    def _lesson(
        self, document_id: str, content: str, metadata: dict[str, Any], vector: list[float] | None
    ) -> Lesson | None:
        """Return a document's lesson; None for another document, or another namespace's lesson."""
        if metadata.get("lesson_id") != document_id or metadata.get("namespace", NAMESPACE) != self.namespace:
            return None
        try:
            lesson = Lesson.from_dict({"rule_content": content, **metadata})
        except InvalidInputError as exc:
            raise CorruptRecordError(self._name, repr(document_id), exc) from exc
        lesson.vector = vector
        return lesson

    @property
    def _name(self) -> str:
        return str(getattr(self._documents, "store_type", type(self._documents).__name__))


def _hit(lesson: Lesson) -> None:
    lesson.hit_count += 1
