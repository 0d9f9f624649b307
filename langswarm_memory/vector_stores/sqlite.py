"""Vectors in a table of a SQLite file, searched exactly.

The vectors are held in memory as one matrix and are read again when somebody else has changed the table; conditions
are answered by SQL, which says which of them to look at. One thread owns the connection and does everything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import CorruptRecordError, MemoryConfigurationError
from . import exact
from .checking import (
    CheckedPoint,
    Floats,
    check_id,
    check_identifier,
    check_key,
    check_limit,
    check_where,
    pack,
    sizes,
    unpack,
    wrong_dimension,
)
from .documents import CONTENT, TIMESTAMP, to_payload
from .exact import ExactIndex
from .protocol import Scalar, VectorHit, VectorPoint, Where
from .served import NO_ACCESS, REFUSED, UNAVAILABLE, Conditions, Failure, ServedVectorStore
from .sqlite_extension import SCORE, load_extension
from .sqlite_sql import COLLECTIONS, column, conditions, indexes, metadata_of, schema
from .sqlite_thread import ConnectionThread

T = TypeVar("T")

_UNAVAILABLE = {5, 6, 10, 13, 14, 15}  # BUSY LOCKED IOERR FULL CANTOPEN PROTOCOL
_READONLY = {3, 8, 23}  # PERM READONLY AUTH
_AMONG = "id IN (SELECT value FROM json_each(?))"


class SQLiteVectorStore(ServedVectorStore):
    """Vectors in a SQLite file, which may be that of the sessions.

    Args:
        path: The file; ":memory:" keeps nothing. Its folder must exist.
        dimension: Of every vector.
        table: Name of the table: letters, digits and underscores.
        indexed_keys: Payload keys by which conditions are usually put; each has an index.
        timeout: Seconds to wait while another process writes.
        synchronous: FULL survives a loss of power, NORMAL loses the last writes then, and writes faster.
        search: "memory" holds the vectors as a matrix, "sqlite-vec" reads them from the file with that extension;
            "auto" is the former where NumPy is installed, else the latter where it can be loaded.
    """

    name = "sqlite"
    most_points = 1_000_000  # all of a call in one transaction
    most_bytes = 1 << 62
    most_ids = 1_000_000

    def __init__(
        self,
        path: str | Path,
        *,
        dimension: int,
        table: str = "vectors",
        indexed_keys: Sequence[str] = ("session_id", "user_id"),
        timeout: float = 30.0,
        synchronous: str = "FULL",
        search: Literal["auto", "memory", "sqlite-vec"] = "auto",
    ) -> None:
        super().__init__(check_identifier(table, self.name, "table"), dimension, timeout)
        if synchronous.upper() not in ("FULL", "NORMAL"):
            raise MemoryConfigurationError(f"synchronous must be FULL or NORMAL, got {synchronous!r}", self.name)
        if search not in ("auto", "memory", "sqlite-vec"):
            raise MemoryConfigurationError(f"search must be auto, memory or sqlite-vec, got {search!r}", self.name)
        self.path, self._search, self._in_sql = str(path), search, False
        self._indexed = [check_key(key) for key in indexed_keys]
        self._busy_seconds, self._timeout = timeout, None  # SQLite itself gives up, and says that it was locked
        self._synchronous = synchronous.upper()
        self._thread: ConnectionThread | None = None
        self._index = ExactIndex(dimension)
        self._revision = -1

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of SQLite's means."""
        if not isinstance(error, sqlite3.Error):
            return None
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in _UNAVAILABLE:
            return UNAVAILABLE._replace(suggestion="check that the file can be written, and that nobody locks it")
        return (
            NO_ACCESS._replace(suggestion="make the file and its folder writable") if primary in _READONLY else REFUSED
        )

    # --- the thread -------------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._thread is not None
        return await self._thread.run(work)

    def _open_file(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._choose_search(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _choose_search(self, connection: sqlite3.Connection) -> None:
        wanted = self._search == "sqlite-vec" or (self._search == "auto" and exact.np is None)
        self._in_sql = wanted and load_extension(connection)
        if self._search == "sqlite-vec" and not self._in_sql:
            raise MemoryConfigurationError(
                "sqlite-vec is not installed, or this Python's sqlite3 cannot load extensions",
                self.name,
                suggestion="pip install sqlite-vec, and a Python built with --enable-loadable-sqlite-extensions",
            )

    async def _connect(self) -> None:
        self._thread = ConnectionThread(self._open_file, sqlite3.Error)
        await self._run(self._make)

    async def _release(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()
        self._index, self._revision = ExactIndex(self.dimension), -1

    def _make(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        known = f"SELECT dimension FROM {COLLECTIONS} WHERE name = ?"
        for statement in schema(self.collection):
            connection.execute(statement)
        found = connection.execute(known, [self.collection]).fetchone()
        if found is None:
            self._adopt(connection)
        elif found[0] != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=found[0], wanted=self.dimension)
        for statement in indexes(self.collection, self._indexed):
            connection.execute(statement)
        connection.execute("COMMIT")

    def _adopt(self, connection: sqlite3.Connection) -> None:
        """Take over a table, which is empty or from version 0.2: its rows are made payloads, once."""
        table, others = self.collection, [self.dimension]
        found = connection.execute(f'SELECT dimension FROM "{table}" WHERE dimension <> ? LIMIT 1', others).fetchone()
        if found is not None:
            raise wrong_dimension(self.name, table, found=found[0], wanted=self.dimension)
        connection.execute(f"INSERT INTO {COLLECTIONS} VALUES (?, ?, 0)", [table, self.dimension])
        rows = connection.execute(f'SELECT id, content, metadata, timestamp FROM "{table}"').fetchall()
        for point_id, content, metadata, timestamp in rows:
            try:
                payload = to_payload(content or "", json.loads(metadata or "{}"), timestamp and str(timestamp))
            except (TypeError, ValueError, AttributeError) as exc:
                raise CorruptRecordError(self.name, repr(point_id), exc) from exc
            connection.execute(f'UPDATE "{table}" SET metadata = ? WHERE id = ?', [metadata_of(payload), point_id])

    # --- the matrix -------------------------------------------------------------------------------------------------

    def _current(self, connection: sqlite3.Connection) -> int:
        """Return the number of the last change that this transaction sees."""
        found = connection.execute(f"SELECT revision FROM {COLLECTIONS} WHERE name = ?", [self.collection]).fetchone()
        if found is None:
            raise self.failed("read", None, Failure(False, "the collection was dropped: close and open the store"))
        return int(found[0])

    def _synced(self, connection: sqlite3.Connection) -> ExactIndex:
        """Return the index as of this transaction."""
        revision = self._current(connection)
        if revision != self._revision:
            rows = connection.execute(f'SELECT id, embedding FROM "{self.collection}"').fetchall()
            bad = next((name for name, data in rows if len(data) != 4 * self.dimension), None)
            if bad is not None:
                raise CorruptRecordError(self.name, repr(bad))
            self._index, self._revision = ExactIndex.of(self.dimension, rows), revision
        return self._index

    def _change(self, connection: sqlite3.Connection, work: Callable[[], object], apply: Callable[[], None]) -> None:
        """Do `work` in the open transaction and commit; if the index was up to date before, it is so afterwards."""
        before = self._current(connection)
        work()
        after = self._current(connection)
        connection.execute("COMMIT")
        if before == self._revision:
            apply()
            self._revision = after

    # --- calls ------------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._run(lambda connection: connection.execute("SELECT 1").fetchone())

    async def _count(self) -> int:
        sql = f'SELECT count(*) FROM "{self.collection}"'
        return await self._run(lambda connection: int(connection.execute(sql).fetchone()[0]))

    async def _write(self, points: list[CheckedPoint]) -> None:
        columns = ("content", "embedding", "metadata", "timestamp", "dimension")
        sql = (
            f'INSERT INTO "{self.collection}" (id, {", ".join(columns)}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?) '
            f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns)}"
        )
        now = datetime.now(UTC).isoformat()
        rows = [
            (
                point.id,
                column(point.payload, CONTENT),
                pack(point.vector),
                metadata_of(point.payload),
                column(point.payload, TIMESTAMP),
                self.dimension,
                now,
            )
            for point in points
        ]

        def write(connection: sqlite3.Connection) -> None:
            def apply() -> None:
                for point in points:
                    self._index.put(point.id, point.vector)

            connection.execute("BEGIN IMMEDIATE")
            self._change(connection, lambda: connection.executemany(sql, rows), apply)

        await self._run(write)

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        text, values = conditions(where)

        def ask(connection: sqlite3.Connection) -> list[VectorHit]:
            if self._in_sql:
                sql = (
                    f"SELECT id, {SCORE} AS score, content, metadata, timestamp "
                    f'FROM "{self.collection}" WHERE {text} ORDER BY score DESC, id LIMIT ?'
                )
                rows = connection.execute(sql, [pack(vector), *values, limit])
                return [VectorHit(row[0], row[1], self._payload(row[0], *row[2:])) for row in rows]
            connection.execute("BEGIN")  # one view of the table for all three statements
            index = self._synced(connection)
            among: list[str] | None = None
            if where:
                found = connection.execute(f'SELECT id FROM "{self.collection}" WHERE {text}', values)
                among = [row[0] for row in found]
            nearest = index.nearest(vector, limit, among)
            payloads = self._payloads(connection, [point_id for point_id, _ in nearest])
            return [VectorHit(point_id, score, payloads[point_id]) for point_id, score in nearest]

        return await self._run(ask)

    def _payloads(self, connection: sqlite3.Connection, ids: list[str]) -> dict[str, dict[str, Scalar | list[str]]]:
        sql = f'SELECT id, content, metadata, timestamp FROM "{self.collection}" WHERE {_AMONG}'
        return {row[0]: self._payload(*row) for row in connection.execute(sql, [json.dumps(ids)])}

    def _payload(self, point_id: str, content: Any, metadata: Any, timestamp: Any) -> dict[str, Scalar | list[str]]:
        try:
            payload: dict[str, Scalar | list[str]] = {**json.loads(metadata)}
        except (TypeError, ValueError) as exc:
            raise CorruptRecordError(self.name, repr(point_id), exc) from exc
        for key, value in ((CONTENT, content), (TIMESTAMP, timestamp)):
            if value not in (None, ""):
                payload.setdefault(key, value)
        return payload

    async def _delete_ids(self, ids: list[str]) -> int:
        return await self._delete(_AMONG, [json.dumps(ids)])

    async def _delete_where(self, where: Conditions) -> int:
        return await self._delete(*conditions(where))

    async def _delete(self, text: str, values: list[Any]) -> int:
        def delete(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute(f'SELECT id FROM "{self.collection}" WHERE {text}', values)
            ids = [row[0] for row in found]
            sql = f'DELETE FROM "{self.collection}" WHERE {_AMONG}'

            def apply() -> None:
                for point_id in ids:
                    self._index.drop(point_id)

            self._change(connection, lambda: connection.execute(sql, [json.dumps(ids)]), apply)
            return len(ids)

        return await self._run(delete)

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        sql = f'SELECT id, content, metadata, timestamp, embedding FROM "{self.collection}" WHERE {_AMONG}'

        def fetch(connection: sqlite3.Connection) -> list[VectorPoint]:
            rows = connection.execute(sql, [json.dumps(ids)]).fetchall()
            return [VectorPoint(row[0], unpack(row[4]).tolist(), self._payload(*row[:4])) for row in rows]

        return await self._run(fetch)

    async def list_ids(self, *, limit: int, after: str | None = None, where: Where | None = None) -> list[str]:
        """Return a page of ids in ascending order, those above `after`; read from the primary key."""
        text, values = conditions(check_where(where))
        values += ["" if after is None else check_id(after), check_limit(limit)]
        sql = f'SELECT id FROM "{self.collection}" WHERE {text} AND id > ? ORDER BY id LIMIT ?'
        self._ready()
        async with self.calling("list_ids"):
            return await self._run(lambda connection: [row[0] for row in connection.execute(sql, values)])

    async def _details(self) -> dict[str, Any]:
        def size(connection: sqlite3.Connection) -> int:
            (pages,), (each,) = (
                connection.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size")
            )
            return int(pages * each)

        return sizes("database", await self._run(size))

    async def _drop(self, collection: str) -> bool:
        table = check_identifier(collection, self.name, "table")

        def drop(connection: sqlite3.Connection) -> bool:
            connection.execute("BEGIN IMMEDIATE")
            known = connection.execute(f"DELETE FROM {COLLECTIONS} WHERE name = ?", [table]).rowcount > 0
            if known:  # otherwise it is a table of somebody else's
                connection.execute(f'DROP TABLE "{table}"')
            connection.execute("COMMIT")
            return known

        return await self._run(drop)

    def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        raise NotImplementedError  # list_ids() does without
