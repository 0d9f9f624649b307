"""The SQL functions of ``langswarm_memory.models``: the same answers on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select, true
from sqlalchemy.sql import Select

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.models import (
    MessageRow,
    SessionRow,
    json_elements,
    json_text,
    json_text_elements,
    seconds_between,
    utc_day,
    utc_week,
)
from langswarm_memory.relational import RelationalBackend

SUNDAY_END = datetime(2025, 7, 13, 23, 59, 59, 999_999, tzinfo=UTC)
PROPERTIES = {
    "text": "it's",
    "empty": "",
    "int": 5,
    "float": 1.5,
    "true": True,
    "false": False,
    "null": None,
    "deep": {"er": {"text": "found"}},
    "odd key: 日本 'x'": "odd",
}
CALLS = [{"id": "a", "function": {"name": "search"}}, {"id": "b", "function": {"name": "book"}}]


@pytest.fixture
async def store(backend: RelationalBackend) -> RelationalBackend:
    session = await backend.create_session(
        SessionMetadata("s", tags=["plain", 'quo"te', "日本", "true", "5", ""], properties=PROPERTIES)
    )
    await session.add_messages(
        [
            Message("user", "q", timestamp=SUNDAY_END, message_id="m1"),
            Message("assistant", None, timestamp=SUNDAY_END + timedelta(microseconds=1), tool_calls=CALLS),
            Message("assistant", "a", timestamp=SUNDAY_END + timedelta(seconds=1.25), tool_calls=[]),
        ]
    )
    await backend.create_session(SessionMetadata("bare"))
    return backend


async def rows(backend: RelationalBackend, statement: Select[Any]) -> list[Any]:
    async with backend.orm() as db:
        return [tuple(row) for row in await db.execute(statement)]


def call_table(name: str = "calls") -> Any:
    return json_elements(MessageRow.tool_calls).table_valued("value", name=name)


# --- json_elements -------------------------------------------------------------------------------------------------


async def test_elements_of_an_array_are_rows(store: RelationalBackend) -> None:
    calls = call_table()
    statement = select(MessageRow.seq, json_text(calls.c.value, "id")).join(calls, true())
    assert sorted(await rows(store, statement)) == [(2, "a"), (2, "b")]


async def test_rows_without_elements_are_kept_by_an_outer_join(store: RelationalBackend) -> None:
    calls = call_table()
    statement = select(MessageRow.seq, json_text(calls.c.value, "id")).outerjoin(calls, true()).order_by(MessageRow.seq)
    found = await rows(store, statement)
    assert [seq for seq, _ in found] == [1, 2, 2, 3]
    assert [call for seq, call in found if seq != 2] == [None, None]


async def test_elements_are_joined_without_a_condition(store: RelationalBackend) -> None:
    # A warning of a cartesian product would be an error here.
    calls = call_table()
    assert len(await rows(store, select(json_text(calls.c.value, "id")).select_from(MessageRow, calls))) == 2


async def test_elements_are_found_in_a_subquery(store: RelationalBackend) -> None:
    calls = call_table()
    called = select(1).select_from(calls).where(json_text(calls.c.value, "function", "name") == "book").exists()
    assert await rows(store, select(MessageRow.seq).where(called)) == [(2,)]


# --- json_text_elements --------------------------------------------------------------------------------------------


async def test_text_elements_are_plain_text(store: RelationalBackend) -> None:
    tags = json_text_elements(SessionRow.tags).table_valued("value", name="tags")
    found = await rows(store, select(tags.c.value).select_from(SessionRow).join(tags, true()))
    assert sorted(found) == sorted((tag,) for tag in ("plain", 'quo"te', "日本", "true", "5", ""))


@pytest.mark.parametrize("tag", ["plain", 'quo"te', "日本", "true"])
async def test_text_element_can_be_compared(store: RelationalBackend, tag: str) -> None:
    tags = json_text_elements(SessionRow.tags).table_valued("value", name="tags")
    assert await rows(store, select(SessionRow.session_id).join(tags, true()).where(tags.c.value == tag)) == [("s",)]


# --- json_text -----------------------------------------------------------------------------------------------------

TEXTS = {
    "text": "it's",
    "empty": "",
    "int": "5",
    "float": "1.5",
    "true": "true",
    "false": "false",
    "null": None,
    "missing": None,
    "odd key: 日本 'x'": "odd",
}


async def test_text_at_a_key(store: RelationalBackend) -> None:
    columns = [json_text(SessionRow.properties, key) for key in TEXTS]
    assert await rows(store, select(*columns).where(SessionRow.session_id == "s")) == [tuple(TEXTS.values())]


async def test_text_at_a_path_of_keys(store: RelationalBackend) -> None:
    statement = select(json_text(SessionRow.properties, "deep", "er", "text")).where(SessionRow.session_id == "s")
    assert await rows(store, statement) == [("found",)]


async def test_text_beyond_the_end_of_a_path_is_null(store: RelationalBackend) -> None:
    statement = select(json_text(SessionRow.properties, "text", "er")).where(SessionRow.session_id == "s")
    assert await rows(store, statement) == [(None,)]


async def test_text_in_no_json_is_null(store: RelationalBackend) -> None:
    statement = select(json_text(SessionRow.properties, "text")).where(SessionRow.session_id == "bare")
    assert await rows(store, statement) == [(None,)]


async def test_text_can_be_grouped_by_when_it_is_written_twice(store: RelationalBackend) -> None:
    calls = call_table()
    statement = (
        select(json_text(calls.c.value, "function", "name"), func.count())
        .select_from(MessageRow)
        .join(calls, true())
        .group_by(json_text(calls.c.value, "function", "name"))
    )
    assert sorted(await rows(store, statement)) == [("book", 1), ("search", 1)]


async def test_statements_of_one_shape_keep_their_own_keys(store: RelationalBackend) -> None:
    # SQLAlchemy compiles them once.
    found = [
        await rows(store, select(json_text(SessionRow.properties, key)).where(SessionRow.session_id == "s"))
        for key in ("text", "int", "true")
    ]
    assert found == [[("it's",)], [("5",)], [("true",)]]


async def test_key_can_be_an_expression(store: RelationalBackend) -> None:
    tags = json_text_elements(SessionRow.tags).table_valued("value", name="tags")
    found = json_text(SessionRow.properties, tags.c.value)
    statement = select(found).select_from(SessionRow).join(tags, true()).where(found.is_not(None))
    assert await rows(store, statement) == [("true",)]


def test_text_needs_a_key() -> None:
    with pytest.raises(TypeError):
        json_text(SessionRow.properties)


# --- time ----------------------------------------------------------------------------------------------------------


async def test_day_is_the_day_in_utc(store: RelationalBackend) -> None:
    statement = select(utc_day(MessageRow.timestamp)).order_by(MessageRow.seq)
    assert await rows(store, statement) == [(date(2025, 7, 13),), (date(2025, 7, 14),), (date(2025, 7, 14),)]


async def test_week_begins_on_monday(store: RelationalBackend) -> None:
    statement = select(utc_week(MessageRow.timestamp)).order_by(MessageRow.seq)
    assert await rows(store, statement) == [(date(2025, 7, 7),), (date(2025, 7, 14),), (date(2025, 7, 14),)]


async def test_day_of_an_instant_given_elsewhere_is_that_in_utc(backend: RelationalBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    tokyo = datetime(2025, 7, 14, 3, tzinfo=timezone(timedelta(hours=9)))
    await session.add_message(Message("user", "q", timestamp=tokyo))
    assert await rows(backend, select(utc_day(MessageRow.timestamp))) == [(date(2025, 7, 13),)]


async def test_day_does_not_follow_the_zone_of_the_connection(postgres_url: str) -> None:
    from langswarm_memory.backends.postgres import PostgresBackend

    async with PostgresBackend(url=postgres_url, server_settings={"timezone": "Asia/Tokyo"}) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "q", timestamp=SUNDAY_END))
        statement = select(utc_day(MessageRow.timestamp), utc_week(MessageRow.timestamp))
        assert await rows(backend, statement) == [(date(2025, 7, 13), date(2025, 7, 7))]


async def test_day_can_be_compared_with_a_date(store: RelationalBackend) -> None:
    statement = select(MessageRow.seq).where(utc_day(MessageRow.timestamp) == date(2025, 7, 13))
    assert await rows(store, statement) == [(1,)]


async def test_week_can_be_compared_with_a_date(store: RelationalBackend) -> None:
    statement = select(func.count()).where(utc_week(MessageRow.timestamp) >= date(2025, 7, 14))
    assert await rows(store, statement) == [(2,)]


async def test_seconds_are_exact_to_the_microsecond(store: RelationalBackend) -> None:
    first = select(func.min(MessageRow.timestamp)).scalar_subquery()
    statement = select(seconds_between(first, MessageRow.timestamp)).order_by(MessageRow.seq)
    assert await rows(store, statement) == [(0.0,), (0.000_001,), (1.25,)]


async def test_seconds_backwards_are_negative(store: RelationalBackend) -> None:
    last = select(func.max(MessageRow.timestamp)).scalar_subquery()
    assert await rows(store, select(seconds_between(last, MessageRow.timestamp)).where(MessageRow.seq == 1)) == [
        (-1.25,)
    ]


async def test_seconds_to_nothing_are_null(store: RelationalBackend) -> None:
    statement = select(seconds_between(SessionRow.created_at, SessionRow.expires_at))
    assert await rows(store, statement) == [(None,), (None,)]
