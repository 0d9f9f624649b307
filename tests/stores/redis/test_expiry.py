"""Expiry: by the caller's clock above, by Redis itself below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.interfaces.timestamps import Timestamp
from langswarm_memory.repository.redis.layout import GRACE
from langswarm_memory.session import BaseMemorySession
from tests.faults.places import texts
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

HOUR = 3_600
GRACE_MS = int(GRACE.total_seconds() * 1_000)
SLACK_MS = 60_000  # that a test may take


async def filled(session: BaseMemorySession) -> None:
    await session.add_messages([Message("system", "be kind"), *texts("m", 3)])
    assert await session.create_summary(force=True)


async def times_left(raw: Redis, prefix: str) -> list[int]:
    keys = [f"{prefix}session:{{s}}{part}" for part in ("", ":messages", ":ids", ":system", ":summaries")]
    return [await raw.pttl(key) for key in keys]


async def test_all_keys_of_a_session_expire_together(make: Make, raw: Redis, redis_prefix: str) -> None:
    await filled(await make(ttl=2 * HOUR).create_session(SessionMetadata("s")))
    left = await times_left(raw, redis_prefix)
    assert min(left) > 2 * HOUR * 1_000 + GRACE_MS - SLACK_MS
    assert max(left) - min(left) < SLACK_MS


async def test_append_slides_the_expiry_of_all_keys(make: Make, raw: Redis, redis_prefix: str) -> None:
    session = await make(ttl=2 * HOUR).create_session(SessionMetadata("s"))
    await filled(session)
    for part in ("", ":messages", ":ids", ":system", ":summaries"):
        await raw.pexpire(f"{redis_prefix}session:{{s}}{part}", 100_000)
    await session.add_message(Message("user", "more"))
    assert min(await times_left(raw, redis_prefix)) > 2 * HOUR * 1_000 + GRACE_MS - SLACK_MS


async def test_rewrite_leaves_the_expiry_alone(make: Make, raw: Redis, redis_prefix: str) -> None:
    backend = make(ttl=2 * HOUR)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("system", "be kind"))
    assert await session.edit_message(1, content="be kinder")  # its keys are empty in between
    left = await times_left(raw, redis_prefix)
    assert min(left[:4]) > 2 * HOUR * 1_000 + GRACE_MS - SLACK_MS


async def test_keys_never_expire_without_a_ttl(make: Make, raw: Redis, redis_prefix: str) -> None:
    await filled(await make().create_session(SessionMetadata("s")))
    assert await times_left(raw, redis_prefix) == [-1] * 5


async def test_keys_made_later_join_an_expiry_of_the_session_alone(make: Make, raw: Redis, redis_prefix: str) -> None:
    session = await make().create_session(SessionMetadata("s", expires_at=datetime.now(UTC) + timedelta(hours=2)))
    await filled(session)
    assert min(await times_left(raw, redis_prefix)) > 2 * HOUR * 1_000 + GRACE_MS - SLACK_MS


async def test_expiry_that_is_taken_away_is_taken_from_all_keys(make: Make, raw: Redis, redis_prefix: str) -> None:
    backend = make(ttl=HOUR)
    await filled(await backend.create_session(SessionMetadata("s")))
    record = await backend.repository.fetch_session("s")
    assert record is not None
    record.metadata.expires_at = None
    await backend.repository.replace_session(record.metadata, expected_revision=record.revision)
    assert await times_left(raw, redis_prefix) == [-1] * 5


async def test_session_that_redis_removed_is_gone_for_every_call(make: Make, raw: Redis, redis_prefix: str) -> None:
    backend = make(ttl=HOUR)
    await filled(await backend.create_session(SessionMetadata("s")))
    for part in ("", ":messages", ":ids", ":system", ":summaries"):
        await raw.pexpireat(f"{redis_prefix}session:{{s}}{part}", 1)
    assert await backend.get_session("s") is None
    assert await backend.list_sessions() == []
    assert (await backend.get_usage_stats()).session_count == 0


async def test_session_of_a_removed_hash_starts_empty(make: Make, raw: Redis, redis_prefix: str) -> None:
    backend = make()
    await filled(await backend.create_session(SessionMetadata("s")))
    await raw.delete(f"{redis_prefix}session:{{s}}")  # the others are still there
    session = await backend.create_session(SessionMetadata("s"))
    assert await session.get_messages() == []
    assert await session.get_summaries() == []
    await session.add_message(Message("user", "m", message_id="m0"))
    assert [message.seq for message in await session.get_messages()] == [1]


async def test_ttl_stats_count_by_the_time_left(make: Make) -> None:
    at = Timestamp(2026, 2, 3, tzinfo=UTC)
    backend = make(clock=lambda: at)
    left = {"never": None, "past": -1, "minute": 60, "hour": HOUR, "day": 24 * HOUR, "week": 7 * 24 * HOUR}
    for name, seconds in left.items():
        expires = None if seconds is None else at + timedelta(seconds=seconds)
        await backend.repository.insert_session(SessionMetadata(name, created_at=at, updated_at=at, expires_at=expires))
    assert await backend.get_ttl_stats() == {
        "sessions": 6,
        "without_ttl": 1,
        "expired": 1,
        "expiring_1h": 2,
        "expiring_24h": 3,
    }


async def test_ttl_stats_of_an_empty_store_are_zeros(make: Make) -> None:
    assert set((await make().get_ttl_stats()).values()) == {0}
