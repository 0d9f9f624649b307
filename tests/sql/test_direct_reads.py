"""Short reads of SQLite make no hop to a thread; what is not short does, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.sqlite import SQLiteBackend, SQLiteSession
from langswarm_memory.repository.sql import sqlite_direct
from langswarm_memory.repository.sql.lanes import Lane

MESSAGES = 300


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the lanes that were given work, in the order they were."""
    given: list[str] = []
    submit = Lane._submit

    def noted(lane: Lane, job: object) -> object:
        given.append(lane._name)
        return submit(lane, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Lane, "_submit", noted)
    return given


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[SQLiteSession]:
    """A session with messages, from which a message was read."""
    async with SQLiteBackend(db_path=str(tmp_path / "memory.db")) as backend:
        made = await backend.create_session(SessionMetadata(session_id="s", auto_summarize=False))
        await made.add_messages([Message(role="user", content=f"message {n}") for n in range(MESSAGES)])
        await made.get_messages(limit=1)
        yield made


async def test_short_reads_make_no_hop(
    session: SQLiteSession, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_direct, "LONGEST_SECONDS", 60.0)  # however busy the machine is
    assert [message.content for message in await session.get_messages(limit=2)] == ["message 298", "message 299"]
    assert len(await session.get_recent_context(50)) > 1
    assert await session.backend.get_session("s") is not None
    assert len(await session.backend.list_sessions()) == 1
    assert len(await session.backend.search_messages("298")) == 1
    assert hops == []


async def test_read_that_is_not_short_is_left_to_a_thread(
    session: SQLiteSession, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_direct, "LONGEST_SECONDS", -1.0)  # over before it began
    assert len(await session.get_messages(full_history=True)) == MESSAGES
    assert hops == ["langswarm-sqlite-reader"]


async def test_statement_that_took_long_rests(
    session: SQLiteSession, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    clock = iter([now, now + 1])  # the first read takes a second
    monkeypatch.setattr(sqlite_direct, "monotonic", lambda: next(clock, now + 2))
    await session.get_messages(limit=2)
    assert hops == [], "what was read was not thrown away"
    await session.get_messages(limit=2)
    assert len(hops) == 1, "it rests"
    assert len(await session.get_messages(limit=2, roles=["user"])) == 2
    assert len(hops) == 1, "another statement does not"
    monkeypatch.setattr(sqlite_direct, "monotonic", lambda: now + 2 + sqlite_direct.REST)
    await session.get_messages(limit=2)
    assert len(hops) == 1, "it is tried again"


async def test_few_resting_statements_are_remembered(session: SQLiteSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_direct, "LONGEST_SECONDS", -1.0)
    monkeypatch.setattr(sqlite_direct, "REMEMBERED", 3)
    driver = session.backend.repository.driver  # type: ignore[attr-defined]
    for number in range(10):
        await driver._direct.fetch(f"SELECT {number}", ())
    assert len(driver._direct._resting) <= 3


async def test_loop_goes_on_while_a_lock_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "memory.db")
    async with SQLiteBackend(db_path=path, journal_mode="DELETE") as backend:
        session = await backend.create_session(SessionMetadata(session_id="s"))
        await session.add_message(Message(role="user", content="x"))
        assert len(await session.get_messages()) == 1
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            reading = asyncio.create_task(session.get_messages())
            for _ in range(20):
                await asyncio.sleep(0.005)
            assert not reading.done()
            other.execute("COMMIT")
        other.close()
        assert len(await reading) == 1


async def test_endless_reading_gives_others_a_turn(session: SQLiteSession) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    for _ in range(500):
        await session.get_messages(limit=50)
    beside.cancel()
    assert turns > 5


async def test_loops_of_several_threads_read_at_once(session: SQLiteSession) -> None:
    async def read() -> set[int]:
        return {len(await session.get_messages(limit=limit)) - limit for limit in range(1, 100)}

    found: list[set[int]] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(read()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert found == [{0}] * 4


async def test_what_a_thread_cannot_read_either_is_an_error(session: SQLiteSession) -> None:
    driver = session.backend.repository.driver  # type: ignore[attr-defined]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await driver._reading().fetch("SELECT 1 FROM missing", ())
    assert await driver._direct.fetch("SELECT 1 FROM missing", ()) is None
