"""A backend on the shared server, and a look past it at the keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from langswarm_memory.backends.redis import RedisBackend
from tests.services.redis import RedisService

Make = Callable[..., RedisBackend]


@pytest.fixture
async def make(redis_server: RedisService, redis_prefix: str) -> AsyncIterator[Make]:
    """Make connected-on-use backends on one empty prefix; sessions do not expire unless asked for."""
    made: list[RedisBackend] = []

    def backend(**options: Any) -> RedisBackend:
        made.append(RedisBackend(**{"url": redis_server.url, "key_prefix": redis_prefix, "ttl": None, **options}))
        return made[-1]

    yield backend
    for each in made:
        await each.disconnect()


@pytest.fixture
def backend(make: Make) -> RedisBackend:
    """A backend on an empty prefix."""
    return make()


@pytest.fixture
async def raw(redis_server: RedisService) -> AsyncIterator[Redis]:
    """The driver's own client."""
    async with Redis.from_url(redis_server.url) as client:
        yield client
