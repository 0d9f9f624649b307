from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from langswarm_memory import MemoryManager, context, create_memory_manager, registry, set_memory_manager
from tests.compat import model_api
from tests.services.redis import RedisService

ENVIRONMENT = ("LANGSWARM_MEMORY_URL", "REDIS_URL", "REDIS_HOST", "REDISCLOUD_URL", "REDIS_TLS_URL")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder, with nothing that names a store; forget the global manager and registered backends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    yield
    set_memory_manager(None)


@pytest.fixture
async def memory() -> AsyncIterator[MemoryManager]:
    """The global manager, over a SQLite file."""
    manager = create_memory_manager("sqlite", db_path="memory.db")
    assert manager is not None
    set_memory_manager(manager)
    async with manager:
        yield manager


@pytest.fixture
async def leftovers() -> AsyncIterator[Callable[[Any], Any]]:
    """Takes backends and managers that a block leaves open, and closes them."""
    kept: list[Any] = []
    yield kept.append
    for one in kept:
        await (one.disconnect() if hasattr(one, "disconnect") else one.stop())
    if (manager := context.get_global_memory_manager()) is not None:
        await manager.stop()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[model_api.ModelAPI]:
    """A server of the models' APIs, which ``openai`` and ``anthropic`` talk to."""
    with model_api.running() as server:
        monkeypatch.setitem(sys.modules, "openai", server.openai())
        monkeypatch.setitem(sys.modules, "anthropic", server.anthropic())
        yield server


@pytest.fixture
def local_redis(redis_server: RedisService, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisService]:
    """Lead connections to localhost:6379, where examples look for Redis, to the tests' own server; empty afterwards."""
    connect, place = asyncio.open_connection, urlsplit(redis_server.url)

    async def open_connection(host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        if (host, port) == ("localhost", 6379):
            host, port = place.hostname, place.port
        return await connect(host, port, **kwargs)

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    yield redis_server
    with Redis.from_url(redis_server.url) as client:
        for key in client.scan_iter("langswarm:memory:*"):
            client.delete(key)
