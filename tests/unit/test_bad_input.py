"""What callers should not send: a clear error that quotes nothing, or a lossless round trip. Nothing half-written."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    InMemoryBackend,
    InvalidInputError,
    LangSwarmMemoryError,
    Message,
    PostgresBackend,
    SessionMetadata,
    SQLiteBackend,
    Timestamp,
)
from tests.services.postgres import PostgresService

SECRET = "the text nobody may read in a log"


@pytest.fixture(scope="module")
def postgres_place(postgres_server: PostgresService) -> Any:
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseMemoryBackend]:
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend()
    elif request.param == "sqlite":
        made = SQLiteBackend(db_path=str(tmp_path / "memory.db"), synchronous="OFF")
    else:
        made = PostgresBackend(request.getfixturevalue("postgres_place"))
    async with made:
        yield made
        for metadata in await made.list_sessions(limit=1_000):
            await made.delete_session(metadata.session_id)


@pytest.fixture
async def session(backend: BaseMemoryBackend) -> BaseMemorySession:
    return await backend.create_session(SessionMetadata("s", max_messages=None))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def changed(**fields: Any) -> Message:
    message = Message("user", SECRET)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


REFUSED: dict[str, Callable[[], Any]] = {
    "no message": lambda: {"role": "user", "content": SECRET},
    "None": lambda: None,
    "role object": lambda: changed(role=object()),
    "role empty": lambda: changed(role=""),
    "role with NUL": lambda: changed(role="a\x00b"),
    "role of 10 kB": lambda: changed(role="x" * 10_000),
    "content bytes": lambda: changed(content=SECRET.encode()),
    "content dict": lambda: changed(content={"text": SECRET}),
    "content int": lambda: changed(content=5),
    "content with bytes inside": lambda: changed(content=[{"type": "image", "data": b"\x00"}]),
    "id empty": lambda: changed(message_id=""),
    "id None": lambda: changed(message_id=None),
    "id int": lambda: changed(message_id=5),
    "id of 10 kB": lambda: changed(message_id="x" * 10_000),
    "id of 513 bytes": lambda: changed(message_id="ü" * 257),
    "id with NUL": lambda: changed(message_id="a\x00b"),
    "id with a lone surrogate": lambda: changed(message_id="a\ud800"),
    "timestamp text": lambda: changed(timestamp="2026-01-01"),
    "timestamp number": lambda: changed(timestamp=1_700_000_000),
    "timestamp beyond the years": lambda: changed(timestamp=datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))),
    "token count negative": lambda: changed(token_count=-1),
    "token count bool": lambda: changed(token_count=True),
    "token count huge": lambda: changed(token_count=10**30),
    "token count text": lambda: changed(token_count="5"),
    "metadata list": lambda: changed(metadata=[1]),
    "metadata with int keys": lambda: changed(metadata={1: SECRET}),
    "metadata with a tuple": lambda: changed(metadata={"a": (1, 2)}),
    "metadata with bytes": lambda: changed(metadata={"a": SECRET.encode()}),
    "metadata with a set": lambda: changed(metadata={"a": {1}}),
    "metadata with a datetime": lambda: changed(metadata={"a": datetime.now(UTC)}),
    "metadata with an object": lambda: changed(metadata={"a": object()}),
    "metadata nested 100,000 deep": lambda: changed(metadata={"a": nested(100_000)}),
    "metadata that holds itself": lambda: changed(metadata=itself()),
    "metadata with an integer of 5,000 digits": lambda: changed(metadata={"a": 1 << 20_000}),
    "tool calls dict": lambda: changed(tool_calls={"id": "c"}),
    "tool calls with a tuple": lambda: changed(tool_calls=[{"a": (1,)}]),
    "function call list": lambda: changed(function_call=[SECRET]),
    "tool call id int": lambda: changed(tool_call_id=5),
    "name list": lambda: changed(name=["x"]),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
async def test_message_that_cannot_be_stored_is_refused(session: BaseMemorySession, make: Callable[[], Any]) -> None:
    message = make()
    with pytest.raises(InvalidInputError) as caught:
        await session.add_message(message)
    assert SECRET not in str(caught.value)
    assert await session.get_messages() == []


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
async def test_batch_with_one_bad_message_stores_none(session: BaseMemorySession, make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInputError):
        await session.add_messages([Message("user", "good"), make(), Message("user", "good too")])
    assert await session.count_messages() == 0


SQL = "'; DROP TABLE messages; -- \" ` ) %s ? $1 :x {}"
KEPT: dict[str, Callable[[], Message]] = {
    "NUL and surrogates": lambda: changed(content="a\x00b\ud800\ud83d\ude00\udfff"),
    "surrogates that look like a pair": lambda: changed(content="\ud83d" + "\ude00"),
    "NaN and infinities": lambda: changed(metadata={"a": [math.inf, -math.inf, 1.0, -0.0, 1e22, 5e-324]}),
    "10**400": lambda: changed(metadata={"a": 10**400}),
    "20 MB": lambda: changed(content="0123456789" * 2_000_000),
    "nested 500 deep": lambda: changed(metadata={"a": nested(500)}),
    "SQL everywhere": lambda: changed(
        content=SQL, role=SQL, message_id=SQL, metadata={SQL: SQL}, name=SQL, tool_call_id=SQL, tool_calls=[{SQL: SQL}]
    ),
    "empty text": lambda: changed(content=""),
    "nothing": lambda: changed(content=None),
    "year 1": lambda: changed(timestamp=datetime(1, 1, 1, tzinfo=UTC)),
    "year 9999": lambda: changed(timestamp=datetime.max.replace(tzinfo=UTC)),
    "naive time": lambda: changed(timestamp=datetime(2026, 3, 1, 12)),
    "strange zone": lambda: changed(timestamp=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=14, minutes=7)))),
    "id of 512 bytes": lambda: changed(message_id="ü" * 256),
    "subclass of str": lambda: changed(content=type("Text", (str,), {})("hi")),
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT.keys())
async def test_odd_message_comes_back_as_it_was(session: BaseMemorySession, make: Callable[[], Message]) -> None:
    message = make()
    await session.add_message(message)
    (back,) = await session.get_messages()
    for name in ("role", "content", "message_id", "metadata", "tool_calls", "name", "tool_call_id"):
        assert getattr(back, name) == getattr(message, name)
    assert back.timestamp == Timestamp.of(message.timestamp)
    assert repr(back.metadata) == repr(message.metadata)


async def test_not_a_number_comes_back(session: BaseMemorySession) -> None:
    await session.add_message(changed(metadata={"a": math.nan}))
    (back,) = await session.get_messages()
    assert math.isnan(back.metadata["a"])


BAD_IDS = ["", "x" * 10_000, "a\x00b", "a\ud800", None, 5, b"s", "ü" * 257]


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr and (lambda value: repr(value)[:20]))
async def test_session_id_that_no_store_can_hold_is_refused(backend: BaseMemoryBackend, bad: Any) -> None:
    for call in (backend.get_session, backend.delete_session, backend.open_session):
        with pytest.raises(InvalidInputError, match="session_id"):
            await call(bad)
    with pytest.raises(InvalidInputError, match="session_id"):
        await backend.create_session(SessionMetadata(bad))
    assert await backend.list_sessions() == []


BAD_METADATA: dict[str, dict[str, Any]] = {
    "user id empty": {"user_id": ""},
    "user id int": {"user_id": 5},
    "agent id with NUL": {"agent_id": "\x00"},
    "max_messages 0": {"max_messages": 0},
    "max_messages text": {"max_messages": "5"},
    "max_messages huge": {"max_messages": 10**30},
    "max_tokens negative": {"max_tokens": -1},
    "threshold 0": {"summary_threshold": 0},
    "threshold None": {"summary_threshold": None},
    "auto_summarize text": {"auto_summarize": "yes"},
    "tags text": {"tags": "a,b"},
    "tags of numbers": {"tags": [1]},
    "tags tuple": {"tags": ("a",)},
    "properties list": {"properties": [1]},
    "properties with bytes": {"properties": {"a": b"x"}},
}


@pytest.mark.parametrize("fields", BAD_METADATA.values(), ids=BAD_METADATA.keys())
async def test_metadata_that_cannot_be_stored_is_refused(backend: BaseMemoryBackend, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        await backend.create_session(SessionMetadata("s", **fields))
    assert await backend.get_session("s") is None


@pytest.mark.parametrize("fields", BAD_METADATA.values(), ids=BAD_METADATA.keys())
async def test_edit_that_cannot_be_stored_changes_nothing(session: BaseMemorySession, fields: dict[str, Any]) -> None:
    before = await session.refresh()
    with pytest.raises(InvalidInputError):
        await session.update_metadata(**fields)
    assert await session.refresh() == before


@pytest.mark.parametrize("limit", [-1, True, "5", 2.0])
async def test_wrong_limit_is_refused(session: BaseMemorySession, limit: Any) -> None:
    for call in (session.get_messages, session.backend.list_sessions):
        with pytest.raises(InvalidInputError, match="limit"):
            await call(limit=limit)
    with pytest.raises(InvalidInputError, match="max_tokens"):
        await session.get_recent_context(limit)


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (10**9, 3), (10**30, 3), (None, 3), (sys.maxsize, 3)])
async def test_any_other_limit_works(session: BaseMemorySession, limit: int | None, count: int) -> None:
    await session.add_messages([Message("user", str(number)) for number in range(3)])
    assert len(await session.get_messages(limit)) == count


async def test_offset_beyond_the_end_is_an_empty_page(session: BaseMemorySession) -> None:
    assert await session.backend.list_sessions(limit=10**9, offset=10**30) == []


async def test_sql_in_every_filter_finds_nothing(session: BaseMemorySession) -> None:
    backend = session.backend
    assert await backend.list_sessions(user_id=SQL, agent_id=SQL) == []
    assert await backend.get_session(SQL) is None
    assert await backend.delete_session(SQL) is False
    assert await session.get_messages(roles=[SQL]) == []
    assert await backend.search_messages(SQL) == []
    assert await backend.get_session("s") is not None


async def test_errors_of_bad_input_are_value_errors(session: BaseMemorySession) -> None:
    with pytest.raises(ValueError, match="NUL") as caught:
        await session.add_message(changed(message_id="\x00"))
    assert isinstance(caught.value, LangSwarmMemoryError)
