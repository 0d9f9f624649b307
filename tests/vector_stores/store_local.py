"""The vector stores that need no server: in memory, and SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores import exact
from langswarm_memory.vector_stores import sqlite as sqlite_store
from langswarm_memory.vector_stores.memory import InMemoryVectorStore
from langswarm_memory.vector_stores.sqlite import SQLiteVectorStore


def in_memory(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: InMemoryVectorStore(dimension=dimension)


def without_numpy(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    request.getfixturevalue("monkeypatch").setattr(exact, "np", None)
    return in_memory(request, folder)


def sqlite(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: SQLiteVectorStore(folder / "vectors.db", dimension=dimension)


def sqlite_without_numpy(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    request.getfixturevalue("monkeypatch").setattr(exact, "np", None)
    return sqlite(request, folder)


def sqlite_memory(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: SQLiteVectorStore(":memory:", dimension=dimension)


def sqlite_vec(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    # A sqlite3 that can load extensions, as not every Python has: another build of the same module.
    driver = pytest.importorskip("pysqlite3.dbapi2", reason="run: pip install pysqlite3-binary sqlite-vec")
    request.getfixturevalue("monkeypatch").setattr(sqlite_store, "sqlite3", driver)
    return lambda dimension: SQLiteVectorStore(folder / "vectors.db", dimension=dimension, search="sqlite-vec")


STORES = {
    "in_memory": in_memory,
    "in_memory-python": without_numpy,
    "sqlite": sqlite,
    "sqlite-python": sqlite_without_numpy,
    "sqlite-memory": sqlite_memory,
    "sqlite-vec": sqlite_vec,
}
IN_MEMORY = {"in_memory", "in_memory-python", "sqlite-memory"}
