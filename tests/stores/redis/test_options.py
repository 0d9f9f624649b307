"""The shared rules again, under options that change how something is stored or sent."""

from __future__ import annotations

import pytest

from langswarm_memory.repository.protocol import MemoryRepository
from langswarm_memory.testing.appends import AppendRules
from langswarm_memory.testing.content import ContentRules
from langswarm_memory.testing.deletions import DeletionRules
from langswarm_memory.testing.lifecycle import LifecycleRules
from langswarm_memory.testing.listings import ListingRules
from tests.services.redis import RedisService
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")


class TestCompressed(AppendRules, ContentRules):
    @pytest.fixture
    async def repository(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> MemoryRepository:
        monkeypatch.setattr("langswarm_memory.repository.redis.layout.COMPRESS_FROM", 0)
        backend = make(compression=True)
        await backend.connect()
        return backend.repository


class TestFormerProtocol(LifecycleRules, ListingRules, DeletionRules):
    """RESP2, which older servers and some proxies speak alone."""

    @pytest.fixture
    async def repository(self, make: Make, redis_server: RedisService) -> MemoryRepository:
        backend = make(url=f"{redis_server.url}?protocol=2")
        await backend.connect()
        return backend.repository
