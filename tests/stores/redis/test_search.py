"""Text search by RediSearch: what lies in Redis for it, how long, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from langswarm_memory import MemoryConfigurationError, Message, SessionMetadata, UnsupportedOperationError
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.repository.protocol import MessageQuery, Rewrite
from langswarm_memory.repository.redis import scripts
from langswarm_memory.repository.redis.texts import Place, scalar_token, session_token, text_of, token
from langswarm_memory.repository.text_search import SearchFilter, SearchHit
from langswarm_memory.search import parse
from tests.conformance.store_redis import drop_index
from tests.services.redis import RedisService
from tests.stores.redis.calls import calls

pytestmark = pytest.mark.store("redis-stack")

AT = datetime(2026, 2, 3, 4, 5, 6, 7, UTC)
AT_TEXT = "063905688306000007"
HOUR = 3_600
SLACK_MS = 60_000  # that a test may take

Make = Callable[..., RedisBackend]


@pytest.fixture
async def make(redis_stack_server: RedisService, redis_stack_prefix: str) -> AsyncIterator[Make]:
    """Make backends on one empty prefix of the Redis with search; sessions do not expire unless asked for."""
    made: list[RedisBackend] = []

    def backend(**options: Any) -> RedisBackend:
        defaults = {"url": redis_stack_server.url, "key_prefix": redis_stack_prefix, "ttl": None}
        made.append(RedisBackend(**{**defaults, **options}))
        return made[-1]

    yield backend
    for each in made:
        await each.disconnect()
    drop_index(redis_stack_server, redis_stack_prefix)


@pytest.fixture
async def backend(make: Make) -> RedisBackend:
    """A connected backend on an empty prefix."""
    made = make()
    await made.connect()
    return made


@pytest.fixture
async def raw(redis_stack_server: RedisService) -> AsyncIterator[Redis]:
    """The driver's own client."""
    async with Redis.from_url(redis_stack_server.url) as client:
        yield client


async def hits(backend: RedisBackend, text: str, limit: int = 100, **where: Any) -> list[SearchHit]:
    return await backend.repository.search_text(parse(text), SearchFilter(**where), limit=limit)


async def found(backend: RedisBackend, text: str, **where: Any) -> list[str]:
    return [hit.message.message_id for hit in await hits(backend, text, **where)]


def message(number: int, text: str, **fields: Any) -> Message:
    return Message(fields.pop("role", "user"), text, AT, f"m{number}", token_count=1, **fields)


async def said(backend: RedisBackend, *texts: str, session_id: str = "s", **session: Any) -> None:
    await backend.repository.insert_session(SessionMetadata(session_id, created_at=AT, **session))
    given = [message(number, text) for number, text in enumerate(texts, 1)]
    await backend.repository.append(session_id, given, now=AT)


async def text_keys(raw: Redis, prefix: str) -> list[str]:
    keys = [key.decode() async for key in raw.scan_iter(match=f"{prefix}text:*")]
    return sorted(key.removeprefix(prefix) for key in keys)


# --- what is stored -------------------------------------------------------------------------------------------------


async def test_text_is_a_hash_beside_its_message(backend: RedisBackend, raw: Redis, redis_stack_prefix: str) -> None:
    await backend.repository.insert_session(SessionMetadata("a b", user_id="ü", tags=["x"], created_at=AT))
    given = message(1, "Hällo, WORLD: 数据", metadata={"k": 1.0, "deep": {}})
    await backend.repository.append("a b", [given], now=AT)
    text = await raw.hgetall(f"{redis_stack_prefix}text:{{a%20b}}:1")
    owner = await raw.hget(f"{redis_stack_prefix}session:{{a%20b}}", "text")
    assert {name.decode(): value.decode() for name, value in text.items()} == {
        "text": "hällo world 数 据",
        "token": owner.split(b" ")[0].decode(),
        "session": "x612062",
        "user": token("ü"),
        "agent": "-",
        "tags": token("x"),
        "role": token("user"),
        "metadata": scalar_token("k", 1),
        "time": AT_TEXT,
        "place": f"x612062 {2**53 - 1:016d}",
    }


async def test_texts_go_with_their_messages(backend: RedisBackend, raw: Redis, redis_stack_prefix: str) -> None:
    await said(backend, "one", "two", "three")
    await backend.repository.delete_messages("s", through_seq=1)
    assert await text_keys(raw, redis_stack_prefix) == ["text:{s}:2", "text:{s}:3"]
    [second, third] = await backend.repository.read_messages("s", MessageQuery())
    change = Rewrite(edits=1, removed=(third,), replaced=((second, replace(second, content="new")),))
    await backend.repository.rewrite("s", change, now=AT)
    assert await text_keys(raw, redis_stack_prefix) == ["text:{s}:2"]
    assert await raw.hget(f"{redis_stack_prefix}text:{{s}}:2", "text") == b"new"
    await backend.repository.delete_sessions(["s"])
    assert await text_keys(raw, redis_stack_prefix) == []


async def test_replayed_message_brings_no_second_text(
    backend: RedisBackend, raw: Redis, redis_stack_prefix: str
) -> None:
    await said(backend, "one")
    await backend.repository.append("s", [message(1, "one"), message(2, "two")], now=AT)
    assert await text_keys(raw, redis_stack_prefix) == ["text:{s}:1", "text:{s}:2"]
    assert await raw.hget(f"{redis_stack_prefix}text:{{s}}:2", "text") == b"two"


async def test_text_index_costs_an_append_no_round_trip(backend: RedisBackend, raw: Redis) -> None:
    await said(backend, "one")
    async with calls(raw) as commands:
        await backend.repository.append("s", [message(2, "two")], now=AT)
    assert commands == {"evalsha": 1, "hget": 3, "zadd": 1, "hset": 3, "pttl": 1, "publish": 1}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("k", 1), ("k", 1.0), True),
        (("k", 0.0), ("k", -0.0), True),
        (("k", 1), ("k", True), False),
        (("k", 1), ("k", "1"), False),
        (("k", 2**53), ("k", 2**53 + 1), False),
        (("k=text:a", "b"), ("k", "a=text:b"), False),
    ],
)
def test_equal_entries_of_metadata_have_one_token(one: Any, other: Any, same: bool) -> None:
    assert (scalar_token(*one) == scalar_token(*other)) is same


def test_places_are_in_the_order_of_hits() -> None:
    places = [Place("a", 2), Place("a", 1), Place("a b", 1), Place("aa", 9), Place("ä", 1), Place("😀", 1)]
    assert sorted(places, key=lambda place: place.text) == places
    assert [Place.parse(place.text) for place in places] == places


# --- how long -------------------------------------------------------------------------------------------------------


async def times_left(raw: Redis, prefix: str, count: int) -> list[int]:
    return [await raw.pttl(f"{prefix}text:{{s}}:{seq}") for seq in range(1, count + 1)]


async def test_texts_outlive_their_session_by_a_quarter(make: Make, raw: Redis, redis_stack_prefix: str) -> None:
    session = await make(ttl=4 * HOUR).create_session(SessionMetadata("s"))
    await session.add_messages([Message("user", "one"), Message("user", "two")])
    left = await raw.pttl(f"{redis_stack_prefix}session:{{s}}")
    for each in await times_left(raw, redis_stack_prefix, 2):
        assert abs(each - left * 1.25) < SLACK_MS


async def test_append_lets_older_texts_live_on_before_they_go(make: Make, raw: Redis, redis_stack_prefix: str) -> None:
    session = await make(ttl=4 * HOUR).create_session(SessionMetadata("s"))
    await session.add_messages([Message("user", "one"), Message("user", "two")])
    for seq in (1, 2):
        await raw.pexpire(f"{redis_stack_prefix}text:{{s}}:{seq}", 4 * HOUR * 1_000)  # less than the session, now
    await session.add_message(Message("user", "three"))
    assert min(await times_left(raw, redis_stack_prefix, 3)) > 5 * HOUR * 1_000


async def test_append_leaves_texts_alone_that_live_long_enough(make: Make, raw: Redis, redis_stack_prefix: str) -> None:
    backend = make(ttl=4 * HOUR)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_messages([Message("user", f"{number}") for number in range(50)])
    async with calls(raw) as commands:
        await session.add_message(Message("user", "more"))
    assert commands["pexpire"] == 5 + 1  # the session's keys, and the new text


@pytest.mark.parametrize(("before", "after"), [(None, HOUR), (9 * HOUR, HOUR), (HOUR, 9 * HOUR)])
async def test_texts_follow_an_expiry_that_is_set(
    make: Make, raw: Redis, redis_stack_prefix: str, before: int | None, after: int
) -> None:
    session = await make(ttl=before).create_session(SessionMetadata("s"))
    await session.add_messages([Message("user", "one"), Message("user", "two")])
    await session.update_metadata(expires_at=datetime.now(UTC) + timedelta(seconds=after))
    left = await raw.pttl(f"{redis_stack_prefix}session:{{s}}")
    for each in await times_left(raw, redis_stack_prefix, 2):
        assert left <= each <= left * 1.25 + SLACK_MS


async def test_texts_of_a_session_that_never_expires_any_more_stay(
    make: Make, raw: Redis, redis_stack_prefix: str
) -> None:
    session = await make(ttl=HOUR).create_session(SessionMetadata("s"))
    await session.add_messages([Message("user", "one"), Message("user", "two")])
    await session.update_metadata(expires_at=None)
    assert await times_left(raw, redis_stack_prefix, 2) == [-1, -1]


async def test_text_of_a_session_that_redis_removed_is_not_found(
    backend: RedisBackend, make: Make, raw: Redis, redis_stack_prefix: str
) -> None:
    await said(backend, "lantern", "lantern")
    for part in ("", ":messages", ":ids"):
        await raw.delete(f"{redis_stack_prefix}session:{{s}}{part}")
    assert await found(backend, "lantern") == []
    await said(backend, "kettle")  # another of the same id
    await make(text_search=False).repository.append("s", [message(2, "umbrella")], now=AT)
    assert await found(backend, "lantern") == []  # the former's second message was one
    assert await found(backend, "kettle") == ["m1"]


# --- finding --------------------------------------------------------------------------------------------------------


async def test_search_speaks_the_older_protocol(make: Make, redis_stack_server: RedisService) -> None:
    backend = make(url=f"{redis_stack_server.url}?protocol=2")
    await backend.connect()
    await said(backend, "violet lantern", "lantern", "kettle")
    assert await found(backend, "violet lantern") == ["m1", "m2"]


async def test_conditions_do_not_change_scores(backend: RedisBackend) -> None:
    await said(backend, "lantern", "lantern lantern", session_id="rare", user_id="u", tags=["t"])
    for number in range(5):
        await said(backend, "lantern", session_id=f"s{number}")
    plain = {hit.message.message_id: hit.score for hit in await hits(backend, "lantern") if hit.session_id == "rare"}
    where = {"user_id": "u", "session_ids": frozenset({"rare"}), "tags": frozenset({"t"}), "since": AT}
    confined = {hit.message.message_id: hit.score for hit in await hits(backend, "lantern", **where)}
    assert confined == plain


async def test_one_letter_is_a_prefix(backend: RedisBackend) -> None:
    await said(backend, "lantern", "kettle")
    assert await found(backend, "l*") == ["m1"]


async def test_phrase_may_end_in_a_prefix(backend: RedisBackend) -> None:
    await said(backend, "red stones lie here", "stone red", "red old stone")
    assert await found(backend, '"red sto*"') == ["m1"]


@pytest.mark.parametrize(("text", "without"), [("cats", "cat"), ("cat", "cats"), ("many cats", "cat")])
async def test_exclusion_ignores_inflection(backend: RedisBackend, text: str, without: str) -> None:
    await said(backend, f"lantern {text}", "lantern dog")
    assert await found(backend, f"lantern -{without}") == ["m2"]


async def test_excluded_phrase_ignores_inflection(backend: RedisBackend) -> None:
    await said(backend, "lantern of red stones", "lantern of stone red")
    assert await found(backend, 'lantern -"red stone"') == ["m2"]


async def test_page_goes_on_behind_hits_that_have_expired(backend: RedisBackend) -> None:
    soon = AT + timedelta(hours=1)
    for number in range(8):
        await said(backend, *["lantern"] * 10, session_id=f"a{number}", expires_at=soon)
    await said(backend, "a lantern among others", session_id="z")
    [hit] = await hits(backend, "lantern", limit=1, live_at=soon)
    assert hit.session_id == "z"


async def test_search_is_two_round_trips(backend: RedisBackend, raw: Redis) -> None:
    await said(backend, *["lantern"] * 9)
    async with calls(raw) as commands:
        assert len(await found(backend, "lantern")) == 9
    assert {name.lower(): count for name, count in commands.items()} == {
        "ft.aggregate": 1,
        "hmget": 1,
        "zrangebyscore": 9,
    }


async def test_session_of_any_id_is_found_by_it(backend: RedisBackend) -> None:
    for session_id in ("1e5", "-", "none", "a|b", "{x}", "ü 😀"):
        await said(backend, "lantern", session_id=session_id)
        [hit] = await hits(backend, "lantern", session_ids=frozenset({session_id}))
        assert hit.session_id == session_id
    assert await found(backend, "lantern", session_ids=frozenset({"nothing"})) == []


def test_token_of_a_session_is_its_id_in_hex() -> None:
    assert session_token("az") == "x617a"


# --- the index ------------------------------------------------------------------------------------------------------


async def test_messages_stored_before_are_indexed_when_it_is_opened(make: Make, raw: Redis) -> None:
    without = make(text_search=False)
    await said(without, *(f"lantern number{number}" for number in range(450)), user_id="u")
    await said(without, "kettle", session_id="t")
    backend = make()
    await backend.connect()
    assert len(await hits(backend, "lantern", limit=1_000, user_id="u")) == 450
    assert await found(backend, "kettle") == ["m1"]
    async with calls(raw) as commands:
        await make().connect()
    assert commands["evalsha"] == 0  # once is enough


async def test_index_follows_sessions_that_were_indexed_later(make: Make) -> None:
    await said(make(text_search=False), "lantern", "lantern")
    backend = make()
    await backend.connect()
    await backend.repository.append("s", [message(3, "lantern")], now=AT)
    await backend.repository.delete_messages("s", through_seq=1)
    assert sorted(await found(backend, "lantern")) == ["m2", "m3"]


async def test_text_of_a_message_that_was_edited_meanwhile_is_not_indexed(
    backend: RedisBackend, raw: Redis, redis_stack_prefix: str
) -> None:
    await said(backend, "kettle")
    keys = backend.repository._keys("s")
    text = text_of(message(1, "lantern"))
    reply = await backend.repository._commands.run(scripts.INDEX, keys, "-", 1, f"1 {AT_TEXT}", text)
    assert reply == b"conflict"
    assert await raw.hget(f"{redis_stack_prefix}text:{{s}}:1", "text") == b"kettle"


async def test_messages_stored_by_others_without_an_index_can_be_indexed(backend: RedisBackend, make: Make) -> None:
    await said(make(text_search=False), "lantern")
    assert await found(backend, "lantern") == []
    await backend.index_texts()
    assert await found(backend, "lantern") == ["m1"]


async def test_rewrite_by_others_without_an_index_leaves_no_old_text(backend: RedisBackend, make: Make) -> None:
    await said(backend, "lantern")
    [stored] = await backend.repository.read_messages("s", MessageQuery())
    change = Rewrite(edits=0, replaced=((stored, replace(stored, content="kettle")),))
    await make(text_search=False).repository.rewrite("s", change, now=AT)
    assert await found(backend, "lantern") == []


async def test_message_that_cannot_be_decoded_does_not_stop_the_index(
    make: Make, raw: Redis, redis_stack_prefix: str
) -> None:
    await said(make(text_search=False), "lantern")
    await raw.zadd(f"{redis_stack_prefix}session:{{s}}:messages", {f"2 user {AT_TEXT} 1 x {{torn": 2})
    backend = make()
    await backend.connect()
    assert await found(backend, "lantern") == ["m1"]


async def test_search_can_be_switched_off(make: Make, raw: Redis, redis_stack_prefix: str) -> None:
    backend = make(text_search=False)
    await backend.connect()
    await said(backend, "lantern")
    assert not backend.repository.features.text_search
    assert await text_keys(raw, redis_stack_prefix) == []
    with pytest.raises(UnsupportedOperationError):
        await hits(backend, "lantern")
    with pytest.raises(UnsupportedOperationError):
        await backend.index_texts()


async def test_only_database_0_can_be_searched(make: Make, redis_stack_server: RedisService) -> None:
    url = redis_stack_server.url.removesuffix("/0") + "/1"
    backend = make(url=url)
    await backend.connect()
    assert not backend.repository.features.text_search
    with pytest.raises(MemoryConfigurationError, match="database 0"):
        await make(url=url, text_search=True).connect()


@pytest.mark.store("redis")
async def test_search_that_is_required_of_a_plain_server_is_refused(redis_server: RedisService) -> None:
    backend = RedisBackend(redis_server.url, text_search=True)
    with pytest.raises(MemoryConfigurationError, match="RediSearch"):
        await backend.connect()
    await backend.disconnect()


async def test_two_open_the_index_at_once(make: Make) -> None:
    await said(make(text_search=False), "lantern")
    one, other = make(), make()
    await asyncio.gather(one.connect(), other.connect())
    assert await found(one, "lantern") == await found(other, "lantern") == ["m1"]
