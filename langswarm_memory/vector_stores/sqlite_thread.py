"""A SQLite connection that lives in a thread of its own, so that no call holds up the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .._calls import settle

T = TypeVar("T")


class ConnectionThread:
    """Runs functions with the connection, one after the other.

    Args:
        connect: Makes the connection, in autocommit; called in the thread, for the first function.
        error: Base class of the errors of the connection's module.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], error: type[Exception]) -> None:
        self._connect, self._error = connect, error
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="langswarm-vectors")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the function returns. A transaction that it leaves open is rolled back.

        A caller that is cancelled waits until the function has ended.
        """
        return await settle(asyncio.wrap_future(self._thread.submit(self._do, work)))

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._connect()
        try:
            return work(self._connection)
        finally:
            if self._connection.in_transaction:
                with contextlib.suppress(self._error):  # the first error is the one to tell
                    self._connection.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the connection, after what waits, and end the thread."""
        try:
            await settle(asyncio.wrap_future(self._thread.submit(self._close)))
        finally:
            self._thread.shutdown(wait=False)  # it has nothing left to do

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
