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
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from langswarm_memory.errors import MemoryConfigurationError
from langswarm_memory.repository.sql.migrate import LOCK_KEY, VERSION_TABLE
from langswarm_memory.repository.sql.models import Base
from langswarm_memory.repository.sql.types import JsonText, UTCDateTime
from langswarm_memory.repository.sql.urls import split_query
from langswarm_memory.settings import sqlite_path

BUSY_SECONDS = 600  # how long a second process waits for the first one's migration, which may copy a large table

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def given(name: str) -> str | None:
    return config.attributes.get(name) or context.get_x_argument(as_dictionary=True).get(name)


def database_url() -> URL:
    url = given("url") or os.environ.get("LANGSWARM_MEMORY_URL")
    if not url:
        raise CommandError("no database: set LANGSWARM_MEMORY_URL or pass -x url=sqlite:///memory.db")
    scheme = str(url).partition("://")[0].partition("+")[0].lower()
    try:
        if scheme == "sqlite":
            # As the backend reads it: SQLAlchemy would decode '%', and another file would be migrated.
            return URL.create("sqlite", database=sqlite_path(url))
        if scheme in ("postgres", "postgresql"):
            return make_url(url).set(drivername="postgresql+asyncpg")
    except MemoryConfigurationError as exc:
        raise CommandError(str(exc)) from exc
    except (ArgumentError, ValueError):
        raise CommandError("the URL of the database cannot be read") from None  # the error may quote a password
    raise CommandError("no migrations for this URL: use a sqlite:/// or postgresql:// one")


def schema_name(dialect_name: str) -> str | None:
    return given("schema") if dialect_name == "postgresql" else None


def options(schema: str | None) -> dict[str, Any]:
    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "render_as_batch": True,  # SQLite alters tables by copying them
        "compare_type": True,
        "compare_server_default": True,
        "render_item": render_item,
        "transactional_ddl": True,  # on SQLite too, since the transaction begins before the first statement
        "include_name": include_name,
    }


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave alone what is not ours: other tables, and indexes that somebody added to ours under a name of their own."""
    if kind == "index":
        return str(name).startswith(("ix_", "uq_"))
    return kind != "table" or name in Base.metadata.tables


def render_item(kind: str, item: Any, _context: Any) -> str | bool:
    """Write our column types into new revisions as what they are in the database, so that a revision stays as it is."""
    rendered = {UTCDateTime: "sa.DateTime(timezone=True)", JsonText: "sa.Text()"}
    return rendered.get(type(item), False) if kind == "type" else False


def search_path(dialect: Dialect, schema: str) -> Any:
    """Let unqualified names mean the schema, until the transaction ends."""
    return select(func.set_config("search_path", dialect.identifier_preparer.quote(schema), True))


def run_offline() -> None:
    url = database_url()
    schema = schema_name(url.get_backend_name())
    context.configure(url=url, literal_binds=True, **options(schema))
    with context.begin_transaction():
        if schema:
            context.execute(CreateSchema(schema, if_not_exists=True))
            context.execute(search_path(context.get_context().dialect, schema))
        context.run_migrations()


def run_on(connection: Connection) -> None:
    dialect, default = connection.dialect, connection.dialect.default_schema_name
    schema = schema_name(dialect.name)
    if dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    if schema:
        connection.execute(search_path(dialect, schema))
        dialect.default_schema_name = schema  # what "no schema" means while reflecting, as the path says
    try:
        context.configure(connection=connection, **options(schema))
        if schema and not context.get_context().opts.get("dont_mutate") and not inspect(connection).has_schema(schema):
            # Asked for only where it is missing: even with IF NOT EXISTS it takes a right on the database.
            connection.execute(CreateSchema(schema))
        with context.begin_transaction():
            context.run_migrations()
    finally:
        dialect.default_schema_name = default


def run_online() -> None:
    url = database_url()
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
        prepare_sqlite(engine)
        with engine.begin() as connection:
            run_on(connection)
    else:
        try:
            place, arguments = split_query(url)
        except MemoryConfigurationError as exc:
            raise CommandError(str(exc)) from exc
        asyncio.run(run_on_server(place, arguments))


async def run_on_server(url: URL, arguments: dict[str, Any]) -> None:
    # Read committed whatever the server's default: who waited for the lock must see what was made meanwhile.
    engine = create_async_engine(
        url, poolclass=NullPool, hide_parameters=True, isolation_level="READ COMMITTED", connect_args=arguments
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run_on)
    finally:
        await engine.dispose()


def prepare_sqlite(engine: Engine) -> None:
    """Take the write lock first, so that two processes migrate one after the other, and DDL is transactional."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        # Altering copies a table and drops the old one; its rows would be deleted wherever they are referred to.
        connection.execute("PRAGMA foreign_keys=OFF")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


if context.is_offline_mode():
    run_offline()
elif (shared := config.attributes.get("connection")) is not None:
    run_on(shared)
else:
    run_online()
