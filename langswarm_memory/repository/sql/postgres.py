"""PostgreSQL: one statement, one transaction and one round trip per append; appends that queue up share them.

Connections come from SQLAlchemy's pool. Hot statements run on the asyncpg connection below it, in autocommit; a few
such connections are kept at hand between calls, because checking one out costs as much CPU as using it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from ..._calls import settle
from ...errors import NotConnectedError
from ...interfaces.timestamps import Timestamp
from ..codec import MessageColumns
from ..protocol import Params
from . import appends, statements
from .driver import GROUP_BYTES, GROUP_MESSAGES, Batch, Reserved
from .failures import DRIVER_ERRORS, is_unique_violation, query_failure, sqlstate, translate
from .leases import SERVER_ERRORS, Leases
from .mapping import Row
from .migrate import prepare_schema
from .models import Base
from .statements import MESSAGE_COLUMNS, Statement

T = TypeVar("T")

ERRORS: tuple[type[BaseException], ...] = (*DRIVER_ERRORS, *SERVER_ERRORS)
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


class PostgresDriver:
    """A PostgreSQL database.

    Args:
        options: How to reach it.
        engine: An engine of the caller's, used instead and not disposed of.
    """

    name = "postgres"

    def __init__(self, options: PostgresOptions, engine: AsyncEngine | None = None) -> None:
        self._options = options
        self._owns_engine = engine is None
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
        self._queue: deque[tuple[Batch, asyncio.Future[Reserved | None]]] = deque()
        self._appending = False
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

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
            prepare_schema(connection, self.name, auto_migrate=options.auto_migrate, schema=options.schema)

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
        if self._draining is not None:
            await asyncio.wait([self._draining])
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
        self._queue.clear()
        self._appending, self._draining, self._loop = False, None, loop

    # --- appending ---------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> Reserved | None:
        """Queue a batch for the next statement and wait until it is committed."""
        self._enter()
        if not self._appending:
            # Alone: no task, no future. What arrives meanwhile queues up and is taken by a task afterwards.
            self._appending = True
            try:
                return (await self._store([batch]))[0]
            except ERRORS as exc:
                raise translate(self.name, "append", exc) from exc
            finally:
                self._next()
        future: asyncio.Future[Reserved | None] = asyncio.get_running_loop().create_future()
        self._queue.append((batch, future))
        return await future

    def _next(self) -> None:
        # Nothing is awaited between the look at the queue and clearing the flag, so no append is left behind.
        if self._queue:
            self._draining = asyncio.create_task(self._drain())
        else:
            self._appending = False
            self._draining = None

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._commit(self._gather())
                # Writers that were just answered append again at once. Without this turn of the loop the first of them
                # would find the queue empty and pay for a transaction of its own.
                await asyncio.sleep(0)
        finally:
            self._next()

    def _gather(self) -> list[tuple[Batch, asyncio.Future[Reserved | None]]]:
        group, count, size = [], 0, 0
        while self._queue and count < GROUP_MESSAGES and size < GROUP_BYTES:
            batch, future = self._queue.popleft()
            group.append((batch, future))
            count += len(batch.rows)
            size += batch.size()
        return group

    async def _commit(self, group: list[tuple[Batch, asyncio.Future[Reserved | None]]]) -> None:
        outcomes: list[Reserved | None]
        try:
            outcomes = await self._store([batch for batch, _ in group])
        except BaseException as exc:
            # Every waiting caller learns of it, whatever it is; cancellation of this task goes on.
            error = translate(self.name, "append", exc) if isinstance(exc, ERRORS) else exc
            if isinstance(exc, ERRORS):
                error.__cause__ = exc
            for _, future in group:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else NotConnectedError("closed"))
            if not isinstance(exc, Exception):
                raise
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():  # cancelled meanwhile
                future.set_result(outcome)

    async def _store(self, batches: list[Batch]) -> list[Reserved | None]:
        """Run the leanest statement for these batches: one message, one session, or many sessions."""
        session_id = batches[0].session_id
        try:
            if len(batches) == 1 and len(batches[0].rows) == 1:
                rows = await self._leases.fetch(self._one.sql, self._one.args(_one_values(batches[0])))
            elif all(batch.session_id == session_id for batch in batches):
                rows = await self._leases.fetch(self._batch.sql, self._batch.args(_batch_values(batches)))
            else:
                rows = await self._leases.fetch(self._group.sql, self._group.args(_group_values(batches)))
                return _shares(batches, {row[0]: (row[1], row[2]) for row in rows})
        except SERVER_ERRORS as exc:
            code = sqlstate(exc) or ""
            refused = is_unique_violation(exc)
            # With several batches, one of them cannot be stored; alone, only that one fails.
            if refused or (len(batches) > 1 and code[:2] in ("22", "23", "54")):
                return [None] * len(batches)
            raise
        return _shares(batches, {session_id: (rows[0][0], rows[0][1])} if rows else {})

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


def _one_values(batch: Batch) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(MESSAGE_COLUMNS[1:], batch.rows[0], strict=True))
    values["session"], values["now"], values["expires"] = batch.session_id, batch.now, batch.expires_at
    return values


def _batch_values(batches: list[Batch]) -> dict[str, Any]:
    rows = batches[0].rows if len(batches) == 1 else [row for batch in batches for row in batch.rows]
    values = _arrays(rows)
    values["session"] = batches[0].session_id
    values["now"] = max(batch.now for batch in batches)
    values["expires"] = next((batch.expires_at for batch in reversed(batches) if batch.expires_at is not None), None)
    values["count"], values["tokens"] = len(rows), sum(batch.tokens for batch in batches)
    return values


def _group_values(batches: list[Batch]) -> dict[str, Any]:
    rows = [row for batch in batches for row in batch.rows]
    values = _arrays(rows)
    values["session_ids"] = [batch.session_id for batch in batches for _ in batch.rows]
    counts: dict[str, int] = {}
    tokens: dict[str, int] = {}
    expiries: dict[str, datetime | None] = {}
    nows: dict[str, datetime] = {}
    places: list[int] = []
    for batch in batches:
        session_id, before = batch.session_id, counts.get(batch.session_id, 0)
        counts[session_id] = before + len(batch.rows)
        tokens[session_id] = tokens.get(session_id, 0) + batch.tokens
        expiries[session_id] = batch.expires_at or expiries.get(session_id)
        nows[session_id] = max(batch.now, nows.get(session_id, batch.now))
        places += range(before + 1, before + len(batch.rows) + 1)
    values["places"] = places
    values["ids"], values["counts"] = list(counts), list(counts.values())
    values["tokens"], values["expiries"] = list(tokens.values()), list(expiries.values())
    values["nows"] = list(nows.values())
    values["now"] = max(nows.values())  # a session that expires between two of them is left to the unit of work
    return values


def _arrays(rows: list[MessageColumns]) -> dict[str, Any]:
    # unnest() fills up shorter arrays with NULL, so a column without values is an empty one.
    columns = zip(*rows, strict=True)
    return {
        name: column if any(value is not None for value in column) else ()
        for name, column in zip(_ARRAYS, columns, strict=True)
    }


_ARRAYS = tuple(f"{name}s" for name in MESSAGE_COLUMNS[1:])


def _shares(batches: list[Batch], ends: dict[str, Reserved]) -> list[Reserved | None]:
    """Work out each batch's numbers from its session's: batches of one session follow each other."""
    if len(batches) == 1:
        return [ends.get(batches[0].session_id)]
    behind: dict[str, int] = {}
    outcomes: list[Reserved | None] = []
    for batch in reversed(batches):
        end = ends.get(batch.session_id)
        if end is None:
            outcomes.append(None)
            continue
        later = behind.get(batch.session_id, 0)
        behind[batch.session_id] = later + len(batch.rows)
        outcomes.append((end[0] - later, end[1] - later))
    outcomes.reverse()
    return outcomes
