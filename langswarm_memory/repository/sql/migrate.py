"""The schema of a database: which revision it has, and bringing it to the one this version needs.

The migrations are one Alembic tree, in ``alembic/`` of the checkout and in ``langswarm_memory/_alembic`` of the wheel.
They keep their place in a version table of their own, so that they never meet the host application's Alembic.
Alembic itself is imported only when there is something to migrate.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.schema import CreateSchema
from sqlalchemy.util import await_only

from ...errors import MemoryConfigurationError, SchemaVersionError
from .models import FILLFACTOR, Base
from .text_index import DEFAULT_LANGUAGE, GIN_INDEX, checked_language, create_postgres, create_sqlite

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "langswarm_memory_version"
HEAD = "0002"
"""The revision this version needs; a test compares it with the tree."""

LOCK_KEY = 0x6C73_6D65_6D31  # "lsmem1": the advisory lock that makes two processes migrate one after the other

MIGRATE_COMMAND = "back up the database, then run 'langswarm-memory db upgrade' or pass auto_migrate=True"

# As Alembic makes it, so that a database does not show which of the two created it.
_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def script_location() -> Path:
    """Return the folder of the Alembic tree: the wheel's copy, or the checkout's."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "_alembic", package.parent / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise MemoryConfigurationError(
        "the migrations are missing from this installation", suggestion="reinstall the package"
    )


def alembic_config(url: str | None = None, *, schema: str | None = None) -> Config:
    """Return an Alembic configuration for the tree.

    Args:
        url: Database URL; its driver is replaced by the one the migrations use. None: given as a connection later.
        schema: PostgreSQL schema of the tables. None: the default of the connection.
    """
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    if url is not None:
        config.attributes["url"] = url  # not an option: options interpolate '%'
    if schema is not None:
        config.attributes["schema"] = schema
    return config


def current_revision(connection: Connection, schema: str | None = None) -> str | None:
    """Return the revision of a database; None for one without our version table."""
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    version = _version if schema is None else _version.to_metadata(MetaData(), schema=schema)
    revision: str | None = connection.scalar(select(version.c.version_num))
    return revision


def is_current(raw: sqlite3.Connection) -> bool:
    """Return whether a SQLite database has the schema of this version; waits for no writer."""
    try:
        return raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
    except sqlite3.OperationalError:
        return False  # no such table; any other reason is met again by whoever prepares the schema


def prepare_schema(
    connection: Connection,
    store: str,
    *,
    auto_migrate: bool,
    schema: str | None = None,
    language: str = DEFAULT_LANGUAGE,
) -> None:
    """Create the schema in a new database, upgrade an older one, refuse a newer one.

    Runs inside the caller's transaction. Two processes do this one after the other: SQLite's caller holds the write
    lock, on PostgreSQL an advisory lock is taken here.

    Raises:
        SchemaVersionError: The schema is newer than this version, or older and `auto_migrate` is off.
        MemoryConfigurationError: The database has tables of our names that are not ours.
    """
    # Before the lock, so that opening a database that is up to date waits for nobody.
    if current_revision(connection, schema) == HEAD and _speaks(connection, schema, language):
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        _require_language(connection, language)
    found = current_revision(connection, schema)
    if found == HEAD:
        if not _speaks(connection, schema, language):
            _translate_index(connection, schema, language, auto_migrate=auto_migrate)
        return
    if found is None and not auto_migrate:
        raise SchemaVersionError(store, found=found, expected=HEAD, suggestion=MIGRATE_COMMAND)
    if found is None:
        refuse_foreign_tables(connection, schema)
        _create(connection, schema, language)
        return
    if found not in known_revisions():
        raise SchemaVersionError(
            store,
            found=found,
            expected=HEAD,
            suggestion="it was written by a newer version: upgrade langswarm-memory",
        )
    if not auto_migrate:
        raise SchemaVersionError(store, found=found, expected=HEAD, suggestion=MIGRATE_COMMAND)
    upgrade(connection, schema=schema, language=language)


def _create(connection: Connection, schema: str | None, language: str) -> None:
    # The same tables as the migrations make (a test compares them), without importing Alembic.
    inspector = inspect(connection)
    if schema is not None and not inspector.has_schema(schema):
        # Asked for only where it is missing: even with IF NOT EXISTS it takes a right on the database.
        connection.execute(CreateSchema(schema))
    versioned = VERSION_TABLE in inspector.get_table_names(
        schema=_place(connection, schema)
    )  # migrated down to nothing
    connection = connection.execution_options(schema_translate_map={None: schema})
    # Without looking for them: a table of that name in another schema of the search path is not ours.
    Base.metadata.create_all(connection, checkfirst=False)
    if connection.dialect.name == "postgresql":
        quote = connection.dialect.identifier_preparer.quote
        table = f"{quote(schema)}.sessions" if schema else "sessions"
        connection.exec_driver_sql(FILLFACTOR.format(table=table))
    for statement in _text_indexes(connection, schema, language):
        connection.exec_driver_sql(statement)
    if not versioned:
        _version.create(connection, checkfirst=False)
    connection.execute(insert(_version).values(version_num=HEAD))


def _speaks(connection: Connection, schema: str | None, language: str) -> bool:
    """Return whether the text index is one for a language. With another, searches would read all."""
    if connection.dialect.name != "postgresql":
        return True
    place = f"{connection.dialect.identifier_preparer.quote(schema)}." if schema else ""
    made = connection.scalar(select(func.pg_get_indexdef(func.to_regclass(f"{place}{GIN_INDEX}"))))
    return made is not None and f"to_tsvector('{checked_language(language)}'::regconfig" in made


def _require_language(connection: Connection, language: str) -> None:
    name = checked_language(language)
    visible = text("SELECT 1 FROM pg_ts_config WHERE cfgname = :name AND pg_ts_config_is_visible(oid)")
    if connection.scalar(visible, {"name": name}) is None:
        raise MemoryConfigurationError(
            f"the server has no text search configuration named {name}",
            "postgres",
            suggestion="set search_language to one of: SELECT cfgname FROM pg_ts_config",
        )


def _translate_index(connection: Connection, schema: str | None, language: str, *, auto_migrate: bool) -> None:
    if not auto_migrate:
        raise MemoryConfigurationError(
            f"the text index of the database is not one for {language}",
            "postgres",
            suggestion="set search_language to its language, or pass auto_migrate=True once to have it made anew",
        )
    quote = connection.dialect.identifier_preparer.quote
    place = f"{quote(schema)}." if schema else ""
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {place}{GIN_INDEX}")
    for statement in _text_indexes(connection, schema, language):
        connection.exec_driver_sql(statement)


def _text_indexes(connection: Connection, schema: str | None, language: str) -> list[str]:
    if connection.dialect.name == "sqlite":
        return create_sqlite()
    quote = connection.dialect.identifier_preparer.quote
    return create_postgres(language, f"{quote(schema)}.messages" if schema else "messages")


def _place(connection: Connection, schema: str | None) -> str | None:
    """Return the schema that new tables go to. Asked for none, SQLAlchemy would list the whole search path."""
    if schema is None and connection.dialect.name == "postgresql":
        return connection.scalar(select(func.current_schema()))
    return schema


def refuse_foreign_tables(connection: Connection, schema: str | None = None) -> None:
    """Raise ``MemoryConfigurationError`` when tables or views of somebody else's stand where ours would be made."""
    inspector, place = inspect(connection), _place(connection, schema)
    tables = {*inspector.get_table_names(schema=place), *inspector.get_view_names(schema=place)}
    taken = sorted(tables & {table.name for table in Base.metadata.sorted_tables})
    if taken:
        raise MemoryConfigurationError(
            f"the database already has tables named {', '.join(taken)} that this package did not make",
            connection.dialect.name,
            suggestion="use another database or schema; data of langswarm-memory 0.x is imported, not opened",
        )


def known_revisions() -> frozenset[str]:
    """Return the revisions of the tree."""
    from alembic.script import ScriptDirectory

    return frozenset(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def upgrade(
    connection: Connection, revision: str = "head", *, schema: str | None = None, language: str = DEFAULT_LANGUAGE
) -> None:
    """Run the migrations on a connection, inside its transaction.

    Raises:
        MemoryConfigurationError: The database has tables of our names that are not ours.
    """
    from alembic import command

    if current_revision(connection, schema) is None:
        refuse_foreign_tables(connection, schema)
    config = alembic_config(schema=schema)
    config.attributes["connection"] = connection
    config.attributes["search_language"] = language
    with _turn(connection):
        command.upgrade(config, revision)


_upgrading = threading.Lock()
TURN_SECONDS = 0.02  # how often a coroutine looks whether its turn has come


@contextmanager
def _turn(connection: Connection) -> Iterator[None]:
    """Let one thread or coroutine of the process migrate at a time: Alembic keeps what it does in global variables."""
    if connection.dialect.is_async:
        # Waiting for the lock would stop the loop, and with it the coroutine that holds the lock.
        while not _upgrading.acquire(blocking=False):
            await_only(asyncio.sleep(TURN_SECONDS))
    else:
        _upgrading.acquire()
    try:
        yield
    finally:
        _upgrading.release()
