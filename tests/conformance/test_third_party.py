"""A store of somebody else's: written in a page, registered under a name, held to the same rules.

It promises less than our own, so that the weaker rules of the suite are met by something, too: batches are stored
message by message, the seqs have gaps, and there is no text search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from langswarm_memory import create_memory_manager, registry
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.factory import MemoryFactory
from langswarm_memory.interfaces.enums import MemoryBackendType
from langswarm_memory.interfaces.message import Message
from langswarm_memory.interfaces.records import SessionMetadata
from langswarm_memory.repository import codec
from langswarm_memory.repository.memory import InMemoryRepository
from langswarm_memory.repository.protocol import (
    Appended,
    MemoryRepository,
    MessageQuery,
    Rewrite,
    SessionQuery,
    SessionRecord,
    StoreFeatures,
)
from langswarm_memory.settings import InMemorySettings
from langswarm_memory.testing import BackendConformance, RepositoryConformance

STEP = 10  # between two seqs

UNCHANGED = ("open", "close", "ping", "delete_sessions", "put_summary", "list_summaries", "stats")


def outer(record: SessionRecord) -> SessionRecord:
    return record._replace(last_seq=record.last_seq * STEP)


class SparseRepository:
    name = "sparse"
    features = StoreFeatures(atomic_batches=False, gapless_seq=False, persistent=False)

    def __init__(self) -> None:
        self.inner = InMemoryRepository()
        for name in UNCHANGED:
            setattr(self, name, getattr(self.inner, name))

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        return outer(await self.inner.insert_session(metadata))

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        record = await self.inner.fetch_session(session_id)
        return record and outer(record)

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        return outer(await self.inner.replace_session(metadata, expected_revision=expected_revision))

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        return [outer(record) for record in await self.inner.list_sessions(query)]

    async def append(
        self, session_id: str, messages: Sequence[Message], *, now: datetime, expires_at: datetime | None = None
    ) -> Appended:
        for one in messages:
            codec.encode_message(one)  # refuses what cannot be stored, before the first is
        each = [await self.inner.append(session_id, [one], now=now, expires_at=expires_at) for one in messages]
        seqs = tuple(one.seqs[0] * STEP for one in each)
        inserted = sum(one.inserted for one in each)
        return Appended(seqs, inserted, each[-1].message_count, each[-1].last_seq * STEP)

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        after = query.after_seq if query.after_seq is None else query.after_seq // STEP
        before = query.before_seq if query.before_seq is None else -(-query.before_seq // STEP)
        found = await self.inner.read_messages(session_id, replace(query, after_seq=after, before_seq=before))
        return [message.numbered((message.seq or 0) * STEP) for message in found]

    async def delete_messages(self, session_id: str, *, through_seq: int | None = None, **options: Any) -> int:
        through = through_seq if through_seq is None else through_seq // STEP
        return await self.inner.delete_messages(session_id, through_seq=through, **options)

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        def inner(message: Message) -> Message:
            return message.numbered((message.seq or 0) // STEP)

        change = replace(
            change,
            last_seq=None if change.last_seq is None else change.last_seq // STEP,
            removed=tuple(map(inner, change.removed)),
            replaced=tuple((inner(old), new) for old, new in change.replaced),
        )
        return outer(await self.inner.rewrite(session_id, change, now=now))


class SparseBackend(BaseMemoryBackend):
    settings_class = InMemorySettings
    kind = MemoryBackendType.EXTERNAL_DB

    def _build(self, settings: InMemorySettings) -> Any:
        return SparseRepository()


class TestSparseRepository(RepositoryConformance):
    @pytest.fixture
    def repository(self) -> MemoryRepository:
        return SparseRepository()  # type: ignore[return-value] - the unchanged methods are bound at run time


class TestSparseBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self) -> type[BaseMemoryBackend]:
        return SparseBackend


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})  # a name that is registered stays so, for other tests as well
    MemoryFactory.register_backend("sparse", SparseBackend)
    return


@pytest.mark.usefixtures("registered")
async def test_registered_store_is_made_by_name() -> None:
    manager = create_memory_manager("sparse", max_messages=3)
    assert manager is not None
    async with manager:
        session = await manager.create_session("s")
        await session.add_message(Message("user", "hello"))
        assert isinstance(manager.backend, SparseBackend)
        assert session.metadata.max_messages == 3
        assert [(message.seq, message.content) for message in await session.get_messages()] == [(STEP, "hello")]


@pytest.mark.usefixtures("registered")
def test_registered_store_is_listed() -> None:
    assert "sparse" in MemoryFactory.list_backends()
    assert MemoryFactory.get_backend_info("sparse")["class"] == "SparseBackend"
