"""The compiled statements against the ORM, and what both cost: counted in statements and rows, not in seconds."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.interfaces.message import Message
from langswarm_memory.models import MessageRow, SessionRow
from langswarm_memory.repository import codec
from langswarm_memory.repository.protocol import Appended, MessageQuery
from langswarm_memory.repository.sql import statements, units
from langswarm_memory.repository.sql.driver import Batch
from langswarm_memory.repository.sql.repository import SQLRepository
from langswarm_memory.session import BaseMemorySession
from langswarm_memory.testing.content import EMPTY, INSTANTS, ROLES, TEXT_PLACES, VALUE_PLACES, each
from langswarm_memory.testing.samples import START, TEXTS, VALUES, at, new_message, new_messages, new_session
from tests.conformance.stores import SQL_STORES, STORES, opened
from tests.conformance.wire import Relay, besides_transactions, sqlite_statements

# --- the two ways of appending ----------------------------------------------------------------------------------------


@pytest.fixture(params=SQL_STORES)
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SQLRepository]:
    async with opened(STORES[request.param](request, tmp_path)()) as repository:
        assert isinstance(repository, SQLRepository)
        yield repository


async def append_by_orm(
    repository: SQLRepository, session_id: str, messages: list[Message], *, now: Any, expires_at: Any = None
) -> Appended:
    rows = [codec.encode_message(message) for message in messages]
    batch = Batch(session_id, rows, sum(row.token_count for row in rows), now, expires_at)
    work = partial(units.append, batch=batch, messages=messages, tells=repository.driver.tells)
    return await repository.driver.unit("append", work, write=True)


def every_content() -> list[Message]:
    contents: list[dict[str, Message]] = [each(TEXTS, place) for place in TEXT_PLACES.values()]
    contents += [each(VALUES, place) for place in VALUE_PLACES.values()]
    contents += [
        each(EMPTY, lambda fields: fields),
        each({role: role for role in ROLES}, lambda role: {"role": role}),
        each(INSTANTS, lambda instant: {"timestamp": instant}),
    ]
    messages = [message for group in contents for message in group.values()]
    for number, message in enumerate(messages):
        message.message_id = f"m{number}"
    return messages


async def raw_rows(repository: SQLRepository, table: str, session_id: str) -> list[dict[str, Any]]:
    """Return a session's rows of a table as they are stored, without the id."""
    order = "seq" if table == "messages" else "session_id"
    rows = await repository.query(f"SELECT * FROM {table} WHERE session_id = :id ORDER BY {order}", {"id": session_id})
    return [{name: value for name, value in row.items() if name != "session_id"} for row in rows]


@pytest.mark.parametrize("size", [1, 2, 1_000])
async def test_both_ways_of_appending_store_the_same_rows(repository: SQLRepository, size: int) -> None:
    for session_id in ("compiled", "orm"):
        await repository.insert_session(new_session(session_id, expires_at=at(60)))
    messages = every_content()
    for start in range(0, len(messages), size):
        batch, now, expires_at = messages[start : start + size], at(start % 50), at(60 + start % 7)
        compiled = await repository.append("compiled", batch, now=now, expires_at=expires_at)
        assert compiled == await append_by_orm(repository, "orm", batch, now=now, expires_at=expires_at)
    for table in ("sessions", "messages"):
        assert await raw_rows(repository, table, "compiled") == await raw_rows(repository, table, "orm")


async def test_both_ways_of_appending_leave_the_expiry_alone(repository: SQLRepository) -> None:
    for session_id in ("compiled", "orm"):
        await repository.insert_session(new_session(session_id, expires_at=at(60)))
    await repository.append("compiled", new_messages(2), now=START)
    await append_by_orm(repository, "orm", new_messages(2), now=START)
    assert await raw_rows(repository, "sessions", "compiled") == await raw_rows(repository, "sessions", "orm")


async def test_orm_reads_what_compiled_statements_wrote(repository: SQLRepository) -> None:
    await repository.insert_session(new_session("s", tags=["a"], properties={"b": 1}, expires_at=at(60)))
    message = new_message(
        1, [{"type": "text", "text": "a"}], "tool", name="n", tool_call_id="c", metadata={"k": [1.0]}, token_count=7
    )
    await repository.append("s", [message], now=at(5))
    async with repository.orm() as db:
        row = (await db.scalars(select(MessageRow))).one()
        session = (await db.scalars(select(SessionRow))).one()
    assert (row.seq, row.message_id, row.role, row.content) == (1, "m1", "tool", "a")
    assert (row.timestamp, row.token_count) == (at(1), 7)
    assert (row.content_blocks, row.metadata_) == ([{"type": "text", "text": "a"}], {"k": [1.0]})
    assert (row.name, row.tool_call_id, row.tool_calls, row.verbatim) == ("n", "c", None, None)
    assert (session.message_count, session.token_count, session.last_seq) == (1, 7, 1)
    assert (session.updated_at, session.expires_at) == (at(5), at(60))
    assert (session.tags, session.properties, session.revision) == (["a"], {"b": 1}, 1)


async def test_compiled_statements_read_what_the_orm_wrote(repository: SQLRepository) -> None:
    async with repository.orm(write=True) as db:
        db.add(
            SessionRow(
                session_id="s",
                auto_summarize=False,
                summary_threshold=9,
                status="paused",
                created_at=START,
                updated_at=at(1),
                tags=["a"],
                message_count=1,
                token_count=7,
                last_seq=4,
            )
        )
        await db.flush()
        db.add(
            MessageRow(
                session_id="s",
                seq=4,
                message_id="m",
                role="user",
                content="hello",
                timestamp=at(2),
                token_count=7,
                metadata_={"b": 1, "a": 2.0},
            )
        )
    record = await repository.fetch_session("s")
    assert record is not None
    assert (record.message_count, record.token_count, record.last_seq) == (1, 7, 4)
    assert (record.metadata.status.value, record.metadata.summary_threshold) == ("paused", 9)
    assert (record.metadata.created_at, record.metadata.updated_at, record.metadata.tags) == (START, at(1), ["a"])
    (message,) = await repository.read_messages("s", MessageQuery())
    assert (message.seq, message.message_id, message.content, message.timestamp) == (4, "m", "hello", at(2))
    assert json.dumps(message.metadata) == '{"b": 1, "a": 2.0}'


# --- statements -------------------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    statements: int
    """Without what begins and ends transactions on SQLite; with it on PostgreSQL, where it would be a round trip."""
    round_trips: int
    """To the server; on SQLite none."""


CostOf = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Cost]]


@asynccontextmanager
async def counted_sqlite(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[tuple[BaseMemoryBackend, CostOf]]:
    with sqlite_statements() as seen:
        async with SQLiteBackend(db_path=str(path / "memory.db"), pool_size=1) as backend:

            async def cost_of(call: Callable[[], Awaitable[Any]]) -> Cost:
                await call()
                seen.clear()
                await call()
                return Cost(len(besides_transactions(seen)), 0)

            yield backend, cost_of


@asynccontextmanager
async def counted_postgres(
    request: pytest.FixtureRequest, path: Path
) -> AsyncIterator[tuple[BaseMemoryBackend, CostOf]]:
    url = request.getfixturevalue("postgres_url")
    async with Relay.to(url) as (relay, relayed), PostgresBackend(url=relayed, ssl="disable") as backend:

        async def cost_of(call: Callable[[], Awaitable[Any]]) -> Cost:
            await call()
            relay.clear()
            await call()
            return Cost(len(relay.statements), relay.round_trips)

        yield backend, cost_of


@pytest.fixture(params=["sqlite", "postgres"])
async def counted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[BaseMemoryBackend, CostOf]]:
    """A backend, and a function that makes a call twice and returns what the second one cost: the first prepares."""
    enter = {"sqlite": counted_sqlite, "postgres": counted_postgres}[request.param]
    async with enter(request, tmp_path) as found:
        yield found


async def talkative(backend: BaseMemoryBackend, count: int = 400) -> BaseMemorySession:
    """Store messages of 10 tokens, of which the first is a system message."""
    session = await backend.create_session(new_session("s", user_id="u"))
    await session.add_messages(
        [new_message(1, role="system", token_count=10), *new_messages(count - 1, first=2, token_count=10)]
    )
    return session


async def test_append_costs_one_statement_on_postgres_and_two_on_sqlite(
    counted: tuple[BaseMemoryBackend, CostOf],
) -> None:
    backend, cost_of = counted
    session = await backend.create_session(new_session())
    numbers = itertools.count()
    cost = await cost_of(lambda: session.add_message(new_message(next(numbers))))
    assert cost == {"postgres": (1, 1), "sqlite": (2, 0)}[backend.backend_type.value]


READS: dict[str, Callable[[BaseMemorySession], Awaitable[Any]]] = {
    "the window": lambda session: session.get_messages(),
    "the window without system messages": lambda session: session.get_messages(include_system=False),
    "the last 20": lambda session: session.get_messages(20),
    "the whole history": lambda session: session.get_messages(full_history=True),
    "a page forward": lambda session: session.get_messages(50, after=100),
    "a page backward": lambda session: session.get_messages(50, before=100),
    "since an instant": lambda session: session.get_messages(since=at(390)),
    "a context that its budget ends": lambda session: session.get_recent_context(500),
    "a context that the window ends": lambda session: session.get_recent_context(100_000),
    "a session": lambda session: session.backend.get_session("s"),
    "a session with its newest messages": lambda session: session.backend.open_session("s", 50),
    "a page of sessions": lambda session: session.backend.list_sessions(limit=100),
    "a page of a user's sessions": lambda session: session.backend.list_sessions("u", limit=100),
    "a further page": lambda session: session.backend.list_sessions("u", after=(at(1), "t")),
}


@pytest.mark.parametrize("read", READS)
async def test_read_costs_one_statement(counted: tuple[BaseMemoryBackend, CostOf], read: str) -> None:
    backend, cost_of = counted
    session = await talkative(backend)
    assert await READS[read](session)
    cost = await cost_of(lambda: READS[read](session))
    assert cost == {"postgres": (1, 1), "sqlite": (1, 0)}[backend.backend_type.value]


@pytest.mark.store("postgres")
async def test_appends_at_the_same_time_share_statements_on_postgres(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with counted_postgres(request, tmp_path) as (backend, cost_of):
        session = await backend.create_session(new_session())
        numbers = itertools.count()
        cost = await cost_of(
            lambda: asyncio.gather(*(session.add_message(new_message(next(numbers))) for _ in range(64)))
        )
        assert 0 < cost.statements < 32


@pytest.mark.store("sqlite")
async def test_appends_at_the_same_time_share_transactions_on_sqlite(tmp_path: Path) -> None:
    with sqlite_statements() as seen:
        async with SQLiteBackend(db_path=str(tmp_path / "memory.db")) as backend:
            session = await backend.create_session(new_session())
            seen.clear()
            await asyncio.gather(*(session.add_message(new_message(number)) for number in range(64)))
            assert 0 < seen.count("COMMIT") < 32


# --- rows -------------------------------------------------------------------------------------------------------------

HISTORY = 10_000

QUERIES = {
    "the last 20": MessageQuery(limit=20),
    "20 in the middle": MessageQuery(before_seq=5_000, limit=20),
    "the next 20": MessageQuery(after_seq=5_000, newest_first=False, limit=20),
    "the window": MessageQuery(limit=20, keep_roles=SYSTEM_ROLES),
}


def scans(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a PostgreSQL plan that read a table."""
    below = [scan for child in node.get("Plans", ()) for scan in scans(child)]
    return [*below, *([node] if "Relation Name" in node or node["Node Type"].startswith("Bitmap Index") else [])]


@pytest.mark.store("postgres")
@pytest.mark.parametrize("name", QUERIES)
async def test_read_of_a_long_history_touches_what_it_returns_on_postgres(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    backend = STORES["postgres"](request, tmp_path)()
    async with backend:
        await talkative(backend, HISTORY)
        assert isinstance(backend, PostgresBackend)
        await backend.vacuum_database()  # as the server does by itself within a minute: plans need statistics
        repository = backend.repository
        assert isinstance(repository, SQLRepository)
        driver, query = repository.driver, QUERIES[name]
        read = driver.compile(statements.read_messages(statements.message_shape(query)))
        args = read.args(statements.message_values("s", query, driver.instant))
        explain = replace(read, sql=f"EXPLAIN (ANALYZE, FORMAT JSON) {read.sql}")
        ((plan,),) = await driver.fetch("explain", explain, args)
    found = scans(plan[0]["Plan"])
    assert found
    assert {node["Node Type"] for node in found} <= {"Index Scan", "Index Scan Backward", "Index Only Scan"}
    rows = sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in found)
    assert 20 <= rows <= 20 + 2  # a window has a system message besides, and skips one


async def steps_of(backend: SQLiteBackend, sql: str) -> int:
    """Return how many instructions SQLite's machine runs for a statement."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = backend.get_connection()
    connection.set_progress_handler(step, 1)
    connection.execute(sql).fetchall()
    connection.set_progress_handler(None, 1)
    return steps


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("name", QUERIES)
async def test_read_of_a_long_history_touches_what_it_returns_on_sqlite(tmp_path: Path, name: str) -> None:
    steps = {}
    for count in (HISTORY // 100, HISTORY):
        with sqlite_statements() as seen:
            async with SQLiteBackend(db_path=str(tmp_path / f"{count}.db")) as backend:
                await talkative(backend, count)
                middle = {"before_seq": count // 2, "after_seq": count // 2}
                query = QUERIES[name]
                query = replace(query, **{k: v for k, v in middle.items() if getattr(query, k) is not None})
                await backend.repository.read_messages("s", query)  # opens the connection that reads
                seen.clear()
                assert len(await backend.repository.read_messages("s", query)) in (20, 21)
                (sql,) = seen
                plan = [row[3] for row in backend.get_connection().execute(f"EXPLAIN QUERY PLAN {sql}")]
                assert [step for step in plan if step.startswith("SCAN messages")] == []
                assert [step for step in plan if "USING INDEX" in step or "USING PRIMARY KEY" in step]
                steps[count] = await steps_of(backend, sql)
    assert steps[HISTORY] <= steps[HISTORY // 100] * 1.05
