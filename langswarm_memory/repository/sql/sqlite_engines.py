"""How SQLite is opened: engines, what their connections are told, and what a reader may not do."""

from __future__ import annotations

import math
import os
import sqlite3
import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ...errors import MemoryConfigurationError

OLDEST_SQLITE = (3, 36, 0)  # RETURNING came with 3.35, databases in memory that connections share with 3.36
CACHED_STATEMENTS = 256  # prepared statements kept per connection; the default of 128 is fewer than our shapes
WAL_RETRY_SECONDS = 0.05  # the switch to WAL does not wait for a lock by itself

READ_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)
"""All that a reading connection may do; writing, PRAGMA and ATTACH are refused when a statement is prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteOptions:
    """How to open the database; see ``SQLiteSettings`` for the meaning of each."""

    path: str
    journal_mode: str = "WAL"
    synchronous: str = "FULL"
    foreign_keys: bool = True
    cache_size: int | None = None
    auto_vacuum: str | None = None
    busy_timeout_seconds: float = 30.0
    readers: int = 4
    auto_migrate: bool = True

    @property
    def in_memory(self) -> bool:
        """Whether the database is one of this process alone."""
        return self.path == ":memory:"

    def pragmas(self) -> list[str]:
        """Return what every connection is told."""
        pragmas = [
            f"PRAGMA foreign_keys={'ON' if self.foreign_keys else 'OFF'}",  # off by default in SQLite
            f"PRAGMA synchronous={self.synchronous}",
        ]
        if self.cache_size is not None:
            pragmas.append(f"PRAGMA cache_size={self.cache_size}")
        return pragmas


class Engines:
    """The engines over one database.

    Args:
        options: How to open it.

    Raises:
        MemoryConfigurationError: The interpreter's SQLite is too old.
    """

    def __init__(self, options: SQLiteOptions) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise MemoryConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old, 3.36 is needed",
                "sqlite",
                suggestion="use a newer Python",
            )
        self._options = options
        if options.in_memory:
            # A database in memory that several connections of this process share, with ordinary locking.
            query = {"vfs": "memdb", "uri": "true"}
            self.url = URL.create("sqlite", database=f"file:/langswarm-{uuid.uuid4().hex}", query=query)
        else:
            self.url = URL.create("sqlite", database=os.path.abspath(options.path))
        self.asynchronous = create_async_engine(
            self.url.set(drivername="sqlite+aiosqlite"),
            hide_parameters=True,  # errors of SQLAlchemy would quote messages
            connect_args={"timeout": options.busy_timeout_seconds},
        )
        self._configure(self.asynchronous.sync_engine)

    def of_lane(self, *, begin: str) -> Engine:
        """Return an engine for one lane, whose transactions start with `begin`."""
        engine = create_engine(
            self.url,
            hide_parameters=True,
            poolclass=NullPool,  # a lane holds its one connection for life
            execution_options={"sqlite_begin": begin},
            connect_args={
                "timeout": self._options.busy_timeout_seconds,
                "cached_statements": CACHED_STATEMENTS,
                "check_same_thread": False,  # the connection is made, used and closed by its lane alone
            },
        )
        self._configure(engine)
        return engine

    def _configure(self, engine: Engine) -> None:
        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _record: Any) -> None:
            # The driver's own BEGIN comes too late and is never IMMEDIATE; ours is sent by on_begin.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in self._options.pragmas():
                cursor.execute(pragma)
            cursor.close()

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def set_journal_mode(raw: sqlite3.Connection, mode: str, timeout: float) -> None:
    """Switch the journal mode, waiting for others that open the file; a file that cannot be written keeps its mode."""
    # A process that switches the mode while another opens the file is refused at once, whatever the busy timeout.
    deadline = time.monotonic() + timeout
    while True:
        try:
            raw.execute(f"PRAGMA journal_mode={mode}").fetchall()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                return  # it can still be read, in the mode it has; writing will say what is wrong
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)
        else:
            return


def prepare_reader(raw: sqlite3.Connection) -> None:
    """Make a connection one that can only read, and that ignores case in every alphabet."""

    def lower(value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    # SQLite's own knows the letters of ASCII only; a search ignores case in every alphabet.
    raw.create_function("lower", 1, lower, deterministic=True)
    raw.create_function("ln", 1, math.log, deterministic=True)  # of SQLite's own only where it was compiled in

    def authorize(action: int, name: str | None, *_more: Any) -> int:
        # SQLite asks for this when it first meets a virtual table, such as json_each; query_only refuses it in earnest.
        declares = action == sqlite3.SQLITE_UPDATE and name == "sqlite_master"
        # The index of texts asks itself whether another connection has changed it.
        looks = action == sqlite3.SQLITE_PRAGMA and name == "data_version"
        return sqlite3.SQLITE_OK if declares or looks or action in READ_ACTIONS else sqlite3.SQLITE_DENY

    raw.execute("PRAGMA query_only=ON")
    raw.set_authorizer(authorize)
