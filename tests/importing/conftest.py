"""Stores to import into."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langswarm_memory import InMemoryBackend, PostgresBackend, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseMemoryBackend]:
    """An empty store of each kind."""
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend()
    elif request.param == "sqlite":
        made = SQLiteBackend(db_path=str(tmp_path / "memory.db"))
    else:
        made = PostgresBackend(url=request.getfixturevalue("postgres_url"), max_size=3)
    yield made
    await made.disconnect()


@pytest.fixture
async def memory() -> AsyncIterator[BaseMemoryBackend]:
    """An empty store, for facts that are the same on every one."""
    made = InMemoryBackend()
    yield made
    await made.disconnect()
