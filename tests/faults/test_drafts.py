"""A process that dies while it writes a draft, and many that edit one history."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import Message, create_memory_manager
from langswarm_memory.streaming import INTERRUPTED
from tests.faults.writer import FORK

FLUSH = 0.01


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_url")
    else:
        yield f"sqlite:///{tmp_path / 'memory.db'}"


def write_draft(url: str, reports: Connection) -> None:
    """Write a draft without end, and say after each flush how much of it is stored."""

    async def run() -> None:
        async with create_memory_manager(url) as manager:
            session: Any = await manager.get_or_create_session("s")
            async with session.draft("assistant", message_id="d", flush_seconds=FLUSH) as draft:
                while True:
                    draft.write("word ")
                    await draft.flush()
                    reports.send_bytes(len(draft.text).to_bytes(8))

    asyncio.run(run())


def pop_messages(url: str, reports: Connection) -> None:
    """Pop until nothing is left, and send the ids."""

    async def run() -> list[str]:
        async with create_memory_manager(url) as manager:
            session: Any = await manager.get_or_create_session("s")
            popped = []
            while (message := await session.pop_message()) is not None:
                popped.append(message.message_id)
            return popped

    reports.send_bytes("\n".join(asyncio.run(run())).encode())


def started(target: Any, url: str) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=target, args=(url, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


async def test_killed_writer_leaves_an_interrupted_draft(url: str) -> None:
    """With everything that was flushed; ``kill -9``."""
    process, reports = started(write_draft, url)
    flushed = 0
    for _ in range(5):
        flushed = int.from_bytes(reports.recv_bytes())
    process.kill()
    process.join(30)
    async with create_memory_manager(url) as manager:
        session: Any = await manager.get_session("s")
        (message,) = await session.get_messages()
    assert message.metadata[INTERRUPTED] is True
    assert len(message.text) >= flushed
    assert set(message.text.split()) == {"word"}


async def test_processes_pop_every_message_once(url: str) -> None:
    """Four of them at once."""
    ids = [f"m{number}" for number in range(60)]
    async with create_memory_manager(url) as manager:
        session: Any = await manager.create_session("s")
        await session.add_messages([Message("user", one, message_id=one) for one in ids])
    running = [started(pop_messages, url) for _ in range(4)]
    popped = [one for _, reports in running for one in reports.recv_bytes().decode().split()]
    for process, _ in running:
        process.join(60)
    assert sorted(popped) == sorted(ids)
