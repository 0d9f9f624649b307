"""A Cluster: a session lives in one slot, sessions in all of them, and the indexes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from langswarm_memory import Message, SessionMetadata, StorageUnavailableError
from langswarm_memory.backends.redis import RedisBackend
from tests.faults.places import texts
from tests.services.redis import RedisClusterServer, RedisService

pytestmark = pytest.mark.store("redis-cluster")


def cluster_url(url: str) -> str:
    return url.replace("redis://", "redis+cluster://", 1)


@pytest.fixture
async def backend(redis_cluster_server: RedisService, redis_cluster_prefix: str) -> AsyncIterator[RedisBackend]:
    url = cluster_url(redis_cluster_server.url)
    async with RedisBackend(url, key_prefix=redis_cluster_prefix, ttl=None, max_connections=3) as backend:
        yield backend


def client_of(backend: RedisBackend) -> RedisCluster:
    client = backend.get_redis()
    assert isinstance(client, RedisCluster)
    return client


@pytest.mark.parametrize("session_id", ["s", "{a}", "}{", "a}b{c", "ü {x} %7B"])
async def test_keys_of_a_session_are_in_one_slot(backend: RedisBackend, session_id: str) -> None:
    client = client_of(backend)
    keys = backend.repository._keys(session_id)
    assert len({client.keyslot(key) for key in keys}) == 1
    session = await backend.create_session(SessionMetadata(session_id))
    await session.add_message(Message("user", "hello"))
    assert [message.content for message in await session.get_messages()] == ["hello"]


async def test_sessions_are_spread_over_the_nodes(backend: RedisBackend) -> None:
    client = client_of(backend)
    slots = {client.keyslot(backend.repository._keys(f"s{number}")[0]) for number in range(40)}
    nodes = client.get_nodes()
    assert {client.nodes_manager.get_node_from_slot(slot).name for slot in slots} == {node.name for node in nodes}


async def test_sessions_of_all_nodes_are_listed_in_order(backend: RedisBackend) -> None:
    for number in range(30):
        await backend.create_session(SessionMetadata(f"s{number}", user_id="u"))
    listed = await backend.list_sessions("u", limit=30)
    assert [metadata.session_id for metadata in listed] == [f"s{number}" for number in reversed(range(30))]
    assert await backend.repository.delete_sessions([f"s{number}" for number in range(30)]) == 30


async def test_callers_wait_for_a_connection(backend: RedisBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await asyncio.gather(*(session.add_message(message) for message in texts("m", 60)))
    assert await session.count_messages() == 60
    nodes: Any = client_of(backend).get_nodes()
    assert max(len(node._connections) for node in nodes) <= 3


async def test_scripts_that_a_node_forgot_are_sent_again(backend: RedisBackend) -> None:
    sessions = [await backend.create_session(SessionMetadata(f"s{number}")) for number in range(6)]
    await client_of(backend).script_flush()
    for session in sessions:
        await session.add_message(Message("user", "hello"))
    await client_of(backend).script_flush()
    assert await backend.repository.delete_sessions([f"s{number}" for number in range(6)]) == 6


async def test_stats_add_up_the_nodes(backend: RedisBackend) -> None:
    for number in range(6):
        session = await backend.create_session(SessionMetadata(f"s{number}"))
        await session.add_messages(texts("m", 2))
    usage = await backend.get_usage_stats()
    assert (usage.session_count, usage.message_count) == (6, 12)
    assert usage.storage_size_bytes > 6 * 500


async def test_health_names_the_nodes(backend: RedisBackend) -> None:
    found = await backend.repository.describe()
    assert (found["mode"], len(found["hosts"])) == ("cluster", 3)


async def test_stopped_node_is_told_and_found_again(redis_cluster_to_break: RedisClusterServer) -> None:
    server = redis_cluster_to_break
    async with RedisBackend(cluster_url(server.url), timeout=2, retries=1) as backend:
        sessions = [await backend.create_session(SessionMetadata(f"s{number}")) for number in range(12)]
        server.nodes[1].stop("immediate")
        try:
            outcomes = await asyncio.gather(
                *(session.add_message(Message("user", "hello")) for session in sessions), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} <= {StorageUnavailableError, bool}
            assert any(isinstance(outcome, StorageUnavailableError) and outcome.retryable for outcome in outcomes)
        finally:
            server.nodes[1].start()
            server.await_state("ok")
        assert await backend.create_session(SessionMetadata("another"))
