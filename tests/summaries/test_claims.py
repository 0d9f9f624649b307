"""Claims: a summary that one process makes is not made by another meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from langswarm_memory import Message, SQLiteBackend
from langswarm_memory.interfaces import Timestamp
from langswarm_memory.summaries import Digest
from langswarm_memory.summaries.making import CLAIM_LASTS

from .conftest import Noting, ranges, session_of

pytestmark = pytest.mark.store("sqlite")


class Process:
    """What stands for a process: a backend of its own on the file, whose summarizer waits to be let go."""

    def __init__(self, path: Path, clock: list[Timestamp]) -> None:
        self.backend = SQLiteBackend(path, summarizer=self.summarise, clock=lambda: clock[0])
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = 0
        self.fails = False

    async def summarise(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        self.calls += 1
        self.begun.set()
        await self.go.wait()
        if self.fails:
            raise OSError
        return Digest("made", [])


@pytest.fixture
def clock() -> list[Timestamp]:
    """The instant that both processes take for now, as the one item of a list."""
    return [Timestamp.of(datetime(2026, 1, 1, tzinfo=UTC))]


@pytest.fixture
async def two(tmp_path: Path, clock: list[Timestamp]) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes, and a session in which a summary is due."""
    path = tmp_path / "memory.db"
    one, other = Process(path, clock), Process(path, clock)
    async with one.backend, other.backend:
        await session_of(one.backend, 10, summary_threshold=10)
        yield one, other


async def looks(process: Process) -> object:
    session = await process.backend.get_session("s")
    assert session is not None
    return await session.get_summary()


async def test_summary_that_is_being_made_is_left_to_its_maker(two: tuple[Process, Process]) -> None:
    one, other = two
    making = asyncio.create_task(looks(one))
    await one.begun.wait()
    assert await looks(other) is None
    one.go.set()
    assert await making is not None
    assert await looks(other) == await making
    assert (one.calls, other.calls) == (1, 0)


async def test_claim_of_a_process_that_is_gone_ends(two: tuple[Process, Process], clock: list[Timestamp]) -> None:
    one, other = two
    making = asyncio.create_task(looks(one))
    await one.begun.wait()
    clock[0] = Timestamp.of(clock[0] + CLAIM_LASTS + timedelta(microseconds=1))
    other.go.set()
    assert await looks(other) is not None
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)


async def test_failure_gives_the_claim_up(two: tuple[Process, Process]) -> None:
    one, other = two
    one.fails = True
    one.go.set()
    with pytest.raises(OSError):  # noqa: PT011 - the summarizer's own
        await looks(one)
    other.go.set()
    assert await looks(other) is not None


async def test_failure_leaves_what_another_process_made(two: tuple[Process, Process], clock: list[Timestamp]) -> None:
    one, other = two
    one.fails = True
    making = asyncio.create_task(looks(one))
    await one.begun.wait()
    clock[0] = Timestamp.of(clock[0] + 2 * CLAIM_LASTS)
    other.go.set()
    made = await looks(other)
    one.go.set()
    await asyncio.gather(making, return_exceptions=True)
    assert await looks(other) == made
    assert other.calls == 1


async def test_cancelling_gives_the_claim_up(two: tuple[Process, Process]) -> None:
    one, other = two
    making = asyncio.create_task(looks(one))
    await one.begun.wait()
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    other.go.set()
    assert await looks(other) is not None


async def test_claim_is_no_summary(two: tuple[Process, Process]) -> None:
    one, other = two
    making = asyncio.create_task(looks(one))
    await one.begun.wait()
    session = await other.backend.get_session("s")
    assert session is not None
    assert await ranges(session) == []
    one.go.set()
    await making


async def test_one_process_waits_for_itself(tmp_path: Path) -> None:
    noting = Noting()
    async with SQLiteBackend(tmp_path / "memory.db", summarizer=noting) as backend:
        session = await session_of(backend, 10, summary_threshold=10)
        made = await asyncio.gather(*(session.get_summary() for _ in range(5)))
    assert len(noting.calls) == 1
    assert all(summary == made[0] for summary in made)
