"""The public backends and sessions, resolved when first used, so that importing this loads no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import attach, installed

if TYPE_CHECKING:
    from .bigquery import BigQueryBackend as BigQueryBackend
    from .bigquery import BigQuerySession as BigQuerySession
    from .elasticsearch import ElasticsearchBackend as ElasticsearchBackend
    from .elasticsearch import ElasticsearchSession as ElasticsearchSession
    from .in_memory import InMemoryBackend as InMemoryBackend
    from .in_memory import InMemorySession as InMemorySession
    from .mongodb import MongoDBBackend as MongoDBBackend
    from .mongodb import MongoDBSession as MongoDBSession
    from .postgres import PostgresBackend as PostgresBackend
    from .postgres import PostgresSession as PostgresSession
    from .redis import RedisBackend as RedisBackend
    from .redis import RedisSession as RedisSession
    from .sqlite import SQLiteBackend as SQLiteBackend
    from .sqlite import SQLiteSession as SQLiteSession
    from .vector import VectorMemoryBackend as VectorMemoryBackend
    from .vector import VectorMemorySession as VectorMemorySession

    POSTGRES_AVAILABLE: bool
    REDIS_AVAILABLE: bool
    MONGODB_AVAILABLE: bool
    ELASTICSEARCH_AVAILABLE: bool
    BIGQUERY_AVAILABLE: bool

BACKENDS: dict[str, str] = {
    "in_memory": "langswarm_memory.backends.in_memory:InMemoryBackend",
    "sqlite": "langswarm_memory.backends.sqlite:SQLiteBackend",
    "postgres": "langswarm_memory.backends.postgres:PostgresBackend",
    "redis": "langswarm_memory.backends.redis:RedisBackend",
    "mongodb": "langswarm_memory.backends.mongodb:MongoDBBackend",
    "elasticsearch": "langswarm_memory.backends.elasticsearch:ElasticsearchBackend",
    "bigquery": "langswarm_memory.backends.bigquery:BigQueryBackend",
    "vector": "langswarm_memory.backends.vector:VectorMemoryBackend",
}
"""Where each backend's class is."""
DRIVERS: dict[str, str] = {
    "in_memory": "",
    "sqlite": "sqlite3",
    "postgres": "asyncpg",
    "redis": "redis",
    "mongodb": "motor",
    "elasticsearch": "elasticsearch",
    "bigquery": "google.cloud.bigquery",
    "vector": "",
}
"""The package each backend needs beyond the core install."""

_CLASSES = {
    "in_memory": "InMemory",
    "sqlite": "SQLite",
    "postgres": "Postgres",
    "redis": "Redis",
    "mongodb": "MongoDB",
    "elasticsearch": "Elasticsearch",
    "bigquery": "BigQuery",
    "vector": "VectorMemory",
}
_NAMES = {f"{name}{kind}": f"{__name__}.{at}" for at, name in _CLASSES.items() for kind in ("Backend", "Session")}

__all__ = [
    "BIGQUERY_AVAILABLE",
    "ELASTICSEARCH_AVAILABLE",
    "MONGODB_AVAILABLE",
    "POSTGRES_AVAILABLE",
    "REDIS_AVAILABLE",
    "BigQueryBackend",
    "BigQuerySession",
    "ElasticsearchBackend",
    "ElasticsearchSession",
    "InMemoryBackend",
    "InMemorySession",
    "MongoDBBackend",
    "MongoDBSession",
    "PostgresBackend",
    "PostgresSession",
    "RedisBackend",
    "RedisSession",
    "SQLiteBackend",
    "SQLiteSession",
    "VectorMemoryBackend",
    "VectorMemorySession",
]

_resolve = attach(__name__, _NAMES)


def __getattr__(name: str) -> Any:
    store = name.removesuffix("_AVAILABLE").lower()
    if name.isupper() and name != store.upper() and DRIVERS.get(store):
        return installed(DRIVERS[store])
    return _resolve(name)
