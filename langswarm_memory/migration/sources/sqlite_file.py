"""A SQLite file of somebody else's: opened so that nothing in it or beside it changes, read off the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from ...errors import InvalidInputError, MemoryStorageError, StorageUnavailableError
from .base import PAGE, PAGE_BYTES, Row
from .values import decode_text

T = TypeVar("T")

WAL_VERSION = b"\x02"  # byte 18 of the header: https://www.sqlite.org/fileformat.html#file_format_version_numbers
BUSY_SECONDS = 10.0
PLACE = "place of the row"  # name of the column that holds the rowid: no column of a format is called so


class SQLiteFile:
    """A file opened read-only.

    In WAL mode even a reader writes files beside the database. Where there is no log beside it, nobody has it open, and
    it is read as an unchanging file instead; that it did not change meanwhile is checked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._state: tuple[int, int] | None = None  # of a file that is read as an unchanging one

    async def open(self) -> None:
        """Open the file; idempotent.

        Raises:
            InvalidInputError: There is no such file, or it is no SQLite database.
            StorageUnavailableError: It is locked, or its log cannot be read.
        """
        if self._connection is not None:
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "earlier-sqlite")
        self._connection = await self._run(self._open)

    async def close(self) -> None:
        """Close the file; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._run(connection.close)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """Return all rows of a query; for those whose answer is small."""
        return [row async for page in self.pages(sql, *parameters) for row in page]

    async def pages(self, sql: str, *parameters: Any) -> AsyncIterator[list[Row]]:
        """Yield the rows of a query in pages, as dictionaries; never more than a page is in memory."""
        cursor = await self._run(lambda: self._connected().execute(sql, parameters))
        try:
            while page := await self._run(lambda: _read_page(cursor)):
                yield page
            self._check_unchanged()
        finally:
            if self._thread is not None:
                self._thread.submit(cursor.close)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection, in its thread."""
        return await self._run(lambda: function(self._connected()))

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageUnavailableError("sqlite", "read", suggestion="open the source first")
        return self._connection

    async def _run(self, function: Callable[[], T]) -> T:
        if self._thread is None:
            raise StorageUnavailableError("sqlite", "read", suggestion="open the source first")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.DatabaseError as exc:
            raise _translated(exc, self.path) from exc

    def _open(self) -> sqlite3.Connection:
        try:
            with self.path.open("rb") as file:
                header = file.read(19)
        except OSError as exc:
            raise InvalidInputError(f"{self.path} cannot be read ({type(exc).__name__})") from exc
        if not header.startswith(b"SQLite format 3\x00"):
            raise InvalidInputError(
                f"{self.path} is no SQLite database", suggestion="give the file that the earlier program wrote"
            )
        beside = Path(f"{self.path}-wal")
        unchanging = header[18:19] == WAL_VERSION and not (beside.exists() and beside.stat().st_size)
        if unchanging:
            self._state = self._stat()
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro{'&immutable=1' if unchanging else ''}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.text_factory = decode_text
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _stat(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size

    def _check_unchanged(self) -> None:
        if self._state is not None and self._stat() != self._state:
            raise StorageUnavailableError(
                "sqlite", "read", suggestion="the file was written to while it was read; stop the program that uses it"
            )


def _read_page(cursor: sqlite3.Cursor) -> list[Row]:
    names = [column[0] for column in cursor.description]
    page: list[Row] = []
    size = 0
    while len(page) < PAGE and size < PAGE_BYTES:
        row = cursor.fetchone()
        if row is None:
            break
        page.append(dict(zip(names, row, strict=True)))
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
    return page


def _translated(exc: sqlite3.DatabaseError, path: Path) -> Exception:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return InvalidInputError(f"{path} is no SQLite database, or an encrypted one")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return StorageUnavailableError(
            "sqlite",
            "read",
            exc,
            "another program uses the file, or left it in the middle of a write: open it once with that program, "
            "or copy it together with its -wal and -journal files to a folder that can be written",
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return MemoryStorageError("read", "sqlite", exc, suggestion="try `sqlite3 FILE .recover` on a copy of the file")
    return MemoryStorageError("read", "sqlite", exc)
