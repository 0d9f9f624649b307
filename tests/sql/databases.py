"""An empty database of either kind, as the package and its tools are pointed at it, and what its catalogue says."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from alembic import command
from alembic.config import Config

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.models import Base
from langswarm_memory.relational import RelationalBackend
from langswarm_memory.repository.sql.migrate import VERSION_TABLE, alembic_config
from tests.services import postgres

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


@dataclass(frozen=True)
class Database:
    """A database that nobody has used yet.

    Args:
        kind: "sqlite" or "postgres".
        url: As a user gives it.
        schema: PostgreSQL schema that its backends are given.
    """

    kind: str
    url: str
    schema: str | None = None

    def backend(self, **options: Any) -> RelationalBackend:
        """Return a backend over the database, not connected."""
        if self.kind == "sqlite":
            return SQLiteBackend(db_path=self.url, **options)
        return PostgresBackend(url=self.url, **{"schema": self.schema, "max_size": 3, **options})

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def x_arguments(self) -> list[str]:
        """How the alembic command is told."""
        given = ["-x", f"url={self.url}"]
        return [*given, "-x", f"schema={self.schema}"] if self.schema else given

    def run(self, script: str) -> None:
        """Run SQL statements, one or many, on a connection of the plain driver."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path)) as connection:
                connection.executescript(script)
            return
        _on_postgres(self.url, lambda connection: connection.execute(script))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT on a connection of the plain driver."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path)) as connection:
                return connection.execute(sql).fetchall()
        return [tuple(row) for row in _on_postgres(self.url, lambda connection: connection.fetch(sql))]

    def tables(self) -> set[str]:
        """Return the names of the tables; on PostgreSQL as schema.name."""
        if self.kind == "sqlite":
            return {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        own = "table_schema NOT IN ('pg_catalog', 'information_schema')"
        sql = f"SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE {own}"
        return {name for (name,) in self.rows(sql)}

    def table(self, name: str) -> str:
        """Return the name of a table as ``tables`` gives it."""
        return name if self.kind == "sqlite" else f"{self.schema or 'public'}.{name}"

    def quoted(self, name: str) -> str:
        """Return the name of a table as SQL wants it."""
        return f'"{self.schema}".{name}' if self.schema else name

    def revision(self) -> str | None:
        """Return what the version table says; None without one."""
        if self.table("langswarm_memory_version") not in self.tables():
            return None
        rows = self.rows(f"SELECT version_num FROM {self.quoted('langswarm_memory_version')}")
        assert len(rows) <= 1
        return rows[0][0] if rows else None

    def catalogue(self) -> list[tuple[Any, ...]]:
        """Return all that the database knows of its tables: columns, types, defaults, constraints, indexes."""
        if self.kind == "sqlite":
            found = self.rows("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
            return [(*row[:3], re.sub(r"\s+", " ", row[3]).replace("( ", "(").replace(" )", ")")) for row in found]
        return self.rows(POSTGRES_CATALOGUE.format(schema=(self.schema or "public").replace("'", "''")))


def _on_postgres(url: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url, timeout=SECONDS)
        try:
            return await call(connection)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the test may be a coroutine itself
        return thread.submit(asyncio.run, run()).result()


POSTGRES_CATALOGUE = """
WITH ours AS (
    SELECT c.oid, c.relname, c.reloptions FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = '{schema}' AND c.relkind = 'r'
)
SELECT 'table', relname::text, '', coalesce(reloptions::text, '') FROM ours
UNION ALL
SELECT 'column', ours.relname::text, a.attnum || ' ' || a.attname,
       format_type(a.atttypid, a.atttypmod) || ' collate ' || coalesce(co.collname, '-')
       || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || ' identity=' || a.attidentity::text
FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
UNION ALL
SELECT 'constraint', ours.relname::text, k.conname::text, pg_get_constraintdef(k.oid)
FROM ours JOIN pg_constraint k ON k.conrelid = ours.oid
UNION ALL
SELECT 'index', ours.relname::text, i.relname::text, pg_get_indexdef(x.indexrelid)
FROM ours JOIN pg_index x ON x.indrelid = ours.oid JOIN pg_class i ON i.oid = x.indexrelid
ORDER BY 1, 2, 3
"""


def config(database: Database) -> Config:
    """Return the configuration with which the package's own command line runs Alembic in this process."""
    return alembic_config(database.url, schema=database.schema)


def upgrade(database: Database) -> None:
    """Let Alembic make the tables. Not from a coroutine: its environment runs a loop of its own."""
    command.upgrade(config(database), "head")


def create(database: Database) -> None:
    """Let the package make the tables of a new database, by connecting. Not from a coroutine."""

    async def run() -> None:
        async with database.backend():
            pass

    asyncio.run(run())


FTS5_PARTS = ("", "_config", "_data", "_docsize", "_idx")
"""What FTS5 calls the tables behind a virtual table."""


def our_tables(database: Database) -> set[str]:
    """Return what ``tables`` gives once ours are there."""
    names = {*Base.metadata.tables, VERSION_TABLE}
    if database.kind == "sqlite":
        names |= {f"{index}{part}" for index in ("messages_text", "messages_trigrams") for part in FTS5_PARTS}
    return {database.table(name) for name in names}


@contextmanager
def role(url: str, password: str) -> Iterator[tuple[str, str]]:
    """Make a role that may do nothing; yield its name, and the URL with it and its password."""
    name = f"role_{uuid4().hex}"
    postgres.execute(url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))
    finally:
        postgres.execute(url, f"DROP OWNED BY {name}")
        postgres.execute(url, f"DROP ROLE {name}")


@dataclass(frozen=True)
class Command:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Alembic:
    """The `alembic` command of this environment, started in a checkout."""

    folder: Path = CHECKOUT
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command and return at once."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LANGSWARM_")}
        return subprocess.Popen(
            [Path(sys.executable).with_name("alembic"), *arguments],
            cwd=self.folder,
            env={**kept, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1", **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def attempt(self, *arguments: str) -> Command:
        """Run the command to its end."""
        return finish(self.start(*arguments))

    def __call__(self, *arguments: str) -> str:
        """Run the command, which must succeed, and return what it printed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"alembic {arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def finish(process: subprocess.Popen[str]) -> Command:
    """Wait for the end of a process that was started."""
    stdout, stderr = process.communicate(timeout=SECONDS)
    return Command(process.returncode, stdout, stderr)


async def converse(backend: RelationalBackend, session_id: str, texts: Sequence[str]) -> None:
    """Store a session with a few messages of the user's."""
    session = await backend.create_session(SessionMetadata(session_id, user_id="u"))
    await session.add_messages([Message("user", text) for text in texts])


async def texts_of(backend: RelationalBackend, session_id: str) -> list[Any]:
    """Return what the messages of a session say."""
    session = await backend.get_session(session_id)
    assert session is not None
    return [message.content for message in await session.get_messages(full_history=True)]
