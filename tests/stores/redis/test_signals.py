"""Being told of what others append, through Redis' publish and subscribe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from redis.asyncio.client import PubSub

from langswarm_memory import Message, SessionMetadata, StorageUnavailableError
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.repository.optional import Signals
from langswarm_memory.repository.protocol import Rewrite
from langswarm_memory.repository.redis import signals
from tests.services.redis import RedisServer, RedisService
from tests.services.server import await_condition
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

LONG = 30.0  # what comes by itself comes long before


@pytest.fixture(params=["server", "cluster"])
async def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RedisBackend, RedisBackend]]:
    """Two backends on the same sessions, as in two processes."""
    if request.param == "cluster" and not hasattr(PubSub, "ssubscribe"):
        pytest.skip("this redis-py cannot listen to a Cluster")
    monkeypatch.setattr(signals, "POLL_SECONDS", 2 * LONG)  # what is told is told, and not found by looking
    kind = "redis_cluster" if request.param == "cluster" else "redis"
    service: RedisService = request.getfixturevalue(f"{kind}_server")
    url = service.url.replace("redis:", "redis+cluster:", 1) if service.cluster else service.url
    prefix = request.getfixturevalue(f"{kind}_prefix")
    async with (
        RedisBackend(url, key_prefix=prefix, ttl=None) as one,
        RedisBackend(url, key_prefix=prefix, ttl=None) as other,
    ):
        yield one, other


async def returned_within(wait: Any, seconds: float) -> bool:
    start = time.monotonic()
    await wait(seconds)
    return time.monotonic() - start < seconds


async def test_repository_is_one_that_signals(make: Make) -> None:
    repository = make().repository
    assert repository.features.signals
    assert isinstance(repository, Signals)


async def test_append_of_another_process_is_told(pair: tuple[RedisBackend, RedisBackend]) -> None:
    listener, writer = pair
    session = await writer.create_session(SessionMetadata("s"))
    async with listener.repository.signals("s") as wait:
        await session.add_message(Message("user", "hello"))
        assert await returned_within(wait, LONG)


async def test_append_while_waiting_is_told(pair: tuple[RedisBackend, RedisBackend]) -> None:
    listener, writer = pair
    session = await writer.create_session(SessionMetadata("s"))
    async with listener.repository.signals("s") as wait:
        waiting = asyncio.create_task(returned_within(wait, LONG))
        await session.add_message(Message("user", "hello"))
        assert await waiting


async def test_rewrite_of_another_process_is_told(pair: tuple[RedisBackend, RedisBackend]) -> None:
    listener, writer = pair
    session = await writer.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "hello"))
    stored = await session.get_messages()
    async with listener.repository.signals("s") as wait:
        await writer.repository.rewrite("s", Rewrite(edits=0, removed=tuple(stored)), now=writer.clock())
        assert await returned_within(wait, LONG)


async def test_what_was_told_is_not_told_again(pair: tuple[RedisBackend, RedisBackend]) -> None:
    listener, writer = pair
    session = await writer.create_session(SessionMetadata("s"))
    async with listener.repository.signals("s") as wait:
        for number in range(5):
            await session.add_message(Message("user", f"{number}"))
        await wait(LONG)
        assert not await returned_within(wait, 0.05)


async def test_client_that_cannot_listen_to_a_cluster_looks_now_and_then(
    redis_cluster_server: RedisService, redis_cluster_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "PubSub", object)
    monkeypatch.setattr(signals, "POLL_SECONDS", 0.01)
    url = redis_cluster_server.url.replace("redis:", "redis+cluster:", 1)
    async with (
        RedisBackend(url, key_prefix=redis_cluster_prefix) as backend,
        backend.repository.signals("s") as wait,
    ):
        assert not backend.repository.features.signals
        assert await returned_within(wait, LONG)


async def test_other_sessions_are_not_told_of(make: Make) -> None:
    backend = make()
    await backend.create_session(SessionMetadata("s"))
    other = await backend.create_session(SessionMetadata("t"))
    async with backend.repository.signals("s") as wait:
        await other.add_message(Message("user", "hello"))
        assert not await returned_within(wait, 0.05)


async def test_listening_ends_with_its_context(make: Make, redis_server: RedisService) -> None:
    backend = make()
    pattern = f"{backend.get_key_prefix()}*"
    with redis.Redis.from_url(redis_server.url) as raw:
        async with backend.repository.signals("s"):
            assert len(raw.pubsub_channels(pattern)) == 1
        await asyncio.to_thread(await_condition, lambda: not raw.pubsub_channels(pattern), "it still listens")


async def test_wait_ends_at_its_time_when_the_server_is_gone(redis_to_break: RedisServer) -> None:
    async with RedisBackend(redis_to_break.url, ttl=None, retries=0, timeout=5) as backend:
        async with backend.repository.signals("s") as wait:
            await asyncio.to_thread(redis_to_break.stop, "immediate")
            try:
                assert not await returned_within(wait, 0.1)
            finally:
                await asyncio.to_thread(redis_to_break.start)
        await backend.create_session(SessionMetadata("s2"))


async def test_listening_to_a_server_that_is_gone_is_told(redis_to_break: RedisServer) -> None:
    async with RedisBackend(redis_to_break.url, ttl=None, retries=0, timeout=5) as backend:
        await asyncio.to_thread(redis_to_break.stop, "immediate")
        try:
            with pytest.raises(StorageUnavailableError):
                async with backend.repository.signals("s"):
                    pass
        finally:
            await asyncio.to_thread(redis_to_break.start)


async def test_whoever_may_not_publish_may_append(redis_to_break: RedisServer) -> None:
    with redis.Redis.from_url(redis_to_break.url) as admin:
        admin.acl_setuser(
            "quiet", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-publish"], keys=["*"]
        )
    async with RedisBackend(redis_to_break.url.replace("//", "//quiet:pw@"), ttl=None) as backend:
        await backend.repository.delete_sessions(["s"])
        session = await backend.create_session(SessionMetadata("s"))
        assert await session.add_message(Message("user", "hello"))
        assert await session.count_messages() == 1


async def test_whoever_may_not_listen_looks_now_and_then(
    redis_to_break: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "POLL_SECONDS", 0.01)
    with redis.Redis.from_url(redis_to_break.url) as admin:
        admin.acl_setuser(
            "deaf", enabled=True, passwords=["+pw"], categories=["+@all"], keys=["*"], reset_channels=True
        )
    async with (
        RedisBackend(redis_to_break.url.replace("//", "//deaf:pw@"), ttl=None) as backend,
        backend.repository.signals("s") as wait,
    ):
        assert await returned_within(wait, LONG)
