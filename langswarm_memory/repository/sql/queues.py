"""Appends on PostgreSQL: those that arrive while a statement is under way share the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from ...errors import NotConnectedError
from ..codec import MessageColumns
from .driver import GROUP_BYTES, GROUP_MESSAGES, Batch, Reserved
from .statements import MESSAGE_COLUMNS

_Waiting = tuple[Batch, asyncio.Future[Reserved | None]]


class AppendQueue:
    """One statement at a time; whatever has queued up meanwhile goes into the next.

    Args:
        store: Stores some batches in one statement.
        errors: What the driver raises.
        translate: Returns what one of those means.
    """

    def __init__(
        self,
        store: Callable[[list[Batch]], Awaitable[list[Reserved | None]]],
        errors: tuple[type[BaseException], ...],
        translate: Callable[[BaseException], BaseException],
    ) -> None:
        self._store, self._errors, self._translate = store, errors, translate
        self._queue: deque[_Waiting] = deque()
        self._appending = False
        self._draining: asyncio.Task[None] | None = None

    async def drained(self) -> None:
        """Wait until nothing is queued."""
        if self._draining is not None:
            await asyncio.wait([self._draining])

    def forget(self) -> None:
        """Let go of what belongs to an event loop that is closed."""
        self._queue.clear()
        self._appending, self._draining = False, None

    async def append(self, batch: Batch) -> Reserved | None:
        """Store a batch, with others if there are, and return when it is committed."""
        if not self._appending:
            # Alone: no task, no future. What arrives meanwhile queues up and is taken by a task afterwards.
            self._appending = True
            try:
                return (await self._store([batch]))[0]
            except self._errors as exc:
                raise self._translate(exc) from exc
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

    def _gather(self) -> list[_Waiting]:
        group, count, size = [], 0, 0
        while self._queue and count < GROUP_MESSAGES and size < GROUP_BYTES:
            batch, future = self._queue.popleft()
            group.append((batch, future))
            count += len(batch.rows)
            size += batch.size()
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        outcomes: list[Reserved | None]
        try:
            outcomes = await self._store([batch for batch, _ in group])
        except BaseException as exc:
            # Every waiting caller learns of it, whatever it is; cancellation of this task goes on.
            error: BaseException = exc
            if isinstance(exc, self._errors):
                error = self._translate(exc)
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


def one_values(batch: Batch) -> dict[str, Any]:
    """Return the parameters of ``append_one``."""
    values: dict[str, Any] = dict(zip(MESSAGE_COLUMNS[1:], batch.rows[0], strict=True))
    values["session"], values["now"], values["expires"] = batch.session_id, batch.now, batch.expires_at
    return values


def batch_values(batches: list[Batch]) -> dict[str, Any]:
    """Return the parameters of ``append_batch`` for batches of one session."""
    rows = batches[0].rows if len(batches) == 1 else [row for batch in batches for row in batch.rows]
    values = _arrays(rows)
    values["session"] = batches[0].session_id
    values["now"] = max(batch.now for batch in batches)
    values["expires"] = next((batch.expires_at for batch in reversed(batches) if batch.expires_at is not None), None)
    values["count"], values["tokens"] = len(rows), sum(batch.tokens for batch in batches)
    return values


def group_values(batches: list[Batch]) -> dict[str, Any]:
    """Return the parameters of ``append_group``."""
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
    count, columns = len(rows), zip(*rows, strict=True)
    return {name: column if column.count(None) < count else () for name, column in zip(_ARRAYS, columns, strict=True)}


_ARRAYS = tuple(f"{name}s" for name in MESSAGE_COLUMNS[1:])


def shares(batches: list[Batch], ends: dict[str, Reserved]) -> list[Reserved | None]:
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
