"""PostgreSQL tells a watcher of appends, and nobody of sessions that are not watched."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from langswarm_memory import MemoryConnectionError, Message, PostgresBackend, StorageUnavailableError
from langswarm_memory.repository.sql import listening
from langswarm_memory.repository.sql.watched import CHANNEL, WATCH_SECONDS
from tests.faults.writer import Writer
from tests.services import postgres
from tests.sql.databases import converse, role

pytestmark = pytest.mark.store("postgres")

NEVER = 3600.0
"""Seconds between two looks: whatever arrives within a test was told."""
PATIENCE = 60.0
END = "end"


@pytest.fixture
async def backend(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """A backend with a session "s" that holds one message."""
    async with PostgresBackend(postgres_url) as opened:
        await converse(opened, "s", ["first"])
        yield opened


@pytest.fixture
async def other(backend: PostgresBackend, postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """Another backend on the same database: what it appends, the first one is told by the server alone."""
    async with PostgresBackend(postgres_url) as opened:
        yield opened


@asynccontextmanager
async def watching(
    backend: PostgresBackend, poll_seconds: float = NEVER
) -> AsyncIterator[AsyncGenerator[Message, None]]:
    """Watch the session "s"; it is watched, and its first message was read, when the block is entered."""
    session = await backend.get_session("s")
    assert session is not None
    async with aclosing(session.watch(0, poll_seconds=poll_seconds)) as watched:
        assert (await following(watched)) == "first"
        yield watched


async def following(watched: AsyncGenerator[Message, None]) -> Any:
    """Return what the next message says."""
    async with asyncio.timeout(PATIENCE):
        return (await anext(watched)).content


async def append(backend: PostgresBackend, *texts: str, session_id: str = "s") -> None:
    session = await backend.get_session(session_id)
    assert session is not None
    await session.add_messages([Message("user", text) for text in texts])


@dataclass
class Ear:
    """A connection that listens as a watcher does, and keeps what it hears."""

    connection: asyncpg.Connection
    heard: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def hear(self, _connection: Any, _process: int, _channel: str, text: str) -> None:
        self.heard.put_nowait(text)

    async def until_now(self) -> list[str]:
        """Return everything heard; the server sends notifications in the order of their transactions."""
        await self.connection.execute("SELECT pg_notify($1, $2)", CHANNEL, END)
        found: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not found or found[-1] != END:
                found.append(await self.heard.get())
        return found[:-1]


@pytest.fixture
async def ear(postgres_url: str) -> AsyncIterator[Ear]:
    """A connection of the plain driver that listens."""
    connection = await asyncpg.connect(postgres_url)
    ear = Ear(connection)
    await connection.add_listener(CHANNEL, ear.hear)
    yield ear
    await connection.close()


SAYS_S = hashlib.md5(b"s").hexdigest()


# --- being told ----------------------------------------------------------------------------------------------------


async def test_append_of_another_process_wakes_a_watcher(backend: PostgresBackend, postgres_url: str) -> None:
    async with watching(backend) as watched:
        writer = Writer(postgres_url, "s", "w", 1, 1)
        assert await following(watched) == "w 0"
    assert await asyncio.to_thread(writer.finish) == 0


async def test_batch_wakes_a_watcher(backend: PostgresBackend, other: PostgresBackend) -> None:
    async with watching(backend) as watched:
        await append(other, "second", "third")
        assert [await following(watched), await following(watched)] == ["second", "third"]


async def test_appends_to_many_sessions_in_one_statement_wake_a_watcher(
    backend: PostgresBackend, other: PostgresBackend
) -> None:
    names = [f"n{number}" for number in range(20)]
    for name in names:
        await converse(other, name, ["first"])
    async with watching(backend) as watched:
        await asyncio.gather(*(append(other, "second", session_id=name) for name in (*names, "s")))
        assert await following(watched) == "second"


async def test_large_batch_wakes_a_watcher(backend: PostgresBackend, other: PostgresBackend) -> None:
    async with watching(backend) as watched:
        await append(other, *(f"text {number}" for number in range(3_000)))
        assert await following(watched) == "text 0"


async def test_repeated_append_with_a_new_message_wakes_a_watcher(
    backend: PostgresBackend, other: PostgresBackend
) -> None:
    # An id that is stored already takes the longer way.
    session = await other.get_session("s")
    assert session is not None
    (first,) = await session.get_messages()
    async with watching(backend) as watched:
        await session.add_messages([first, Message("user", "second")])
        assert await following(watched) == "second"


async def test_finished_draft_wakes_a_watcher(backend: PostgresBackend, other: PostgresBackend) -> None:
    session = await other.get_session("s")
    assert session is not None
    async with watching(backend) as watched:
        async with session.draft("assistant", flush_seconds=NEVER) as draft:
            draft.write("second")
        assert await following(watched) == "second"


async def test_two_watchers_of_a_session_are_both_woken(backend: PostgresBackend, other: PostgresBackend) -> None:
    async with watching(backend) as one, watching(backend) as two:
        await append(other, "second")
        assert [await following(one), await following(two)] == ["second", "second"]


async def test_watcher_goes_on_when_another_one_ends(backend: PostgresBackend, other: PostgresBackend) -> None:
    async with watching(backend) as stays:
        async with watching(backend):
            pass
        await append(other, "second")
        assert await following(stays) == "second"


# --- not being told ------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_of_a_session_that_nobody_watches(ear: Ear, backend: PostgresBackend) -> None:
    await append(backend, "second")
    await append(backend, "third", "fourth")
    assert await ear.until_now() == []


async def test_watched_session_is_told_of_by_a_digest(ear: Ear, backend: PostgresBackend) -> None:
    async with watching(backend):
        await append(backend, "second")
        assert await ear.until_now() == [SAYS_S]


async def test_nothing_is_sent_of_the_session_beside_a_watched_one(ear: Ear, backend: PostgresBackend) -> None:
    await converse(backend, "beside", ["first"])
    async with watching(backend):
        await append(backend, "second", session_id="beside")
        assert await ear.until_now() == []


async def test_nothing_is_sent_when_the_watcher_was_not_heard_of_for_long(ear: Ear, backend: PostgresBackend) -> None:
    async with watching(backend):
        await ear.connection.execute("UPDATE sessions SET watched_until = now() - interval '1 second'")
        await append(backend, "second")
        assert await ear.until_now() == []


def test_watching_is_renewed_before_it_runs_out() -> None:
    assert listening.RENEW_SECONDS * 2 < WATCH_SECONDS


async def test_nobody_listens_after_the_last_watcher(backend: PostgresBackend, ear: Ear) -> None:
    async with watching(backend):
        assert len(await listeners(ear)) == 1
    await until(ear, lambda found: not found)  # the server ends a process after its connection


# --- a connection that is lost -------------------------------------------------------------------------------------

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()"


async def listeners(ear: Ear) -> list[int]:
    return [row[0] for row in await ear.connection.fetch(LISTENERS)]


async def until(ear: Ear, holds: Callable[[list[int]], bool]) -> None:
    """Wait for a state of the server that nobody is told of."""
    async with asyncio.timeout(PATIENCE):
        while not holds(await listeners(ear)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def kill_listener(ear: Ear) -> int:
    """Kill the connection that listens, and return which it was."""
    (process,) = await listeners(ear)
    await ear.connection.execute("SELECT pg_terminate_backend($1, 10000)", process)
    return process


async def test_watching_goes_on_by_looking_when_the_connection_is_killed(
    backend: PostgresBackend, other: PostgresBackend, ear: Ear
) -> None:
    async with watching(backend, poll_seconds=0.05) as watched:
        await kill_listener(ear)
        await append(other, "second")
        assert await following(watched) == "second"


async def test_killed_connection_is_made_anew(
    backend: PostgresBackend, other: PostgresBackend, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "RENEW_SECONDS", 0.05)
    async with watching(backend) as watched:
        killed = await kill_listener(ear)
        await until(ear, lambda found: found not in ([], [killed]))
        await append(other, "second")
        assert await following(watched) == "second"


async def test_watcher_listens_again_after_an_outage(
    backend: PostgresBackend, other: PostgresBackend, ear: Ear, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "RENEW_SECONDS", 0.05)
    refused = asyncio.Event()
    listen = listening.Listener._listen

    async def unreachable(listener: listening.Listener) -> None:
        refused.set()
        raise StorageUnavailableError("postgres", "signals")

    async with watching(backend) as watched:
        monkeypatch.setattr(listening.Listener, "_listen", unreachable)
        killed = await kill_listener(ear)
        async with asyncio.timeout(PATIENCE):
            await refused.wait()
        monkeypatch.setattr(listening.Listener, "_listen", listen)
        await until(ear, lambda found: found not in ([], [killed]))
        await append(other, "second")
        assert await following(watched) == "second"


async def test_refused_connection_is_told_as_an_error_of_ours(backend: PostgresBackend, postgres_url: str) -> None:
    with role(postgres_url, "p") as (name, url):
        postgres.execute(postgres_url, f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}")
        async with PostgresBackend(url) as opened:
            session = await opened.get_session("s")
            assert session is not None
            postgres.execute(postgres_url, f"ALTER ROLE {name} NOLOGIN")  # what is connected stays so
            with pytest.raises(MemoryConnectionError):
                await anext(session.watch(0))
