"""Databases with the schema in place, made once: most tests ask what a store does, not how it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from tests.conformance.store_bigquery import bigquery_shared_dataset  # noqa: F401
from tests.conformance.store_elasticsearch import elasticsearch_memory  # noqa: F401
from tests.services.postgres import PostgresService


def make_schema(backend: BaseMemoryBackend) -> None:
    async def connect() -> None:
        async with backend:
            pass

    with ThreadPoolExecutor(1) as thread:  # a fixture may be set up while the test's event loop runs
        thread.submit(asyncio.run, connect()).result()


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "memory.db"
    make_schema(SQLiteBackend(db_path=str(path)))
    return path


@pytest.fixture(scope="module")
def postgres_database(postgres_server: PostgresService) -> Iterator[str]:
    """URL of a database that the module's tests use one after the other."""
    with postgres_server.fresh_database() as url:
        make_schema(PostgresBackend(url=url))
        yield url
