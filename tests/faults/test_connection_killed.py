"""Connections that are killed: while idle, in the middle of a call, and between a call and its reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from langswarm_memory import ConversationSummary, Message, PostgresBackend, SessionMetadata, StorageUnavailableError
from langswarm_memory.repository.protocol import MemoryRepository, MessageQuery, SessionQuery
from tests.faults.places import history
from tests.faults.proxy import Proxy, proxied
from tests.services.postgres import PostgresService

pytestmark = pytest.mark.store("postgres")

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TABLES = "sessions, messages, summaries, langswarm_memory_version"

Call = Callable[[MemoryRepository], Awaitable[Any]]


def message(name: str) -> Message:
    return Message("user", "hello", message_id=name, token_count=1)


async def reopen(repository: MemoryRepository) -> None:
    await repository.close()
    await repository.open()


PRIMITIVES: dict[str, Callable[[MemoryRepository, str], Awaitable[Any]]] = {
    "close, open": lambda repository, _: reopen(repository),
    "ping": lambda repository, _: repository.ping(),
    "insert_session": lambda repository, key: repository.insert_session(SessionMetadata(f"{key}-new")),
    "fetch_session": lambda repository, key: repository.fetch_session(key),
    "replace_session": lambda repository, key: repository.replace_session(
        SessionMetadata(key, tags=["new"]), expected_revision=1
    ),
    "list_sessions": lambda repository, _: repository.list_sessions(SessionQuery()),
    "delete_sessions": lambda repository, key: repository.delete_sessions([key]),
    "append": lambda repository, key: repository.append(key, [message("b"), message("c")], now=NOW),
    "read_messages": lambda repository, key: repository.read_messages(key, MessageQuery()),
    "delete_messages": lambda repository, key: repository.delete_messages(key),
    "put_summary": lambda repository, key: repository.put_summary(
        ConversationSummary("short", 1, NOW, NOW, created_at=NOW, session_id=key)
    ),
    "list_summaries": lambda repository, key: repository.list_summaries(key),
    "stats": lambda repository, _: repository.stats(),
}
"""Every primitive, as a call on a session."""


@pytest.fixture(params=list(PRIMITIVES))
def primitive(request: pytest.FixtureRequest, key: str) -> Call:
    return lambda repository: PRIMITIVES[request.param](repository, key)


@pytest.fixture
def key() -> str:
    """Id of the test's own session: all tests share one database, because making one takes most of their time."""
    return uuid4().hex


@pytest.fixture(scope="module")
def database(postgres_server: PostgresService) -> Iterator[str]:
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
async def other(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database that is not the backend's."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def backend(database: str, key: str) -> AsyncIterator[PostgresBackend]:
    """A backend with the session in it, and several connections open."""
    async with PostgresBackend(database, timeout=5, pool_timeout=5, command_timeout=5, max_size=4) as backend:
        await fill(backend, key)
        yield backend


async def fill(backend: PostgresBackend, key: str) -> None:
    session = await backend.create_session(SessionMetadata(key))
    await session.add_message(message("a"))
    await asyncio.gather(session.get_messages(), session.get_messages(), session.get_summaries())


async def kill(other: asyncpg.Connection, where: str = "true") -> int:
    """End the server's side of every other connection to this database, and return how many there were."""
    rows = await other.fetch(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {where}"
    )
    killed = [row[0] for row in rows]
    while await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", killed):
        pass  # the signal was sent; each statement gives the server time to act on it
    return len(killed)


async def outcome(call: Awaitable[Any]) -> StorageUnavailableError | None:
    """Return the one error that a broken connection may cause, or None."""
    try:
        await call
    except StorageUnavailableError as exc:
        error = exc
    else:
        return None
    assert error.retryable
    assert error.__cause__ is not None
    return error


async def test_primitive_heals_after_idle_connections_were_killed(
    backend: PostgresBackend, other: asyncpg.Connection, primitive: Call
) -> None:
    assert await kill(other) >= 2
    assert await outcome(primitive(backend.repository)) is None


async def test_primitive_survives_its_connection_killed_in_the_middle(
    backend: PostgresBackend, database: str, other: asyncpg.Connection, primitive: Call
) -> None:
    waiting = "datname = current_database() AND wait_event_type = 'Lock'"
    blocker = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(20):
            async with blocker.transaction():
                await blocker.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
                task = asyncio.create_task(outcome(primitive(backend.repository)))
                while not await other.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"):
                    assert not task.done(), "the call was over before it could be killed"
                assert await kill(other, waiting) == 1
            if await task is not None:
                assert await outcome(primitive(backend.repository)) is None
    finally:
        await blocker.close()


@pytest.fixture
async def through_proxy(database: str, key: str) -> AsyncIterator[tuple[PostgresBackend, Proxy]]:
    """A backend with the session in it that reaches the server through a proxy."""
    async with proxied(database) as (url, proxy), PostgresBackend(url, timeout=5, command_timeout=5) as backend:
        await fill(backend, key)
        yield backend, proxy


async def test_primitive_survives_the_loss_of_its_reply(
    through_proxy: tuple[PostgresBackend, Proxy], primitive: Call
) -> None:
    backend, proxy = through_proxy
    proxy.lose_next_reply()
    await outcome(primitive(backend.repository))
    assert proxy.lost == 1


async def test_primitive_survives_sockets_that_are_closed_under_it(
    through_proxy: tuple[PostgresBackend, Proxy], primitive: Call
) -> None:
    backend, proxy = through_proxy
    proxy.cut()
    assert await outcome(primitive(backend.repository)) is None


@pytest.mark.parametrize("count", [1, 3])
async def test_append_whose_reply_was_lost_is_stored_once(
    through_proxy: tuple[PostgresBackend, Proxy], key: str, count: int
) -> None:
    backend, proxy = through_proxy
    session = await backend.get_session(key)
    assert session is not None
    messages = [message(f"m{n}") for n in range(count)]
    proxy.lose_next_reply()
    for _ in range(3):
        if await outcome(session.add_messages(messages)) is None:
            break
    assert proxy.lost == 1
    assert await session.add_messages(messages) == list(range(2, 2 + count))
    assert [found.message_id for found in await history(backend, key)] == ["a", *(m.message_id for m in messages)]


async def test_appends_of_a_group_whose_reply_was_lost_are_stored_once(
    through_proxy: tuple[PostgresBackend, Proxy], key: str
) -> None:
    backend, proxy = through_proxy
    session = await backend.get_session(key)
    assert session is not None
    messages = [message(f"m{n}") for n in range(8)]
    # The first goes alone; the others wait for it and go as a group. It is the group's reply that is lost.
    first = asyncio.create_task(session.add_message(messages[0]))
    others = [asyncio.create_task(session.add_message(each)) for each in messages[1:]]
    await first
    proxy.lose_next_reply()
    await asyncio.gather(*(outcome(task) for task in others))
    assert proxy.lost == 1
    for each in messages:
        await session.add_message(each)
    assert len(await history(backend, key)) == 1 + len(messages)


@pytest.mark.parametrize("garbage", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64])
async def test_server_that_is_no_postgresql_is_unavailable(garbage: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(garbage)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        backend = PostgresBackend(f"postgresql://user:secret@127.0.0.1:{port}/database", timeout=5)
        with pytest.raises(StorageUnavailableError) as caught:
            await backend.connect()
    assert "secret" not in str(caught.value)


async def test_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    accepted: set[asyncio.StreamWriter] = set()
    async with await asyncio.start_server(lambda _, writer: accepted.add(writer), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(5):
            with pytest.raises(StorageUnavailableError):
                await PostgresBackend(f"postgresql://127.0.0.1:{port}/x", timeout=0.2).connect()
        for writer in accepted:
            writer.transport.abort()
