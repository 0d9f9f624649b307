"""Messages that are deleted and replaced: changes that end half-way, who reads meanwhile, who comes late, and cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch, ConflictError

from langswarm_memory import SessionNotFoundError, StorageUnavailableError
from langswarm_memory.errors import ConflictError as Refused
from langswarm_memory.repository.elasticsearch import ElasticsearchRepository
from langswarm_memory.repository.elasticsearch.records import document_id
from langswarm_memory.repository.elasticsearch.sessions import SEQ_BITS
from langswarm_memory.repository.protocol import MessageQuery, Rewrite
from langswarm_memory.testing.rewrites import changed
from langswarm_memory.testing.samples import START, at, fetch, new_message, new_messages, new_session, read, read_ids
from tests.services.elasticsearch import ElasticsearchService
from tests.stores.elasticsearch.conftest import MakeBackend, Wire
from tests.stores.elasticsearch.test_raw_form import session_key, source
from tests.stores.elasticsearch.test_writes import searched

pytestmark = pytest.mark.store("elasticsearch")

Store = ElasticsearchRepository
OLD = ["text 1", "text 2", "text 3", "text 4"]
NEW = ["text 2", "new", "text 4"]
Edit = Callable[[Store], Awaitable[Any]]


@pytest.fixture
async def store(make: MakeBackend, wired: AsyncElasticsearch) -> AsyncIterator[Store]:
    """A store over ``Wire``, with a session of four messages."""
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(4), now=START)
        Wire.seen.clear()
        yield backend.repository


@pytest.fixture
async def other(make: MakeBackend) -> AsyncIterator[Store]:
    """The same indexes, as another process has them."""
    async with make() as backend:
        yield backend.repository


@pytest.fixture
async def fragile(elasticsearch_server: ElasticsearchService, make: MakeBackend, store: Store) -> AsyncIterator[Store]:
    """The same session through a client that sends nothing again."""
    async with (
        AsyncElasticsearch(elasticsearch_server.url, node_class=Wire, max_retries=0) as client,
        make(client=client) as backend,
    ):
        yield backend.repository


async def edit(store: Store) -> Any:
    """Remove the first message and replace the third."""
    stored = await read(store)
    change = Rewrite(edits=0, removed=(stored[0],), replaced=(changed(stored[2], content="new", role="critic"),))
    return await store.rewrite("s", change, now=at(99))


async def prune(store: Store) -> Any:
    """Delete the first two messages."""
    return await store.delete_messages("s", through_seq=2)


async def texts(store: Store, **query: Any) -> list[str]:
    return [message.text for message in await store.read_messages("s", MessageQuery(**query))]


def broken_later() -> Callable[[], Awaitable[None]]:
    """Return what refuses the session's next change after this one."""

    async def refuse() -> None:
        async def now() -> None:
            Wire.refuse = "_sessions/_bulk"

        Wire.meanwhile = ("_messages/_bulk", now)

    return refuse


# ---- what it costs, and what is stored -----------------------------------------------------------------------


async def test_rewrite_is_four_requests(store: Store, prefix: str) -> None:
    stored = await read(store)
    Wire.seen.clear()
    await store.rewrite("s", Rewrite(edits=0, removed=tuple(stored[:2])), now=START)
    assert Wire.seen == [
        f"POST /{prefix}_sessions/_mget",
        f"PUT /{prefix}_sessions/_bulk",
        f"PUT /{prefix}_messages/_bulk",
        f"PUT /{prefix}_sessions/_bulk",
    ]


async def test_window_of_an_edited_session_is_two_requests(store: Store) -> None:
    await edit(store)
    Wire.seen.clear()
    assert await texts(store, limit=2) == NEW[1:]
    assert len(Wire.seen) == 2


async def test_session_keeps_no_note_of_a_change_that_was_carried_out(
    store: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    await edit(store)
    stored = await source(raw, f"{prefix}_sessions", "s")
    assert (stored["edits"], stored["rewrite"], stored["message_count"]) == (1, None, 3)
    assert [entry["seq"] for entry in stored["pending"]] == [2, 4]


async def test_version_of_a_replaced_message_is_above_its_first(
    store: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    await edit(store)
    key = await session_key(raw, prefix)
    found = await raw.get(index=f"{prefix}_messages", id=document_id(key, "m3"), routing=key)
    assert (found["_version"], found["_source"]["edit"], found["_source"]["content"]) == ((1 << SEQ_BITS) + 3, 1, "new")


async def test_removed_message_leaves_no_document(store: Store, raw: AsyncElasticsearch, prefix: str) -> None:
    await edit(store)
    assert await searched(raw, prefix) == ["m2", "m3", "m4"]


async def test_edited_session_that_is_deleted_leaves_no_document(
    store: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    await edit(store)
    await store.delete_sessions(["s"])
    await raw.indices.refresh(index=f"{prefix}_*")
    assert (await raw.count(index=f"{prefix}_*"))["count"] == 0


# ---- changes that end half-way -------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [edit, prune])
async def test_change_that_did_not_reach_the_session_is_none(
    store: Store, other: Store, raw: AsyncElasticsearch, prefix: str, change: Edit
) -> None:
    Wire.refuse = "_sessions/_bulk"
    with pytest.raises(StorageUnavailableError):
        await change(store)
    assert await texts(other) == OLD
    assert (await fetch(other)).edits == 0
    assert await searched(raw, prefix) == ["m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("step", ["answer of the session", "messages", "answer of the messages", "note"])
async def test_change_that_ended_after_the_session_was_written_is_read_whole(
    fragile: Store, other: Store, step: str
) -> None:
    await break_off(fragile, step)
    assert await texts(other) == NEW
    record = await fetch(other)
    assert (record.message_count, record.token_count, record.edits) == (3, 3, 1)


async def break_off(fragile: Store, step: str) -> None:
    """Let ``edit`` end at a step."""
    if step == "answer of the session":
        Wire.lose = "_sessions/_bulk"
    elif step == "messages":
        Wire.refuse = "_messages/_bulk"
    elif step == "answer of the messages":
        Wire.lose = "_messages/_bulk"
    else:
        Wire.meanwhile = ("_sessions/_bulk", broken_later())
    with pytest.raises(StorageUnavailableError):
        await edit(fragile)
    Wire.refuse = Wire.lose = None


@pytest.mark.parametrize("step", ["answer of the session", "messages", "note"])
async def test_deletion_that_ended_after_the_session_was_written_is_read_whole(
    fragile: Store, other: Store, step: str
) -> None:
    if step == "note":
        Wire.meanwhile = ("_sessions/_bulk", broken_later())
    elif step == "messages":
        Wire.refuse = "_messages/_bulk"
    else:
        Wire.lose = "_sessions/_bulk"
    with pytest.raises(StorageUnavailableError):
        await prune(fragile)
    Wire.refuse = Wire.lose = None
    assert await texts(other) == OLD[2:]
    assert ((await fetch(other)).message_count, (await fetch(other)).edits) == (2, 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"roles": frozenset({"critic"})}, ["new"]),
        ({"roles": frozenset({"user"})}, ["text 2", "text 4"]),
        ({"exclude_roles": frozenset({"critic"})}, ["text 2", "text 4"]),
        ({"keep_roles": frozenset({"critic"}), "limit": 1}, ["new", "text 4"]),
        ({"keep_roles": frozenset({"user"}), "limit": 0}, ["text 2", "text 4"]),
        ({"limit": 2}, ["new", "text 4"]),
        ({"limit": 2, "newest_first": False}, ["text 2", "new"]),
        ({"max_tokens": 2}, ["new", "text 4"]),
        ({"after_seq": 3}, ["text 4"]),
        ({"before_seq": 3}, ["text 2"]),
    ],
)
async def test_queries_see_a_change_that_is_not_carried_out(
    fragile: Store, other: Store, query: dict[str, Any], expected: list[str]
) -> None:
    await break_off(fragile, "messages")
    assert await texts(other, **query) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.append("s", [new_message(4)], now=START),
        lambda store: store.rewrite("s", Rewrite(edits=1), now=START),
        lambda store: store.delete_messages("s", through_seq=0),
    ],
)
@pytest.mark.parametrize("again", ["same process", "another"])
async def test_next_writer_carries_out_what_another_left(
    fragile: Store, other: Store, raw: AsyncElasticsearch, prefix: str, call: Edit, again: str
) -> None:
    await break_off(fragile, "messages")
    await call(fragile if again == "same process" else other)
    assert await searched(raw, prefix) == ["m2", "m3", "m4"]
    assert (await source(raw, f"{prefix}_sessions", "s"))["rewrite"] is None
    assert await texts(other) == NEW


async def test_edited_metadata_keeps_a_change_that_is_not_carried_out(fragile: Store, other: Store) -> None:
    await break_off(fragile, "messages")
    record = await fetch(other)
    await other.replace_session(record.metadata, expected_revision=record.revision)
    assert await texts(other) == NEW


async def test_id_of_a_message_that_is_about_to_be_removed_may_come_again(
    fragile: Store, other: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    await break_off(fragile, "messages")
    assert (await other.append("s", [new_message(1, "again")], now=START)).seqs == (5,)
    assert await texts(other) == [*NEW, "again"]
    assert await searched(raw, prefix) == ["m2", "m3", "m4", "m1"]


async def test_session_deleted_in_the_midst_of_a_change_leaves_nothing(
    store: Store, other: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    Wire.meanwhile = ("_messages/_bulk", lambda: other.delete_sessions(["s"]))
    with pytest.raises(SessionNotFoundError):
        await edit(store)
    await raw.indices.refresh(index=f"{prefix}_*")
    assert (await raw.count(index=f"{prefix}_*"))["count"] == 0


# ---- answers that are lost -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["_sessions/_mget", "_sessions/_bulk", "_messages/_bulk"])
async def test_rewrite_whose_answer_was_lost_is_sent_again_and_no_conflict(store: Store, lost: str) -> None:
    stored = await read(store)
    Wire.lose = lost
    record = await store.rewrite("s", Rewrite(edits=0, removed=tuple(stored[:2])), now=START)
    assert Wire.lose is None
    assert (record.edits, record.message_count) == (1, 2)


async def test_deletion_whose_answer_was_lost_is_counted_once(store: Store) -> None:
    Wire.lose = "_sessions/_bulk"
    assert await prune(store) == 2
    assert Wire.lose is None
    assert (await fetch(store)).edits == 1


# ---- who reads meanwhile -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [edit, prune])
async def test_read_during_a_change_is_of_one_moment(store: Store, other: Store, change: Edit) -> None:
    """Its two requests would find the counters of before and the messages of after."""
    await store.append("s", new_messages(40, first=5), now=START)
    await store.append("s", [new_message(45)], now=START)  # now the others are pending no longer
    Wire.meanwhile = ("_messages/_msearch", lambda: change(other))
    record, messages = await store.fetch_with_messages("s", MessageQuery()) or (None, [])
    assert Wire.meanwhile is None
    assert record is not None
    assert (record.edits, record.message_count) == (1, len(messages))


@pytest.mark.parametrize("query", [{}, {"newest_first": False}, {"keep_roles": frozenset({"user"}), "limit": 0}])
async def test_read_of_several_pages_during_a_change_is_of_one_moment(
    store: Store, other: Store, raw: AsyncElasticsearch, prefix: str, query: dict[str, Any]
) -> None:
    await store.append("s", new_messages(2_500, first=5), now=START)
    await raw.indices.refresh(index=f"{prefix}_messages")
    stored = await read(other)
    change = Rewrite(edits=0, removed=(stored[0], stored[-1]))

    async def first_page() -> None:
        Wire.meanwhile = ("_messages/_msearch", lambda: other.rewrite("s", change, now=at(1)))

    Wire.meanwhile = ("_messages/_msearch", first_page)
    found = await read_ids(store, **query)
    assert Wire.meanwhile is None
    assert found == [message.message_id for message in stored[1:-1]]


async def test_append_between_read_and_write_of_a_rewrite_holds(store: Store, other: Store) -> None:
    Wire.meanwhile = ("_sessions/_bulk", lambda: other.append("s", [new_message(5)], now=START))
    assert (await edit(store)).message_count == 4
    assert await texts(other) == [*NEW, "text 5"]


async def test_append_during_a_rewrite_that_wants_none_is_a_conflict(store: Store, other: Store) -> None:
    stored = await read(store)
    Wire.meanwhile = ("_sessions/_bulk", lambda: other.append("s", [new_message(5)], now=START))
    with pytest.raises(Refused) as caught:
        await store.rewrite("s", Rewrite(edits=0, last_seq=4, removed=(stored[0],)), now=START)
    assert caught.value.retryable
    assert await texts(other) == [*OLD, "text 5"]


async def test_edit_between_decision_and_note_holds(store: Store, other: Store) -> None:
    async def replace_metadata() -> None:
        record = await fetch(other)
        edited = replace(record.metadata, user_id="edited")
        await other.replace_session(edited, expected_revision=record.revision)

    Wire.meanwhile = ("_messages/_bulk", replace_metadata)
    assert (await edit(store)).metadata.user_id == "edited"
    assert await texts(other) == NEW


# ---- who comes late ------------------------------------------------------------------------------------------


async def test_first_form_of_a_replaced_message_is_not_brought_back_by_a_late_write(
    store: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    await edit(store)
    key = await session_key(raw, prefix)
    late: dict[str, Any] = {"index": f"{prefix}_messages", "id": document_id(key, "m3"), "routing": key}
    with pytest.raises(ConflictError):
        await raw.index(**late, document={"session_key": key, "seq": 3}, version=3, version_type="external")


async def test_change_that_is_carried_out_late_undoes_no_later_one(store: Store, other: Store) -> None:
    """Another did it meanwhile, and changed the same messages again."""

    async def change_again() -> None:
        stored = await read(other)
        await other.append("s", [new_message(1, "again")], now=START)
        newer = changed(stored[1], content="newer")
        await other.rewrite("s", Rewrite(edits=1, removed=(stored[0],), replaced=(newer,)), now=START)

    Wire.meanwhile = ("_messages/_bulk", change_again)
    await edit(store)
    assert Wire.meanwhile is None
    assert await texts(other) == ["newer", "text 4", "again"]
    await other.append("s", new_messages(40, first=10), now=START)
    await other.append("s", [new_message(90)], now=START)  # now nothing of it is pending
    assert (await texts(store))[:3] == ["newer", "text 4", "again"]


async def test_session_of_an_earlier_version_can_be_changed(
    store: Store, other: Store, raw: AsyncElasticsearch, prefix: str
) -> None:
    """Its document knows of no edits."""
    stored = await source(raw, f"{prefix}_sessions", "s")
    for name in ("edits", "fresh"):
        del stored[name]
    await raw.index(index=f"{prefix}_sessions", id="s", document=stored)
    assert (await fetch(other)).edits == 0
    assert (await edit(other)).edits == 1
    assert await texts(store) == NEW
