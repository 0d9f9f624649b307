"""Many writers: in one process, in several, in one event loop after another."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from langswarm_memory import Message, NotConnectedError, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from tests.services.redis import RedisService
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

ROOT = Path(__file__).parents[3]
WRITERS, EACH = 16, 25
LIMIT_SECONDS = 60

BEGIN = """
import asyncio, sys
from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
backend = RedisBackend(sys.argv[1], key_prefix=sys.argv[2], ttl=None)
"""

WRITE = """
async def main():
    async with backend:
        session = await backend.get_session("s")
        for number in range(int(sys.argv[4])):
            await session.add_message(Message("user", "text", message_id=f"{sys.argv[3]}-{number}"))
asyncio.run(main())
"""

THREE_LOOPS = """
async def write(name):
    session = await backend.get_session("s")
    await asyncio.gather(*(session.add_message(Message("user", name, message_id=f"{name}{n}")) for n in range(5)))
    sys.modules["keep"] = [asyncio.create_task(session.get_messages()) for _ in range(5)]
    await asyncio.sleep(0)

async def last():
    await write("last")
    await backend.disconnect()

asyncio.run(write("first"))
asyncio.run(write("second"))
asyncio.run(last())
"""


async def check(backend: RedisBackend, expected: set[str]) -> list[str]:
    session = await backend.get_session("s")
    assert session is not None
    found = await session.get_messages(full_history=True)
    assert [message.seq for message in found] == list(range(1, len(expected) + 1))
    assert {message.message_id for message in found} == expected
    return [message.message_id for message in found]


async def test_sixteen_writers_of_one_session_lose_and_double_nothing(make: Make) -> None:
    backends = [make() for _ in range(4)]
    await backends[0].create_session(SessionMetadata("s"))

    async def write(writer: int) -> None:
        session = await backends[writer % 4].get_session("s")
        assert session is not None
        for number in range(EACH):
            await session.add_message(Message("user", "text", message_id=f"{writer}-{number}"))

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    ids = await check(backends[0], {f"{writer}-{number}" for writer in range(WRITERS) for number in range(EACH)})
    for writer in range(WRITERS):
        own = [name for name in ids if name.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(EACH)]


async def run(script: str, *arguments: str) -> str:
    """Run a program, which must end by itself and well; return what it complained of."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", BEGIN + script, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


async def test_processes_write_one_session_and_lose_and_double_nothing(
    backend: RedisBackend, redis_server: RedisService, redis_prefix: str
) -> None:
    await backend.create_session(SessionMetadata("s"))
    programs = [run(WRITE, redis_server.url, redis_prefix, str(number), "50") for number in range(3)]
    assert await asyncio.gather(*programs) == ["", "", ""]
    await check(backend, {f"{writer}-{number}" for writer in range(3) for number in range(50)})


@pytest.mark.parametrize("cluster", [False, True])
async def test_backend_goes_on_in_another_event_loop(cluster: bool, request: pytest.FixtureRequest) -> None:
    kind = "redis_cluster" if cluster else "redis"
    url = request.getfixturevalue(f"{kind}_server").url.replace("redis:", "redis+cluster:" if cluster else "redis:")
    prefix = request.getfixturevalue(f"{kind}_prefix")
    async with RedisBackend(url, key_prefix=prefix, ttl=None) as backend:
        await backend.create_session(SessionMetadata("s"))
        assert await run(THREE_LOOPS, url, prefix) == ""
        await check(backend, {f"{name}{number}" for name in ("first", "second", "last") for number in range(5)})


async def test_loop_that_is_still_in_use_keeps_its_connections(backend: RedisBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))

    def elsewhere() -> None:
        asyncio.run(session.get_messages())  # type: ignore[arg-type] - it is a coroutine

    with pytest.raises(NotConnectedError, match="event loop"):
        await asyncio.to_thread(elsewhere)
    assert await session.get_messages() == []


async def test_backend_is_usable_after_a_disconnect_and_a_connect(backend: RedisBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await backend.disconnect()
    with pytest.raises(NotConnectedError):
        await session.get_messages()
    await backend.connect()
    assert await session.get_messages() == []
