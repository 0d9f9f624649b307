"""Connections of SQLAlchemy's pool that are kept at hand, for statements that run on asyncpg directly.

Checking a connection out of the pool costs about as much CPU as running a statement on it. So up to half of the pool's
connections stay checked out between calls, each with its prepared statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from ..._calls import settle
from ...errors import MissingDependencyError, NotConnectedError
from .failures import DRIVER_ERRORS, is_connection_loss
from .mapping import Row

try:
    import asyncpg
except ModuleNotFoundError as exc:
    raise MissingDependencyError("asyncpg", extra="postgres") from exc

SERVER_ERRORS: tuple[type[BaseException], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError)
"""What asyncpg itself raises, besides operating system errors and time-outs."""

STOP_SECONDS = 2.0  # to tell a server that nobody waits for a statement any more


@dataclass(slots=True, eq=False)
class Lease:
    """A pooled connection and the asyncpg connection below it."""

    pooled: AsyncConnection
    raw: Any
    prepared: dict[str, Any] = field(default_factory=dict)

    async def fetch(self, sql: str, args: Sequence[Any], settings: str | None = None) -> list[Row]:
        """Run a statement, prepared once per connection; settings that it needs are made once per connection, too."""
        if settings is not None and settings not in self.prepared:
            await self.raw.execute(settings)
            self.prepared[settings] = None
        statement = self.prepared.get(sql)
        if statement is None:
            statement = self.prepared[sql] = await self.raw.prepare(sql)
        rows: list[Row] = await statement.fetch(*args)
        return rows


class Leases:
    """The connections at hand.

    Args:
        engine: Where they come from.
        keep: How many stay checked out while idle.
        transactional: Whether each statement needs a transaction around it (behind a pooler in transaction mode, where
            parsing and executing could otherwise meet different servers).
    """

    def __init__(self, engine: AsyncEngine, *, keep: int, transactional: bool) -> None:
        self._engine, self._keep, self._transactional = engine, keep, transactional
        self._idle: list[Lease] = []
        self._borrowers = 0
        self.is_open = False
        self.on_first_use: str | None = None  # settings of each connection

    async def close(self) -> None:
        """Give every connection at hand back to the pool."""
        self.is_open = False
        await self._clear()

    async def _clear(self) -> None:
        while self._idle:
            await self._idle.pop().pooled.close()

    def forget(self) -> None:
        """Let go of the connections at hand without closing them: their event loop is closed."""
        for lease in self._idle:
            if lease.pooled.sync_connection is not None:
                lease.pooled.sync_connection.detach()  # else the pool would try to close it, and log that it cannot
        self._idle.clear()

    async def make_room(self) -> None:
        """Before taking a connection from the pool: give one at hand back to it if it has no other."""
        if self._idle and self._exhausted():
            await self._idle.pop().pooled.close()

    @asynccontextmanager
    async def all_in_pool(self) -> AsyncIterator[None]:
        """Keep none at hand meanwhile: a caller's own session takes a connection from the pool when it likes."""
        self._borrowers += 1
        try:
            await self._clear()
            yield
        finally:
            self._borrowers -= 1

    def _exhausted(self) -> bool:
        pool = self._engine.pool
        return isinstance(pool, QueuePool) and pool.checkedout() >= pool.size()

    async def take(self) -> Lease:
        """Return a connection that was alive when last seen, opening one if none is at hand."""
        while self._idle:
            lease = self._idle.pop()
            if not lease.raw.is_closed():
                return lease
            await self._drop(lease)  # the server went away while it was idle
        if not self.is_open:
            raise NotConnectedError("the database is not open", suggestion="call connect() first")
        # To log in takes several messages; broken off between them, asyncpg leaves an exception that nobody retrieves.
        opening = asyncio.ensure_future(self._lease())
        try:
            return await settle(opening)
        except asyncio.CancelledError:
            if not opening.cancelled() and opening.exception() is None:
                await self.give(opening.result())
            raise

    async def _lease(self) -> Lease:
        pooled = await self._engine.connect()
        try:
            raw: Any = (await pooled.get_raw_connection()).driver_connection
            if raw.is_closed():
                await pooled.invalidate()
                raw = (await pooled.get_raw_connection()).driver_connection
        except BaseException:
            await pooled.close()
            raise
        return Lease(pooled, raw)

    async def give(self, lease: Lease) -> None:
        """Take a connection back: keep it at hand, return it to the pool, or drop it when it is dead."""
        if lease.raw.is_closed():
            await self._drop(lease)
        elif self.is_open and len(self._idle) < self._keep and not self._borrowers and not self._exhausted():
            self._idle.append(lease)
        else:
            await lease.pooled.close()

    async def _drop(self, lease: Lease) -> None:
        await lease.pooled.invalidate()
        await lease.pooled.close()

    async def _stopped(self, lease: Lease) -> None:
        """Close a connection on which the server may still be at work; asyncpg tells it to stop, and is given time."""
        try:
            await lease.raw.close(timeout=STOP_SECONDS)
        except (*DRIVER_ERRORS, *SERVER_ERRORS):
            lease.raw.terminate()
        await self.give(lease)

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """Run one statement in a transaction of its own; once more if the connection turns out to be dead."""
        for last_try in (False, True):
            lease = await self.take()
            try:
                if self._transactional:
                    async with lease.raw.transaction():
                        if self.on_first_use is not None:
                            await lease.raw.execute(self.on_first_use)  # the next server process may not have them
                        rows: list[Row] = await lease.raw.fetch(sql, *args)
                else:
                    rows = await lease.fetch(sql, args, self.on_first_use)
            except asyncpg.InvalidCachedStatementError:
                # The schema changed under a prepared statement. Nothing ran.
                lease.prepared.clear()
                await self.give(lease)
                if last_try:
                    raise
            except Exception as exc:  # of any kind: the lease goes back in every case, and nothing is swallowed
                if not isinstance(exc, asyncpg.PostgresError) or is_connection_loss(exc):
                    lease.raw.terminate()
                await self.give(lease)
                if last_try or not is_connection_loss(exc):
                    raise
            except BaseException:
                await settle(self._stopped(lease))
                raise
            else:
                await self.give(lease)
                return rows
        raise AssertionError("unreachable")
