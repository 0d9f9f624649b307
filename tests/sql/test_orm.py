"""``backend.orm()``, and the other ways to the database itself."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.errors import NotConnectedError
from langswarm_memory.models import MessageRow, SessionRow
from langswarm_memory.relational import RelationalBackend
from tests.sql.databases import converse, texts_of

DENIED = RuntimeError("changed my mind")


@pytest.fixture
async def store(backend: RelationalBackend) -> RelationalBackend:
    """A store of one session with two messages."""
    await converse(backend, "s", ["first", "second"])
    return backend


async def users(backend: RelationalBackend) -> list[str | None]:
    async with backend.orm() as db:
        return list(await db.scalars(select(SessionRow.user_id)))


# --- orm() ---------------------------------------------------------------------------------------------------------


async def test_rows_are_read_as_objects(store: RelationalBackend) -> None:
    async with store.orm() as db:
        rows = (await db.scalars(select(MessageRow).order_by(MessageRow.seq))).all()
    assert [(row.seq, row.role, row.content) for row in rows] == [(1, "user", "first"), (2, "user", "second")]


async def test_json_columns_are_read_as_python(backend: RelationalBackend) -> None:
    session = await backend.create_session(SessionMetadata("s", tags=["a"], properties={"z": 1.0, "a": None}))
    await session.add_message(Message("assistant", None, tool_calls=[{"id": "c"}], metadata={"n": 1}))
    async with backend.orm() as db:
        row = (await db.scalars(select(MessageRow))).one()
        parent = (await db.scalars(select(SessionRow))).one()
    assert (row.content, row.tool_calls, row.metadata_) == (None, [{"id": "c"}], {"n": 1})
    assert (parent.tags, list((parent.properties or {}).items())) == (["a"], [("z", 1.0), ("a", None)])


async def test_instants_are_read_as_aware(store: RelationalBackend) -> None:
    async with store.orm() as db:
        value = (await db.scalars(select(MessageRow.timestamp))).first()
    assert value is not None
    assert value.utcoffset() is not None


async def test_what_a_reader_writes_is_lost(store: RelationalBackend) -> None:
    async with store.orm() as db:
        await db.execute(update(SessionRow).values(user_id="changed"))
    assert await users(store) == ["u"]


async def test_what_a_writer_writes_is_kept(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        await db.execute(update(SessionRow).values(user_id="changed"))
    assert await users(store) == ["changed"]


async def test_changed_object_is_written(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        row = (await db.scalars(select(SessionRow))).one()
        row.user_id = "changed"
    assert await users(store) == ["changed"]


async def test_handles_see_what_a_writer_wrote(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        await db.execute(update(MessageRow).where(MessageRow.seq == 1).values(content="changed"))
    assert await texts_of(store, "s") == ["changed", "second"]


async def test_raise_rolls_a_writer_back(store: RelationalBackend) -> None:
    async def write() -> None:
        async with store.orm(write=True) as db:
            await db.execute(update(SessionRow).values(user_id="changed"))
            raise DENIED

    with pytest.raises(RuntimeError, match="changed my mind"):
        await write()
    assert await users(store) == ["u"]


async def test_cancellation_rolls_a_writer_back(store: RelationalBackend) -> None:
    written, forever = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with store.orm(write=True) as db:
            await db.execute(update(SessionRow).values(user_id="changed"))
            written.set()
            await forever.wait()

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await users(store) == ["u"]


async def test_store_goes_on_after_a_writer_was_rolled_back(store: RelationalBackend) -> None:
    with pytest.raises(RuntimeError):
        async with store.orm(write=True):
            raise DENIED
    session = await store.get_session("s")
    assert session is not None
    assert await session.add_message(Message("user", "third"))


async def test_constraint_holds_for_a_writer(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        with pytest.raises(IntegrityError):
            await db.execute(update(MessageRow).values(message_id="same"))
        await db.rollback()


async def test_deleting_a_session_row_deletes_its_messages(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        await db.execute(delete(SessionRow).where(SessionRow.session_id == "s"))
    async with store.orm() as db:
        assert await db.scalar(select(func.count()).select_from(MessageRow)) == 0


async def test_reader_does_not_see_what_is_not_committed(store: RelationalBackend) -> None:
    async with store.orm(write=True) as db:
        await db.execute(update(SessionRow).values(user_id="changed"))
        if store.features.persistent:  # a database in memory has ordinary locks: its readers wait
            assert await users(store) == ["u"]
    assert await users(store) == ["changed"]


async def test_errors_do_not_quote_parameters(store: RelationalBackend) -> None:
    async with store.orm() as db:
        with pytest.raises(IntegrityError) as raised:
            await db.execute(update(MessageRow).values(message_id="same", content="se-cret"))
    assert "se-cret" not in str(raised.value).partition("DETAIL")[0]


async def test_orm_connects_by_itself(tmp_path: Path) -> None:
    backend = SQLiteBackend(db_path=str(tmp_path / "memory.db"))
    async with backend.orm() as db:
        assert await db.scalar(select(func.count()).select_from(SessionRow)) == 0
    await backend.disconnect()


async def test_orm_after_disconnect_is_refused(backend: RelationalBackend) -> None:
    await backend.disconnect()
    with pytest.raises(NotConnectedError):
        async with backend.orm():
            pass


@pytest.mark.store("sqlite")
async def test_writer_takes_the_lock_of_sqlite_at_once(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with SQLiteBackend(db_path=str(path)) as backend, backend.orm(write=True):
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")


@pytest.mark.store("sqlite")
async def test_reader_takes_no_lock_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with SQLiteBackend(db_path=str(path)) as backend, backend.orm() as db:
        await db.scalars(select(SessionRow))
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")


# --- vacuum_database() ---------------------------------------------------------------------------------------------


@pytest.mark.store("sqlite")
async def test_vacuum_shrinks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with SQLiteBackend(db_path=str(path)) as backend:
        await backend.vacuum_database()
        empty = path.stat().st_size
        await converse(backend, "s", ["x" * 10_000] * 100)
        await backend.vacuum_database()
        full = path.stat().st_size
        await backend.delete_session("s")
        await backend.vacuum_database()
    assert (full > 5 * empty, path.stat().st_size) == (True, empty)


async def test_vacuum_counts_the_rows_for_the_planner(postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url) as backend:
        await converse(backend, "s", ["x"] * 30)
        assert await backend.vacuum_database() is True
        rows = await backend.query("SELECT reltuples::int AS n FROM pg_class WHERE oid = 'messages'::regclass")
    assert rows == [{"n": 30}]


async def test_vacuum_keeps_every_message(store: RelationalBackend) -> None:
    assert await store.vacuum_database() is True
    assert await texts_of(store, "s") == ["first", "second"]


async def test_vacuum_beside_writers_loses_nothing(store: RelationalBackend) -> None:
    session = await store.get_session("s")
    assert session is not None
    writes = [session.add_message(Message("user", str(n))) for n in range(20)]
    await asyncio.gather(*writes[:10], store.vacuum_database(), *writes[10:])
    assert len(await texts_of(store, "s")) == 22


# --- get_connection() ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "sqlite-memory"])
def sqlite_backend(request: pytest.FixtureRequest, tmp_path: Path) -> SQLiteBackend:
    return SQLiteBackend(db_path=":memory:" if request.param == "sqlite-memory" else str(tmp_path / "memory.db"))


async def test_connection_reads_the_same_database(sqlite_backend: SQLiteBackend) -> None:
    async with sqlite_backend as backend:
        await converse(backend, "s", ["first"])
        assert backend.get_connection().execute("SELECT content FROM messages").fetchall() == [("first",)]


async def test_connection_writes_the_same_database(sqlite_backend: SQLiteBackend) -> None:
    async with sqlite_backend as backend:
        await converse(backend, "s", ["first"])
        with backend.get_connection() as connection:
            connection.execute("UPDATE messages SET content = 'changed'")
        assert await texts_of(backend, "s") == ["changed"]


async def test_connection_checks_references(sqlite_backend: SQLiteBackend) -> None:
    async with sqlite_backend as backend:
        await converse(backend, "s", ["first"])
        with pytest.raises(sqlite3.IntegrityError):
            backend.get_connection().execute("UPDATE messages SET session_id = 'nobody'")
        backend.get_connection().rollback()


async def test_connection_is_opened_once(sqlite_backend: SQLiteBackend) -> None:
    async with sqlite_backend as backend:
        assert backend.get_connection() is backend.get_connection()


async def test_connection_needs_a_connected_backend(sqlite_backend: SQLiteBackend) -> None:
    with pytest.raises(NotConnectedError):
        sqlite_backend.get_connection()


async def test_connection_is_closed_with_the_backend(sqlite_backend: SQLiteBackend) -> None:
    async with sqlite_backend as backend:
        connection = backend.get_connection()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
