"""The stores that the suites run on, opened empty, and watched for connections that are not given back."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.repository.protocol import MemoryRepository
from tests.conformance.store_bigquery import bigquery
from tests.conformance.store_elasticsearch import elasticsearch
from tests.conformance.store_mongodb import mongodb, mongodb_transactions
from tests.conformance.store_redis import redis, redis_cluster, redis_stack
from tests.services.postgres import execute

MakeBackend = Callable[..., BaseMemoryBackend]


def in_memory(request: pytest.FixtureRequest, folder: Path) -> MakeBackend:
    return InMemoryBackend


def sqlite(request: pytest.FixtureRequest, folder: Path) -> MakeBackend:
    path = folder / "memory.db"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return lambda **options: SQLiteBackend(**{"db_path": str(path), **options})


def sqlite_memory(request: pytest.FixtureRequest, folder: Path) -> MakeBackend:
    return lambda **options: SQLiteBackend(**{"db_path": ":memory:", **options})


def postgres(request: pytest.FixtureRequest, folder: Path) -> MakeBackend:
    url = request.getfixturevalue("postgres_database")
    execute(url, "DELETE FROM sessions")  # of the test before; everything else goes with them
    return lambda **options: PostgresBackend(**{"url": url, **options})


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], MakeBackend]] = {
    "in_memory": in_memory,
    "sqlite": sqlite,
    "sqlite-memory": sqlite_memory,
    "postgres": postgres,
    "redis": redis,
    "redis-stack": redis_stack,
    "redis-cluster": redis_cluster,
    "mongodb": mongodb,
    "mongodb-transactions": mongodb_transactions,
    "elasticsearch": elasticsearch,
    "bigquery": bigquery,
}
SQL_STORES = ("sqlite", "sqlite-memory", "postgres")


@contextmanager
def no_connection_left_out() -> Iterator[None]:
    """Fail if, at the end, a connection of any SQLAlchemy pool is still in somebody's hands."""
    out: dict[int, str] = {}

    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        out[id(record)] = type(connection).__name__

    def given_back(_connection: Any, record: Any) -> None:
        out.pop(id(record), None)

    event.listen(Pool, "checkout", taken)
    event.listen(Pool, "checkin", given_back)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", taken)
        event.remove(Pool, "checkin", given_back)
    assert list(out.values()) == [], "connections were not given back"


@asynccontextmanager
async def opened(backend: BaseMemoryBackend) -> AsyncIterator[MemoryRepository]:
    """Open a backend's repository, and close it."""
    with no_connection_left_out():
        repository = backend.repository
        await repository.open()
        try:
            yield repository
        finally:
            await repository.close()
