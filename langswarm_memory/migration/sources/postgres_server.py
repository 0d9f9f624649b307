"""Connecting to a PostgreSQL that earlier software wrote to."""

from __future__ import annotations

import asyncpg  # noqa: F401 - its absence is told here rather than by the engine
from sqlalchemy import Connection, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ...errors import MemoryConfigurationError
from ...repository.sql.failures import DRIVER_ERRORS, translate
from ...repository.sql.urls import split_query

CONNECT_SECONDS = 10.0


def make_engine(url: str) -> AsyncEngine:
    """Return an engine that keeps no connection.

    Raises:
        MemoryConfigurationError: The URL cannot be used.
    """
    try:
        parsed, arguments = split_query(make_url(url))
    except ArgumentError:
        # Neither chained nor quoted: the text may hold the password.
        raise MemoryConfigurationError("the url cannot be used", "postgres") from None
    return create_async_engine(
        parsed.set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": CONNECT_SECONDS, **arguments},
    )


async def find_tables(url: str, schema: str | None) -> dict[str, frozenset[str]]:
    """Return the names of the tables in a schema, and of the columns of each.

    Raises:
        MemoryBackendError: The server could not be reached.
    """
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_tables, schema)
    except DRIVER_ERRORS as exc:
        raise translate("postgres", "read", exc) from exc
    finally:
        await engine.dispose()


def _tables(connection: Connection, schema: str | None) -> dict[str, frozenset[str]]:
    found = inspect(connection)
    return {
        name: frozenset(column["name"] for column in found.get_columns(name, schema=schema))
        for name in found.get_table_names(schema=schema)
    }
