"""What a server that is killed still has when it is back, under each setting of its persistence."""

from __future__ import annotations

import asyncio

import pytest
import redis

from langswarm_memory import Message, SessionMetadata, StorageUnavailableError
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.session import BaseMemorySession
from tests.faults.places import texts
from tests.services.fixtures_servers import require
from tests.services.redis import RedisServer
from tests.services.server import await_condition

pytestmark = pytest.mark.store("redis")


async def write(session: BaseMemorySession, writer: int, acknowledged: list[str], enough: asyncio.Event) -> None:
    """Append until the server goes away."""
    number = 0
    while True:
        message = Message("user", "text", message_id=f"{writer}-{number}")
        try:
            await session.add_message(message)
        except StorageUnavailableError:
            return
        acknowledged.append(message.message_id)
        number += 1
        if len(acknowledged) >= 100:
            enough.set()


async def test_with_every_write_synced_nothing_acknowledged_is_lost_to_a_kill(redis_to_break: RedisServer) -> None:
    acknowledged: list[str] = []
    enough = asyncio.Event()
    async with RedisBackend(redis_to_break.url, key_prefix="always:", retries=0) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for writer in range(4):
                tasks.create_task(write(session, writer, acknowledged, enough))
            await enough.wait()
            await asyncio.to_thread(redis_to_break.stop, "immediate")
        await asyncio.to_thread(redis_to_break.start)
        stored = [message.message_id for message in await session.get_messages(full_history=True)]
        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored)) <= len(acknowledged) + 4  # written, but killed before the reply
        assert [metadata.session_id for metadata in await backend.list_sessions()] == ["s"]
        await session.add_messages(texts("after", 3))
        await backend.delete_session("s")


async def test_without_persistence_everything_is_lost_to_a_restart(pytestconfig: pytest.Config) -> None:
    require(pytestconfig, "redis")
    with RedisServer() as server:
        async with RedisBackend(server.url) as backend:
            session = await backend.create_session(SessionMetadata("s"))
            await session.add_message(Message("user", "hello"))
            await asyncio.to_thread(server.restart)
            assert await backend.get_session("s") is None
            assert await backend.list_sessions() == []


async def test_with_snapshots_what_came_after_the_last_one_is_lost_to_a_kill(pytestconfig: pytest.Config) -> None:
    require(pytestconfig, "redis")
    with RedisServer({"save": "3600 1"}) as server:
        async with RedisBackend(server.url) as backend:
            session = await backend.create_session(SessionMetadata("s"))
            await session.add_messages(texts("before", 3))
            with redis.Redis.from_url(server.url) as client:
                client.save()
            await session.add_messages(texts("after", 3))
            await asyncio.to_thread(server.restart, "immediate")
            assert [message.message_id for message in await session.get_messages()] == ["before0", "before1", "before2"]
            assert await session.add_messages(texts("again", 1)) == [4]


@pytest.mark.parametrize("fsync", ["everysec", "no"])
async def test_with_a_log_that_is_synced_later_a_kill_of_the_process_loses_nothing(
    pytestconfig: pytest.Config, fsync: str
) -> None:
    # The operating system has the log already; only a crash of the machine can lose what was not synced.
    require(pytestconfig, "redis")
    with RedisServer({"appendonly": "yes", "appendfsync": fsync}) as server:
        async with RedisBackend(server.url) as backend:
            session = await backend.create_session(SessionMetadata("s"))
            await session.add_messages(texts("m", 50))
            await asyncio.to_thread(server.restart, "immediate")
            assert await session.count_messages() == 50


async def test_replica_that_takes_over_has_what_reached_it(pytestconfig: pytest.Config) -> None:
    require(pytestconfig, "redis")
    with RedisServer() as primary, RedisServer({"replicaof": f"127.0.0.1 {primary.port}"}) as replica:
        async with RedisBackend(primary.url) as backend:
            session = await backend.create_session(SessionMetadata("s"))
            with redis.Redis.from_url(replica.url) as client:
                await asyncio.to_thread(
                    await_condition, lambda: client.info("replication")["master_link_status"] == "up", "no replica"
                )
            await session.add_messages(texts("m", 3))
            with redis.Redis.from_url(primary.url) as client:
                client.set("x", "y")
                assert client.wait(1, 30_000) == 1
        primary.stop("immediate")
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof("NO", "ONE")
        async with RedisBackend(replica.url) as backend:
            found = await backend.get_session("s")
            assert found is not None
            assert await found.add_messages(texts("after", 1)) == [4]
