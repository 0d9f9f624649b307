"""What lies in Redis, read with the driver alone: others may read it, and the next version must."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from langswarm_memory import CorruptRecordError, Message, MessageRole, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.interfaces.records import ConversationSummary
from langswarm_memory.repository.protocol import MessageQuery, Rewrite
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")

AT = datetime(2026, 2, 3, 4, 5, 6, 7, UTC)
AT_TEXT = "063905688306000007"
LATER = AT + timedelta(seconds=1)
LATER_TEXT = "063905688307000007"
METADATA = SessionMetadata("a b", user_id="ü", agent_id="g", created_at=AT, updated_at=AT)
MESSAGE = Message("user", "hällo", AT, "m 1", token_count=3)


async def keys(raw: Redis, prefix: str) -> list[str]:
    return sorted([key.decode().removeprefix(prefix) async for key in raw.scan_iter(match=f"{prefix}*")])


async def test_session_is_a_hash_of_document_and_state(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.create_session(METADATA)
    stored = await raw.hgetall(f"{redis_prefix}session:{{a%20b}}")
    assert sorted(stored) == [b"document", b"state", b"writer"]
    assert stored[b"state"].decode() == f"1 0 0 0 {AT_TEXT} - {AT_TEXT} active"
    assert json.loads(stored[b"document"]) == {
        "session_id": "a b",
        "user_id": "ü",
        "agent_id": "g",
        "workflow_id": None,
        "max_messages": 100,
        "max_tokens": None,
        "auto_summarize": METADATA.auto_summarize,
        "summary_threshold": METADATA.summary_threshold,
        "status": "active",
        "created_at": AT_TEXT,
        "updated_at": AT_TEXT,
        "expires_at": None,
        "tags": [],
        "properties": {},
    }


async def test_session_is_listed_in_four_indexes(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.create_session(METADATA)
    assert await keys(raw, redis_prefix) == [
        "index:agent:g",
        "index:all",
        "index:ids",
        "index:status:active",
        "index:user:%C3%BC",
        "session:{a%20b}",
    ]
    for index in ("agent:g", "all", "status:active", "user:%C3%BC"):
        assert await raw.zrange(f"{redis_prefix}index:{index}", 0, -1, withscores=True) == [
            (f"{AT_TEXT} a b".encode(), 0.0)
        ]


async def test_session_is_listed_by_id(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.create_session(METADATA)
    assert await raw.zrange(f"{redis_prefix}index:ids", 0, -1, withscores=True) == [(b" a b", 0.0)]


async def test_edits_stand_at_the_end_of_the_state(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.repository.insert_session(METADATA)
    await backend.repository.append("a b", [MESSAGE], now=AT)
    [stored] = await backend.repository.read_messages("a b", MessageQuery())
    await backend.repository.rewrite("a b", Rewrite(edits=0, removed=(stored,)), now=LATER)
    session = await raw.hgetall(f"{redis_prefix}session:{{a%20b}}")
    assert session[b"state"].decode() == f"1 0 0 1 {LATER_TEXT} - {AT_TEXT} active 1"
    assert sorted(session) == [b"document", b"editor", b"state", b"writer"]


async def test_rewrite_changes_every_key_of_the_messages(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    given = [Message("system", "a", AT, "m1", token_count=1), Message("user", "b", AT, "m2", token_count=1), MESSAGE]
    await backend.repository.insert_session(METADATA)
    await backend.repository.append("a b", given, now=AT)
    first, second, third = await backend.repository.read_messages("a b", MessageQuery())
    pairs = (first, replace(first, role="user")), (second, replace(second, role="system"))
    await backend.repository.rewrite("a b", Rewrite(edits=0, removed=(third,), replaced=pairs), now=LATER)
    base = f"{redis_prefix}session:{{a%20b}}"
    members = await raw.zrange(f"{base}:messages", 0, -1)
    assert [b" ".join(member.split(b" ")[:5]).decode() for member in members] == [
        f"1 user {AT_TEXT} 1 m1",
        f"2 system {AT_TEXT} 1 m2",
    ]
    assert await raw.hgetall(f"{base}:ids") == {b"m1": b"1", b"m2": b"2"}
    assert await raw.zrange(f"{base}:system", 0, -1) == [b"2"]


async def test_what_an_index_has_seen_is_a_field_of_the_session(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    await backend.repository.insert_session(METADATA)
    await backend.repository.mark_indexed("a b", "a model/ü", last_seq=7, edits=2)
    assert await raw.hget(f"{redis_prefix}session:{{a%20b}}", "index:a model/ü") == b"7 2"


async def test_sessions_of_before_there_were_edits_have_none(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    key = f"{redis_prefix}session:{{a%20b}}"
    await backend.repository.insert_session(METADATA)
    await raw.hset(key, "state", f"1 0 0 0 {AT_TEXT} - {AT_TEXT} active")
    record = await backend.repository.fetch_session("a b")
    assert record is not None
    assert record.edits == 0
    await backend.repository.append("a b", [MESSAGE], now=AT)
    assert await backend.repository.delete_messages("a b") == 1
    assert (await raw.hget(key, "state")).endswith(b" active 1")


async def test_sessions_of_before_there_was_an_index_by_id_are_found_stale(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    for session_id in ("b", "a"):
        await backend.repository.insert_session(SessionMetadata(session_id))
        await backend.repository.append(session_id, [MESSAGE], now=AT)
    await raw.delete(f"{redis_prefix}index:ids")
    assert [one.session_id for one in await backend.repository.stale_sessions("i", limit=9)] == ["a", "b"]
    assert await raw.zrange(f"{redis_prefix}index:ids", 0, -1) == [b" a", b" b"]


async def test_index_by_id_loses_sessions_that_redis_removed(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    for session_id in ("b", "a"):
        await backend.repository.insert_session(SessionMetadata(session_id))
    await raw.delete(f"{redis_prefix}session:{{a}}")
    assert await backend.repository.stale_sessions("i", limit=9) == []
    assert await raw.zrange(f"{redis_prefix}index:ids", 0, -1) == [b" b"]


async def test_message_is_a_member_scored_by_its_seq(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.repository.insert_session(METADATA)
    await backend.repository.append("a b", [MESSAGE], now=LATER)
    [[member, score]] = await raw.zrange(f"{redis_prefix}session:{{a%20b}}:messages", 0, -1, withscores=True)
    header, _, document = member.partition(b"{")
    assert (header.decode(), score) == (f"1 user {AT_TEXT} 3 m%201 ", 1.0)
    assert json.loads(b"{" + document) == {
        "id": "m 1",
        "at": AT_TEXT,
        "role": "user",
        "content": "hällo",
        "token_count": 3,
    }


async def test_append_moves_the_state_alone(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.repository.insert_session(METADATA)
    key = f"{redis_prefix}session:{{a%20b}}"
    before = await raw.hgetall(key)
    await backend.repository.append("a b", [MESSAGE], now=LATER)
    after = await raw.hgetall(key)
    assert after.pop(b"state").decode() == f"1 1 3 1 {LATER_TEXT} - {AT_TEXT} active"
    before.pop(b"state")
    assert after == before


async def test_ids_map_to_seqs(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.repository.insert_session(METADATA)
    await backend.repository.append("a b", [MESSAGE], now=LATER)
    assert await raw.hgetall(f"{redis_prefix}session:{{a%20b}}:ids") == {b"m%201": b"1"}


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_seqs_of_system_messages_stand_apart(
    backend: RedisBackend, raw: Redis, redis_prefix: str, role: str
) -> None:
    await backend.repository.insert_session(METADATA)
    rules = Message(role, "be kind", AT, "m2", token_count=1)
    await backend.repository.append("a b", [MESSAGE, rules], now=LATER)
    system = await raw.zrange(f"{redis_prefix}session:{{a%20b}}:system", 0, -1, withscores=True)
    assert system == [(b"2", 2.0)]


async def test_summary_is_a_field_of_a_hash(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    await backend.repository.insert_session(METADATA)
    summary = ConversationSummary("short", 1, AT, AT, summary_id="x", session_id="a b", created_at=AT)
    await backend.repository.put_summary(summary)
    stored = await raw.hgetall(f"{redis_prefix}session:{{a%20b}}:summaries")
    assert list(stored) == [b"x"]
    assert json.loads(stored[b"x"])["summary"] == "short"


async def test_long_documents_are_compressed_where_asked(make: Make, raw: Redis, redis_prefix: str) -> None:
    backend = make(compression=True)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "word " * 200, message_id="long"))
    await session.add_message(Message("user", "word", message_id="short"))
    long, short = await raw.zrange(f"{redis_prefix}session:{{s}}:messages", 0, -1)
    document = long.split(b" ", 5)[5]
    assert document[:1] == b"z"
    assert json.loads(zlib.decompress(document[1:]))["content"] == "word " * 200
    assert short.split(b" ", 5)[5].startswith(b"{")


async def test_messages_are_read_whether_compressed_or_not(make: Make) -> None:
    session = await make(compression=True).create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "word " * 200))
    plain = await make().get_session("s")
    assert plain is not None
    await plain.add_message(Message("user", "word " * 200))
    assert [message.content for message in await session.get_messages()] == ["word " * 200] * 2


async def test_deleted_session_leaves_no_key(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    session = await backend.create_session(METADATA)
    await session.add_messages([Message("system", "be kind"), MESSAGE])
    await session.create_summary(force=True)
    assert await backend.delete_session("a b")
    assert await keys(raw, redis_prefix) == []


async def test_message_that_cannot_be_decoded_is_named(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(MESSAGE)
    await raw.zadd(f"{redis_prefix}session:{{s}}:messages", {f"2 user {AT_TEXT} 1 x {{torn": 2})
    messages = await session.get_messages()
    assert messages[0].content == "hällo"
    with pytest.raises(CorruptRecordError, match="message 2"):
        _ = messages[1].content


async def test_role_is_known_before_a_message_is_decoded(backend: RedisBackend, raw: Redis, redis_prefix: str) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await raw.zadd(f"{redis_prefix}session:{{s}}:messages", {f"1 user {AT_TEXT} 1 x {{torn": 1})
    assert (await session.get_messages())[0].role is MessageRole.USER


@pytest.mark.parametrize(
    ("field", "value"),
    [("document", b"{torn"), ("state", b"1 2"), ("state", b"a 0 0 0 1 - 1 x"), ("state", b"1 0 0 0 1 - 1 x y")],
)
async def test_session_that_cannot_be_decoded_is_told(
    backend: RedisBackend, raw: Redis, redis_prefix: str, field: str, value: bytes
) -> None:
    await backend.create_session(SessionMetadata("s"))
    await raw.hset(f"{redis_prefix}session:{{s}}", field, value)
    with pytest.raises(CorruptRecordError):
        await backend.get_session("s")
    with pytest.raises(CorruptRecordError):
        await backend.list_sessions()


async def test_session_that_cannot_be_decoded_can_be_deleted(
    backend: RedisBackend, raw: Redis, redis_prefix: str
) -> None:
    await backend.create_session(SessionMetadata("s"))
    await raw.hset(f"{redis_prefix}session:{{s}}", "document", b"{torn")
    assert await backend.delete_session("s")
    assert await backend.list_sessions() == []
