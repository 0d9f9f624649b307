"""What the servers' addresses in the pages stand for: a place of a server of ours that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.services.bigquery import BigQueryService
from tests.services.elasticsearch import ElasticsearchService
from tests.services.redis import RedisService

DATABASE = 9  # of the shared Redis; tests with a prefix use 0


@pytest.fixture
def postgres_address(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def mongodb_address(mongodb_url: str) -> str:
    return mongodb_url


@pytest.fixture
def redis_address(redis_server: RedisService) -> Iterator[str]:
    url = f"{redis_server.url.rstrip('/')}/{DATABASE}"
    yield url
    with redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture
def elasticsearch_address(elasticsearch_server: ElasticsearchService) -> Iterator[str]:
    yield elasticsearch_server.url
    elasticsearch_server.remove("langswarm_memory")


@pytest.fixture
def bigquery_address(bigquery_server: BigQueryService) -> Iterator[str]:
    yield bigquery_server.endpoint
    bigquery_server.remove("langswarm_memory")
