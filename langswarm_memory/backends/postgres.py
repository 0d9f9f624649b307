"""Sessions in a PostgreSQL database."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import MemoryConfigurationError
from ..interfaces.enums import MemoryBackendType
from ..relational import RelationalBackend
from ..repository.sql.postgres import PostgresDriver, PostgresOptions
from ..repository.sql.repository import SQLRepository
from ..repository.sql.text_index import checked_language
from ..repository.sql.urls import split_query
from ..session import BaseMemorySession
from ..settings import PostgresSettings


class PostgresSession(BaseMemorySession):
    """A session kept in PostgreSQL. Behaviour: BaseMemorySession."""

    __slots__ = ()


class PostgresBackend(RelationalBackend):
    """Sessions in PostgreSQL. Options: see PostgresSettings."""

    settings_class, session_class = PostgresSettings, PostgresSession
    kind = MemoryBackendType.POSTGRES

    def _build(self, settings: PostgresSettings) -> SQLRepository:
        url, arguments = split_query(_url(settings))
        options = PostgresOptions(
            url=url,
            schema=settings.schema,
            pool_size=settings.max_size,
            pool_timeout_seconds=settings.pool_timeout,
            connect_timeout_seconds=settings.timeout,
            command_timeout_seconds=settings.command_timeout,
            statement_cache_size=settings.statement_cache_size,
            server_settings={**arguments.get("server_settings", {}), **settings.server_settings},
            ssl=arguments.get("ssl") if settings.ssl is None else settings.ssl,
            auto_migrate=settings.auto_migrate,
            search_language=checked_language(settings.search_language),
        )
        return SQLRepository(PostgresDriver(options, engine=settings.engine))


def _url(settings: PostgresSettings) -> URL:
    if settings.url is None:
        return URL.create(
            "postgresql",
            username=settings.user,
            password=settings.password or None,
            host=settings.host,
            port=settings.port,
            database=settings.database,
        )
    try:
        url = make_url(settings.url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        # The error's text quotes the URL, password included, or what was taken for the port: the rest of a password.
        raise MemoryConfigurationError("url is not a database URL", "postgres") from None
    if url.get_backend_name() != "postgresql":
        raise MemoryConfigurationError(f"url names {url.get_backend_name()}, not postgresql", "postgres")
    return url
