"""SQLite: one thread writes, a few read, and a whole unit of work is one hop to a thread.

SQLite has one writer at a time. Several connections that compete for it wait by sleeping, and a statement at a time
through aiosqlite costs four thread hops each. So every write of the process goes through one thread that owns one
connection and commits whatever has queued up as one transaction (group commit): 16 writers share one fsync. Readers
have connections of their own and, in WAL mode, never wait for the writer. A read that is short makes no hop at all
(``sqlite_direct.py``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from ...errors import (
    CorruptRecordError,
    NotConnectedError,
    QueryError,
    StorageUnavailableError,
    UnsupportedOperationError,
)
from ..protocol import Params
from ..text_search import SearchCursor, SearchFilter, TextQuery
from . import appends, statements
from .driver import Batch, Reserved
from .failures import DRIVER_ERRORS, query_failure, translate
from .lanes import Lane
from .mapping import MESSAGE_ID, ROLE, TOKENS, Row, sqlite_text
from .migrate import is_current, prepare_schema
from .sqlite_direct import DirectReads
from .sqlite_engines import Engines, SQLiteOptions, prepare_reader, set_journal_mode
from .statements import Statement
from .text_index import OPTIMIZE_SQLITE
from .text_search import sqlite_search

if TYPE_CHECKING:
    from ...recall.embedded import EmbeddingIndex

T = TypeVar("T")


class SQLiteDriver:
    """A SQLite database, in a file or in memory."""

    name = "sqlite"
    copies = False

    def __init__(self, options: SQLiteOptions) -> None:
        self._options, self._engines = options, Engines(options)
        self.in_memory, self.url, self.engine = options.in_memory, self._engines.url, self._engines.asynchronous
        self._reserve = self.compile(appends.reserve())
        self._insert = self.compile(appends.insert_message())
        self._writer: Lane | None = None
        self._readers: Lane | None = None
        self._direct: DirectReads | None = None
        self._opening = Lock()

    def instant(self, value: datetime) -> str:
        """Return the text SQLite stores."""
        return sqlite_text(value)

    def compile(self, statement: Any) -> Statement:
        """Compile for ``sqlite3``."""
        return statements.compile_statement(statement, self.engine.dialect, None)

    async def open(self) -> None:
        """Open the writer, bring the schema up to date, then allow reading."""
        if self._writer is not None:
            return
        if not self.in_memory:
            try:
                os.makedirs(os.path.dirname(str(self.url.database)), exist_ok=True)
            except OSError as exc:
                hint = "the directory of db_path cannot be made"
                raise StorageUnavailableError(self.name, "open", exc, hint) from exc
        writer = Lane("langswarm-sqlite-writer", self._engines.of_lane(begin="BEGIN IMMEDIATE"), threads=1, writer=self)
        try:
            await writer.run(self._prepare)
        except DRIVER_ERRORS as exc:
            await writer.close()
            raise translate(self.name, "open", exc) from exc
        except BaseException:
            await writer.close()
            raise
        self._writer = writer
        self._reading_engine = self._engines.of_lane(begin="BEGIN")
        self._readers = Lane(
            "langswarm-sqlite-reader",
            self._reading_engine,
            threads=self._options.readers,
            on_connect=self._prepare_reader,
        )

    def _prepare_reader(self, raw: sqlite3.Connection) -> None:
        """Prepare a reader and, with the first, the connection for short reads: to open a file is no short read."""
        prepare_reader(raw)
        with self._opening:
            if self._direct is None:
                self._direct = DirectReads(self._reading_engine.connect())

    def _prepare(self, connection: Connection) -> None:
        raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        options = self._options
        if options.auto_vacuum is not None:
            raw.execute(f"PRAGMA auto_vacuum={options.auto_vacuum}")  # heeded only before the first table
        if not self.in_memory:
            set_journal_mode(raw, options.journal_mode, options.busy_timeout_seconds)
        if not is_current(raw):
            # A migration may rebuild a table; dropping the old copy would cascade to the rows that point at it.
            raw.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                prepare_schema(connection, self.name, auto_migrate=options.auto_migrate)
        for pragma in options.pragmas():
            raw.execute(pragma)

    async def close(self) -> None:
        """Finish queued writes, then close everything; a database in memory is gone then."""
        for lane in (self._writer, self._readers):
            if lane is not None:
                await lane.close()
        if self._direct is not None:
            self._direct.close()
        self._writer = self._readers = self._direct = None
        await self.engine.dispose()

    def _writing(self) -> Lane:
        if self._writer is None:
            raise NotConnectedError("the database is not open", suggestion="call connect() first")
        return self._writer

    def _reading(self) -> Lane:
        if self._readers is None:
            raise NotConnectedError("the database is not open", suggestion="call connect() first")
        return self._readers

    async def append(self, batch: Batch) -> Reserved | None:
        """Queue a batch for the next group commit and wait until it is durable."""
        try:
            return await self._writing().append(batch)
        except DRIVER_ERRORS as exc:
            raise translate(self.name, "append", exc) from exc

    def store(self, raw: sqlite3.Connection, batch: Batch) -> Reserved | None:
        """Write one batch inside the open transaction. Runs on the writer's thread."""
        now = sqlite_text(batch.now)
        reserved = raw.execute(
            self._reserve.sql,
            self._reserve.args(
                {
                    "now": now,
                    "expires": None if batch.expires_at is None else sqlite_text(batch.expires_at),
                    "count": len(batch.rows),
                    "tokens": batch.tokens,
                    "session": batch.session_id,
                }
            ),
        ).fetchall()
        if not reserved:
            return None
        last_seq, message_count = reserved[0]
        first = last_seq - len(batch.rows) + 1
        session_id = batch.session_id
        rows = [
            (session_id, seq, row[0], row[1], row[2], sqlite_text(row[3]), *row[4:])
            for seq, row in enumerate(batch.rows, first)
        ]
        if len(rows) == 1:
            raw.execute(self._insert.sql, rows[0])
        else:
            raw.executemany(self._insert.sql, rows)
        return last_seq, message_count

    async def fetch(self, operation: str, statement: Statement, args: Sequence[Any]) -> list[Row]:
        """Run a SELECT, at once if it is short, else on a reader."""
        reading = self._reading()
        try:
            rows = await self._direct.fetch(statement.sql, args) if self._direct is not None else None
            return await reading.fetch(statement.sql, args) if rows is None else rows
        except DRIVER_ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    async def fetch_within(
        self, operation: str, statement: Statement, args: Sequence[Any], budget: int, keep_roles: frozenset[str]
    ) -> list[Row] | None:
        """Step through a SELECT until the budget is spent, at once if that is short, else on a reader."""

        def read(raw: sqlite3.Connection) -> list[Row]:
            cursor, rows, left = raw.execute(statement.sql, args), [], budget
            try:
                for row in cursor:
                    left -= row[TOKENS]
                    if left < 0 and row[ROLE] not in keep_roles:
                        break
                    rows.append(row)
            except TypeError as exc:
                raise CorruptRecordError(self.name, f"message {row[MESSAGE_ID]!r}.token_count", exc) from exc
            finally:
                cursor.close()  # ends the read; an open one would keep the log from being reset
            return rows

        def run(connection: Connection) -> list[Row]:
            return read(connection.connection.driver_connection)  # type: ignore[arg-type]

        reading = self._reading()
        try:
            rows = await self._direct.run(statement.sql, read) if self._direct is not None else None
            return await reading.run(run) if rows is None else rows
        except DRIVER_ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    listens = tells = False

    async def write_many(self, operation: str, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a writing statement once per row of parameters, in one transaction."""

        def run(connection: Connection) -> None:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            with connection.begin():
                raw.executemany(sql, rows)

        try:
            await self._writing().run(run)
        except DRIVER_ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    async def make_vector_index(self, model: str, table: str, definition: str, *, indexed: bool) -> None:
        """Do nothing: similarities are computed in this process."""

    def embeddings(self, model: str, dimension: int) -> EmbeddingIndex:
        """Return the embeddings of a model."""
        from .embeddings import SQLiteEmbeddings  # with NumPy, only where it is asked for

        return SQLiteEmbeddings(self, model, dimension)

    def signals(self, session_id: str) -> AbstractAsyncContextManager[Callable[[float], Awaitable[None]]]:
        """Refuse: SQLite tells nobody of anything."""
        raise UnsupportedOperationError(self.name, "being told of appends", "look from time to time")

    def search(
        self, query: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None, *, bounded: bool
    ) -> tuple[str, list[Any]]:
        """Return the statement of a text search."""
        return sqlite_search(query, where, limit, after, self.instant, bounded=bounded)

    async def unit(self, operation: str, work: Callable[[Session], T], *, write: bool) -> T:
        """Run ORM work on the writer or a reader, in one hop."""

        def run(connection: Connection) -> T:
            with Session(connection, expire_on_commit=False) as db, db.begin():
                return work(db)

        try:
            return await (self._writing() if write else self._reading()).run(run)
        except DRIVER_ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    @asynccontextmanager
    async def orm(self, *, write: bool) -> AsyncIterator[AsyncSession]:
        """Yield a session over aiosqlite; with `write`, in an immediate transaction that commits at the end."""
        async with AsyncSession(self.engine, expire_on_commit=False) as db:
            if not write:
                yield db
                return
            async with db.begin():
                # A transaction that reads first and writes later fails when another wrote in between.
                await db.connection(execution_options={"sqlite_begin": "BEGIN IMMEDIATE"})
                yield db

    async def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        """Run a caller's SELECT on a reader, which refuses everything that is not reading."""
        values: Any = (
            {name: _stored(value) for name, value in params.items()}
            if isinstance(params, Mapping)
            else [_stored(value) for value in params or ()]
        )

        def run(connection: Connection) -> list[dict[str, Any]]:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            cursor = raw.execute(sql, values)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        try:
            return await self._reading().run(run)
        except DRIVER_ERRORS as exc:
            raise query_failure(self.name, exc) from exc
        except (OverflowError, UnicodeError) as exc:
            hint = "integers have at most 64 bits, and text no lone surrogates"
            raise QueryError(self.name, "query", exc, hint) from exc

    async def size_bytes(self) -> int:
        """Return the pages in use times their size, the write-ahead log not counted."""

        def run(connection: Connection) -> int:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            pages, free, size = (
                raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

        try:
            return await self._writing().run(run)
        except DRIVER_ERRORS as exc:
            raise translate(self.name, "stats", exc) from exc

    async def vacuum(self) -> None:
        """Rewrite the file without its free pages, and the text indexes without what was deleted.

        Needs as much free disk space as the database takes.
        """

        def run(connection: Connection) -> None:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            for statement in OPTIMIZE_SQLITE:
                raw.execute(statement)
            raw.execute("VACUUM")
            if self._options.journal_mode.upper() == "WAL":
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        try:
            await self._writing().run(run)
        except DRIVER_ERRORS as exc:
            raise translate(self.name, "vacuum", exc) from exc

    def connect_raw(self) -> sqlite3.Connection:
        """Open a further ``sqlite3`` connection to the same database; the caller closes it."""
        connection = sqlite3.connect(
            f"{self.url.database}?vfs=memdb" if self.in_memory else str(self.url.database),
            uri=self.in_memory,
            timeout=self._options.busy_timeout_seconds,
            check_same_thread=False,
        )
        for pragma in self._options.pragmas():
            connection.execute(pragma)
        return connection


def _stored(value: Any) -> Any:
    """Return a parameter as the columns hold it; ``sqlite3`` would write an instant in another form."""
    if isinstance(value, datetime):
        return sqlite_text(value)
    return value.isoformat() if isinstance(value, date) else value
