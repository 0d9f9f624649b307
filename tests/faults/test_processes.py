"""Several processes on one database, and a writer that is killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from langswarm_memory import MemoryManager, Message, create_memory_manager
from tests.faults.writer import Writer

PROCESSES = 8
KILLS = 50
BATCH = 5


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_url")
    else:
        yield f"sqlite:///{tmp_path / 'memory.db'}"


async def history(manager: MemoryManager, session_id: str) -> list[Message]:
    session = await manager.get_session(session_id)
    return [] if session is None else await session.get_messages(full_history=True)


def manager_of(url: str) -> MemoryManager:
    manager = create_memory_manager(url)
    assert manager is not None
    return manager


@pytest.mark.parametrize("batch", [1, 7])
async def test_processes_share_a_session_without_loss(url: str, batch: int) -> None:
    """They make the database and the session at once; nothing is lost, doubled or out of a writer's order."""
    rounds = 25
    writers = [Writer(url, "shared", f"w{number}", rounds, batch) for number in range(PROCESSES)]
    for writer in writers:
        assert [writer.acknowledged() for _ in range(rounds)] == list(range(rounds))
        assert writer.finish() == 0
    async with manager_of(url) as manager:
        messages = await history(manager, "shared")
    assert [message.seq for message in messages] == list(range(1, PROCESSES * rounds * batch + 1))
    for number in range(PROCESSES):
        mine = [message.message_id for message in messages if message.message_id.startswith(f"w{number}-")]
        assert mine == [f"w{number}-{turn}-{place}" for turn in range(rounds) for place in range(batch)]


async def test_killed_writer_leaves_every_acknowledged_batch_whole(url: str) -> None:
    """``kill -9`` in the middle of appending, 50 times."""
    seed = random.Random(50)
    acknowledged: dict[str, int] = {}
    for number in range(KILLS):
        writer = Writer(url, "killed", f"k{number}", 0, BATCH)
        assert writer.acknowledged() == 0
        time.sleep(seed.uniform(0, 0.02))  # noqa: ASYNC251 - waits for nothing: the moment of the kill is to vary
        acknowledged[writer.name] = 1 + writer.kill()
    async with manager_of(url) as manager:
        messages = await history(manager, "killed")
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    batches = Counter(message.message_id.rpartition("-")[0] for message in messages)
    assert set(batches.values()) == {BATCH}, "a batch was torn"
    lost = [f"{name}-{n}" for name, count in acknowledged.items() for n in range(count) if f"{name}-{n}" not in batches]
    assert lost == []
    assert sum(acknowledged.values()) > KILLS
