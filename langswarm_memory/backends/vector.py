"""Sessions in any store, and their embeddings in any vector store."""

from __future__ import annotations

from typing import Any, cast

from ..backend import BaseMemoryBackend
from ..errors import SessionExistsError
from ..interfaces.enums import MemoryBackendType
from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..recall.worker import EmbeddingWorker
from ..registry import backend_class
from ..repository.protocol import MemoryRepository
from ..session import BaseMemorySession
from ..settings.vector import VectorSettings


class VectorMemorySession(BaseMemorySession):
    """A session of the vector backend. Behaviour: BaseMemorySession."""

    __slots__ = ()


class VectorMemoryBackend(BaseMemoryBackend):
    """Sessions in one store, their embeddings in another. Options: see VectorSettings."""

    settings_class, session_class = VectorSettings, VectorMemorySession
    kind = MemoryBackendType.VECTOR
    settings: VectorSettings

    def _build(self, settings: VectorSettings) -> MemoryRepository:
        made = cast(Any, backend_class(settings.session_backend))(dict(settings.session_settings), clock=self.clock)
        repository: MemoryRepository = made.repository
        return repository

    @property
    def enable_semantic_search(self) -> bool:
        """Whether messages are embedded."""
        return self.is_semantic

    @property
    def vector_config(self) -> Any:
        """The setting ``vector_store``."""
        return self.settings.vector_store

    @property
    def embedding_config(self) -> Any:
        """The setting ``embedding``."""
        return self.settings.embedding

    @property
    def embedding_provider(self) -> Any:
        """What embeds messages."""
        return self.semantic_index.provider

    @property
    def vector_store(self) -> Any:
        """What keeps the embeddings."""
        return self.semantic_index.embedded

    async def search_messages(
        self, query: str, session_id: str | None = None, limit: int | None = 10, *, user_id: str | None = None
    ) -> list[Message]:
        """Return the messages that fit a query best, by words and by meaning; see :meth:`recall`.

        Where no manager embeds in the background, what is not embedded yet is embedded first.
        """
        if self.is_semantic and self.embedding_worker is None:
            await EmbeddingWorker(self.semantic_index).flush()
        sessions = None if session_id is None else [session_id]
        hits = await self.recall(query, session_ids=sessions, user_id=user_id, limit=1_000 if limit is None else limit)
        return [hit.message for hit in hits]

    async def save_session(self, session_id: str, messages: list[Message], metadata: SessionMetadata) -> bool:
        """Store a session whole, made now if there is none; return True. What was stored before stays as it is."""
        session = await self.get_session(session_id)
        if session is None:
            try:
                session = await self.create_session(metadata)
            except SessionExistsError:
                session = await self.get_session(session_id)
                if session is None:
                    raise
        await session.add_messages(messages)
        return True

    async def load_session(self, session_id: str) -> tuple[list[Message], SessionMetadata] | None:
        """Return the whole history of a session and its metadata; None: there is none."""
        session = await self.get_session(session_id)
        if session is None:
            return None
        return await session.get_messages(full_history=True), session.metadata

    async def cleanup_old_sessions(self, max_age_days: float = 30) -> int:
        """Delete sessions without activity for so long, and expired ones; return how many there were."""
        return await self.cleanup_expired_sessions(max_age_days)
