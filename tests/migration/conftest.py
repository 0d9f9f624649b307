"""Stores to move from and to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from langswarm_memory import InMemoryBackend, PostgresBackend, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from tests.migration.stored import fill

Maker = Callable[[str], BaseMemoryBackend]


@pytest.fixture
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Maker]:
    """Make an empty store of a kind; the kinds are different stores, each can be had once."""
    made: list[BaseMemoryBackend] = []

    def maker(kind: str) -> BaseMemoryBackend:
        backend: BaseMemoryBackend
        if kind == "in_memory":
            backend = InMemoryBackend()
        elif kind == "sqlite":
            backend = SQLiteBackend(db_path=str(tmp_path / f"memory-{len(made)}.db"))
        elif kind == "postgres":
            backend = PostgresBackend(url=request.getfixturevalue("postgres_url"), max_size=4)
        else:
            from langswarm_memory.backends.redis import RedisBackend

            url, prefix = request.getfixturevalue("redis_server").url, request.getfixturevalue("redis_prefix")
            backend = RedisBackend(url=url, key_prefix=prefix)
        made.append(backend)
        return backend

    yield maker
    for backend in made:
        await backend.disconnect()


@pytest.fixture
async def source() -> AsyncIterator[BaseMemoryBackend]:
    """A store with every kind of session."""
    async with InMemoryBackend() as backend:
        yield await fill(backend)


@pytest.fixture
async def target() -> AsyncIterator[BaseMemoryBackend]:
    """An empty store, for facts that are the same on every one."""
    async with InMemoryBackend() as backend:
        yield backend
