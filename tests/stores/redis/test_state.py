"""What a backend tells of the store."""

from __future__ import annotations

import pytest

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.repository.redis.totals import MEASURED
from tests.faults.places import texts
from tests.services.redis import RedisServer, RedisService
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")


async def test_health_names_the_server(backend: RedisBackend, redis_server: RedisService) -> None:
    health = await backend.health_check()
    assert (health["status"], health["connected"], health["backend"]) == ("healthy", True, "redis")
    assert health["version"] == redis_server.version()
    assert (health["mode"], health["database"]) == ("standalone", 0)
    assert health["hosts"] == [redis_server.url.partition("://")[2].rpartition("/")[0]]


async def test_health_tells_no_password(redis_to_break: RedisServer) -> None:
    backend = RedisBackend(redis_to_break.url, username="default", password="secret-word")
    assert "secret-word" not in str(await backend.health_check())
    await backend.disconnect()


async def test_usage_counts_sessions_messages_and_tokens(backend: RedisBackend) -> None:
    for number in range(3):
        session = await backend.create_session(SessionMetadata(f"s{number}"))
        await session.add_messages([Message("user", "hello", token_count=5), *texts(f"m{number}", 2)])
    await session.update_metadata(status="archived")
    await session.clear_messages()
    usage = await backend.get_usage_stats()
    assert (usage.session_count, usage.message_count, usage.active_sessions) == (3, 6, 2)
    assert usage.total_tokens >= 10
    assert await backend.count_by_status() == {"active": 2, "archived": 1}


async def test_size_grows_with_what_is_stored(backend: RedisBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    before = (await backend.get_usage_stats()).storage_size_bytes
    await session.add_message(Message("user", "x" * 50_000))
    after = (await backend.get_usage_stats()).storage_size_bytes
    assert 50_000 < after - before < 120_000


async def test_size_of_many_sessions_is_that_of_some_times_their_number(make: Make) -> None:
    backend = make()
    for number in range(MEASURED + 50):
        await backend.repository.insert_session(SessionMetadata(f"s{number:03}"))
    size = (await backend.get_usage_stats()).storage_size_bytes
    one = (await backend.repository._totals._size(["s000"])) * (MEASURED + 50)
    assert 0.8 * one < size < 1.2 * one
