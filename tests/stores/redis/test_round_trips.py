"""What each call costs, by the server's own count of commands."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.repository.protocol import Rewrite
from tests.faults.places import texts
from tests.stores.redis.calls import calls
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

NEVER = {"keys", "scan"}


async def commands_of_append(backend: RedisBackend, raw: Redis, session_id: str, stored: int) -> Counter[str]:
    session = await backend.create_session(SessionMetadata(session_id))
    await session.add_messages(texts("m", stored))
    async with calls(raw) as found:
        await session.add_message(Message("user", "one more"))
    return found


async def test_append_is_one_script(backend: RedisBackend, raw: Redis) -> None:
    found = await commands_of_append(backend, raw, "s", 3)
    assert found["evalsha"] == 1
    assert set(found) == {"evalsha", "hget", "hset", "zadd", "publish"}  # the others are the script's own


async def test_append_to_a_long_session_does_what_it_does_to_a_short_one(make: Make, raw: Redis) -> None:
    backend = make(ttl=60)
    short = await commands_of_append(backend, raw, "short", 10)
    long = await commands_of_append(backend, raw, "long", 10_000)
    assert short == long


async def test_batch_is_one_script(backend: RedisBackend, raw: Redis) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "first"))
    async with calls(raw) as found:
        await session.add_messages(texts("m", 50))
    assert found["evalsha"] == 1


async def test_window_is_one_script(backend: RedisBackend, raw: Redis) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages([Message("system", "be kind"), *texts("m", 300)])
    await session.get_messages()
    for read in (session.get_messages, lambda: session.get_recent_context(100), lambda: backend.open_session("s")):
        async with calls(raw) as found:
            await read()
        assert found["evalsha"] == 1
        assert found["eval"] == 0


async def test_window_of_a_long_session_reads_what_that_of_a_short_one_reads(backend: RedisBackend, raw: Redis) -> None:
    costs = []
    for count in (300, 10_000):
        session = await backend.create_session(SessionMetadata(f"of {count}"))
        await session.add_messages([Message("system", "be kind"), *texts("m", count)])
        await session.get_messages()
        async with calls(raw) as found:
            assert len(await session.get_messages()) == 101
            assert len(await session.get_recent_context(20)) > 1
        costs.append(found)
    assert costs[0] == costs[1]


async def test_new_session_is_written_and_listed_in_one_transaction(backend: RedisBackend, raw: Redis) -> None:
    await backend.create_session(SessionMetadata("first"))
    async with calls(raw) as found:
        await backend.create_session(SessionMetadata("s", user_id="u"))
    assert found == {"multi": 1, "evalsha": 1, "exists": 1, "unlink": 1, "hset": 1, "zadd": 4, "exec": 1}


async def test_rewrite_is_one_script(backend: RedisBackend, raw: Redis) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages([*texts("m", 9), Message("system", "be kind", message_id="rules")])
    stored = await session.get_messages()
    change = Rewrite(edits=0, removed=tuple(stored[:2]), replaced=((stored[2], replace(stored[2], content="x")),))
    await backend.repository.fetch_session("s")
    async with calls(raw) as found:
        await backend.repository.rewrite("s", change, now=backend.clock())
    of_each = {"zrangebyscore": 3, "zrem": 2 + 2 + 2, "hdel": 2, "zadd": 1}  # messages; system messages with them
    assert found == {"evalsha": 1, "hmget": 1, "hset": 1, "pttl": 1, "publish": 1, **of_each}


async def test_marking_is_one_script(backend: RedisBackend, raw: Redis) -> None:
    await backend.create_session(SessionMetadata("s"))
    await backend.repository.mark_indexed("s", "i", last_seq=0, edits=0)
    async with calls(raw) as found:
        await backend.repository.mark_indexed("s", "i", last_seq=0, edits=0)
    assert found == {"evalsha": 1, "exists": 1, "hset": 1}


async def test_stale_sessions_are_found_in_two_round_trips_a_page(backend: RedisBackend, raw: Redis) -> None:
    for number in range(30):
        session = await backend.create_session(SessionMetadata(f"s{number:02}"))
        await session.add_message(Message("user", "hello"))
    async with calls(raw) as found:
        assert len(await backend.repository.stale_sessions("i", limit=20, after="s")) == 20
    assert found == {"zrangebylex": 1, "hmget": 20}


async def test_summary_is_stored_by_one_script(backend: RedisBackend, raw: Redis) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages(texts("m", 3))
    summary = await session.create_summary(force=True)
    assert summary is not None
    async with calls(raw) as found:
        await backend.repository.put_summary(summary)
    assert found == {"evalsha": 1, "pttl": 1, "hset": 1}


@pytest.mark.parametrize(
    "conditions", [{}, {"user_id": "u1"}, {"agent_id": "a1"}, {"status": "archived"}, {"user_id": "u1", "offset": 3}]
)
async def test_listing_asks_one_index_and_then_for_the_sessions(
    backend: RedisBackend, raw: Redis, conditions: dict[str, object]
) -> None:
    for number in range(20):
        session = await backend.create_session(
            SessionMetadata(f"s{number}", user_id=f"u{number % 2}", agent_id=f"a{number % 2}")
        )
        if number % 2:
            await session.update_metadata(status="archived")
    async with calls(raw) as found:
        listed = await backend.list_sessions(**conditions)  # type: ignore[arg-type] - of several types
    assert len(listed) == {0: 20, 1: 10, 2: 7}[len(conditions)]
    assert found == {"zrevrangebylex": 1, "hmget": len(listed) + int(conditions.get("offset", 0))}  # type: ignore[call-overload]


async def test_deleting_many_sessions_is_one_pipeline_of_scripts(backend: RedisBackend, raw: Redis) -> None:
    ids = [f"s{number}" for number in range(30)]
    for session_id in ids:
        await backend.create_session(SessionMetadata(session_id))
    await backend.repository.delete_sessions(["none"])
    async with calls(raw) as found:
        assert await backend.repository.delete_sessions(ids) == 30
    assert found == {"evalsha": 30, "unlink": 30, "zrem": 3, "hmget": 60}


async def test_nothing_searches_through_the_keys(backend: RedisBackend, raw: Redis) -> None:
    async with calls(raw) as found:
        session = await backend.create_session(SessionMetadata("s", user_id="u"))
        await session.add_message(Message("user", "hello"))
        await backend.list_sessions("u")
        await backend.search_messages("hello", "s")
        await backend.cleanup_expired_sessions(1)
        await backend.get_usage_stats()
        await backend.get_ttl_stats()
        await backend.health_check()
        await backend.delete_session("s")
    assert NEVER.isdisjoint(found)


async def test_script_that_the_server_forgot_is_sent_again(backend: RedisBackend, raw: Redis) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "one"))
    await raw.script_flush()
    await session.add_message(Message("user", "two"))
    await raw.script_flush()
    await backend.create_session(SessionMetadata("t"))
    await raw.script_flush()
    assert await backend.repository.delete_sessions(["s", "t"]) == 2
