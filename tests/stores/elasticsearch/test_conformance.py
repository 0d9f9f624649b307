"""The shared rules under settings other than the defaults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from langswarm_memory.repository.protocol import MemoryRepository
from langswarm_memory.testing.concurrency import ConcurrencyRules
from langswarm_memory.testing.deletions import DeletionRules
from langswarm_memory.testing.indexes import IndexRules
from langswarm_memory.testing.lifecycle import LifecycleRules
from langswarm_memory.testing.listings import ListingRules
from langswarm_memory.testing.rewrites import RewriteRules
from langswarm_memory.testing.search import SearchRules
from tests.conformance.store_elasticsearch import empty
from tests.services.elasticsearch import ElasticsearchService

pytestmark = pytest.mark.store("elasticsearch")


@pytest.fixture(scope="module")
def shards(elasticsearch_server: ElasticsearchService) -> Iterator[str]:
    """A prefix of indexes of three shards."""
    with elasticsearch_server.fresh_prefix() as prefix:
        yield prefix


class TestThreeShardsRefreshedByEachAppend(
    LifecycleRules, ListingRules, ConcurrencyRules, DeletionRules, RewriteRules, IndexRules, SearchRules
):
    @pytest.fixture
    async def repository(
        self, elasticsearch_server: ElasticsearchService, shards: str
    ) -> AsyncIterator[MemoryRepository]:
        empty(elasticsearch_server, shards)
        options: dict[str, Any] = {"index_prefix": shards, "refresh": True, "shards": 3, "replicas": 0}
        async with ElasticsearchBackend(elasticsearch_server.url, **options) as backend:
            yield backend.repository


class TestAppendsThatWaitForARefresh(ConcurrencyRules, DeletionRules):
    @pytest.fixture
    async def repository(
        self, elasticsearch_server: ElasticsearchService, prefix: str, raw: AsyncElasticsearch
    ) -> AsyncIterator[MemoryRepository]:
        options: dict[str, Any] = {"index_prefix": prefix, "refresh": "wait_for", "replicas": 0}
        async with ElasticsearchBackend(elasticsearch_server.url, **options) as backend:
            index = backend.get_index_name("messages")
            await raw.indices.put_settings(index=index, settings={"index": {"refresh_interval": "20ms"}})
            yield backend.repository
            await raw.indices.put_settings(index=index, settings={"index": {"refresh_interval": None}})
