"""Vectors kept under keys: the newest in memory, and all in a file if there is one."""

from __future__ import annotations

import sqlite3
import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import EmbeddingError, describe

KEYS_PER_STATEMENT = 500  # SQLite takes 999 parameters at least
BUSY_SECONDS = 10.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY,
    vector BLOB NOT NULL,
    used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS embeddings_used ON embeddings (used);
"""
NEXT_USE = "SELECT coalesce(max(used), 0) + 1 FROM embeddings"


class MemoryShelf:
    """The most recently used vectors, in memory.

    Args:
        max_entries: How many at most.
    """

    def __init__(self, max_entries: int) -> None:
        self._max = max_entries
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, key: bytes) -> bytes | None:
        """Return a vector, which is then the newest."""
        vector = self._kept.get(key)
        if vector is not None:
            self._kept.move_to_end(key)
        return vector

    def put(self, key: bytes, vector: bytes) -> None:
        """Keep a vector; the one that was unused for longest goes if there are too many."""
        self._kept[key] = vector
        self._kept.move_to_end(key)
        if len(self._kept) > self._max:
            self._kept.popitem(last=False)


class FileShelf:
    """Vectors in an SQLite file, which several processes may share. Its methods block.

    Args:
        path: The file; made where there is none.
        max_entries: How many vectors are kept at most; the least recently used go.
    """

    def __init__(self, path: Path, max_entries: int) -> None:
        self._path, self._max = path, max_entries

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the vectors of these keys that there are, which are then the newest."""
        found: dict[bytes, bytes] = {}
        with self._connection("read") as connection:
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                found.update(connection.execute(f"SELECT key, vector FROM embeddings WHERE key IN ({marks})", part))
            if found:
                (use,) = connection.execute(NEXT_USE).fetchone()
                connection.executemany("UPDATE embeddings SET used = ? WHERE key = ?", ((use, key) for key in found))
        return found

    def put(self, vectors: dict[bytes, bytes]) -> None:
        """Keep vectors."""
        with self._connection("write") as connection:
            (use,) = connection.execute(NEXT_USE).fetchone()
            connection.executemany(
                "INSERT OR REPLACE INTO embeddings (key, vector, used) VALUES (?, ?, ?)",
                ((key, vector, use) for key, vector in vectors.items()),
            )
            connection.execute(
                "DELETE FROM embeddings WHERE key IN (SELECT key FROM embeddings ORDER BY used, key LIMIT "
                "max(0, (SELECT count(*) FROM embeddings) - ?))",
                (self._max,),
            )

    @contextmanager
    def _connection(self, operation: str) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction. One per call: a file costs less to open than a thread to keep."""
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as connection:
                connection.executescript(SCHEMA)
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
        except sqlite3.Error as exc:
            error = EmbeddingError(f"{operation} of the cache", str(self._path), exc)
            error.retryable = describe(exc).endswith(("SQLITE_BUSY", "SQLITE_FULL"))
            raise error from exc


def packed(vector: Iterable[float]) -> bytes:
    """Return a vector as little-endian float32."""
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def unpacked(data: bytes) -> list[float]:
    """Return the vector of such bytes."""
    values = array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield keys[start : start + KEYS_PER_STATEMENT]
