"""Many processes on one session: each range is summarised once."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from langswarm_memory import SQLiteBackend
from langswarm_memory.interfaces import SessionMetadata

pytestmark = pytest.mark.store("sqlite")

ROOT = Path(__file__).parents[2]
PROCESSES, EACH, THRESHOLD = 16, 10, 20
LIMIT_SECONDS = 120

# Each says that it is ready and waits, so that all of them write at once.
WRITE = """
import asyncio, sys
from langswarm_memory import MemoryManager, Message, SQLiteBackend
from langswarm_memory.summaries import Digest

calls = 0

def count(previous, messages):
    global calls
    calls += 1
    return Digest(f"to {messages[-1].seq}", [])

async def main():
    async with MemoryManager(SQLiteBackend(sys.argv[1], summarizer=count), auto_cleanup=False) as manager:
        session = await manager.get_session("s")
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(int(sys.argv[3])):
            role = "user" if number % 2 else "assistant"
            await session.add_message(Message(role, "text", message_id=f"{sys.argv[2]}-{number}"))
        await manager.flush()
    print(calls, flush=True)

asyncio.run(main())
"""


async def started(path: Path, name: int) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITE, str(path), str(name), str(EACH), stdin=pipe, stdout=pipe, cwd=ROOT
    )


async def written(path: Path) -> int:
    """Have all processes write, and return how often they called a summarizer."""
    processes = [await started(path, name) for name in range(PROCESSES)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        ended = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return sum(int(told) for told, _ in ended)


async def test_sixteen_processes_store_one_summary_per_range(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with SQLiteBackend(path) as backend:
        session = await backend.create_session(SessionMetadata("s", summary_threshold=THRESHOLD))
        calls = await asyncio.wait_for(written(path), LIMIT_SECONDS)
        summaries = await backend.repository.list_summaries("s")
        ranges = Counter((summary.first_seq, summary.last_seq) for summary in summaries)
        assert set(ranges.values()) == {1}
        assert all(first == 1 and last is not None and last % THRESHOLD == 0 for first, last in ranges)
        assert len(summaries) <= calls
        newest = await session.get_summary()
        assert newest is not None
        assert (newest.last_seq, newest.message_count) == (PROCESSES * EACH, PROCESSES * EACH)
        checks = await session.verify_summaries()
        assert {check.verdict for check in checks} == {"valid"}
        assert all(earlier.summary.last_seq < later.summary.last_seq for earlier, later in pairwise(checks))
        print(f"{len(summaries)} summaries, {calls} calls of the summarizer")
