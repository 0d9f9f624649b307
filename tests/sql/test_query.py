"""``backend.query()``: SQL that reads, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.errors import InvalidInputError, NotConnectedError, QueryError, StorageUnavailableError
from langswarm_memory.relational import RelationalBackend

NOON = datetime(2025, 7, 8, 12, tzinfo=UTC)
SECRET = "se-cret"


@pytest.fixture
async def store(backend: RelationalBackend) -> RelationalBackend:
    """A store of one session with two messages, an hour apart."""
    session = await backend.create_session(SessionMetadata("s", user_id="u"))
    await session.add_messages(
        [
            Message("user", f"the {SECRET} question", timestamp=NOON, message_id="m1"),
            Message("assistant", "the answer", timestamp=NOON + timedelta(hours=1), message_id="m2"),
        ]
    )
    return backend


def mark(backend: RelationalBackend, position: int = 1) -> str:
    """Return the driver's own mark for a parameter."""
    return "?" if isinstance(backend, SQLiteBackend) else f"${position}"


# --- reading -------------------------------------------------------------------------------------------------------


async def test_rows_come_as_dicts(store: RelationalBackend) -> None:
    rows = await store.query("SELECT seq, role FROM messages ORDER BY seq")
    assert rows == [{"seq": 1, "role": "user"}, {"seq": 2, "role": "assistant"}]


async def test_no_rows_are_an_empty_list(store: RelationalBackend) -> None:
    assert await store.query("SELECT seq FROM messages WHERE seq > 9") == []


async def test_mapping_fills_named_marks(store: RelationalBackend) -> None:
    sql = "SELECT seq FROM messages WHERE role = :role AND session_id = :session"
    assert await store.query(sql, {"session": "s", "role": "user"}) == [{"seq": 1}]


async def test_sequence_fills_the_marks_of_the_driver(store: RelationalBackend) -> None:
    sql = f"SELECT seq FROM messages WHERE role = {mark(store, 1)} AND session_id = {mark(store, 2)}"
    for values in (["user", "s"], ("user", "s")):
        assert await store.query(sql, values) == [{"seq": 1}]


async def test_instant_is_compared_as_an_instant(store: RelationalBackend) -> None:
    since = (NOON + timedelta(minutes=30)).astimezone(tz=None)
    assert await store.query("SELECT seq FROM messages WHERE timestamp > :since", {"since": since}) == [{"seq": 2}]


async def test_naive_instant_is_local_time(store: RelationalBackend) -> None:
    since = (NOON + timedelta(minutes=30)).astimezone().replace(tzinfo=None)
    assert await store.query("SELECT seq FROM messages WHERE timestamp > :since", {"since": since}) == [{"seq": 2}]


async def test_instant_equal_to_the_stored_one_is_found(store: RelationalBackend) -> None:
    assert await store.query("SELECT seq FROM messages WHERE timestamp = :at", {"at": NOON}) == [{"seq": 1}]


async def test_instant_fills_the_mark_of_the_driver(store: RelationalBackend) -> None:
    assert await store.query(f"SELECT seq FROM messages WHERE timestamp = {mark(store)}", [NOON]) == [{"seq": 1}]


async def test_quotes_in_a_parameter_are_data(store: RelationalBackend) -> None:
    sql = "SELECT count(*) AS n FROM messages WHERE role = :role"
    assert await store.query(sql, {"role": "x' OR '1'='1"}) == [{"n": 0}]


async def test_colon_in_a_text_is_no_mark(store: RelationalBackend) -> None:
    assert await store.query("SELECT 'at :noon' AS text") == [{"text": "at :noon"}]


READING = [
    "select 1 AS n",
    "  \n\t SELECT 1 AS n",
    "-- a note\nSELECT 1 AS n",
    "/* a\nnote */ SELECT 1 AS n",
    "-- INSERT\n/* DELETE */ -- UPDATE\r\nSELECT 1 AS n;",
    "WITH one AS (SELECT 1 AS n) SELECT n FROM one",
]


async def test_reading_in_any_spelling_is_let_through(backend: RelationalBackend) -> None:
    assert [await backend.query(sql) for sql in READING] == [[{"n": 1}]] * len(READING)


async def test_parentheses_around_a_select_are_let_through(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url) as backend:
        assert await backend.query("((SELECT 1 AS n) UNION SELECT 1)") == [{"n": 1}]


async def test_json_is_taken_apart(backend: RelationalBackend) -> None:
    session = await backend.create_session(SessionMetadata("s", tags=["a", "b"]))
    await session.add_message(Message("assistant", None, tool_calls=[{"function": {"name": "track"}}]))
    lite = isinstance(backend, SQLiteBackend)
    tags = "json_each(tags)" if lite else "jsonb_array_elements_text(tags::jsonb)"
    assert await backend.query(f"SELECT t.value FROM sessions JOIN {tags} AS t ON 1 = 1") == [
        {"value": "a"},
        {"value": "b"},
    ]
    name = "json_extract(tool_calls, '$[0].function.name')" if lite else "tool_calls::jsonb #>> '{0,function,name}'"
    assert await backend.query(f"SELECT {name} AS name FROM messages") == [{"name": "track"}]


async def test_schema_cannot_be_written(store: RelationalBackend) -> None:
    with pytest.raises(QueryError):
        await store.query("WITH one AS (SELECT 1) UPDATE sqlite_master SET type = 'view'")


async def test_plan_can_be_asked_for(store: RelationalBackend) -> None:
    explain = "EXPLAIN QUERY PLAN" if isinstance(store, SQLiteBackend) else "EXPLAIN"
    assert await store.query(f"{explain} SELECT * FROM messages WHERE session_id = :s", {"s": "s"})


async def test_query_sees_what_was_stored_before_it(store: RelationalBackend) -> None:
    session = await store.get_session("s")
    assert session is not None
    for count in range(3, 8):
        await session.add_message(Message("user", "more"))
        assert await store.query("SELECT count(*) AS n FROM messages") == [{"n": count}]


async def test_query_connects_by_itself(tmp_path: Path) -> None:
    backend = SQLiteBackend(db_path=str(tmp_path / "memory.db"))
    assert await backend.query("SELECT count(*) AS n FROM messages") == [{"n": 0}]
    await backend.disconnect()


async def test_query_after_disconnect_is_refused(backend: RelationalBackend) -> None:
    await backend.disconnect()
    with pytest.raises(NotConnectedError):
        await backend.query("SELECT 1")


# --- refused -------------------------------------------------------------------------------------------------------

WRITING = [
    "INSERT INTO messages (session_id) VALUES ('s')",
    "UPDATE messages SET content = 'x'",
    "DELETE FROM messages",
    "REPLACE INTO messages (session_id) VALUES ('s')",
    "TRUNCATE messages",
    "CREATE TABLE mine (id integer)",
    "CREATE TEMPORARY TABLE mine (id integer)",
    "DROP TABLE messages",
    "ALTER TABLE messages ADD COLUMN mine text",
    "PRAGMA foreign_keys=OFF",
    "PRAGMA user_version",
    "ATTACH DATABASE '/nowhere/other.db' AS other",
    "COPY messages TO STDOUT",
    "COPY messages FROM STDIN",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT mine",
    "SET search_path TO nowhere",
    "RESET ALL",
    "DISCARD ALL",
    "LISTEN mine",
    "LOCK TABLE messages",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL mine()",
    "PREPARE mine AS SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM messages",
    "SELECT * INTO mine FROM messages",
    "SELECT * FROM messages FOR UPDATE",
    "WITH gone AS (DELETE FROM messages RETURNING seq) SELECT * FROM gone",
    "WITH mine AS (SELECT 1) DELETE FROM messages",
    "EXPLAIN ANALYZE DELETE FROM messages",
    # Comments that end elsewhere than they seem to.
    "/* /* */ SELECT */ COPY (SELECT 1) TO PROGRAM 'true'",
    "/* */ COPY (SELECT 1) TO PROGRAM 'true */ SELECT'",
    "-- SELECT\nCOPY (SELECT 1) TO PROGRAM 'true'",
    "--\rCOPY (SELECT 1) TO PROGRAM 'true'\nWITH (FORMAT csv)",
    "SELECTCOPY",
]


async def accepted(backend: RelationalBackend, statements: Iterable[tuple[Any, Any]]) -> list[Any]:
    """Run statements with parameters and return those that are not answered with a QueryError."""
    found = []
    for sql, params in statements:
        try:
            await backend.query(sql, params)
        except QueryError:
            continue
        found.append((sql, params))
    return found


async def test_what_does_not_only_read_is_refused(store: RelationalBackend) -> None:
    assert await accepted(store, ((sql, None) for sql in WRITING)) == []
    assert await store.query("SELECT count(*) AS n FROM messages WHERE content IS NOT NULL") == [{"n": 2}]


WRONG = [
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT nothing FROM messages",
    "SELECT nothing()",
    "SELECT 'open",
    "SELECT * FROM messages WHERE",
]


async def test_wrong_sql_is_a_query_error(backend: RelationalBackend) -> None:
    assert await accepted(backend, ((sql, None) for sql in WRONG)) == []


@pytest.mark.parametrize("sql", [None, 5, b"SELECT 1", "SELECT '\x00'", "SELECT '\ud800'"])
@pytest.mark.store("sqlite")
async def test_what_is_no_text_is_invalid_input(sql: Any) -> None:
    async with SQLiteBackend(db_path=":memory:") as backend:
        with pytest.raises(InvalidInputError):
            await backend.query(sql)


async def test_mark_without_a_value_is_a_query_error(backend: RelationalBackend) -> None:
    given = [{}, None, {"other": 1}]
    assert await accepted(backend, (("SELECT :value AS value", params) for params in given)) == []


async def test_wrong_number_of_values_is_a_query_error(backend: RelationalBackend) -> None:
    sql, given = f"SELECT upper({mark(backend)}) AS value", [[], ["a", "b"], None]
    assert await accepted(backend, ((sql, params) for params in given)) == []


async def test_params_of_another_kind_are_a_query_error(backend: RelationalBackend) -> None:
    given = ["text", b"bytes", 5, {"a"}, iter("a")]
    assert await accepted(backend, (("SELECT 1 AS n", params) for params in given)) == []


async def test_value_that_no_column_holds_is_a_query_error(backend: RelationalBackend) -> None:
    sql, given = "SELECT seq FROM messages WHERE seq = :value", [object(), 2**70, "\ud800", {"a": 1}, [1]]
    assert await accepted(backend, ((sql, {"value": value}) for value in given)) == []


async def test_division_by_zero_is_a_query_error(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url) as backend:
        with pytest.raises(QueryError):
            await backend.query("SELECT 1 / 0")


async def test_error_raised_by_a_function_is_a_query_error(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url) as backend:
        async with backend.orm(write=True) as db:
            connection = await db.connection()
            await connection.exec_driver_sql(
                "CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
            )
        with pytest.raises(QueryError):
            await backend.query("SELECT fails()")


async def test_query_error_is_not_worth_a_retry(backend: RelationalBackend) -> None:
    with pytest.raises(QueryError) as raised:
        await backend.query(f"SELECT {mark(backend)} AS value", ["a", "b"])
    assert not raised.value.retryable


async def test_attempt_to_write_is_answered_with_the_way_to_write(backend: RelationalBackend) -> None:
    with pytest.raises(QueryError, match=r"orm\(write=True\)"):
        await backend.query("WITH x AS (SELECT 1) DELETE FROM messages")


async def test_query_error_carries_the_words_of_the_database(backend: RelationalBackend) -> None:
    with pytest.raises(QueryError) as raised:
        await backend.query("SELECT * FROM nowhere")
    assert "nowhere" in str(raised.value.__cause__)


LEAKING = {
    "a literal": ("SELECT nothing FROM messages WHERE content = 'se-cret'", None),
    "a parameter": ("SELECT nothing FROM messages WHERE content = :c", {"c": SECRET}),
    "a stored message": ("SELECT CAST(content AS integer) + nothing FROM messages", None),
}


@pytest.mark.parametrize(("sql", "params"), LEAKING.values(), ids=LEAKING)
async def test_error_does_not_quote(store: RelationalBackend, sql: str, params: Any) -> None:
    with pytest.raises(QueryError) as raised:
        await store.query(sql, params)
    assert SECRET not in str(raised.value) + repr(raised.value)


async def test_conversion_error_does_not_quote_a_message(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", SECRET))
        with pytest.raises(QueryError) as raised:
            await backend.query("SELECT CAST(content AS integer) FROM messages")
        assert SECRET not in str(raised.value) + repr(raised.value)


@pytest.mark.store("postgres")
async def test_error_does_not_hold_the_password() -> None:
    backend = PostgresBackend(url=f"postgresql://u:{SECRET}@127.0.0.1:1/db", timeout=5)
    with pytest.raises(StorageUnavailableError) as raised:
        await backend.query("SELECT 1")
    assert SECRET not in str(raised.value) + repr(raised.value) + repr(backend)


async def test_setting_made_by_a_query_ends_with_it(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url, max_size=1) as backend:
        await backend.query("SELECT set_config('search_path', 'nowhere', false)")
        assert await backend.query("SELECT count(*) AS n FROM messages") == [{"n": 0}]
