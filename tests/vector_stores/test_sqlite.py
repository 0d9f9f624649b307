"""The SQLite vector store: its table, its memory of the vectors, files of version 0.2, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.errors import (
    CorruptRecordError,
    MemoryConfigurationError,
    NotConnectedError,
    VectorStoreError,
)
from langswarm_memory.interfaces.records import SessionMetadata
from langswarm_memory.vector_stores import exact
from langswarm_memory.vector_stores import sqlite as sqlite_store
from langswarm_memory.vector_stores.interfaces import VectorQuery, VectorStoreConfig
from langswarm_memory.vector_stores.native import NativeSQLiteStore
from langswarm_memory.vector_stores.protocol import VectorPoint
from langswarm_memory.vector_stores.sqlite import SQLiteVectorStore

pytestmark = pytest.mark.store("sqlite")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteVectorStore]:
    store = SQLiteVectorStore(path, dimension=2)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


async def test_stored_row(store: SQLiteVectorStore, other: sqlite3.Connection) -> None:
    payload = {"content": "täxt", "timestamp": "2100", "user_id": "ü", "n": 1.5, "tags": ["a"]}
    await store.upsert([VectorPoint("id", [1.5, -2.0], payload)])
    (row,) = other.execute("SELECT id, content, embedding, metadata, timestamp, dimension FROM vectors")
    metadata = '{"user_id": "ü", "n": 1.5, "tags": ["a"]}'
    assert row == ("id", "täxt", struct.pack("<2f", 1.5, -2.0), metadata, "2100", 2)


async def test_condition_on_an_indexed_key_reads_an_index(store: SQLiteVectorStore, other: sqlite3.Connection) -> None:
    statements: list[str] = []
    await store.upsert([VectorPoint("a", [1, 0], {"user_id": "u"})])
    await store._run(lambda connection: connection.set_trace_callback(statements.append))
    await store.query([1, 0], limit=1, where={"user_id": "u"})
    (asked,) = [text for text in statements if text.startswith("SELECT id FROM") and "json_type" in text]
    plan = " ".join(row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {asked}"))
    assert "vectors_user_id" in plan
    assert "SCAN vectors" not in plan


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("DELETE FROM vectors WHERE id = 'a'", ["b"]),
        ("UPDATE vectors SET embedding = x'0000803f000080bf' WHERE id = 'a'", ["b", "a"]),
        ("INSERT INTO vectors SELECT 'c', content, embedding, metadata, '', dimension, '' FROM vectors", ["a", "b"]),
    ],
)
async def test_change_by_hand_is_seen(
    store: SQLiteVectorStore, other: sqlite3.Connection, change: str, left: list[str]
) -> None:
    await store.upsert([VectorPoint("a", [1, 0.1])])
    assert len(await store.query([1, 0.1], limit=9)) == 1
    await store.upsert([VectorPoint("b", [1, 0.2])])
    if change.startswith("INSERT"):
        other.execute(change + " WHERE id = 'a'")
        assert await store.count() == 3
        assert [hit.id for hit in await store.query([1, 0.1], limit=9)] == ["a", "c", "b"]
    else:
        other.execute(change)
        assert [hit.id for hit in await store.query([1, 0.2], limit=9)] == left


async def test_vectors_are_read_once(store: SQLiteVectorStore) -> None:
    await store.upsert([VectorPoint("a", [1, 0])])
    await store.query([1, 0], limit=1)
    statements: list[str] = []
    await store._run(lambda connection: connection.set_trace_callback(statements.append))
    await store.upsert([VectorPoint("b", [0, 1])])
    await store.delete(ids=["a"])
    (hit,) = await store.query([1, 0], limit=2)
    assert hit.id == "b"
    assert [text for text in statements if "SELECT id, embedding" in text] == []


async def test_table_of_the_sessions_may_lie_in_the_same_file(store: SQLiteVectorStore, path: Path) -> None:
    async with SQLiteBackend(db_path=str(path)) as backend:
        await backend.create_session(SessionMetadata("s"))
        await store.upsert([VectorPoint("a", [1, 0])])
    assert await store.count() == 1


async def test_collections_of_one_file_are_apart(store: SQLiteVectorStore, path: Path) -> None:
    second = SQLiteVectorStore(path, dimension=3, table="second")
    await second.open()
    await second.upsert([VectorPoint("a", [1, 0, 0])])
    await second.close()
    assert await store.count() == 0


async def test_file_that_is_locked_is_worth_another_try(path: Path) -> None:
    store = SQLiteVectorStore(path, dimension=2, timeout=0.01)
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(VectorStoreError) as caught:
            await store.upsert([VectorPoint("a", [1, 0])])
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    await store.upsert([VectorPoint("a", [1, 0])])
    await store.close()


async def test_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(VectorStoreError, match="CANTOPEN"):
        await SQLiteVectorStore(tmp_path / "no" / "vectors.db", dimension=2).open()


def test_file_that_is_no_database_is_told(path: Path) -> None:
    path.write_text("no database at all, but long enough to look at" * 40)
    with pytest.raises(VectorStoreError, match="NOTADB") as caught:
        asyncio.run(SQLiteVectorStore(path, dimension=2).open())
    assert not caught.value.retryable


@pytest.mark.parametrize("column", ["embedding = x'00'", "metadata = '1'"])
async def test_row_that_cannot_be_read_is_corrupt(
    store: SQLiteVectorStore, other: sqlite3.Connection, column: str
) -> None:
    await store.upsert([VectorPoint("the id", [1, 0])])
    other.execute(f"UPDATE vectors SET {column}")
    with pytest.raises(CorruptRecordError, match="the id"):
        await store.query([1, 0], limit=1)


async def test_upsert_whose_caller_gives_up_is_whole(store: SQLiteVectorStore) -> None:
    task = asyncio.ensure_future(store.upsert([VectorPoint(f"p{number}", [1, number]) for number in range(500)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.count() in (0, 500)
    assert len(await store.query([1, 0], limit=1_000)) == await store.count()


async def test_batch_that_fails_is_stored_not_at_all(store: SQLiteVectorStore, other: sqlite3.Connection) -> None:
    other.execute("CREATE TRIGGER no BEFORE INSERT ON vectors WHEN new.id = 'b' BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(VectorStoreError):
        await store.upsert([VectorPoint("a", [1, 0]), VectorPoint("b", [1, 0])])
    assert await store.count() == 0
    assert await store.query([1, 0], limit=1) == []


async def test_store_that_is_not_open_says_so(path: Path) -> None:
    with pytest.raises(NotConnectedError):
        await SQLiteVectorStore(path, dimension=2).count()


@pytest.mark.parametrize(
    "options",
    [
        {"table": 'v"; --'},
        {"table": ""},
        {"dimension": 0},
        {"synchronous": "OFF"},
        {"search": "fast"},
        {"indexed_keys": ["a b"]},
    ],
)
def test_option_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SQLiteVectorStore(":memory:", **{"dimension": 2, **options})


async def test_dropped_table_is_gone_with_what_belongs_to_it(store: SQLiteVectorStore, path: Path) -> None:
    await store.upsert([VectorPoint("a", [1, 0])])
    assert await store.drop("vectors")
    assert not await store.drop("vectors")
    with pytest.raises(VectorStoreError):
        await store.query([1, 0], limit=1)
    await store.close()
    again = SQLiteVectorStore(path, dimension=3)
    await again.open()
    assert await again.count() == 0
    await again.close()


async def test_table_of_somebody_else_is_not_dropped(store: SQLiteVectorStore, other: sqlite3.Connection) -> None:
    other.execute("CREATE TABLE precious (id TEXT)")
    assert not await store.drop("precious")
    assert other.execute("SELECT count(*) FROM precious").fetchone() == (0,)


async def test_extension_that_cannot_be_loaded_is_told_when_it_was_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    with pytest.raises(MemoryConfigurationError, match="sqlite-vec"):
        await SQLiteVectorStore(path, dimension=2, search="sqlite-vec").open()


@pytest.mark.parametrize(("numpy", "used"), [(True, False), (False, True)])
async def test_extension_is_used_where_numpy_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch, numpy: bool, used: bool
) -> None:
    monkeypatch.setattr(sqlite_store, "sqlite3", pytest.importorskip("pysqlite3.dbapi2"))
    if not numpy:
        monkeypatch.setattr(exact, "np", None)
    statements: list[str] = []
    store = SQLiteVectorStore(path, dimension=2)
    await store.open()
    await store._run(lambda connection: connection.set_trace_callback(statements.append))
    await store.query([1, 0], limit=1)
    await store.close()
    assert any("vec_distance_cosine" in text for text in statements) == used


# --- files of version 0.2 ---------------------------------------------------------------------------------------------

OLD_TABLE = (
    "CREATE TABLE vectors (id TEXT PRIMARY KEY, content TEXT NOT NULL, embedding BLOB NOT NULL, "
    "metadata TEXT NOT NULL, timestamp TEXT NOT NULL, dimension INTEGER NOT NULL, "
    "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)
OLD_ROWS: dict[str, tuple[str, list[float], str]] = {
    "s1_m1": ("hello", [1.0, 0.0], '{"session_id": "s1", "role": "user", "timestamp": "2024-05-01T09:59:59"}'),
    "s1_m2": ("", [0.0, 1.0], "{}"),
    "nested": ("deep", [1.0, 1.0], '{"session_id": "s2", "deep": {"a": [1, null]}, "odd key": 1}'),
    "nan": ("not a number", [-1.0, 0.0], '{"session_id": "s2", "x": NaN}'),
    "zero": ("no direction", [0.0, 0.0], '{"session_id": "s3"}'),
}


@pytest.fixture
def old_file(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(OLD_TABLE)
        connection.execute("CREATE INDEX idx_vectors_timestamp ON vectors (timestamp)")
        connection.execute("CREATE INDEX idx_vectors_dimension ON vectors (dimension)")
        for name, (content, vector, metadata) in OLD_ROWS.items():
            row = (name, content, struct.pack("<2f", *vector), metadata, "2024-05-01T10:00:00", 2)
            connection.execute(
                "INSERT INTO vectors (id, content, embedding, metadata, timestamp, dimension) VALUES (?,?,?,?,?,?)", row
            )
    return path


@pytest.fixture
async def old_store(old_file: Path) -> AsyncIterator[NativeSQLiteStore]:
    store = NativeSQLiteStore(VectorStoreConfig("sqlite", {"db_path": str(old_file)}, 2))
    await store.connect()
    yield store
    await store.disconnect()


async def test_documents_of_an_old_file_are_read_exactly(old_store: NativeSQLiteStore) -> None:
    for name, (content, vector, metadata) in OLD_ROWS.items():
        document = await old_store.get_document(name)
        assert document is not None
        assert document.timestamp is not None
        assert (document.content, list(document.embedding)) == (content, vector)
        assert json.dumps(document.metadata, sort_keys=True) == json.dumps(json.loads(metadata), sort_keys=True)
        assert document.timestamp.isoformat() == "2024-05-01T10:00:00+00:00"


async def test_documents_of_an_old_file_are_found(old_store: NativeSQLiteStore) -> None:
    hits = await old_store.query(VectorQuery([1.0, 0.0], top_k=3))
    assert [(hit.id, round(hit.score, 3)) for hit in hits] == [("s1_m1", 1.0), ("nested", 0.707), ("s1_m2", 0.0)]
    hits = await old_store.query(VectorQuery([1.0, 0.0], filters={"session_id": "s2"}))
    assert [hit.id for hit in hits] == ["nested", "nan"]


async def test_documents_are_added_to_an_old_file(old_store: NativeSQLiteStore, old_file: Path) -> None:
    await old_store.store.upsert([VectorPoint("new", [2.0, 0.0]), VectorPoint("s1_m1", [0.0, 3.0], {"n": 1})])
    assert await old_store.store.count() == 6
    document = await old_store.get_document("s1_m1")
    assert document is not None
    assert document.metadata == {"n": 1}


async def test_old_file_of_another_dimension_is_refused(old_file: Path) -> None:
    store = NativeSQLiteStore(VectorStoreConfig("sqlite", {"db_path": str(old_file)}, 3))
    with pytest.raises(MemoryConfigurationError, match=r"\b2\b.*\b3\b"):
        await store.connect()


async def test_old_file_whose_metadata_is_broken_is_left_as_it_is(old_file: Path) -> None:
    with closing(sqlite3.connect(old_file)) as connection, connection:
        connection.execute("UPDATE vectors SET metadata = '{' WHERE id = 'nested'")
    store = NativeSQLiteStore(VectorStoreConfig("sqlite", {"db_path": str(old_file)}, 2))
    with pytest.raises(CorruptRecordError, match="nested"):
        await store.connect()
    with closing(sqlite3.connect(old_file)) as connection:
        rows = dict(connection.execute("SELECT id, metadata FROM vectors"))
    assert rows["s1_m1"] == OLD_ROWS["s1_m1"][2]
