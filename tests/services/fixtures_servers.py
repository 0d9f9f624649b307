"""Fixtures for the servers of Redis, MongoDB, Elasticsearch, BigQuery and Chroma.

Loaded by tests/conftest.py. For each store there is one server for the whole run, one that
a module's tests may break, and, for a test, a corner of the shared server that nobody else uses.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services import bigquery, chroma, elasticsearch, mongodb, recipes, redis, stores


def require(config: pytest.Config, store: str) -> None:
    """Skip the test if the store's server was not brought here; fail it where the run requires the store."""
    remedy = recipes.missing(store)
    if remedy is not None:
        stores.missing_server(config, store, remedy)


def tell(config: pytest.Config, store: str, version: str, origin: str) -> None:
    """Put a server into the closing table."""
    config.stash[stores.SERVERS][store] = f"{version}, {origin}"


# ---- Redis ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[redis.RedisService]:
    """The plain Redis that all tests share."""
    given = redis.service_from_environment()
    if given is not None:
        tell(pytestconfig, "redis", f"Redis {given.version()}", f"by {redis.URL_VARIABLE}")
        yield given
        return
    require(pytestconfig, "redis")
    with redis.RedisServer() as server:
        tell(pytestconfig, "redis", f"Redis {server.version}", "our own")
        yield server.service


@pytest.fixture(scope="session")
def redis_stack_server(pytestconfig: pytest.Config) -> Iterator[redis.RedisService]:
    """The Redis with search and JSON that all tests share."""
    given = redis.service_from_environment(redis.STACK_URL_VARIABLE)
    if given is not None:
        tell(pytestconfig, "redis-stack", f"Redis {given.version()}", f"by {redis.STACK_URL_VARIABLE}")
        yield given
        return
    require(pytestconfig, "redis-stack")
    with redis.RedisServer(search=True) as server:
        tell(pytestconfig, "redis-stack", f"Redis {server.version} with RediSearch", "our own")
        yield server.service


@pytest.fixture(scope="session")
def redis_cluster_server(pytestconfig: pytest.Config) -> Iterator[redis.RedisService]:
    """The cluster that all tests share."""
    given = redis.service_from_environment(redis.CLUSTER_URL_VARIABLE)
    if given is not None:
        tell(pytestconfig, "redis-cluster", f"Redis {given.version()}", f"by {redis.CLUSTER_URL_VARIABLE}")
        yield given
        return
    require(pytestconfig, "redis-cluster")
    with redis.RedisClusterServer() as server:
        tell(pytestconfig, "redis-cluster", f"Redis {server.version}, {redis.CLUSTER_NODES} nodes", "our own")
        yield server.service


@pytest.fixture
def redis_prefix(redis_server: redis.RedisService) -> Iterator[str]:
    """A prefix for keys of the plain Redis; what begins with it is deleted after the test."""
    with redis_server.fresh_prefix() as prefix:
        yield prefix


@pytest.fixture
def redis_stack_prefix(redis_stack_server: redis.RedisService) -> Iterator[str]:
    """A prefix for keys of the Redis with search; what begins with it is deleted after the test."""
    with redis_stack_server.fresh_prefix() as prefix:
        yield prefix


@pytest.fixture
def redis_cluster_prefix(redis_cluster_server: redis.RedisService) -> Iterator[str]:
    """A prefix for keys of the cluster; what begins with it is deleted after the test."""
    with redis_cluster_server.fresh_prefix() as prefix:
        yield prefix


@pytest.fixture(scope="module")
def redis_to_break(pytestconfig: pytest.Config) -> Iterator[redis.RedisServer]:
    """A Redis for one module's tests alone, which keeps its data over a restart. Leave it running."""
    require(pytestconfig, "redis")
    with redis.RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture(scope="module")
def redis_cluster_to_break(pytestconfig: pytest.Config) -> Iterator[redis.RedisClusterServer]:
    """A cluster for one module's tests alone. Leave it running."""
    require(pytestconfig, "redis-cluster")
    with redis.RedisClusterServer() as server:
        yield server


# ---- MongoDB -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mongodb_server(pytestconfig: pytest.Config) -> Iterator[mongodb.MongoService]:
    """The MongoDB, or what speaks its protocol, that all tests share."""
    given = mongodb.service_from_environment()
    if given is not None:
        tell(pytestconfig, "mongodb", given.version(), f"by {mongodb.URL_VARIABLE}")
        yield given
        return
    with own_mongodb(pytestconfig) as server:
        tell(pytestconfig, "mongodb", server.version, "our own")
        yield server.service


@pytest.fixture
def mongodb_url(mongodb_server: mongodb.MongoService) -> Iterator[str]:
    """URL with the name of an empty database, dropped after the test."""
    with mongodb_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def mongodb_transactions_server(pytestconfig: pytest.Config) -> Iterator[mongodb.MongoService]:
    """A server that has transactions: that of the environment if it has, or one of our own."""
    given = mongodb.service_from_environment()
    if given is not None and given.has_transactions():
        tell(pytestconfig, "mongodb-transactions", given.version(), f"by {mongodb.URL_VARIABLE}")
        yield given
        return
    require(pytestconfig, "mongodb")
    with mongodb.MongoServer(transactions=True) as server:
        tell(pytestconfig, "mongodb-transactions", server.version, "our own")
        yield server.service


@pytest.fixture
def mongodb_transactions_url(mongodb_transactions_server: mongodb.MongoService) -> Iterator[str]:
    """URL with the name of an empty database on a server that has transactions, dropped after the test."""
    with mongodb_transactions_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="module")
def mongodb_to_break(pytestconfig: pytest.Config) -> Iterator[mongodb.MongoServer]:
    """A server for one module's tests alone, which they stop and start. Leave it running."""
    with own_mongodb(pytestconfig) as server:
        yield server


def own_mongodb(config: pytest.Config) -> mongodb.MongoServer:
    """Return a server of our own, not started; where it was not brought the test is skipped, or fails."""
    require(config, "mongodb")
    return mongodb.MongoServer()


# ---- Elasticsearch -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def elasticsearch_server(pytestconfig: pytest.Config) -> Iterator[elasticsearch.ElasticsearchService]:
    """The Elasticsearch that all tests share."""
    given = elasticsearch.service_from_environment()
    if given is not None:
        tell(pytestconfig, "elasticsearch", f"Elasticsearch {given.version()}", f"by {elasticsearch.URL_VARIABLE}")
        yield given
        return
    with own_elasticsearch(pytestconfig) as server:
        tell(pytestconfig, "elasticsearch", f"Elasticsearch {server.version}", "our own")
        yield server.service


@pytest.fixture
def elasticsearch_prefix(elasticsearch_server: elasticsearch.ElasticsearchService) -> Iterator[str]:
    """A prefix for indexes and templates; what begins with it is deleted after the test."""
    with elasticsearch_server.fresh_prefix() as prefix:
        yield prefix


@pytest.fixture(scope="module")
def elasticsearch_to_break(pytestconfig: pytest.Config) -> Iterator[elasticsearch.ElasticsearchServer]:
    """A server for one module's tests alone, which they stop and start. Leave it running."""
    with own_elasticsearch(pytestconfig) as server:
        yield server


def own_elasticsearch(config: pytest.Config, *, password: str | None = None) -> elasticsearch.ElasticsearchServer:
    """Return a server of our own, not started; where it was not brought the test is skipped, or fails."""
    require(config, "elasticsearch")
    return elasticsearch.ElasticsearchServer(password=password)


# ---- BigQuery ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bigquery_own_server(pytestconfig: pytest.Config) -> Iterator[bigquery.BigQueryServer | None]:
    """The emulator that was started for all tests; None where the environment names a server."""
    if bigquery.service_from_environment() is not None:
        yield None
        return
    with own_bigquery(pytestconfig) as server:
        tell(pytestconfig, "bigquery", f"emulator local-bigquery {server.version}", "our own")
        yield server


@pytest.fixture(scope="session")
def bigquery_server(
    pytestconfig: pytest.Config, bigquery_own_server: bigquery.BigQueryServer | None
) -> bigquery.BigQueryService:
    """The BigQuery emulator that all tests share."""
    if bigquery_own_server is not None:
        return bigquery_own_server.service
    given = bigquery.service_from_environment()
    assert given is not None
    tell(pytestconfig, "bigquery", given.endpoint, f"by {bigquery.ENDPOINT_VARIABLE}")
    return given


@pytest.fixture
def bigquery_dataset(bigquery_server: bigquery.BigQueryService) -> Iterator[str]:
    """Name of a dataset that does not exist yet, deleted after the test."""
    with bigquery_server.fresh_dataset() as name:
        yield name


@pytest.fixture(scope="module")
def bigquery_to_break(pytestconfig: pytest.Config) -> Iterator[bigquery.BigQueryServer]:
    """A server for one module's tests alone, which they stop and start. Leave it running."""
    with own_bigquery(pytestconfig) as server:
        yield server


def own_bigquery(config: pytest.Config) -> bigquery.BigQueryServer:
    """Return a server of our own, not started; where it was not brought the test is skipped, or fails."""
    require(config, "bigquery")
    return bigquery.BigQueryServer()


# ---- Chroma --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chroma_server(pytestconfig: pytest.Config) -> Iterator[chroma.ChromaService]:
    """The Chroma that all tests share."""
    given = chroma.service_from_environment()
    if given is not None:
        tell(pytestconfig, "chroma", f"Chroma {given.version()}", f"by {chroma.URL_VARIABLE}")
        yield given
        return
    with own_chroma(pytestconfig) as server:
        tell(pytestconfig, "chroma", f"Chroma {server.version}", "our own")
        yield server.service


@pytest.fixture
def chroma_collection(chroma_server: chroma.ChromaService) -> Iterator[str]:
    """Name of a collection that does not exist yet, deleted after the test."""
    with chroma_server.fresh_collection() as name:
        yield name


@pytest.fixture(scope="module")
def chroma_to_break(pytestconfig: pytest.Config) -> Iterator[chroma.ChromaServer]:
    """A server for one module's tests alone, which they stop and start. Leave it running."""
    with own_chroma(pytestconfig) as server:
        yield server


def own_chroma(config: pytest.Config) -> chroma.ChromaServer:
    """Return a server of our own, not started; where it is not installed the test is skipped, or fails."""
    if not chroma.program().is_file():
        stores.missing_server(config, "chroma", chroma.REMEDY)
    return chroma.ChromaServer()
