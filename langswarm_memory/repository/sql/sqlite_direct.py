"""Short reads of SQLite on the event loop's own thread.

A hop to a thread and back costs more than reading fifty messages: the read is 60 µs, waking two threads is 60 to 150.
So a read is first tried here, on a connection of its own, and left to the readers' threads when it is not short after
all. What could hold the loop up is bounded:

* a lock is never waited for,
* SQLite asks every few thousand steps whether to go on, and is stopped after ``LONGEST_SECONDS``; what takes long
  within a step, such as a slow disk or a huge message, is noticed when it is over,
* a statement that took so long, for whatever reason, is not tried again for a thousand times as long: each takes at
  most a thousandth of the loop's time,
* after ``TURN_SECONDS`` of reading the loop gets a turn, for a coroutine that reads without end never waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from sqlalchemy import Connection

from .mapping import Row
from .sqlite_engines import prepare_reader

LONGEST_SECONDS = 0.002
TURN_SECONDS = 0.001
REST = 1000
"""How many times as long as it took a statement is left to the threads."""
STEPS = 2000
"""Steps of SQLite's machine between two looks at the clock, some 50 µs."""
REMEMBERED = 1000
"""So many statements that are resting are remembered; their number is that of the shapes of searches."""

Read = Callable[[sqlite3.Connection], list[Row]]


class DirectReads:
    """Tries reads on the calling thread.

    Args:
        connection: A new connection, for nothing else but this.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._raw.execute("PRAGMA busy_timeout=0")
        prepare_reader(self._raw)
        self._raw.set_progress_handler(self._is_over, STEPS)
        self._lock = threading.Lock()  # a backend may serve event loops of several threads
        self._until = 0.0
        self._resting: dict[str, float] = {}
        self._read_since_turn = 0.0

    def _is_over(self) -> bool:
        return monotonic() > self._until

    async def fetch(self, sql: str, args: Sequence[object]) -> list[Row] | None:
        """Run a SELECT and return all its rows; None: ask a thread."""
        return await self.run(sql, lambda raw: raw.execute(sql, args).fetchall())

    async def run(self, sql: str, read: Read) -> list[Row] | None:
        """Run a function that reads by one SELECT, and return its rows; None: ask a thread."""
        began = monotonic()
        rests_until = self._resting.get(sql)
        if rests_until is not None:
            if began < rests_until:
                return None
            del self._resting[sql]
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._until = began + LONGEST_SECONDS
            rows = read(self._raw)
        except sqlite3.Error:
            # Locked, stopped by the clock, or wrong: a thread has the time, and says what is wrong where something is.
            rows = None
        finally:
            self._lock.release()
        took = monotonic() - began
        if took > LONGEST_SECONDS:
            if len(self._resting) >= REMEMBERED:
                self._resting.clear()
            self._resting[sql] = began + took * REST
        self._read_since_turn += took
        if self._read_since_turn > TURN_SECONDS:
            self._read_since_turn = 0.0
            await asyncio.sleep(0)
        return rows

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
