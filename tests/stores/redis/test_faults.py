"""Faults, primitive by primitive: a server that is killed, a reply that is lost, a login, a replica, a full memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from langswarm_memory import (
    ConflictError,
    MemoryConnectionError,
    Message,
    SessionMetadata,
    SessionNotFoundError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.interfaces.records import ConversationSummary
from langswarm_memory.repository.protocol import MessageQuery, Rewrite, SessionQuery
from langswarm_memory.repository.redis import RedisRepository
from tests.faults.places import texts
from tests.faults.proxy import proxied
from tests.services.fixtures_servers import require
from tests.services.redis import RedisServer
from tests.services.server import await_condition
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

AT = datetime(2026, 2, 3, tzinfo=UTC)
SUMMARY = ConversationSummary("short", 1, AT, AT, summary_id="x", session_id="s", created_at=AT)

Call = Callable[[RedisRepository], Awaitable[Any]]


async def replace_session(repository: RedisRepository) -> None:
    await repository.replace_session(SessionMetadata("s"), expected_revision=1)


async def rewrite(repository: RedisRepository) -> None:
    record = await repository.fetch_session("s")
    stored = await repository.read_messages("s", MessageQuery())
    assert record is not None
    await repository.rewrite("s", Rewrite(edits=record.edits, removed=tuple(stored)), now=AT)


async def listen(repository: RedisRepository) -> None:
    async with repository.signals("s"):
        pass


READS: dict[str, Call] = {
    "ping": lambda r: r.ping(),
    "describe": lambda r: r.describe(),
    "fetch_session": lambda r: r.fetch_session("s"),
    "list_sessions": lambda r: r.list_sessions(SessionQuery()),
    "read_messages": lambda r: r.read_messages("s", MessageQuery()),
    "fetch_with_messages": lambda r: r.fetch_with_messages("s", MessageQuery()),
    "list_summaries": lambda r: r.list_summaries("s"),
    "stale_sessions": lambda r: r.stale_sessions("i", limit=5, after=""),
    "index_state": lambda r: r.index_state("s", "i"),
    "signals": listen,
    "stats": lambda r: r.stats(),
    "ttl_stats": lambda r: r.ttl_stats(AT),
}
WRITES: dict[str, Call] = {
    "insert_session": lambda r: r.insert_session(SessionMetadata("new")),
    "append": lambda r: r.append("s", [Message("user", "m", token_count=1)], now=AT),
    "replace_session": replace_session,
    "delete_messages": lambda r: r.delete_messages("s"),
    "rewrite": rewrite,
    "mark_indexed": lambda r: r.mark_indexed("s", "i", last_seq=1, edits=0),
    "forget_index": lambda r: r.forget_index("i"),
    "put_summary": lambda r: r.put_summary(SUMMARY),
    "delete_sessions": lambda r: r.delete_sessions(["s"]),
}
PRIMITIVES = READS | WRITES


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[RedisBackend]:
    """An open backend with one session of one message."""
    async with RedisBackend(**{"url": url, "ttl": None, "timeout": 5, "retries": 1, **options}) as backend:
        await backend.repository.delete_sessions(["s", "new"])
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello", message_id="m"))
        yield backend


# --- the server goes away -------------------------------------------------------------------------------------------


async def test_every_primitive_says_so_when_the_server_was_killed(redis_to_break: RedisServer) -> None:
    told: dict[str, str] = {}
    async with opened(redis_to_break.url) as backend:
        await asyncio.to_thread(redis_to_break.stop, "immediate")
        try:
            for name, call in PRIMITIVES.items():
                for _ in range(2):  # once with connections that are dead, once with none
                    with pytest.raises(StorageUnavailableError) as caught:
                        await call(backend.repository)
                    if not caught.value.retryable or caught.value.__cause__ is None:
                        told[name] = repr(caught.value)
            health = await backend.health_check()
        finally:
            await asyncio.to_thread(redis_to_break.start)
        assert told == {}
        assert (health["status"], health["connected"]) == ("unhealthy", False)


@pytest.mark.parametrize("name", PRIMITIVES)
async def test_primitive_works_after_a_restart_of_the_server(redis_to_break: RedisServer, name: str) -> None:
    async with opened(redis_to_break.url) as backend:
        await asyncio.to_thread(redis_to_break.restart, "immediate")
        await PRIMITIVES[name](backend.repository)  # scripts and connections are gone


async def test_backend_connects_when_the_server_is_there(redis_to_break: RedisServer) -> None:
    await asyncio.to_thread(redis_to_break.stop)
    backend = RedisBackend(redis_to_break.url, retries=0)
    try:
        with pytest.raises(StorageUnavailableError):
            await backend.connect()
    finally:
        await asyncio.to_thread(redis_to_break.start)
    async with backend:
        assert await backend.get_session("none") is None


# --- a reply is lost ------------------------------------------------------------------------------------------------


@pytest.fixture
async def cut(make: Make, redis_server: Any) -> AsyncIterator[tuple[Callable[..., RedisBackend], Any]]:
    """Make backends behind a proxy that loses replies."""
    async with proxied(redis_server.url) as (url, proxy):
        made: list[RedisBackend] = []

        def through(**options: Any) -> RedisBackend:
            made.append(make(url=url, **options))
            return made[-1]

        yield through, proxy
        for backend in made:
            await backend.disconnect()


async def test_append_whose_reply_was_lost_is_sent_again_and_stored_once(cut: Any) -> None:
    through, proxy = cut
    session = await through(retries=2).create_session(SessionMetadata("s"))
    proxy.lose_next_reply()
    assert await session.add_messages(texts("m", 3)) == [1, 2, 3]
    assert proxy.lost == 1
    assert [message.message_id for message in await session.get_messages()] == ["m0", "m1", "m2"]


async def test_append_whose_reply_was_lost_can_be_repeated(cut: Any) -> None:
    through, proxy = cut
    session = await through(retries=0).create_session(SessionMetadata("s"))
    proxy.lose_next_reply()
    with pytest.raises(StorageUnavailableError):
        await session.add_messages(texts("m", 3))
    assert await session.add_messages(texts("m", 3)) == [1, 2, 3]
    assert await session.count_messages() == 3


async def test_new_session_whose_reply_was_lost_is_not_taken_for_anothers(cut: Any) -> None:
    through, proxy = cut
    backend = through(retries=2)
    await backend.connect()
    proxy.lose_next_reply()
    session = await backend.create_session(SessionMetadata("s"))
    assert proxy.lost == 1
    assert session.session_id == "s"


async def test_edit_whose_reply_was_lost_is_made_once(cut: Any) -> None:
    through, proxy = cut
    backend = through(retries=2)
    await backend.create_session(SessionMetadata("s"))
    proxy.lose_next_reply()
    record = await backend.repository.replace_session(SessionMetadata("s", user_id="u"), expected_revision=1)
    assert proxy.lost == 1
    assert record.revision == 2


async def test_rewrite_whose_reply_was_lost_is_made_once(cut: Any) -> None:
    through, proxy = cut
    backend = through(retries=2)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages(texts("m", 3))
    stored = await session.get_messages()
    await backend.repository.rewrite("s", Rewrite(edits=0), now=AT)  # so that the server knows the script
    change = Rewrite(edits=1, removed=(stored[0],), replaced=((stored[1], replace(stored[1], content="new")),))
    proxy.lose_next_reply()
    record = await backend.repository.rewrite("s", change, now=AT)
    assert proxy.lost == 1
    assert (record.edits, record.message_count) == (2, 2)
    assert [message.content for message in await session.get_messages()] == ["new", stored[2].content]


async def test_rewrite_whose_reply_was_lost_was_made_as_a_whole(cut: Any) -> None:
    through, proxy = cut
    backend = through(retries=0)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages(texts("m", 3))
    stored = await session.get_messages()
    await backend.repository.rewrite("s", Rewrite(edits=0), now=AT)  # so that the server knows the script
    change = Rewrite(edits=1, removed=(stored[0],), replaced=((stored[1], replace(stored[1], content="new")),))
    proxy.lose_next_reply()
    with pytest.raises(StorageUnavailableError):
        await backend.repository.rewrite("s", change, now=AT)
    assert [message.content for message in await session.get_messages()] == ["new", stored[2].content]
    with pytest.raises(ConflictError):  # of another call: what it read is no more
        await backend.repository.rewrite("s", change, now=AT)


async def test_connections_cut_under_load_lose_and_double_nothing(cut: Any) -> None:
    through, proxy = cut
    backend = through(retries=5)
    session = await backend.create_session(SessionMetadata("s"))

    acknowledged = 0

    async def write(writer: int) -> None:
        nonlocal acknowledged
        for number in range(20):
            message = Message("user", "text", message_id=f"{writer}-{number}")
            while True:
                try:
                    await session.add_message(message)
                    break
                except StorageUnavailableError:
                    continue
            acknowledged += 1
            if acknowledged % 10 == 0:
                proxy.cut()

    await asyncio.gather(*(write(number) for number in range(4)))
    found = [message.message_id for message in await session.get_messages(full_history=True)]
    assert sorted(found) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(20))


# --- nobody answers -------------------------------------------------------------------------------------------------


async def test_server_that_hangs_is_told_after_the_timeout(redis_to_break: RedisServer) -> None:
    async with opened(redis_to_break.url, timeout=0.3, retries=5) as backend:
        redis_to_break.pause()
        try:
            start = time.monotonic()
            with pytest.raises(StorageUnavailableError) as caught:
                await backend.repository.append("s", [Message("user", "m", token_count=1)], now=AT)
            assert 0.3 <= time.monotonic() - start < 1.5  # waited for once, not for each retry
        finally:
            redis_to_break.resume()
        assert caught.value.retryable
        assert await backend.get_session("s") is not None


async def test_callers_wait_for_a_connection(make: Make) -> None:
    backend = make(max_connections=2)
    session = await backend.create_session(SessionMetadata("s"))
    await asyncio.gather(*(session.add_message(message) for message in texts("m", 40)))
    pool: Any = backend.get_redis().connection_pool
    assert len(pool._available_connections) == 2
    assert await session.count_messages() == 40


async def test_caller_who_waits_too_long_for_a_connection_is_told(redis_to_break: RedisServer) -> None:
    async with opened(redis_to_break.url, timeout=0.3, max_connections=1) as backend:
        redis_to_break.pause()
        try:
            outcomes = await asyncio.gather(*(backend.get_session("s") for _ in range(3)), return_exceptions=True)
        finally:
            redis_to_break.resume()
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailableError}
        assert await backend.get_session("s") is not None


async def test_cancelled_calls_give_their_turns_back(make: Make) -> None:
    backend = make(max_connections=2)
    session = await backend.create_session(SessionMetadata("s"))
    for number in range(30):
        task = asyncio.create_task(session.add_message(Message("user", "text", message_id=f"m{number}")))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await session.add_message(Message("user", "text", message_id=f"m{number}"))
    assert [message.message_id for message in await session.get_messages()] == [f"m{number}" for number in range(30)]


# --- the server says no ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """A server with a password."""
    require(pytestconfig, "redis")
    with RedisServer({"requirepass": "secret"}) as server:
        yield server


@pytest.mark.parametrize("account", ["", ":wrong@", "nobody:secret@"])
async def test_refused_login_is_told_and_not_worth_another_try(guarded: RedisServer, account: str) -> None:
    backend = RedisBackend(f"redis://{account}127.0.0.1:{guarded.port}")
    with pytest.raises(MemoryConnectionError) as caught:
        await backend.connect()
    assert type(caught.value) is MemoryConnectionError
    assert not caught.value.retryable
    assert "wrong" not in str(caught.value)
    assert "secret" not in str(caught.value)
    await backend.disconnect()


async def test_right_password_lets_in(guarded: RedisServer) -> None:
    async with opened(f"redis://127.0.0.1:{guarded.port}", password="secret") as backend:
        assert await backend.get_session("s") is not None


async def test_user_who_may_not_write_is_told(guarded: RedisServer) -> None:
    with redis.Redis.from_url(guarded.url) as admin:
        admin.acl_setuser("reader", enabled=True, passwords=["+pw"], categories=["+@read", "+@connection"], keys=["*"])
    async with RedisBackend(f"redis://reader:pw@127.0.0.1:{guarded.port}") as backend:
        with pytest.raises(MemoryConnectionError) as caught:
            await backend.create_session(SessionMetadata("s"))
    assert not caught.value.retryable


@pytest.fixture(scope="module")
def replica(redis_to_break: RedisServer) -> Iterator[RedisServer]:
    """A replica that holds a session of the primary's."""
    with RedisServer({"replicaof": f"127.0.0.1 {redis_to_break.port}"}) as server:
        yield server


async def replicated(replica: RedisServer) -> None:
    with redis.Redis.from_url(replica.url) as client:
        key = "langswarm:memory:session:{s}:messages"
        await asyncio.to_thread(await_condition, lambda: bool(client.exists(key)), "the replica has no session")


async def test_replica_answers_reads(redis_to_break: RedisServer, replica: RedisServer) -> None:
    async with opened(redis_to_break.url):
        await replicated(replica)
        async with RedisBackend(replica.url) as backend:
            assert [metadata.session_id for metadata in await backend.list_sessions()] == ["s"]
            opened_session = await backend.open_session("s")
            assert opened_session is not None
            assert [message.content for message in opened_session[1]] == ["hello"]


@pytest.mark.parametrize("name", WRITES)
async def test_replica_refuses_writes(redis_to_break: RedisServer, replica: RedisServer, name: str) -> None:
    async with opened(redis_to_break.url):
        await replicated(replica)
        async with RedisBackend(replica.url) as backend:
            with pytest.raises(StorageReadOnlyError):
                await WRITES[name](backend.repository)


@pytest.mark.parametrize("name", ["insert_session", "append", "put_summary", "rewrite"])
async def test_full_memory_is_told_and_writes_nothing(redis_to_break: RedisServer, name: str) -> None:
    async with opened(redis_to_break.url) as backend:
        client = backend.get_redis()
        await client.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(StorageFullError):
                await WRITES[name](backend.repository)
        finally:
            await client.config_set("maxmemory", "0")
        record = await backend.repository.fetch_session("s")
        assert record is not None
        assert record.message_count == 1
        assert await backend.repository.fetch_session("new") is None


async def test_summary_of_a_session_that_is_gone_is_not_stored(make: Make, raw: Any, redis_prefix: str) -> None:
    with pytest.raises(SessionNotFoundError):
        await make().repository.put_summary(SUMMARY)
    assert await raw.exists(f"{redis_prefix}session:{{s}}:summaries") == 0
