"""Indexes lie beside the sessions: an entry may outlive its session, and must not outlive the next listing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from langswarm_memory import SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.repository.protocol import SessionQuery
from langswarm_memory.repository.redis import scripts
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

AT = datetime(2026, 2, 3, tzinfo=UTC)


async def entries(raw: Redis, prefix: str, index: str) -> list[str]:
    return [entry.decode().partition(" ")[2] for entry in await raw.zrange(f"{prefix}index:{index}", 0, -1)]


@pytest.mark.parametrize(
    ("index", "conditions"),
    [
        ("all", {}),
        ("user:u", {"user_id": "u"}),
        ("agent:a", {"agent_id": "a"}),
        ("status:active", {"status": "active"}),
    ],
)
async def test_entry_of_a_session_that_redis_removed_goes_with_the_next_listing(
    backend: RedisBackend, raw: Redis, redis_prefix: str, index: str, conditions: dict[str, str]
) -> None:
    for session_id in ("gone", "there"):
        await backend.create_session(SessionMetadata(session_id, user_id="u", agent_id="a"))
    await raw.delete(f"{redis_prefix}session:{{gone}}")
    found = await backend.repository.list_sessions(SessionQuery(**conditions))  # type: ignore[arg-type] - all are text
    assert [record.metadata.session_id for record in found] == ["there"]
    assert await entries(raw, redis_prefix, index) == ["there"]


async def test_session_that_changes_hands_leaves_the_index_of_its_former_user(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    record = await backend.repository.insert_session(SessionMetadata("s", user_id="former"))
    record.metadata.user_id = "next"
    await backend.repository.replace_session(record.metadata, expected_revision=1)
    assert await entries(raw, redis_prefix, "user:former") == []
    assert await entries(raw, redis_prefix, "user:next") == ["s"]


async def test_status_moves_a_session_from_one_index_to_another(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.update_metadata(status="archived")
    assert await entries(raw, redis_prefix, "status:active") == []
    assert await entries(raw, redis_prefix, "status:archived") == ["s"]


async def test_entry_of_a_former_session_of_the_id_is_not_listed(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    await backend.create_session(SessionMetadata("s", user_id="u", created_at=AT))
    await raw.zadd(f"{redis_prefix}index:all", {"063900000000000000 s": 0})
    assert (await backend.get_usage_stats()).session_count == 1
    assert len(await backend.list_sessions()) == 1
    assert len(await entries(raw, redis_prefix, "all")) == 1


async def test_entry_of_a_session_that_came_back_meanwhile_is_put_back(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    metadata = SessionMetadata("s", created_at=AT)
    await backend.create_session(metadata)
    [entry] = await raw.zrange(f"{redis_prefix}index:all", 0, -1)
    # As a listing does that met the entry when the session was not there.
    await backend.repository._indexes.heal([(f"{redis_prefix}index:all", entry.decode())])
    assert await entries(raw, redis_prefix, "all") == ["s"]


async def test_sessions_that_come_and_go_during_listings_stay_listed(make: Make, raw: Redis, redis_prefix: str) -> None:
    writer, reader = make(), make()
    done = asyncio.Event()

    async def list_all() -> None:
        while not done.is_set():
            await reader.list_sessions()

    async def come_and_go(name: str) -> None:
        for _ in range(15):
            await writer.create_session(SessionMetadata(name, created_at=AT))
            await writer.delete_session(name)
        await writer.create_session(SessionMetadata(name, created_at=AT))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(list_all())
        await asyncio.gather(*(come_and_go(f"s{number}") for number in range(6)))
        done.set()
    assert await entries(raw, redis_prefix, "all") == [f"s{number}" for number in range(6)]


async def test_pages_reach_behind_entries_of_other_sessions(backend: RedisBackend) -> None:
    for number in range(120):
        await backend.repository.insert_session(
            SessionMetadata(f"s{number}", user_id="u", agent_id=f"a{number % 40}", created_at=AT + timedelta(number))
        )
    found = await backend.list_sessions("u", agent_id="a0", limit=3)
    assert [metadata.session_id for metadata in found] == ["s80", "s40", "s0"]


async def test_sent_again_a_new_session_is_not_its_own_rival(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    await backend.create_session(SessionMetadata("s"))
    key = f"{redis_prefix}session:{{s}}"
    keys = backend.repository._keys("s")
    writer, document, state = await raw.hmget(key, "writer", "document", "state")
    again = await raw.evalsha(scripts.INSERT.sha, 6, *keys, writer, "-", document, state, "")
    other = await raw.evalsha(scripts.INSERT.sha, 6, *keys, "another", "-", document, state, "")
    assert (again, other) == (1, 0)
