"""PostgreSQL: one statement, one transaction and one round trip per append; appends that queue up share them.

Connections come from SQLAlchemy's pool. Hot statements run on the asyncpg connection below it, in autocommit; a few
such connections are kept at hand between calls, because checking one out costs as much CPU as using it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Table, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from ..._calls import settle
from ...errors import NotConnectedError
from ...interfaces.timestamps import Timestamp
from ..protocol import Params
from ..text_search import SearchCursor, SearchFilter, TextQuery
from . import appends, statements, units, vectors
from .driver import Batch, Reserved
from .failures import DRIVER_ERRORS, is_unique_violation, query_failure, sqlstate, translate
from .leases import SERVER_ERRORS, Leases
from .listening import Listener
from .mapping import Row
from .migrate import prepare_schema
from .models import Base
from .queues import AppendQueue, batch_values, group_values, one_values, shares
from .statements import Statement
from .text_index import DEFAULT_LANGUAGE
from .text_search import postgres_search

if TYPE_CHECKING:
    from ...recall.embedded import EmbeddingIndex

T = TypeVar("T")

ERRORS: tuple[type[BaseException], ...] = (*DRIVER_ERRORS, *SERVER_ERRORS)
APPEND_LANES = 2
"""Statements that append at once. With two, one is prepared or waits for the disk while the other is carried out."""

_names = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How to reach the database; see ``PostgresSettings`` for the meaning of each."""

    url: URL
    schema: str | None = None
    pool_size: int = 10
    pool_timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 10.0
    command_timeout_seconds: float | None = 60.0
    statement_cache_size: int = 100
    server_settings: Mapping[str, str] = field(default_factory=dict)
    ssl: Any = None
    auto_migrate: bool = True
    search_language: str = DEFAULT_LANGUAGE


class PostgresDriver:
    """A PostgreSQL database.

    Args:
        options: How to reach it.
        engine: An engine of the caller's, used instead and not disposed of.
    """

    name = "postgres"
    tells = True

    def __init__(self, options: PostgresOptions, engine: AsyncEngine | None = None) -> None:
        self._options = options
        self._owns_engine = engine is None
        # The driver asks for the columns' types with a statement that it prepares: not behind a pooler, see below.
        self.copies = self._owns_engine and options.statement_cache_size > 0
        if engine is None:
            engine = create_async_engine(
                options.url.set(drivername="postgresql+asyncpg"),
                pool_size=options.pool_size,
                max_overflow=0,
                hide_parameters=True,  # SQLAlchemy's errors would quote messages
                pool_timeout=options.pool_timeout_seconds,
                pool_use_lifo=True,  # a rotating pool meets every connection's cold statement cache in turn
                connect_args=self._connect_args(),
            )
        self._root = engine
        self.engine = (
            engine.execution_options(schema_translate_map={None: options.schema}) if options.schema else engine
        )
        self._one = self.compile(appends.append_one())
        self._batch = self.compile(appends.append_batch())
        self._group = self.compile(appends.append_group())
        # Of a caller's pool, which the caller uses too and may be small, none is kept.
        keep = options.pool_size // 2 if self._owns_engine else 0
        self._leases = Leases(engine, keep=keep, transactional=options.statement_cache_size == 0)
        lanes = min(APPEND_LANES, options.pool_size)
        self._queues = [AppendQueue(self._store, ERRORS, partial(translate, self.name, "append")) for _ in range(lanes)]
        self._loop: asyncio.AbstractEventLoop | None = None
        # Behind a pooler in transaction mode nobody can listen, and of a caller's engine no connection is kept.
        self.listens = self._owns_engine and options.statement_cache_size != 0
        ear = create_async_engine(
            options.url.set(drivername="postgresql+asyncpg"), poolclass=NullPool, connect_args=self._connect_args()
        )
        self._listener = Listener(ear, self._mark)

    def _connect_args(self) -> dict[str, Any]:
        options = self._options
        arguments: dict[str, Any] = {
            "timeout": options.connect_timeout_seconds,
            "command_timeout": options.command_timeout_seconds,
            "statement_cache_size": options.statement_cache_size,
        }
        if options.statement_cache_size == 0:
            # Behind a pooler in transaction mode the next statement may meet another server process: nothing is
            # prepared ahead, and names never repeat.
            arguments["prepared_statement_cache_size"] = 0
            arguments["prepared_statement_name_func"] = lambda: f"__langswarm_{next(_names)}_{id(self):x}__"
        if options.server_settings:
            arguments["server_settings"] = dict(options.server_settings)
        if options.ssl is not None:
            arguments["ssl"] = options.ssl
        return arguments

    def instant(self, value: datetime) -> datetime:
        """Return an ordinary aware datetime."""
        return Timestamp.of(value).plain()

    def compile(self, statement: Any) -> Statement:
        """Compile for asyncpg."""
        return statements.compile_statement(statement, self._root.dialect, self._options.schema)

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        self._move(asyncio.get_running_loop())
        if self._leases.is_open:
            return
        options = self._options

        def prepare(connection: Connection) -> None:
            prepare_schema(
                connection,
                self.name,
                auto_migrate=options.auto_migrate,
                schema=options.schema,
                language=options.search_language,
            )

        try:
            async with self._root.connect() as connection:
                # A server may be set to another default. Then who waited for the lock would not see what was made.
                await connection.execution_options(isolation_level="READ COMMITTED")
                async with connection.begin():
                    await connection.run_sync(prepare)
        except BaseException as exc:
            if self._owns_engine:
                await self._root.dispose()  # nobody closes what could not be opened
            if isinstance(exc, ERRORS):
                raise translate(self.name, "open", exc) from exc
            raise
        self._leases.is_open = True

    async def close(self) -> None:
        """Finish queued appends, then close every connection."""
        self._move(asyncio.get_running_loop())
        self._leases.is_open = False
        await self._listener.close()
        for queue in self._queues:
            await queue.drained()
        await self._leases.close()
        if self._owns_engine:
            await self._root.dispose()

    def _enter(self) -> None:
        """Raise unless the database is open; what everything that uses a connection does first."""
        if not self._leases.is_open:
            raise NotConnectedError("the database is not open", suggestion="call connect() first")
        self._move(asyncio.get_running_loop())

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise NotConnectedError(
                "the backend is in use in another event loop", suggestion="give each event loop a backend of its own"
            )
        # A script that calls asyncio.run() twice: what belongs to a closed loop can be neither used nor closed.
        self._leases.forget()
        if self._owns_engine:
            self._root.sync_engine.dispose(close=False)
        for queue in self._queues:
            queue.forget()
        self._loop = loop

    # --- appending ---------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> Reserved | None:
        """Queue a batch for the next statement and wait until it is committed."""
        self._enter()
        return await self._queues[hash(batch.session_id) % len(self._queues)].append(batch)

    async def _store(self, batches: list[Batch]) -> list[Reserved | None]:
        """Run the leanest statement for these batches: one message, one session, or many sessions."""
        session_id = batches[0].session_id
        try:
            if len(batches) == 1 and len(batches[0].rows) == 1:
                rows = await self._leases.fetch(self._one.sql, self._one.args(one_values(batches[0])))
            elif all(batch.session_id == session_id for batch in batches):
                rows = await self._leases.fetch(self._batch.sql, self._batch.args(batch_values(batches)))
            else:
                rows = await self._leases.fetch(self._group.sql, self._group.args(group_values(batches)))
                return shares(batches, {row[0]: (row[1], row[2]) for row in rows})
        except SERVER_ERRORS as exc:
            code = sqlstate(exc) or ""
            refused = is_unique_violation(exc)
            # With several batches, one of them cannot be stored; alone, only that one fails.
            if refused or (len(batches) > 1 and code[:2] in ("22", "23", "54")):
                return [None] * len(batches)
            raise
        return shares(batches, {session_id: (rows[0][0], rows[0][1])} if rows else {})

    # --- everything else ---------------------------------------------------------------------------------------

    async def fetch(self, operation: str, statement: Statement, args: Sequence[Any]) -> list[Row]:
        """Run a SELECT."""
        self._enter()
        try:
            return await self._leases.fetch(statement.sql, args)
        except ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    async def fetch_within(
        self, operation: str, statement: Statement, args: Sequence[Any], budget: int, keep_roles: frozenset[str]
    ) -> list[Row] | None:
        """Return None: what the server has sent cannot be stopped, so the statement estimates how much to send."""
        return None

    def signals(self, session_id: str) -> AbstractAsyncContextManager[Callable[[float], Awaitable[None]]]:
        """Listen for appends to a session."""
        self._enter()
        return self._listener.signals(session_id)

    async def write_many(self, operation: str, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a writing statement once per row of parameters, in one transaction."""

        def work(db: Session) -> None:
            for row in rows:
                db.connection().exec_driver_sql(sql, tuple(row))

        await self.unit(operation, work, write=True)

    async def make_vector_index(self, model: str, table: str, definition: str, *, indexed: bool) -> None:
        """Install pgvector in the database where it is missing, and make the index of a model's embeddings."""
        place = self._place()
        await self.unit(
            "open",
            partial(vectors.prepare, place=place, model=model, table=table, definition=definition, indexed=indexed),
            write=True,
        )
        self._leases.on_first_use = vectors.SESSION_SETTINGS

    def embeddings(self, model: str, dimension: int) -> EmbeddingIndex:
        """Return the embeddings of a model."""
        from .embeddings import PostgresEmbeddings

        return PostgresEmbeddings(self, model, dimension, self._place())

    def _place(self) -> str:
        """Return the schema of the tables, quoted and with a dot behind it; empty for that of the connection."""
        schema = self._options.schema
        return f"{self._root.dialect.identifier_preparer.quote(schema)}." if schema else ""

    async def _mark(self, session_id: str) -> None:
        await self.unit("watch", partial(units.watch, session_id=session_id), write=True)

    def search(
        self, query: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None, *, bounded: bool
    ) -> tuple[str, list[Any]]:
        """Return the statement of a text search."""
        language, place = self._options.search_language, self._place()
        return postgres_search(
            query, where, limit, after, self.instant, bounded=bounded, language=language, schema=place
        )

    async def unit(self, operation: str, work: Callable[[Session], T], *, write: bool) -> T:
        """Run ORM work in one transaction, to its end even when the caller is cancelled."""
        self._enter()
        try:
            return await settle(self._unit(work))
        except ERRORS as exc:
            raise translate(self.name, operation, exc) from exc

    async def _unit(self, work: Callable[[Session], T]) -> T:
        for last_try in (False, True):
            await self._leases.make_room()
            async with AsyncSession(self.engine, expire_on_commit=False) as db, db.begin():
                try:
                    return await db.run_sync(work)
                except DBAPIError as exc:
                    # Nothing is committed yet; a pooled connection may have died while it was idle.
                    if last_try or not exc.connection_invalidated:
                        raise
                    await db.rollback()
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def orm(self, *, write: bool) -> AsyncIterator[AsyncSession]:
        """Yield a session; with `write`, in a transaction that commits at the end."""
        self._enter()
        async with self._leases.all_in_pool(), AsyncSession(self.engine, expire_on_commit=False) as db:
            if not write:
                yield db
                return
            async with db.begin():
                yield db

    async def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        """Run a caller's SQL in a read-only transaction, with the schema first in the search path."""
        self._enter()
        try:
            await self._leases.make_room()
            async with self._root.connect() as connection:
                await connection.execute(text("SET TRANSACTION READ ONLY"))
                if self._options.schema:
                    quoted = self._root.dialect.identifier_preparer.quote(self._options.schema)
                    await connection.exec_driver_sql(f"SET LOCAL search_path TO {quoted}, public")
                if isinstance(params, Mapping):
                    result = await connection.execute(text(sql), dict(params))
                else:
                    result = await connection.exec_driver_sql(sql, tuple(params or ()))
                rows = [dict(row) for row in result.mappings()] if result.returns_rows else []
                await connection.rollback()
                return rows
        except ERRORS as exc:
            raise query_failure(self.name, exc) from exc

    async def size_bytes(self) -> int:
        """Return the bytes of the tables with their indexes and TOAST."""
        self._enter()
        names = [self._table_name(table) for table in Base.metadata.sorted_tables]
        sql = (
            "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint FROM unnest($1::text[]) AS name"
        )
        try:
            return int((await self._leases.fetch(sql, [names]))[0][0])
        except ERRORS as exc:
            raise translate(self.name, "stats", exc) from exc

    async def vacuum(self) -> None:
        """Run VACUUM (ANALYZE) on the tables."""
        self._enter()
        try:
            await self._leases.make_room()
            async with self._root.connect() as connection:
                autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
                for table in Base.metadata.sorted_tables:
                    await autocommit.exec_driver_sql(f"VACUUM (ANALYZE) {self._table_name(table)}")
        except ERRORS as exc:
            raise translate(self.name, "vacuum", exc) from exc

    def _table_name(self, table: Table) -> str:
        quote = self._root.dialect.identifier_preparer.quote
        return f"{quote(self._options.schema)}.{quote(table.name)}" if self._options.schema else quote(table.name)
