"""Memories of the AA Kit interface for tests: one of each store, each over a place of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from langswarm_memory.compat.aakit import create_memory
from tests.services.redis import RedisService

STORES = ("memory", "sqlite", "redis", "postgres")


def options_of(store: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what a memory needs to know of its place."""
    if store == "redis":
        server: RedisService = request.getfixturevalue("redis_server")
        return {"url": server.url, "prefix": request.getfixturevalue("redis_prefix")}
    if store == "postgres":
        return {"connection_string": request.getfixturevalue("postgres_url"), "pool_size": 2}
    return {"db_path": "memory.db"} if store == "sqlite" else {}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Name of a store."""
    return str(request.param)


@pytest.fixture
async def make(store: str, request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Makes memories over one place of that store, and disconnects them at the end."""
    made: list[Any] = []

    def create(**options: Any) -> Any:
        made.append(create_memory(store, **(options_of(store, request) | options)))
        return made[-1]

    yield create
    for one in made:
        await one.disconnect()


@pytest.fixture
def kept(make: Callable[..., Any]) -> Any:
    """A memory of that store."""
    return make()
