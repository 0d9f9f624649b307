"""What indexes outside of the store have seen: how it is kept, and who writes at the same time."""

from __future__ import annotations

import pytest
from elasticsearch import AsyncElasticsearch

from langswarm_memory.repository.elasticsearch import tracking
from langswarm_memory.repository.optional import IndexState
from langswarm_memory.testing.indexes import seen, stale
from langswarm_memory.testing.samples import START, fetch, filled, new_message, new_messages, read
from tests.stores.elasticsearch.conftest import MakeBackend, Wire
from tests.stores.elasticsearch.test_raw_form import source

pytestmark = pytest.mark.store("elasticsearch")


async def test_mark_is_kept_with_the_session(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await filled(backend.repository, new_messages(3))
        await seen(backend.repository, backend.repository, index="a.b")
        await backend.repository.mark_indexed("s", "old", last_seq=2, edits=0)
    stored = await source(raw, f"{prefix}_sessions", "s")
    assert stored["indexed"] == [["a.b", 3, 0], ["old", 2, 0]]
    assert (stored["indexes"], stored["fresh"]) == (["a.b", "old"], ["a.b"])


async def test_append_that_stores_nothing_leaves_an_index_fresh(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make() as backend:
        await filled(backend.repository, new_messages(3))
        await seen(backend.repository, backend.repository)
        await backend.repository.append("s", new_messages(2), now=START)
        assert await stale(backend.repository) == []
    assert (await source(raw, f"{prefix}_sessions", "s"))["fresh"] == ["i"]


async def test_mark_is_two_requests_and_asking_for_stale_sessions_too(
    make: MakeBackend, wired: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend:
        await filled(backend.repository, new_messages(3))
        Wire.seen.clear()
        await backend.repository.mark_indexed("s", "i", last_seq=3, edits=0)
        await backend.repository.stale_sessions("i", limit=10)
    assert Wire.seen == [
        f"POST /{prefix}_sessions/_mget",
        f"PUT /{prefix}_sessions/_bulk",
        f"POST /{prefix}_sessions/_refresh",
        f"POST /{prefix}_sessions/_search",
    ]


async def test_append_between_read_and_write_of_a_mark_keeps_the_session_stale(
    make: MakeBackend, wired: AsyncElasticsearch
) -> None:
    async with make(client=wired) as backend, make() as other:
        await filled(backend.repository, new_messages(3))
        Wire.meanwhile = ("_sessions/_bulk", lambda: other.repository.append("s", [new_message(4)], now=START))
        await backend.repository.mark_indexed("s", "i", last_seq=3, edits=0)
        assert Wire.meanwhile is None
        assert await backend.repository.stale_sessions("i", limit=5) == [IndexState("s", 4, 0, 3, 0)]
        assert len(await read(other.repository)) == 4


async def test_mark_whose_answer_was_lost_is_made_once(make: MakeBackend, wired: AsyncElasticsearch) -> None:
    async with make(client=wired) as backend:
        await filled(backend.repository, new_messages(3))
        Wire.lose = "_sessions/_bulk"
        await backend.repository.mark_indexed("s", "i", last_seq=3, edits=0)
        assert Wire.lose is None
        assert await backend.repository.index_state("s", "i") == IndexState("s", 3, 0, 3, 0)


async def test_append_between_read_and_write_of_forgetting_holds(make: MakeBackend, wired: AsyncElasticsearch) -> None:
    async with make(client=wired) as backend, make() as other:
        await filled(backend.repository, new_messages(3))
        await seen(backend.repository, backend.repository)
        Wire.meanwhile = ("_sessions/_bulk", lambda: other.repository.append("s", [new_message(4)], now=START))
        await backend.repository.forget_index("i")
        assert Wire.meanwhile is None
        assert await backend.repository.index_state("s", "i") == IndexState("s", 4, 0, 0, 0)
        assert (await fetch(other.repository)).message_count == 4


async def test_index_of_many_sessions_is_forgotten_and_listed(
    make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SESSIONS_AT_ONCE", 2)
    names = [f"s{number}" for number in range(5)]
    async with make() as backend:
        for name in names:
            await filled(backend.repository, new_messages(1), name)
            await seen(backend.repository, backend.repository, name)
        assert await stale(backend.repository) == []
        await backend.repository.forget_index("i")
        assert await stale(backend.repository) == names


async def test_session_of_an_earlier_version_is_stale(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await filled(backend.repository, new_messages(3))
        stored = await source(raw, f"{prefix}_sessions", "s")
        for name in ("edits", "fresh"):
            del stored[name]
        await raw.index(index=f"{prefix}_sessions", id="s", document=stored)
        assert await stale(backend.repository) == ["s"]
