"""A backend of each store for tests that look at what a caller sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from langswarm_memory import BaseMemoryBackend, InMemoryBackend, MemoryManager, PostgresBackend, SQLiteBackend
from tests.services.postgres import PostgresService


@pytest.fixture(scope="module")
def shared_postgres_url(postgres_server: PostgresService) -> Iterator[str]:
    """URL of a database that a module's tests share: making one takes longer than most of them."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseMemoryBackend]:
    """An empty backend of each kind."""
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend()
    elif request.param == "sqlite":
        made = SQLiteBackend(tmp_path / "memory.db", synchronous="OFF")
    else:
        made = PostgresBackend(request.getfixturevalue("shared_postgres_url"))
    async with made:
        yield made
        await made.connect()  # the test may have disconnected it
        while page := await made.list_sessions():
            for metadata in page:
                await made.delete_session(metadata.session_id)


@pytest.fixture
def manager(store: BaseMemoryBackend) -> MemoryManager:
    """A manager over it; the backend is connected and disconnected by `store`."""
    return MemoryManager(store)
