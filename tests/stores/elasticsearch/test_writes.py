"""Appends that end half-way, answers that are lost, writers that meet, and what each call costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch, ConflictError

from langswarm_memory import StorageUnavailableError
from langswarm_memory.repository.protocol import MessageQuery
from langswarm_memory.testing.samples import START, at, fetch, new_message, new_messages, new_session, read, read_ids
from tests.stores.elasticsearch.conftest import MakeBackend, Wire
from tests.stores.elasticsearch.test_raw_form import id_of, session_key

pytestmark = pytest.mark.store("elasticsearch")

WRITERS = 16


@pytest.fixture
async def wire(wired: AsyncElasticsearch) -> type[Wire]:
    """What the client ``wired`` sends."""
    return Wire


async def searched(raw: AsyncElasticsearch, prefix: str) -> list[str]:
    """Return the ids of messages that are documents of their own, in order of seq."""
    index = f"{prefix}_messages"
    await raw.indices.refresh(index=index)
    answer = await raw.search(index=index, query={"exists": {"field": "role"}}, sort=[{"seq": "asc"}], size=1_000)
    hits = answer["hits"]["hits"]
    return [hit["_source"]["message_id"] for hit in hits]


# ---- what a call costs ---------------------------------------------------------------------------------------


async def test_append_is_three_requests(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], prefix: str
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        wire.seen.clear()
        await backend.repository.append("s", new_messages(20), now=START)
    assert wire.seen == [
        f"POST /{prefix}_messages/_mget",
        f"PUT /{prefix}_sessions/_bulk",
        f"PUT /{prefix}_messages/_bulk",
    ]


async def test_append_to_an_unknown_session_reads_it_first(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], prefix: str
) -> None:
    async with make() as other:
        await other.repository.insert_session(new_session())
    async with make(client=wired) as backend:
        wire.seen.clear()
        await backend.repository.append("s", new_messages(1), now=START)
    assert wire.seen[0] == f"POST /{prefix}_sessions/_mget"
    assert len(wire.seen) == 4


async def test_window_is_two_requests_however_long_the_history(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], prefix: str
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(2_500), now=START)
        wire.seen.clear()
        await backend.repository.read_messages("s", MessageQuery(limit=50, keep_roles=frozenset({"system"})))
    assert wire.seen == [f"POST /{prefix}_sessions/_mget", f"POST /{prefix}_messages/_msearch"]


async def test_reading_more_than_a_page_misses_nothing(make: MakeBackend) -> None:
    messages = new_messages(4_100)
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", messages, now=START)
        expected = [message.message_id for message in messages]
        assert await read_ids(backend.repository) == expected
        assert await read_ids(backend.repository, newest_first=False) == expected
        assert await read_ids(backend.repository, keep_roles=frozenset({"user"}), limit=0) == expected
        assert await read_ids(backend.repository, max_tokens=300) == expected[-300:]


async def test_many_appends_refresh_seldom(make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        for number in range(100):
            await backend.repository.append("s", [new_message(number)], now=START)
        assert sum("_refresh" in name for name in wire.seen) == 3
        assert len(await read_ids(backend.repository)) == 100


async def test_session_document_does_not_grow_with_the_history(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        lengths = []
        for number in range(100):
            await backend.repository.append("s", [new_message(number)], now=START)
            lengths.append(len((await raw.get(index=f"{prefix}_sessions", id="s"))["_source"]["pending"]))
    assert max(lengths) == 33


async def test_offset_beyond_the_largest_result_is_paged(make: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langswarm_memory.repository.elasticsearch.repository.FIRST_RESULTS", 3)
    async with make() as backend:
        for number in range(10):
            await backend.repository.insert_session(new_session(f"s{number}", -number))
        found = [[each.session_id for each in await backend.list_sessions(offset=n, limit=2)] for n in (2, 3, 7, 9, 10)]
    assert found == [["s2", "s3"], ["s3", "s4"], ["s7", "s8"], ["s9"], []]


async def test_batch_of_many_megabytes_is_stored_at_once(make: MakeBackend) -> None:
    batch = [new_message(number, "0123456789" * 40_000) for number in range(6)]
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", batch, now=START)
        assert [message.content for message in await read(backend.repository)] == [each.content for each in batch]


async def test_messages_of_one_append_carry_its_batch(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make(refresh=True) as backend:
        await backend.repository.insert_session(new_session())
        for first in (1, 4):
            await backend.repository.append("s", new_messages(3, first=first), now=START)
    batches = {"batches": {"terms": {"field": "batch"}}}
    answer = await raw.search(index=f"{prefix}_messages", size=0, aggs=batches)
    assert [bucket["doc_count"] for bucket in answer["aggregations"]["batches"]["buckets"]] == [3, 3]


# ---- appends that end half-way -------------------------------------------------------------------------------


async def test_append_that_ended_before_its_documents_were_written_is_read(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        wire.refuse = "_messages/_bulk"
        with pytest.raises(StorageUnavailableError):
            await backend.repository.append("s", new_messages(3), now=START)
        assert await searched(raw, prefix) == []
        assert [(message.message_id, message.seq) for message in await read(other.repository)] == [
            ("m1", 1),
            ("m2", 2),
            ("m3", 3),
        ]
        assert (await fetch(other.repository)).message_count == 3


async def test_repeating_such_an_append_completes_it(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        wire.refuse = "_messages/_bulk"
        with pytest.raises(StorageUnavailableError):
            await backend.repository.append("s", new_messages(3), now=START)
        wire.refuse = None
        again = await backend.repository.append("s", new_messages(3), now=START)
        assert (again.seqs, again.inserted, again.message_count) == ((1, 2, 3), 0, 3)
    assert await searched(raw, prefix) == ["m1", "m2", "m3"]


async def test_next_writer_completes_what_another_left(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        wire.refuse = "_messages/_bulk"
        with pytest.raises(StorageUnavailableError):
            await backend.repository.append("s", new_messages(2), now=START)
        await other.repository.append("s", new_messages(1, first=3), now=START)
    assert await searched(raw, prefix) == ["m1", "m2", "m3"]


@pytest.mark.parametrize("lost", ["_messages/_mget", "_sessions/_bulk", "_messages/_bulk"])
async def test_append_whose_answer_was_lost_is_sent_again_without_doubling(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], lost: str
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        wire.lose = lost
        appended = await backend.repository.append("s", new_messages(2), now=START)
        assert wire.lose is None
        assert (appended.seqs, appended.inserted, appended.message_count) == ((1, 2), 2, 2)
        assert await read_ids(backend.repository) == ["m1", "m2"]


async def test_insert_whose_answer_was_lost_is_no_second_session(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend:
        wire.lose = "_sessions/_bulk"
        assert (await backend.repository.insert_session(new_session())).revision == 1
        assert wire.lose is None


async def test_edit_whose_answer_was_lost_is_no_conflict(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend:
        record = await backend.repository.insert_session(new_session())
        wire.lose = "_sessions/_bulk"
        edited = new_session("s", user_id="u")
        assert (await backend.repository.replace_session(edited, expected_revision=record.revision)).revision == 2
        assert wire.lose is None


async def test_deletion_whose_answer_was_lost_counts(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        wire.lose = "_sessions/_bulk"
        assert await backend.repository.delete_sessions(["s"]) == 1
        assert wire.lose is None


# ---- who comes late ------------------------------------------------------------------------------------------


def late_write(raw: AsyncElasticsearch, prefix: str, key: str, seq: int) -> Any:
    return raw.index(
        index=f"{prefix}_messages",
        id=id_of(key, f"m{seq}"),
        routing=key,
        document={"session_key": key, "seq": seq},
        version=seq,
        version_type="external",
    )


@pytest.mark.parametrize("refused", [None, "_messages/_bulk"])
@pytest.mark.parametrize("deletion", ["messages", "session"])
async def test_message_that_was_deleted_is_not_brought_back_by_a_late_write(
    make: MakeBackend,
    wired: AsyncElasticsearch,
    wire: type[Wire],
    raw: AsyncElasticsearch,
    prefix: str,
    refused: str | None,
    deletion: str,
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        key = await session_key(raw, prefix)
        wire.refuse = refused  # then the message is pending, and was never written
        if refused is None:
            await backend.repository.append("s", new_messages(2), now=START)
        else:
            with pytest.raises(StorageUnavailableError):
                await backend.repository.append("s", new_messages(2), now=START)
        if deletion == "messages":
            assert await other.repository.delete_messages("s") == 2
        else:
            assert await other.repository.delete_sessions(["s"]) == 1
    for seq in (1, 2):
        with pytest.raises(ConflictError):
            await late_write(raw, prefix, key, seq)
    assert await searched(raw, prefix) == []


async def test_message_stored_anew_is_not_deleted_by_a_late_deletion(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(2), now=START)

        async def store_anew() -> None:
            await other.repository.delete_messages("s")
            await other.repository.append("s", [new_message(1, "anew")], now=START)

        wire.meanwhile = ("_messages/_bulk", store_anew)
        await backend.repository.delete_messages("s")
        assert wire.meanwhile is None
        assert [message.content for message in await read(other.repository)] == ["anew"]
    assert await searched(raw, prefix) == ["m1"]


async def test_deleting_counts_anew(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(40, token_count=2), now=START)
        await backend.repository.append("s", [new_message(41, token_count=2)], now=START)  # the others are not pending
        key = await session_key(raw, prefix)
        # As if a deletion had ended before it corrected the counters.
        await raw.delete(index=f"{prefix}_messages", id=id_of(key, "m1"), routing=key, refresh=True)
        assert await backend.repository.delete_messages("s", through_seq=0) == 0
        record = await fetch(backend.repository)
    assert (record.message_count, record.token_count) == (40, 80)


# ---- writers that meet ---------------------------------------------------------------------------------------


async def test_writers_that_do_not_know_of_each_other_lose_nothing(make: MakeBackend, raw: AsyncElasticsearch) -> None:
    """Each has a backend of its own, as processes have: only the server's refusal keeps them apart."""
    backends = [make(client=raw) for _ in range(WRITERS)]
    await asyncio.gather(*(backend.connect() for backend in backends))
    await backends[0].repository.insert_session(new_session())

    async def write(writer: int) -> list[tuple[str, int]]:
        found = []
        for number in range(4):
            message = new_message(0, message_id=f"{writer}/{number}")
            appended = await backends[writer].repository.append("s", [message], now=START)
            found.append((message.message_id, appended.seqs[0]))
        return found

    answers = await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    answered = {message_id: seq for answer in answers for message_id, seq in answer}
    stored = await read(backends[0].repository)
    assert {message.message_id: message.seq for message in stored} == answered
    assert [message.seq for message in stored] == list(range(1, 4 * WRITERS + 1))
    assert (await fetch(backends[0].repository)).message_count == 4 * WRITERS


async def test_message_appended_by_writers_that_do_not_know_of_each_other_is_stored_once(
    make: MakeBackend, raw: AsyncElasticsearch
) -> None:
    backends = [make(client=raw) for _ in range(WRITERS)]
    await asyncio.gather(*(backend.connect() for backend in backends))
    await backends[0].repository.insert_session(new_session())
    answers = await asyncio.gather(
        *(backend.repository.append("s", [new_message(1)], now=START) for backend in backends)
    )
    assert {appended.seqs for appended in answers} == {(1,)}
    assert sum(appended.inserted for appended in answers) == 1


async def test_read_is_of_one_moment(make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]) -> None:
    """What is appended between its two requests comes with the next read, whole."""
    async with make(client=wired) as backend, make(refresh=True) as other:
        await other.repository.insert_session(new_session())
        await other.repository.append("s", new_messages(2), now=START)
        batch = new_messages(3, first=3)
        wire.meanwhile = ("_messages/_msearch", lambda: other.repository.append("s", batch, now=START))
        assert await read_ids(backend.repository) == ["m1", "m2"]
        assert wire.meanwhile is None
        assert await read_ids(backend.repository) == ["m1", "m2", "m3", "m4", "m5"]


async def test_edit_between_read_and_write_of_an_append_holds(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend, make() as other:
        record = await backend.repository.insert_session(new_session())
        edited = new_session("s", user_id="edited")
        wire.meanwhile = (
            "_sessions/_bulk",
            lambda: other.repository.replace_session(edited, expected_revision=record.revision),
        )
        await backend.repository.append("s", new_messages(2), now=START)
        after = await fetch(other.repository)
        assert (after.metadata.user_id, after.message_count, after.revision) == ("edited", 2, 2)


async def test_append_between_read_and_write_of_an_edit_holds(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend, make() as other:
        record = await backend.repository.insert_session(new_session())
        wire.meanwhile = ("_sessions/_bulk", lambda: other.repository.append("s", new_messages(2), now=START))
        edited = new_session("s", user_id="edited")
        await backend.repository.replace_session(edited, expected_revision=record.revision)
        after = await fetch(other.repository)
        assert (after.metadata.user_id, after.message_count) == ("edited", 2)


async def test_append_during_a_deletion_of_messages_is_counted(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire]
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(3), now=START)
        later = new_messages(2, first=4)
        wire.meanwhile = ("_sessions/_bulk", lambda: other.repository.append("s", later, now=START))
        assert await backend.repository.delete_messages("s") == 3
        assert await read_ids(other.repository) == ["m4", "m5"]
        assert (await fetch(other.repository)).message_count == 2


async def test_append_during_the_deletion_of_its_session_leaves_nothing(
    make: MakeBackend, wired: AsyncElasticsearch, wire: type[Wire], raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        batch = new_messages(3)
        wire.meanwhile = ("_sessions/_bulk", lambda: other.repository.append("s", batch, now=START))
        assert await backend.repository.delete_sessions(["s"]) == 1
        assert wire.meanwhile is None
    assert await searched(raw, prefix) == []


async def test_expiry_that_another_process_moved_is_noticed(make: MakeBackend) -> None:
    async with make() as backend, make() as other:
        await backend.repository.insert_session(new_session("s", expires_at=at(60)))
        await other.repository.append("s", [new_message(1)], now=START, expires_at=at(120))
        await backend.repository.append("s", [new_message(2)], now=at(60))  # what it remembers says: expired
        assert await read_ids(backend.repository) == ["m1", "m2"]


async def test_id_that_another_process_deleted_may_be_stored_anew(make: MakeBackend) -> None:
    async with make() as backend, make() as other:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1)], now=START)
        await other.repository.delete_messages("s")
        await backend.repository.append("s", [new_message(1, "other")], now=START)
        assert [message.content for message in await read(other.repository)] == ["other"]


async def test_session_that_another_process_made_anew_is_empty(make: MakeBackend) -> None:
    async with make() as backend, make() as other:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(3), now=START)
        await other.repository.delete_sessions(["s"])
        await other.repository.insert_session(new_session())
        appended = await backend.repository.append("s", [new_message(1, "other")], now=START)
        assert (appended.seqs, appended.message_count) == ((1,), 1)
        assert await read_ids(other.repository) == ["m1"]
