"""Calls that are cancelled or time out: done or not done, never torn, and the store goes on."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    InMemoryBackend,
    Message,
    PostgresBackend,
    SessionMetadata,
    SQLiteBackend,
    StorageUnavailableError,
)
from langswarm_memory.repository.memory import InMemoryRepository
from tests.conformance.stores import no_connection_left_out
from tests.faults.places import repeated, texts

INTERRUPTIONS = 150
POOL = 4
BACKGROUND_MESSAGES = 300  # of each of them
BACKGROUND = 3  # writers that nobody interrupts, so that calls share group commits with interrupted ones
TURNS = 120  # of the event loop; about what a call takes


@pytest.fixture(params=["in_memory", "sqlite", "sqlite-memory", "postgres"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseMemoryBackend]:
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend()
    elif request.param == "postgres":
        made = PostgresBackend(request.getfixturevalue("postgres_url"), max_size=POOL, pool_timeout=5)
    else:
        made = SQLiteBackend(":memory:" if request.param == "sqlite-memory" else tmp_path / "memory.db")
    with no_connection_left_out():
        async with made:
            yield made


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is logged: no exception that nobody retrieved, no task that was destroyed, no connection reclaimed."""
    with caplog.at_level(logging.WARNING):
        yield
        gc.collect()
    assert caplog.record_tuples == []


async def cancelled_after(turns: int, call: Awaitable[Any]) -> bool:
    """Cancel a call after so many turns of the event loop; return whether it was done before."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


async def timed_out_after(seconds: float, call: Awaitable[Any]) -> bool:
    """Give a call so much time; return whether it was done by then."""
    try:
        await asyncio.wait_for(call, seconds)
    except TimeoutError:
        return False
    return True


Interrupt = Callable[[random.Random, Awaitable[Any]], Awaitable[bool]]
INTERRUPTS: dict[str, Interrupt] = {
    # From at once to longer than a call takes, in even steps of the logarithm: every machine has its own speed.
    "cancelled": lambda chance, call: cancelled_after(int(2 ** chance.uniform(0, 10)) - 1, call),
    "timed out": lambda chance, call: timed_out_after(2 ** chance.uniform(-13, -6), call),
}


@pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS.keys())
async def test_interrupted_calls_lose_nothing(backend: BaseMemoryBackend, interrupt: Interrupt) -> None:
    chance = random.Random(7)
    session = await backend.create_session(SessionMetadata("s"))
    batches: list[list[Message]] = []
    acknowledged: list[str] = []
    interrupted = 0
    stop = asyncio.Event()

    async def write(name: str) -> list[str]:
        written: list[str] = []
        while not stop.is_set():
            if len(written) < BACKGROUND_MESSAGES:
                await session.add_message(Message("user", "text", message_id=f"{name}{len(written)}"))
                written.append(f"{name}{len(written)}")
            await asyncio.sleep(0)
        return written

    background = [asyncio.create_task(write(f"background{n}-")) for n in range(BACKGROUND)]
    others: list[Callable[[], Awaitable[Any]]] = [
        session.get_messages,
        lambda: session.get_recent_context(100),
        lambda: backend.open_session("s"),
        backend.list_sessions,
        session.get_summaries,
        lambda: session.update_metadata(turn=chance.random()),
        lambda: backend.search_messages("nothing"),
        backend.get_usage_stats,
    ]
    for number in range(INTERRUPTIONS):
        if number % 2:
            interrupted += not await interrupt(chance, chance.choice(others)())
            continue
        batch = texts(f"{number}-", count=chance.choice([1, 1, 5]))
        batches.append(batch)
        if await interrupt(chance, session.add_messages(batch)):
            acknowledged += [message.message_id for message in batch]
        else:
            interrupted += 1
    stop.set()
    acknowledged += [name for names in await asyncio.gather(*background) for name in names]

    assert interrupted < INTERRUPTIONS
    assert (
        interrupted > INTERRUPTIONS // 20 or not backend.features.persistent
    )  # in memory there is nothing to wait for
    stored = [message.message_id for message in await session.get_messages(full_history=True)]
    assert set(acknowledged) <= set(stored)
    assert [batch for batch in batches if 0 < len({m.message_id for m in batch} & set(stored)) < len(batch)] == []
    for batch in batches:
        await session.add_messages(batch)
    found = await session.get_messages(full_history=True)
    assert [message.seq for message in found] == list(range(1, len(found) + 1))
    assert repeated(message.message_id for message in found) == []
    assert {m.message_id for batch in batches for m in batch} <= {message.message_id for message in found}
    assert await session.count_messages() == len(found)


@pytest.mark.store("postgres")
async def test_interrupted_calls_leave_no_connection_behind(postgres_url: str) -> None:
    chance = random.Random(8)
    other = await asyncpg.connect(postgres_url)
    async with PostgresBackend(postgres_url, max_size=POOL, pool_timeout=5) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        for _ in range(INTERRUPTIONS):
            calls = [session.get_messages(), session.add_messages(texts("m", 2)), session.get_summaries()]
            await asyncio.gather(*(cancelled_after(chance.randrange(TURNS), call) for call in calls))
        # All of them can be had, at once.
        await asyncio.gather(*(session.update_metadata(turn=turn) for turn in range(2 * POOL)))
        open_now = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(5):
            while await other.fetchval(open_now) > POOL:
                pass  # the server needs a moment to see that a connection was closed
        assert {message.message_id for message in await session.get_messages()} <= {"m0", "m1"}
    async with asyncio.timeout(5):
        while await other.fetchval(open_now):
            pass
    await other.close()


async def test_call_cancelled_while_it_connects_leaves_the_backend_usable(backend: BaseMemoryBackend) -> None:
    for turns in range(0, TURNS, 6):
        await backend.disconnect()
        connecting = asyncio.ensure_future(backend.connect())
        await cancelled_after(turns, backend.list_sessions())
        assert await connecting
        await backend.disconnect()
        await cancelled_after(turns, backend.connect())
        assert await backend.connect()
        assert await backend.list_sessions() == []


class Slow(InMemoryRepository):
    """A store that takes its time to open, and fails the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.opened = asyncio.Event(), 0

    async def open(self) -> None:
        await self.gate.wait()
        self.opened += 1
        if self.opened == 1:
            raise StorageUnavailableError("slow", "open")


async def test_failure_of_an_abandoned_connect_is_not_told_to_the_next_caller() -> None:
    backend = InMemoryBackend()
    slow = backend.repository = Slow()
    assert not await cancelled_after(3, backend.connect())
    slow.gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert slow.opened == 1
    assert await backend.list_sessions() == []


async def test_concurrent_calls_connect_once() -> None:
    backend = InMemoryBackend()
    slow = backend.repository = Slow()
    slow.opened = 1
    calls = [asyncio.create_task(backend.list_sessions()) for _ in range(5)]
    await cancelled_after(2, backend.list_sessions())
    slow.gate.set()
    assert await asyncio.gather(*calls) == [[]] * 5
    assert slow.opened == 2


async def test_cancelling_one_waiting_append_leaves_the_others(backend: BaseMemoryBackend) -> None:
    session: BaseMemorySession = await backend.create_session(SessionMetadata("s"))
    for turns in range(20):
        messages = texts(f"{turns}-", 6)
        tasks = [asyncio.create_task(session.add_message(message)) for message in messages]
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks[turns % 6].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {bool, asyncio.CancelledError}
        stored = {message.message_id for message in await session.get_messages(6)}
        done = {m.message_id for m, outcome in zip(messages, outcomes, strict=True) if outcome is True}
        assert done <= stored
        assert len(done) >= 5
