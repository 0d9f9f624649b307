"""A database that is locked, a pool that is exhausted, a statement that takes too long, a login that is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from langswarm_memory import (
    LangSwarmMemoryError,
    MemoryConnectionError,
    Message,
    PostgresBackend,
    SessionMetadata,
    SQLiteBackend,
    StorageUnavailableError,
)
from langswarm_memory.session import BaseMemorySession
from tests.faults.places import history, texts
from tests.services.postgres import PostgresServer, execute

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database's lock in another process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("count", [1, 3])
async def test_write_to_a_locked_database_fails_after_the_timeout(path: Path, count: int) -> None:
    async with SQLiteBackend(path, timeout=0.2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        with locked(path):
            start = time.monotonic()
            with pytest.raises(StorageUnavailableError) as caught:
                await session.add_messages(texts("m", count))
            assert 0.2 <= time.monotonic() - start < 2
        assert caught.value.retryable
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        await session.add_messages(texts("m", count))
        assert len(await history(backend)) == count


@pytest.mark.store("sqlite")
async def test_write_waits_for_a_lock_that_is_given_up_in_time(path: Path) -> None:
    async with SQLiteBackend(path, timeout=10) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        with locked(path):
            waiting = asyncio.create_task(session.add_message(Message("user", "hello")))
            assert await backend.list_sessions()  # the write is on its way
            assert not waiting.done()
        assert await waiting


@pytest.mark.store("sqlite")
async def test_reads_go_on_while_another_process_writes(path: Path) -> None:
    async with SQLiteBackend(path, timeout=0.2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello"))
        with locked(path):
            assert len(await session.get_messages()) == 1
            assert len(await backend.list_sessions()) == 1


@pytest.mark.store("sqlite")
async def test_concurrent_writes_to_a_locked_database_fail_together(path: Path) -> None:
    async with SQLiteBackend(path, timeout=0.3) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        with locked(path):
            start = time.monotonic()
            calls = (session.add_message(each) for each in texts("m", 8))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            # The first waits alone, the others as a group behind it.
            assert time.monotonic() - start < 2
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailableError}
        assert await history(backend) == []


@pytest.mark.store("sqlite")
async def test_new_database_that_is_locked_cannot_be_opened(path: Path) -> None:
    with locked(path):
        backend = SQLiteBackend(path, timeout=0.1)
        with pytest.raises(StorageUnavailableError) as caught:
            await backend.connect()
        assert caught.value.retryable
    async with backend:
        assert await backend.list_sessions() == []


@pytest.mark.store("sqlite")
async def test_read_of_a_locked_database_without_wal_fails_after_the_timeout(path: Path) -> None:
    async with SQLiteBackend(path, timeout=0.2, journal_mode="DELETE") as backend:
        session = await backend.create_session(SessionMetadata("s"))
        with locked(path), pytest.raises(StorageUnavailableError):
            await session.get_messages()
        assert await session.get_messages() == []


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[BaseMemorySession], Awaitable[Any]]] = {
    "an append": lambda session: session.add_message(Message("user", "hello", message_id="m")),
    "a read": lambda session: session.get_messages(),
    "a unit of work": lambda session: session.update_metadata(tags=["a"]),
    "a query": lambda session: session.backend.query("SELECT count(*) FROM messages"),  # type: ignore[attr-defined]
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_call
async def test_call_without_a_free_connection_fails_after_the_pool_timeout(
    postgres_url: str, call: Callable[[BaseMemorySession], Awaitable[Any]]
) -> None:
    async with PostgresBackend(postgres_url, max_size=1, pool_timeout=0.2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        async with backend.orm(write=True) as held:
            await held.connection()
            with pytest.raises(StorageUnavailableError) as caught:
                await call(session)
            assert caught.value.retryable
        await call(session)


@each_call
async def test_idle_connection_is_there_for_whoever_needs_one(
    postgres_url: str, call: Callable[[BaseMemorySession], Awaitable[Any]]
) -> None:
    async with PostgresBackend(postgres_url, max_size=2, pool_timeout=0.2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.get_messages()
        async with backend.orm(write=True) as held:
            await held.connection()
            await call(session)


async def test_connection_that_becomes_idle_goes_to_who_waits_for_one(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, max_size=4, pool_timeout=5) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        async with asyncio.timeout(4):  # less than a wait for the pool
            for _ in range(20):
                reads = [session.get_messages() for _ in range(6)]
                await asyncio.gather(*reads, *(session.get_summaries() for _ in range(6)))


async def test_sessions_of_the_caller_get_the_whole_pool(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, max_size=2, pool_timeout=0.2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        async with backend.orm() as first, backend.orm() as second:
            await session.get_messages()
            await first.connection()
            await second.connection()


@pytest.fixture
async def slow(postgres_url: str) -> AsyncIterator[tuple[BaseMemorySession, asyncpg.Connection]]:
    """A session whose row another connection holds, and that connection."""
    async with PostgresBackend(postgres_url, command_timeout=0.3) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        other = await asyncpg.connect(postgres_url)
        await other.execute("BEGIN; LOCK TABLE sessions, messages IN ACCESS EXCLUSIVE MODE")
        yield session, other
        await other.close()


@each_call
async def test_statement_that_takes_too_long_is_given_up(
    slow: tuple[BaseMemorySession, asyncpg.Connection], call: Callable[[BaseMemorySession], Awaitable[Any]]
) -> None:
    session, other = slow
    with pytest.raises(StorageUnavailableError) as caught:
        await call(session)
    assert caught.value.retryable
    await other.execute("ROLLBACK")
    await call(session)


@each_call
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
async def test_statement_that_the_server_gives_up_is_unavailable(
    postgres_url: str, call: Callable[[BaseMemorySession], Awaitable[Any]], setting: str
) -> None:
    async with PostgresBackend(postgres_url, server_settings={setting: "100ms"}) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        other = await asyncpg.connect(postgres_url)
        await other.execute("BEGIN; LOCK TABLE sessions, messages IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailableError):
            await call(session)
        await other.close()
        await call(session)


@pytest.fixture
def guarded(postgres_to_break: PostgresServer) -> Iterator[str]:
    """Host and port of a server that asks one role for its password, "right"."""
    execute(postgres_to_break.url, "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    rules = postgres_to_break.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
    execute(postgres_to_break.url, "SELECT pg_reload_conf()")
    yield postgres_to_break.url.partition("@")[2].partition("/")[0]
    rules.write_text(before)
    execute(postgres_to_break.url, "SELECT pg_reload_conf()")
    execute(postgres_to_break.url, "DROP ROLE guarded")


@pytest.mark.store("postgres")
@pytest.mark.parametrize(
    "login",
    ["guarded:wr0ng-s3cret@{}/postgres", "postgres:wr0ng-s3cret@{}/no_such", "nobody_here:wr0ng-s3cret@{}/postgres"],
    ids=["wrong password", "unknown database", "unknown role"],
)
async def test_refused_login_is_not_worth_repeating(guarded: str, login: str) -> None:
    backend = PostgresBackend(f"postgresql://{login.format(guarded)}")
    with pytest.raises(MemoryConnectionError) as caught:
        await backend.connect()
    assert not isinstance(caught.value, StorageUnavailableError)
    assert not caught.value.retryable
    assert caught.value.__cause__ is not None
    health = await backend.health_check()
    assert health["status"] == "unhealthy"
    assert "wr0ng-s3cret" not in f"{caught.value} {caught.value!r} {backend!r} {backend.settings!r} {health}"


@pytest.mark.store("postgres")
async def test_server_that_is_not_there_is_unavailable_without_its_password() -> None:
    backend = PostgresBackend("postgresql://ada:wr0ng-s3cret@127.0.0.1:1/x", timeout=1)
    with pytest.raises(StorageUnavailableError) as caught:
        await backend.connect()
    assert "wr0ng-s3cret" not in f"{caught.value} {caught.value!r} {backend!r} {backend.settings!r}"


@pytest.mark.store("postgres")
async def test_server_with_no_connection_left_is_unavailable(postgres_to_break: PostgresServer) -> None:
    with postgres_to_break.service.fresh_database() as url:
        name = url.rpartition("/")[2]
        execute(postgres_to_break.url, f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        execute(postgres_to_break.url, "CREATE ROLE plain LOGIN")
        try:
            with pytest.raises(StorageUnavailableError) as caught:
                await PostgresBackend(url.replace("postgres@", "plain@")).connect()
        finally:
            execute(postgres_to_break.url, "DROP ROLE plain")
        assert isinstance(caught.value, LangSwarmMemoryError)
        assert caught.value.retryable
