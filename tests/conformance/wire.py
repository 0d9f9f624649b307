"""What goes to the database: SQL as SQLite's connections trace it, messages as PostgreSQL's clients send them.

asyncpg's own query logger does not see prepared statements, and a client's count of round trips is its own opinion. So
PostgreSQL is reached through a relay that reads along. Messages of the protocol:
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import event
from sqlalchemy.pool import Pool

CHUNK = 65_536
STARTUP = 196_608  # protocol version 3.0, in a message that has no type
TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@contextmanager
def sqlite_statements() -> Iterator[list[str]]:
    """Yield a list that grows by the SQL, values included, that SQLite runs on connections opened from now on."""
    seen: list[str] = []

    def note(sql: str) -> None:
        # What a trigger runs and the index of texts asks itself is traced too: as comments, under the statement that
        # fired it (no row can be inserted twice, so one that is traced again is that), and by its own tables.
        inside = sql.startswith("--") or "'main'." in sql
        if not inside and not (sql.startswith("INSERT INTO messages ") and seen[-1:] == [sql]):
            seen.append(sql)

    def trace(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(note)

    event.listen(Pool, "connect", trace)
    try:
        yield seen
    finally:
        event.remove(Pool, "connect", trace)


def besides_transactions(statements: list[str]) -> list[str]:
    """Leave out what begins and ends transactions."""
    return [sql for sql in statements if not sql.upper().startswith(TRANSACTION_WORDS)]


class Relay:
    """A relay to a PostgreSQL server that counts what its clients send."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        """One entry per statement run: its SQL if it was sent with it, else empty (prepared before)."""
        self.round_trips = 0

    def clear(self) -> None:
        """Begin to count anew."""
        self.statements.clear()
        self.round_trips = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[tuple[Self, str]]:
        """Yield a relay and the URL at which it stands for the server of `url`."""
        relay, parts = cls(), urlsplit(url)
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            above = await asyncio.open_connection(parts.hostname, parts.port or 5432)
            try:
                await asyncio.gather(relay._upward(reader, above[1]), _copy(above[0], writer))
            finally:
                tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        account = parts.netloc.rpartition("@")[0]
        try:
            yield relay, urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{port}"))
        finally:
            server.close()
            if tasks:
                await asyncio.wait(tasks)

    async def _upward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a client's messages on, whole."""
        try:
            started = False
            while True:
                head = await reader.readexactly(5 if started else 4)
                (length,) = struct.unpack("!I", head[-4:])
                body = await reader.readexactly(length - 4)
                if started:
                    self._note(head[:1], body)
                else:
                    started = struct.unpack("!I", body[:4])[0] == STARTUP
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, or the server
        finally:
            writer.close()

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self.statements.append(body.rstrip(b"\x00").decode())
        elif kind == b"E":
            self.statements.append("")
        if kind in (b"Q", b"S", b"H"):  # the client waits for the answer to Query, Sync and Flush
            self.round_trips += 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # the server has gone, or the client
    finally:
        writer.close()
