"""Every store of the project under the shipped suites."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.repository.protocol import MemoryRepository
from langswarm_memory.testing import BackendConformance, RepositoryConformance
from langswarm_memory.testing.concurrency import ConcurrencyRules
from langswarm_memory.testing.content import each
from langswarm_memory.testing.deletions import DeletionRules
from langswarm_memory.testing.lifecycle import LifecycleRules
from langswarm_memory.testing.listings import ListingRules
from langswarm_memory.testing.samples import VALUES, exact_message, filled, read
from langswarm_memory.testing.search import SearchRules
from tests.conformance.stores import SQL_STORES, STORES, MakeBackend, no_connection_left_out, opened
from tests.services.postgres import execute


class TestRepository(RepositoryConformance):
    @pytest.fixture(params=STORES)
    async def repository(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryRepository]:
        async with opened(STORES[request.param](request, tmp_path)()) as repository:
            yield repository


class TestBackend(BackendConformance):
    @pytest.fixture(params=STORES)
    def make_backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeBackend]:
        with no_connection_left_out():
            yield STORES[request.param](request, tmp_path)


class SomeRules(LifecycleRules, ListingRules, ConcurrencyRules, DeletionRules, SearchRules):
    """Enough to meet every statement that a setting may change."""


@pytest.mark.store("postgres")
class TestPostgresInSchemaOfItsOwn(SomeRules):
    SCHEMA = 'Agents\' "memory"'

    @pytest.fixture
    async def repository(self, postgres_database: str) -> AsyncIterator[MemoryRepository]:
        quoted = self.SCHEMA.replace('"', '""')
        execute(postgres_database, f'DROP SCHEMA IF EXISTS "{quoted}" CASCADE')
        async with opened(PostgresBackend(url=postgres_database, schema=self.SCHEMA)) as repository:
            yield repository


@pytest.mark.store("sqlite")
class TestSQLiteWithFewerSyncs(SomeRules):
    @pytest.fixture
    async def repository(self, tmp_path: Path) -> AsyncIterator[MemoryRepository]:
        path = str(tmp_path / "memory.db")
        async with opened(SQLiteBackend(db_path=path, synchronous="NORMAL", pool_size=1)) as repository:
            yield repository


@pytest.mark.parametrize("store", SQL_STORES)
async def test_messages_move_between_stores_without_loss(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    messages = list(each(VALUES, lambda value: {"metadata": {"key": value}, "name": "n", "content": [value]}).values())
    before = [exact_message(message) for message in messages]
    async with (
        opened(InMemoryBackend()) as first,
        opened(InMemoryBackend()) as last,
        opened(STORES[store](request, tmp_path)()) as relational,  # innermost: each watches every pool until it ends
    ):
        await filled(first, messages)
        await filled(relational, await read(first))
        await filled(last, await read(relational))
        assert [exact_message(message) for message in await read(last)] == before


def test_connection_that_is_not_given_back_is_noticed() -> None:
    engine = create_engine("sqlite://")
    with pytest.raises(AssertionError, match="not given back"), no_connection_left_out():
        connection = engine.connect()
    connection.close()
    engine.dispose()
