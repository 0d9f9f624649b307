"""Threads that own SQLite connections and take work from a queue.

A future per job is resolved on the caller's event loop, all futures of a group with one wake-up. A caller that is
cancelled while it waits changes nothing: the work is done or not, as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from ...errors import NotConnectedError
from .driver import GROUP_BYTES, GROUP_MESSAGES, Batch, Reserved
from .failures import is_unique_violation
from .mapping import Row

T = TypeVar("T")


class BatchWriter(Protocol):
    """Writes a batch inside an open transaction."""

    def store(self, raw: sqlite3.Connection, batch: Batch) -> Reserved | None:
        """Write the batch; None when its session takes none."""


@dataclass(slots=True, eq=False)
class _Job:
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    work: Callable[[Connection], Any] | None = None
    sql: str | None = None
    args: Sequence[Any] = ()
    batch: Batch | None = None


Outcome = tuple[_Job, Any, BaseException | None]


class Lane:
    """One or more threads, each with a connection of its own, behind one queue.

    Args:
        name: Name of the threads.
        engine: Makes the connections; each thread holds one until the lane closes.
        threads: At most so many; started as work queues up.
        writer: Stores batches; for a lane that appends.
        on_connect: Called with each new ``sqlite3`` connection.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        *,
        threads: int,
        writer: BatchWriter | None = None,
        on_connect: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self._name, self._engine, self._limit = name, engine, threads
        self._writer, self._on_connect = writer, on_connect
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run a function with the thread's connection, in autocommit unless it begins a transaction."""
        loop = asyncio.get_running_loop()
        result: T = await self._submit(_Job(loop.create_future(), loop, work=work))
        return result

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """Run one SELECT and return all its rows."""
        loop = asyncio.get_running_loop()
        rows: list[Row] = await self._submit(_Job(loop.create_future(), loop, sql=sql, args=args))
        return rows

    async def append(self, batch: Batch) -> Reserved | None:
        """Store a batch in the next group commit; return when it is committed. None: see ``SQLDriver.append``."""
        loop = asyncio.get_running_loop()
        reserved: Reserved | None = await self._submit(_Job(loop.create_future(), loop, batch=batch))
        return reserved

    def _submit(self, job: _Job) -> asyncio.Future[Any]:
        if self._closed:
            raise NotConnectedError("the database was closed", suggestion="call connect() first")
        if not self._threads or (len(self._threads) < self._limit and not self._queue.empty()):
            thread = threading.Thread(target=self._main, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put(job)
        return job.future

    async def close(self) -> None:
        """Finish what is queued, close the connections, end the threads."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    # --- on the thread -----------------------------------------------------------------------------------------

    def _main(self) -> None:
        connection: Connection | None = None
        waiting: _Job | None = None
        while True:
            job = waiting if waiting is not None else self._queue.get()
            waiting = None
            if job is None:
                break
            if connection is None:
                try:
                    connection = self._connect()
                except BaseException as exc:
                    _deliver([(job, None, exc)])
                    continue
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            if job.batch is not None:
                group, waiting = self._gather(job)
                _deliver(self._commit(raw, group))
            else:
                _deliver([self._do(connection, raw, job)])
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        if self._on_connect is not None:
            self._on_connect(connection.connection.driver_connection)  # type: ignore[arg-type]
        return connection

    def _do(self, connection: Connection, raw: sqlite3.Connection, job: _Job) -> Outcome:
        try:
            if job.sql is not None:
                return job, raw.execute(job.sql, job.args).fetchall(), None
            assert job.work is not None
            return job, job.work(connection), None
        except BaseException as exc:
            return job, None, exc
        finally:
            if raw.in_transaction:
                connection.rollback()

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """Return the batches that wait already, and the first other job behind them."""
        assert first.batch is not None
        group, count, size = [first], len(first.batch.rows), first.batch.size()
        while count < GROUP_MESSAGES and size < GROUP_BYTES and not self._queue.empty():
            job = self._queue.get()  # at once: nobody else takes from the writer's queue
            if job is None:
                self._queue.put(None)  # the end comes after this group
                break
            if job.batch is None:
                return group, job
            group.append(job)
            count += len(job.batch.rows)
            size += job.batch.size()
        return group, None

    def _commit(self, raw: sqlite3.Connection, group: list[_Job]) -> list[Outcome]:
        assert self._writer is not None
        try:
            raw.execute("BEGIN IMMEDIATE")
            outcomes: list[Outcome] = []
            for job in group:
                assert job.batch is not None
                outcomes.append((job, self._writer.store(raw, job.batch), None))
            raw.execute("COMMIT")
        except BaseException as exc:
            if raw.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                    raw.execute("ROLLBACK")
            if isinstance(exc, sqlite3.OperationalError):
                return [(job, None, exc) for job in group]  # locked, full, read-only: the same for each of them
            if len(group) > 1:
                # One of them cannot be stored; alone, only that one fails.
                return [outcome for job in group for outcome in self._commit(raw, [job])]
            return [(group[0], None, None if is_unique_violation(exc) else exc)]
        return outcomes


def _deliver(outcomes: list[Outcome]) -> None:
    if len(outcomes) == 1:
        with contextlib.suppress(RuntimeError):  # as below
            outcomes[0][0].loop.call_soon_threadsafe(_resolve, outcomes)
        return
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():  # cancelled meanwhile
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
