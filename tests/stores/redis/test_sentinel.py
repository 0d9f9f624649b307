"""A primary that a Sentinel watches over: it is found by name, and so is its successor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import redis

from langswarm_memory import Message, SessionMetadata, StorageUnavailableError
from langswarm_memory.backends.redis import RedisBackend
from tests.services.fixtures_servers import require
from tests.services.redis import RedisServer
from tests.services.server import await_condition

pytestmark = pytest.mark.store("redis")

NAME = "main"


class Sentinel(RedisServer):
    """One Sentinel that decides alone.

    Args:
        primary: What it watches.
    """

    name: ClassVar[str] = "sentinel"

    def __init__(self, primary: RedisServer) -> None:
        super().__init__()
        self._primary = primary

    def _launch(self) -> None:
        configuration = Path(self.folder) / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self._primary.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 5000\n"
        )
        self._spawn([self._program(), configuration, "--sentinel"], self._answers)


@pytest.fixture
def watched(pytestconfig: pytest.Config) -> Iterator[tuple[RedisServer, RedisServer, Sentinel]]:
    """A primary, its replica, and a Sentinel that knows both."""
    require(pytestconfig, "redis")
    with (
        RedisServer() as primary,
        RedisServer({"replicaof": f"127.0.0.1 {primary.port}"}) as replica,
        Sentinel(primary) as sentinel,
    ):
        with redis.Redis(port=sentinel.port) as client:
            await_condition(lambda: len(client.sentinel_slaves(NAME)) == 1, "the Sentinel sees no replica")
        yield primary, replica, sentinel


async def test_successor_of_a_primary_is_found(watched: tuple[RedisServer, RedisServer, Sentinel]) -> None:
    primary, replica, sentinel = watched
    async with RedisBackend(f"redis+sentinel://127.0.0.1:{sentinel.port}/{NAME}/0", timeout=2) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "before", message_id="m1"))
        with redis.Redis(port=primary.port) as client:
            client.set("x", "y")
            assert client.wait(1, 30_000) == 1
        await asyncio.to_thread(primary.stop, "immediate")
        with pytest.raises(StorageUnavailableError):
            await session.add_message(Message("user", "after", message_id="m2"))
        with redis.Redis(port=replica.port) as client:
            await asyncio.to_thread(await_condition, lambda: client.role()[0] == b"master", "nobody took over")
            await asyncio.to_thread(
                await_condition, lambda: _knows(sentinel, replica.port), "the Sentinel names no successor"
            )
        await session.add_message(Message("user", "after", message_id="m2"))
        assert [message.content for message in await session.get_messages()] == ["before", "after"]


def _knows(sentinel: Sentinel, port: int) -> bool:
    with redis.Redis(port=sentinel.port) as client:
        return bool(client.sentinel_get_master_addr_by_name(NAME)[1] == port)


async def test_unknown_service_is_told(watched: tuple[RedisServer, RedisServer, Sentinel]) -> None:
    backend = RedisBackend(f"redis+sentinel://127.0.0.1:{watched[2].port}/other", retries=0)
    with pytest.raises(StorageUnavailableError):
        await backend.connect()
    await backend.disconnect()
