"""Alembic's environment: which database, which schema, online or offline.

The database is, in this order: a connection in ``config.attributes["connection"]`` (the package upgrading itself),
a URL in ``config.attributes["url"]`` (its command line), ``-x url=...``, or ``LANGSWARM_MEMORY_URL``.
"""

from __future__ import annotations

import asyncio
import os
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from langswarm_memory.repository.sql.migrate import LOCK_KEY, VERSION_TABLE
from langswarm_memory.repository.sql.models import Base

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def database_url() -> URL:
    given = context.get_x_argument(as_dictionary=True).get("url")
    url = config.attributes.get("url") or given or os.environ.get("LANGSWARM_MEMORY_URL")
    if not url:
        raise SystemExit("no database: set LANGSWARM_MEMORY_URL or pass -x url=sqlite:///memory.db")
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend not in DRIVERS:
        raise SystemExit(f"no migrations for {backend}: use a sqlite:/// or postgresql:// URL")
    return parsed.set(drivername=DRIVERS[backend])


def schema_name() -> str | None:
    return config.attributes.get("schema") or context.get_x_argument(as_dictionary=True).get("schema")


def options(dialect_name: str) -> dict[str, Any]:
    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": schema_name(),
        "render_as_batch": True,  # SQLite alters tables by copying them
        "compare_type": True,
        "transactional_ddl": True,
        "include_name": lambda name, kind, _parents: kind != "table" or name in Base.metadata.tables,
        "dialect_name": dialect_name,
    }


def run_offline() -> None:
    url = database_url()
    settings = options(url.get_backend_name())
    context.configure(url=url, literal_binds=True, **settings)
    with context.begin_transaction():
        if schema_name():
            quoted = context.get_context().dialect.identifier_preparer.quote(schema_name())
            context.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
            context.execute(f"SET search_path TO {quoted}")
        context.run_migrations()


def run_on(connection: Connection) -> None:
    settings = options(connection.dialect.name)
    settings.pop("dialect_name")
    schema = schema_name()
    if connection.dialect.name == "postgresql":
        # The lock and the path end with the transaction. Unqualified names then mean the schema.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})"))
        if schema:
            quoted = connection.dialect.identifier_preparer.quote(schema)
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {quoted}"))
            connection.execute(text(f"SET LOCAL search_path TO {quoted}"))
    dialect, default = connection.dialect, connection.dialect.default_schema_name
    if schema:
        dialect.default_schema_name = schema  # what "no schema" means while reflecting, as the path says
    try:
        context.configure(connection=connection, **settings)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        dialect.default_schema_name = default


async def run_online() -> None:
    engine = create_async_engine(database_url(), poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        begin_immediately(engine.sync_engine)
    async with engine.begin() as connection:
        await connection.run_sync(run_on)
    await engine.dispose()


def begin_immediately(engine: Any) -> None:
    """Take SQLite's write lock first, so that two processes migrate one after the other, and DDL is transactional."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


if context.is_offline_mode():
    run_offline()
elif (shared := config.attributes.get("connection")) is not None:
    run_on(shared)
else:
    asyncio.run(run_online())
