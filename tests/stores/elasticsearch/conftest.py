"""Backends on indexes that the tests use one after the other, and a client to look at what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ClassVar

import pytest
from elastic_transport import ConnectionError as Unreachable
from elasticsearch import AsyncElasticsearch

from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from langswarm_memory.repository.elasticsearch.transport import StreamingNode
from tests.conformance.store_elasticsearch import elasticsearch_memory, empty  # noqa: F401
from tests.services.elasticsearch import ElasticsearchServer, ElasticsearchService

MakeBackend = Callable[..., ElasticsearchBackend]
PASSWORD = "secret"


class Wire(StreamingNode):
    """Notes the requests that are sent, and breaks some as a network would."""

    seen: ClassVar[list[str]] = []
    refuse: ClassVar[str | None] = None
    """Requests of this name do not reach the server."""
    lose: ClassVar[str | None] = None
    """The next request of this name reaches the server, and its answer is lost."""
    meanwhile: ClassVar[tuple[str, Callable[[], Awaitable[Any]]] | None] = None
    """What happens just before the next request of this name is sent."""

    async def perform_request(  # type: ignore[override]  # as in the class above
        self, method: str, target: str, body: bytes | None = None, **options: Any
    ) -> Any:
        name = f"{method} {target.partition('?')[0]}"
        if Wire.refuse is not None and name.endswith(Wire.refuse):
            raise Unreachable("refused by the test")
        if Wire.meanwhile is not None and name.endswith(Wire.meanwhile[0]):
            (_, happen), Wire.meanwhile = Wire.meanwhile, None
            await happen()
        Wire.seen.append(name)
        answer = await super().perform_request(method, target, body=body, **options)
        if Wire.lose is not None and name.endswith(Wire.lose):
            Wire.lose = None
            raise Unreachable("lost by the test")
        return answer


@pytest.fixture
def prefix(elasticsearch_server: ElasticsearchService, elasticsearch_memory: str) -> str:  # noqa: F811
    """The prefix of indexes that hold nothing."""
    empty(elasticsearch_server, elasticsearch_memory)
    return elasticsearch_memory


@pytest.fixture
def make(elasticsearch_server: ElasticsearchService, prefix: str) -> MakeBackend:
    """Make a backend on the empty indexes, not connected."""
    return lambda **options: ElasticsearchBackend(
        **{"hosts": elasticsearch_server.url, "index_prefix": prefix, "replicas": 0, **options}
    )


@pytest.fixture
async def raw(elasticsearch_server: ElasticsearchService) -> AsyncIterator[AsyncElasticsearch]:
    """A client of the test's own."""
    async with AsyncElasticsearch(elasticsearch_server.url) as client:
        yield client


@pytest.fixture
async def wired(elasticsearch_server: ElasticsearchService) -> AsyncIterator[AsyncElasticsearch]:
    """A client over ``Wire``, which sends again once what was lost."""
    Wire.seen.clear()
    Wire.refuse = Wire.lose = Wire.meanwhile = None
    async with AsyncElasticsearch(elasticsearch_server.url, node_class=Wire, max_retries=1) as client:
        yield client
    Wire.refuse = Wire.lose = Wire.meanwhile = None


@pytest.fixture(scope="module")
def guarded(pytestconfig: pytest.Config) -> Iterator[ElasticsearchServer]:
    """A server with a password, for one module's tests to break. Leave it running."""
    from tests.services.fixtures_servers import own_elasticsearch  # a plugin, which is to be loaded as one first

    with own_elasticsearch(pytestconfig, password=PASSWORD) as server:
        yield server
