"""Session stores with something that keeps embeddings: their own tables, or a vector store beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import MemoryManager, Message, SessionMetadata
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.session import BaseMemorySession
from langswarm_memory.vector_stores.memory import InMemoryVectorStore
from langswarm_memory.vector_stores.qdrant import QdrantVectorStore
from langswarm_memory.vector_stores.sqlite import SQLiteVectorStore
from tests.conformance.stores import STORES
from tests.recall.words import DIMENSION, Words

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def own(folder: Path) -> Callable[[int], Any]:
    return lambda dimension: None


def in_memory(folder: Path) -> Callable[[int], Any]:
    kept: dict[int, InMemoryVectorStore] = {}  # as of a server: what was written is there for the next process
    return lambda dimension: kept.setdefault(dimension, InMemoryVectorStore(dimension=dimension))


def qdrant(folder: Path) -> Callable[[int], Any]:
    return lambda dimension: QdrantVectorStore("recall", dimension=dimension, path=folder / "qdrant")


def sqlite(folder: Path) -> Callable[[int], Any]:
    return lambda dimension: SQLiteVectorStore(folder / "vectors.db", dimension=dimension)


PAIRS = {
    "in_memory": ("in_memory", own),
    "sqlite": ("sqlite", own),
    "postgres": ("postgres", own),
    "sqlite-beside": ("sqlite", in_memory),
    "redis-beside": ("redis", in_memory),
    "mongodb-beside": ("mongodb", qdrant),
    "elasticsearch-beside": ("elasticsearch", sqlite),
}
PERSISTENT = [name for name in PAIRS if name != "in_memory"]
OWN = ["in_memory", "sqlite", "postgres"]


@dataclass
class Memory:
    """A place for sessions and embeddings, and the provider that its managers share."""

    make: Callable[..., BaseMemoryBackend]
    vectors: Callable[[int], Any]
    provider: Words

    def backend(self, provider: Words | None = None, **options: Any) -> BaseMemoryBackend:
        """Return a backend over what is stored, as another process would make it."""
        provider = provider or self.provider
        store = self.vectors(provider.dimension)
        return self.make(embedding=provider, vector_store=store, **options)

    def manager(self, provider: Words | None = None, **options: Any) -> MemoryManager:
        """Return a manager of such a backend, not started."""
        return MemoryManager(self.backend(provider, **options), auto_cleanup=False)


def memory_of(name: str, request: pytest.FixtureRequest, folder: Path) -> Memory:
    """Return an empty place by the name of its pair."""
    store, vectors = PAIRS[name]
    return Memory(STORES[store](request, folder), vectors(folder), Words(dimension=DIMENSION))


def message(text: str, number: int = 0, role: str = "user", **fields: Any) -> Message:
    """Return a message; the number gives its time."""
    return Message(role, text, timestamp=START + timedelta(minutes=number), **fields)


async def session_of(
    where: MemoryManager | BaseMemoryBackend, session_id: str, *texts: str | Message, **metadata: Any
) -> BaseMemorySession:
    """Make a session with messages."""
    backend: Any = where.backend if isinstance(where, MemoryManager) else where
    session: BaseMemorySession = await backend.create_session(SessionMetadata(session_id, **metadata))
    await session.add_messages(
        [message(text, place) if isinstance(text, str) else text for place, text in enumerate(texts)]
    )
    return session


async def found(where: Any, query: str, mode: str = "vector", **options: Any) -> list[Any]:
    """Return the texts that recall finds, best first."""
    return [hit.message.content for hit in await where.recall(query, mode=mode, **options)]
