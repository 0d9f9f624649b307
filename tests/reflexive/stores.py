"""Vector stores for lessons, and vectors whose angles the tests know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from langswarm_memory.embeddings import IEmbeddingProvider
from langswarm_memory.vector_stores import IVectorStore, VectorDocument, VectorQuery, VectorResult

TOPICS = ("parcel", "refund", "weather")
DIMENSION = 2 * len(TOPICS)


class Angles(IEmbeddingProvider):
    """Embeds "topic@degrees": each topic has a plane of its own, in which the text is a direction."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed_text(self, text: str) -> list[float]:
        self.asked.append(text)
        topic, degrees = text.split("@")
        vector = [0.0] * DIMENSION
        place, angle = 2 * TOPICS.index(topic), math.radians(float(degrees))
        vector[place : place + 2] = math.cos(angle), math.sin(angle)
        return vector

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return [await self.embed_text(text) for text in texts]

    def get_dimension(self) -> int:
        return DIMENSION


class PlainStore(IVectorStore):
    """The least that an application's own class does: conditions are equality."""

    def __init__(self) -> None:
        self.documents: dict[str, VectorDocument] = {}
        self.refusing = False

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    async def create_index(self, name: str, dimension: int, metric: str = "cosine") -> bool:
        return True

    async def delete_index(self, name: str) -> bool:
        return False

    async def upsert_documents(self, documents: Sequence[VectorDocument]) -> bool:
        if not self.refusing:
            self.documents.update((document.id, document) for document in documents)
        return not self.refusing

    async def query(self, query: VectorQuery) -> list[VectorResult]:
        found = [
            VectorResult(one.id, one.content, one.metadata, sum(map(float.__mul__, query.embedding, one.embedding)))
            for one in map(self.documents.__getitem__, await self.list_documents(10**6, query.filters))
        ]
        nearest = sorted(found, key=lambda one: -one.score)[: query.top_k]
        return [one for one in nearest if query.min_score is None or one.score >= query.min_score]

    async def get_document(self, doc_id: str) -> VectorDocument | None:
        return self.documents.get(doc_id)

    async def delete_documents(self, doc_ids: Sequence[str]) -> bool:
        return sum(self.documents.pop(name, None) is not None for name in doc_ids) > 0

    async def list_documents(self, limit: int = 100, filters: Mapping[str, Any] | None = None) -> list[str]:
        wanted = (filters or {}).items()
        return [
            name
            for name, one in sorted(self.documents.items())
            if all(one.metadata.get(key) == value for key, value in wanted)
        ][:limit]

    async def get_stats(self) -> dict[str, Any]:
        return {"total_vectors": len(self.documents)}

    async def health_check(self) -> bool:
        return True
