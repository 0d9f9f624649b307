"""Processes that open the same sessions at the same moment."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection

from langswarm_memory import MemoryManager, Message, SessionOwnershipError
from tests.faults.places import Place, history, repeated
from tests.faults.writer import FORK

PROCESSES = 8
SESSIONS = 20

Findings = tuple[dict[str, object], list[int]]
"""What a process found in the sessions it shares, and the contested ones it was refused."""


async def race(place: Place, name: str, line: Connection) -> Findings:
    async with MemoryManager(place.backend()) as manager:
        line.send("ready")
        line.recv()
        shared: dict[str, object] = {}
        refused = []
        for number in range(SESSIONS):
            session = await manager.get_or_create_session(f"shared{number}", user_id="ada", maker=name)
            await session.add_message(Message("user", name, message_id=name))
            shared[session.session_id] = session.metadata.created_at, session.metadata.properties
            try:
                await manager.get_or_create_session(f"contested{number}", user_id=name)
            except SessionOwnershipError:
                refused.append(number)
        return shared, refused


def run(place: Place, name: str, line: Connection) -> None:
    line.send(asyncio.run(race(place, name, line)))


def let_race(place: Place) -> list[Findings]:
    """Start the processes, let them go together, and return what each found."""
    lines, racers = [], []
    for number in range(PROCESSES):
        ours, theirs = FORK.Pipe()
        racers.append(FORK.Process(target=run, args=(place, f"p{number}", theirs), daemon=True))
        racers[-1].start()
        theirs.close()
        lines.append(ours)
    assert [line.recv() for line in lines] == ["ready"] * PROCESSES
    for line in lines:
        line.send("go")
    findings: list[Findings] = [line.recv() for line in lines]
    for racer, line in zip(racers, lines, strict=True):
        racer.join(30)
        racer.close()
        line.close()
    return findings


async def test_processes_that_get_or_create_agree_on_each_session(place: Place) -> None:
    findings = await asyncio.to_thread(let_race, place)
    assert all(shared == findings[0][0] for shared, _ in findings)
    async with place.backend() as backend:
        for number in range(SESSIONS):
            found = [message.message_id for message in await history(backend, f"shared{number}")]
            assert sorted(found) == sorted(f"p{n}" for n in range(PROCESSES))
            owners = sum(number not in refused for _, refused in findings)
            assert owners == 1, "a session has one owner, who made it"
        ids = [metadata.session_id for metadata in await backend.list_sessions()]
        assert len(ids) == 2 * SESSIONS
        assert repeated(ids) == []
