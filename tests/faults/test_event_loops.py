"""Event loops that end while the backend is in use, and programs that end without disconnecting it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from langswarm_memory import Message, NotConnectedError, SessionMetadata
from tests.faults.places import Place, history

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 60  # a program that hangs would never end

BEGIN = """
import asyncio, sys
from langswarm_memory import Message, SessionMetadata
from tests.faults.places import Place, texts

backend = Place(*sys.argv[1:]).backend()

async def session():
    return await backend.get_session("s") or await backend.create_session(SessionMetadata("s"))
"""

NEVER_DISCONNECTED = """
async def main():
    s = await session()
    await asyncio.gather(*(s.add_message(message) for message in texts("m", 20)))
    await asyncio.gather(s.get_messages(), s.get_summaries(), backend.query("SELECT 1"))
    async with backend.orm() as db:
        await db.connection()

asyncio.run(main())
"""

CANCELLED_BY_THE_END = """
async def main():
    s = await session()
    tasks = [asyncio.create_task(s.add_messages(texts(f"{n}-", 3))) for n in range(40)]
    for _ in range(3):
        await asyncio.sleep(0)
    sys.modules["keep"] = tasks

asyncio.run(main())
"""

CLOSED_WITHOUT_A_WORD = """
async def main():
    s = await session()
    for n in range(40):
        asyncio.ensure_future(s.add_messages(texts(f"{n}-", 3)))
    await asyncio.sleep(0)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""

THREE_LOOPS = """
async def first():
    s = await session()
    await s.add_messages(texts("first", 3))
    await asyncio.gather(s.get_messages(), s.get_summaries())

async def second():
    s = await session()
    sys.modules["keep"] = [asyncio.create_task(s.add_messages(texts(f"{n}-", 3))) for n in range(40)]
    await asyncio.sleep(0)

async def third():
    s = await session()
    await asyncio.gather(*(s.add_message(message) for message in texts("third", 20)))
    await asyncio.gather(s.get_messages(), s.get_summaries(), s.update_metadata(tags=["a"]))
    async with backend.orm() as db:
        await db.connection()
    await backend.disconnect()

for part in (first, second, third):
    asyncio.run(part())
"""


def run(place: Place, script: str) -> str:
    """Run a program, which must end by itself and well; return what it complained of."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, place.store, place.address],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def stored(place: Place) -> list[str]:
    async def read() -> list[str]:
        async with place.backend() as backend:
            return [message.message_id for message in await history(backend)]

    return asyncio.run(read())


def test_program_that_never_disconnects_ends(place: Place) -> None:
    assert run(place, NEVER_DISCONNECTED) == ""
    assert len(stored(place)) == 20


def test_tasks_cancelled_by_the_end_of_the_program_tear_nothing(place: Place) -> None:
    assert run(place, CANCELLED_BY_THE_END) == ""
    assert torn(stored(place)) == []


def test_tasks_left_behind_by_the_end_of_the_program_tear_nothing(place: Place) -> None:
    run(place, CLOSED_WITHOUT_A_WORD)  # asyncio complains of such a program, with reason
    assert torn(stored(place)) == []


def torn(found: list[str]) -> list[str]:
    """Return the first ids of batches of three that are not there as a whole."""
    batches = [found[place : place + 3] for place in range(0, len(found), 3)]
    return [ids[0] for ids in batches if ids != [f"{ids[0][:-2]}-{n}" for n in range(3)]]


def test_backend_goes_on_in_another_event_loop(place: Place) -> None:
    assert run(place, THREE_LOOPS) == ""
    found = stored(place)
    assert found[:3] == ["first0", "first1", "first2"]
    assert {f"third{n}" for n in range(20)} <= set(found)


async def test_loop_that_is_still_in_use_keeps_its_connections(place: Place) -> None:
    async with place.backend() as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello"))

        def elsewhere() -> int:
            async def read() -> int:
                return len(await session.get_messages())

            return asyncio.run(read())

        if place.store == "sqlite":  # whose connections belong to threads
            assert await asyncio.to_thread(elsewhere) == 1
        else:
            with pytest.raises(NotConnectedError, match="event loop"):
                await asyncio.to_thread(elsewhere)
        assert len(await session.get_messages()) == 1
