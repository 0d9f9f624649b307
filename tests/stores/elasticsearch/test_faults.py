"""A server that is killed, hangs, refuses or is full, a connection that is cut, and records that are not ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, AsyncElasticsearch

from langswarm_memory import (
    CorruptRecordError,
    MemoryConnectionError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from langswarm_memory.errors import InvalidInputError, MemoryBackendError
from langswarm_memory.repository.elasticsearch import ElasticsearchRepository
from langswarm_memory.repository.elasticsearch.calls import BulkError, Calls
from langswarm_memory.repository.protocol import MessageQuery, Rewrite, SessionQuery
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.testing.samples import START, fetch, new_message, new_messages, new_session, new_summary, read
from tests.faults.proxy import proxied
from tests.services.elasticsearch import USER, ElasticsearchServer, ElasticsearchService
from tests.stores.elasticsearch.conftest import PASSWORD, MakeBackend, Wire
from tests.stores.elasticsearch.test_raw_form import id_of, session_key

pytestmark = pytest.mark.store("elasticsearch")

Primitive = Callable[[ElasticsearchRepository], Awaitable[Any]]

PRIMITIVES: dict[str, Primitive] = {
    "ping": lambda store: store.ping(),
    "insert_session": lambda store: store.insert_session(new_session("new")),
    "fetch_session": lambda store: store.fetch_session("s"),
    "replace_session": lambda store: store.replace_session(new_session("s"), expected_revision=1),
    "list_sessions": lambda store: store.list_sessions(SessionQuery()),
    "append": lambda store: store.append("s", [new_message(9)], now=START),
    "read_messages": lambda store: store.read_messages("s", MessageQuery()),
    "fetch_with_messages": lambda store: store.fetch_with_messages("s", MessageQuery()),
    "rewrite": lambda store: store.rewrite("s", Rewrite(edits=0), now=START),
    "search_text": lambda store: store.search_text(parse("text"), SearchFilter(user_id="u"), limit=5),
    "stale_sessions": lambda store: store.stale_sessions("i", limit=5),
    "index_state": lambda store: store.index_state("s", "i"),
    "mark_indexed": lambda store: store.mark_indexed("s", "i", last_seq=1, edits=0),
    "forget_index": lambda store: store.forget_index("i"),
    "reindex_messages": lambda store: store.reindex_messages(),
    "delete_messages": lambda store: store.delete_messages("s"),
    "put_summary": lambda store: store.put_summary(new_summary()),
    "list_summaries": lambda store: store.list_summaries("s"),
    "stats": lambda store: store.stats(),
    "describe": lambda store: store.describe(),
    "delete_sessions": lambda store: store.delete_sessions(["s"]),
}


async def failures(store: ElasticsearchRepository) -> dict[str, str]:
    """Call every primitive; return what each raised, and whether a retry is worth it."""
    found = {}
    for name, call in PRIMITIVES.items():
        with pytest.raises(MemoryBackendError) as caught:
            await call(store)
        assert caught.value.__cause__ is not None
        assert PASSWORD not in str(caught.value)
        found[name] = f"{type(caught.value).__name__} {caught.value.retryable}"
    return found


@pytest.fixture
async def store(guarded: ElasticsearchServer) -> AsyncIterator[ElasticsearchRepository]:
    """A store on the server to break, with a session of three messages."""
    with guarded.service.fresh_prefix() as prefix:
        backend = ElasticsearchBackend(
            f"http://127.0.0.1:{guarded.port}", username=USER, password=PASSWORD, index_prefix=prefix, replicas=0
        )
        async with backend:
            await backend.repository.insert_session(new_session())
            await backend.repository.append("s", new_messages(3), now=START)
            yield backend.repository


# ---- the server ----------------------------------------------------------------------------------------------


async def test_every_call_says_that_a_killed_server_is_unavailable(
    guarded: ElasticsearchServer, store: ElasticsearchRepository
) -> None:
    guarded.stop("immediate")
    try:
        found = await failures(store)
        another = ElasticsearchBackend(guarded.url)
        with pytest.raises(StorageUnavailableError):
            await another.connect()
    finally:
        guarded.start()
    assert set(found.values()) == {"StorageUnavailableError True"}
    assert [message.message_id for message in await read(store)] == ["m1", "m2", "m3"]
    for call in PRIMITIVES.values():
        await call(store)  # the same client, usable again


async def test_every_call_ends_in_time_when_the_server_hangs(
    guarded: ElasticsearchServer, store: ElasticsearchRepository
) -> None:
    options: dict[str, Any] = {"index_prefix": store.calls.prefix, "timeout": 0.2, "retries": 0}
    async with ElasticsearchBackend(guarded.url, **options) as backend:
        guarded.pause()
        try:
            async with asyncio.timeout(20):
                found = await failures(backend.repository)
        finally:
            guarded.resume()
    assert set(found.values()) == {"StorageUnavailableError True"}


async def test_appends_under_way_when_the_server_is_killed_can_be_repeated(
    guarded: ElasticsearchServer, store: ElasticsearchRepository
) -> None:
    batches = [new_messages(3, first=number * 10) for number in range(1, 17)]
    under_way = [asyncio.create_task(store.append("s", batch, now=START)) for batch in batches]
    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(guarded.restart, "immediate")
    answers = await asyncio.gather(*under_way, return_exceptions=True)
    assert {type(answer) for answer in answers if isinstance(answer, BaseException)} <= {StorageUnavailableError}
    for batch in batches:
        await store.append("s", batch, now=START)
    stored = await read(store)
    assert [message.seq for message in stored] == list(range(1, 3 + 3 * 16 + 1))
    assert len({message.message_id for message in stored}) == len(stored)
    assert (await fetch(store)).message_count == len(stored)


async def test_wrong_password_is_refused_for_good(guarded: ElasticsearchServer) -> None:
    backend = ElasticsearchBackend(f"http://127.0.0.1:{guarded.port}", username=USER, password="wrong-one")
    with pytest.raises(MemoryConnectionError) as caught:
        await backend.connect()
    assert not isinstance(caught.value, StorageUnavailableError)
    assert not caught.value.retryable
    assert "wrong-one" not in str(caught.value)


async def test_description_tells_no_password(guarded: ElasticsearchServer) -> None:
    with guarded.service.fresh_prefix() as prefix:
        async with ElasticsearchBackend(guarded.url, index_prefix=prefix, replicas=0) as backend:
            assert await backend.repository.describe() == {
                "hosts": [f"http://127.0.0.1:{guarded.port}"],
                "cluster_name": "langswarm-test",
                "version": guarded.version,
            }


# ---- the connection ------------------------------------------------------------------------------------------


async def test_append_cut_off_by_the_network_can_be_repeated(
    elasticsearch_server: ElasticsearchService, prefix: str
) -> None:
    async with (
        proxied(elasticsearch_server.url) as (url, proxy),
        ElasticsearchBackend(url, index_prefix=prefix, retries=0) as backend,
    ):
        await backend.repository.insert_session(new_session())
        proxy.lose_next_reply()
        with pytest.raises(StorageUnavailableError):
            await backend.repository.append("s", new_messages(3), now=START)
        appended = await backend.repository.append("s", new_messages(3), now=START)
        assert (proxy.lost, appended.seqs, appended.message_count) == (1, (1, 2, 3), 3)


@pytest.mark.parametrize("lost", ["_messages/_mget", "_sessions/_bulk", "_messages/_bulk"])
async def test_append_that_failed_half_way_is_stored_once_when_repeated(
    make: MakeBackend, elasticsearch_server: ElasticsearchService, lost: str
) -> None:
    Wire.refuse = Wire.lose = None
    async with (
        AsyncElasticsearch(elasticsearch_server.url, node_class=Wire, max_retries=0) as client,
        make(client=client) as backend,
    ):
        await backend.repository.insert_session(new_session())
        Wire.lose = lost
        with pytest.raises(StorageUnavailableError) as caught:
            await backend.repository.append("s", new_messages(3), now=START)
        assert caught.value.retryable
        appended = await backend.repository.append("s", new_messages(3), now=START)
        assert (appended.seqs, appended.message_count) == ((1, 2, 3), 3)
        assert len(await read(backend.repository)) == 3


# ---- refusals ------------------------------------------------------------------------------------------------


@pytest.fixture
async def blocked(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, request: pytest.FixtureRequest
) -> AsyncIterator[ElasticsearchRepository]:
    """A store whose indexes carry a block, which the test names."""
    block = f"index.blocks.{request.param}"
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await raw.indices.put_settings(index=f"{prefix}_*", settings={block: True})
        try:
            yield backend.repository
        finally:
            await raw.indices.put_settings(index=f"{prefix}_*", settings={block: None})


WRITES: dict[str, Primitive] = {
    name: PRIMITIVES[name]
    for name in (
        "insert_session",
        "replace_session",
        "append",
        "rewrite",
        "put_summary",
        "mark_indexed",
        "delete_sessions",
    )
}


@pytest.mark.parametrize("blocked", ["write"], indirect=True)
async def test_index_that_takes_no_writes_is_read_only(blocked: ElasticsearchRepository) -> None:
    for call in WRITES.values():
        with pytest.raises(StorageReadOnlyError) as caught:
            await call(blocked)
        assert not caught.value.retryable
    assert (await fetch(blocked)).message_count == 0


@pytest.mark.parametrize("blocked", ["read_only_allow_delete"], indirect=True)
async def test_full_disk_is_full(blocked: ElasticsearchRepository) -> None:
    with pytest.raises(StorageFullError) as caught:
        await blocked.append("s", [new_message(1)], now=START)
    assert caught.value.retryable


MEANINGS: list[tuple[int, str, type[Exception], bool]] = [
    (401, "security_exception", MemoryConnectionError, False),
    (403, "security_exception", MemoryConnectionError, False),
    (403, "cluster_block_exception", StorageReadOnlyError, False),
    (429, "cluster_block_exception", StorageFullError, True),
    (429, "es_rejected_execution_exception", StorageUnavailableError, True),
    (503, "no_shard_available_action_exception", StorageUnavailableError, True),
    (413, "", InvalidInputError, False),
    (400, "illegal_argument_exception", MemoryBackendError, False),
]


@pytest.mark.parametrize(("status", "kind", "meaning", "retryable"), MEANINGS)
def test_answer_of_the_server_has_its_meaning(
    status: int, kind: str, meaning: type[Exception], retryable: bool
) -> None:
    node = NodeConfig("http", "localhost", 9200)
    meta = ApiResponseMeta(status=status, http_version="1.1", headers=HttpHeaders(), duration=0.0, node=node)
    body = {"error": {"type": kind, "reason": PASSWORD}}
    error = Calls("p", False).translate("append", ApiError(PASSWORD, meta=meta, body=body))
    assert type(error) is meaning
    assert error.retryable is retryable
    assert PASSWORD not in str(error)


async def test_bulk_error_counts_items_by_the_type_of_their_error(make: MakeBackend) -> None:
    text = "not to be repeated"
    async with make() as backend:
        actions = [
            ({"index": {"_id": str(number), "routing": "k"}}, {"seq": text if number % 2 else number})
            for number in range(5)
        ]
        with pytest.raises(BulkError) as caught:
            await backend.repository.calls.bulk("append", "messages", actions)
    assert caught.value.details == {"failed": 2, "items": 5, "types": {"document_parsing_exception": 2}}
    assert text not in str(caught.value)


async def test_index_that_was_deleted_is_an_error(make: MakeBackend) -> None:
    async with make() as backend:
        backend.repository.calls.prefix = "langswarm_memory_none"
        for call in (PRIMITIVES["fetch_session"], PRIMITIVES["list_sessions"], PRIMITIVES["stats"]):
            with pytest.raises(MemoryBackendError) as caught:
                await call(backend.repository)
            assert not isinstance(caught.value, StorageUnavailableError)


async def test_no_message_text_is_logged(make: MakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    text = "not to be repeated"
    with caplog.at_level(logging.INFO):
        async with make() as backend:
            await backend.repository.insert_session(new_session())
            await backend.repository.append("s", [new_message(1, text)], now=START)
            await read(backend.repository)
    assert text not in caplog.text


# ---- records that are no longer ours ---------------------------------------------------------------------------

GARBAGE = "bm90IEpTT04="  # base64 of "not JSON"


@pytest.mark.parametrize("garbage", [{"document": GARBAGE}, {"document": None}, {"last_seq": None}, {"updated": None}])
@pytest.mark.parametrize("call", ["fetch_session", "list_sessions", "fetch_with_messages"])
async def test_corrupt_session_is_not_taken_for_a_missing_one(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, garbage: dict[str, Any], call: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await raw.update(index=f"{prefix}_sessions", id="s", doc=garbage)
        with pytest.raises(CorruptRecordError):
            await PRIMITIVES[call](backend.repository)


@pytest.mark.parametrize("pending", [[{"seq": 1}], ["a"], [{"seq": "1", "tokens": 1, "at": 1, "message_id": "m"}], 7])
@pytest.mark.parametrize("call", ["append", "read_messages", "delete_messages", "delete_sessions"])
async def test_corrupt_pending_messages_are_not_dropped(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, pending: Any, call: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await raw.update(index=f"{prefix}_sessions", id="s", doc={"pending": pending})
        with pytest.raises(CorruptRecordError):
            await PRIMITIVES[call](backend.repository)


@pytest.mark.parametrize(
    "changes", [7, {"gone": []}, {"gone": [[1]], "instead": []}, {"gone": [["1", "m"]], "instead": []}]
)
@pytest.mark.parametrize("call", ["append", "read_messages", "rewrite", "delete_messages", "delete_sessions"])
async def test_corrupt_changes_are_not_dropped(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, changes: Any, call: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        stored = (await raw.get(index=f"{prefix}_sessions", id="s"))["_source"]
        await raw.index(index=f"{prefix}_sessions", id="s", document=stored | {"rewrite": changes})
        backend.repository._writes.states.of("s").known = None
        with pytest.raises(CorruptRecordError):
            await PRIMITIVES[call](backend.repository)


@pytest.mark.parametrize("call", ["index_state", "mark_indexed", "stale_sessions"])
async def test_corrupt_state_of_an_index_is_not_dropped(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, call: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1)], now=START)
        await raw.update(index=f"{prefix}_sessions", id="s", doc={"indexed": [["i"]]})
        with pytest.raises(CorruptRecordError):
            await PRIMITIVES[call](backend.repository)


@pytest.mark.parametrize("garbage", [{"document": GARBAGE}, {"document": None}, {"tokens": None}])
async def test_corrupt_message_is_named(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, garbage: dict[str, Any]
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(40), now=START)
        await backend.repository.append("s", [new_message(41)], now=START)  # the others are pending no longer
        key = await session_key(raw, prefix)
        place: dict[str, Any] = {"index": f"{prefix}_messages", "id": id_of(key, "m2"), "routing": key}
        source = (await raw.get(**place))["_source"] | garbage
        await raw.index(**place, document=source, version=2, version_type="external_gte", refresh=True)
        with pytest.raises(CorruptRecordError, match="message"):
            await read(backend.repository)


async def test_corrupt_summary_is_not_dropped(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.put_summary(new_summary("a"))
        key = await session_key(raw, prefix)
        place: dict[str, Any] = {"index": f"{prefix}_summaries", "id": id_of(key, "a"), "routing": key}
        await raw.update(**place, doc={"document": GARBAGE}, refresh=True)
        with pytest.raises(CorruptRecordError):
            await backend.repository.list_summaries("s")


# ---- event loops ---------------------------------------------------------------------------------------------


def test_backend_connects_anew_on_another_event_loop(make: MakeBackend) -> None:
    backend = make()

    async def use(number: int) -> list[str]:
        async with backend:
            if number == 1:
                await backend.repository.insert_session(new_session())
            await backend.repository.append("s", [new_message(number)], now=START)
            return [message.message_id for message in await read(backend.repository)]

    assert [asyncio.run(use(number)) for number in (1, 2)] == [["m1"], ["m1", "m2"]]
