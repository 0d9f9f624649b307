"""Settings: one frozen dataclass per store, and the one function that fills it."""

from .base import BackendSettings, InMemorySettings, load_settings, require
from .bigquery import BigQuerySettings
from .elasticsearch import ElasticsearchSettings
from .mongodb import MongoDBSettings
from .redis import RedisSettings
from .relational import PostgresSettings, SQLiteSettings, sqlite_path

__all__ = [
    "BackendSettings",
    "BigQuerySettings",
    "ElasticsearchSettings",
    "InMemorySettings",
    "MongoDBSettings",
    "PostgresSettings",
    "RedisSettings",
    "SQLiteSettings",
    "load_settings",
    "require",
    "sqlite_path",
]
