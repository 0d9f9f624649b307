"""Settings of the relational stores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import MemoryConfigurationError
from .base import BackendSettings, assign, is_int, is_number, require


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteSettings(BackendSettings):
    """Settings of the SQLite backend.

    Args:
        db_path: The file; parent directories are made. ``":memory:"`` for a database that lives as long as the
            backend is connected. A ``sqlite:///`` URL is taken too.
        enable_wal: Whether readers go on during a write. False: ``journal_mode`` DELETE.
        journal_mode: SQLite's own name of the mode; wins over `enable_wal`.
        synchronous: FULL: an acknowledged message survives power loss. NORMAL: it survives a crash of the process;
            the last ones may be lost with power. Also OFF and EXTRA.
        enable_foreign_keys: Whether SQLite checks references.
        cache_size: Pages of cache per connection, or KiB when negative. None: SQLite's default.
        pool_size: Connections that read; one more writes.
        timeout: Seconds to wait for another process's lock.
        auto_vacuum: ``"none"``, ``"full"`` or ``"incremental"``, heeded when the file is new. True: full.
        auto_migrate: Whether an older schema is upgraded when connecting. False: ``SchemaVersionError``.
    """

    db_path: str = "langswarm_memory.db"
    enable_wal: bool = True
    journal_mode: str | None = None
    synchronous: str = "FULL"
    enable_foreign_keys: bool = True
    cache_size: int | None = None
    pool_size: int = 4
    timeout: float = 30.0
    auto_vacuum: str | bool | None = None
    auto_migrate: bool = True

    address: ClassVar[str | None] = "db_path"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "path": "db_path",
        "database": "db_path",
        "url": "db_path",
        "foreign_keys": "enable_foreign_keys",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        assign(self, "db_path", sqlite_path(self.db_path))
        require(bool(self.db_path) and "\x00" not in self.db_path, "db_path must not be empty, nor hold NUL")
        mode = str(self.journal_mode or ("WAL" if self.enable_wal else "DELETE")).upper()
        require(mode in JOURNAL_MODES, f"journal_mode must be one of {', '.join(JOURNAL_MODES)}")
        assign(self, "journal_mode", mode)
        assign(self, "synchronous", str(self.synchronous).upper())
        require(self.synchronous in SYNCHRONOUS, f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        require(self.cache_size is None or is_int(self.cache_size, -(2**31)), "cache_size must be an int or None")
        require(is_int(self.pool_size, 1), "pool_size must be an int from 1")
        require(is_number(self.timeout, 0), "timeout must be seconds from 0")
        if isinstance(self.auto_vacuum, bool):
            assign(self, "auto_vacuum", "full" if self.auto_vacuum else "none")
        require(
            self.auto_vacuum is None or str(self.auto_vacuum).lower() in AUTO_VACUUM,
            f"auto_vacuum must be one of {', '.join(AUTO_VACUUM)}",
        )


JOURNAL_MODES = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
SYNCHRONOUS = ("FULL", "NORMAL", "OFF", "EXTRA")
AUTO_VACUUM = ("none", "full", "incremental")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings(BackendSettings):
    """Settings of the PostgreSQL backend.

    Args:
        url: ``postgresql://user:password@host:port/database``; wins over the parts below.
        host: Server, or directory of a Unix socket.
        port: Port.
        database: Database; it must exist.
        user: Role.
        password: Password.
        schema: Schema of the tables; made when missing. None: the connection's own (``public``).
        table_prefix: Only ``""``; tables are kept apart by `schema`.
        min_size: Accepted for older configurations; connections are opened as they are needed.
        max_size: Connections at most.
        pool_timeout: Seconds to wait for a free connection.
        timeout: Seconds to wait for a new connection.
        command_timeout: Seconds a statement may take. None: no bound.
        statement_cache_size: Prepared statements kept per connection. 0 behind PgBouncer in transaction mode.
        server_settings: Run-time parameters, such as ``{"application_name": "agents"}``.
        ssl: As asyncpg's `ssl`: True, a mode such as ``"require"``, or an ``ssl.SSLContext``.
        engine: An ``AsyncEngine`` of the caller's, used instead of all above and not disposed of.
        auto_migrate: Whether an older schema is upgraded when connecting. False: ``SchemaVersionError``.
        search_language: Text search configuration of the server that words are reduced by, such as ``german``, or
            ``simple`` for none. The index is made for one language, and made anew when connecting with another.
    """

    url: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int = 5432
    database: str = "langswarm"
    user: str = "postgres"
    password: str = field(default="", repr=False)
    schema: str | None = None
    table_prefix: str = ""
    min_size: int = 1
    max_size: int = 10
    pool_timeout: float = 30.0
    timeout: float = 10.0
    command_timeout: float | None = 60.0
    statement_cache_size: int = 100
    server_settings: Mapping[str, str] = field(default_factory=dict)
    ssl: Any = field(default=None, repr=False)
    engine: Any = field(default=None, repr=False)
    auto_migrate: bool = True
    search_language: str = "english"

    address: ClassVar[str | None] = "url"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "dsn": "url",
        "connection_string": "url",
        "pool_size": "max_size",
        "max_connections": "max_size",
        "min_connections": "min_size",
        "pool_min_size": "min_size",
        "pool_max_size": "max_size",
        "username": "user",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        for name in ("host", "database", "user", "password"):
            require(isinstance(getattr(self, name), str), f"{name} must be text")
        require(self.url is None or isinstance(self.url, str), "url must be text")
        require(is_int(self.port, 1, 65_535), "port must be an int from 1 to 65,535")
        require(is_int(self.min_size, 0), "min_size must be an int from 0")
        require(is_int(self.max_size, 1), "max_size must be an int from 1")
        require(is_int(self.statement_cache_size, 0), "statement_cache_size must be an int from 0")
        for name in ("pool_timeout", "timeout"):
            require(is_number(getattr(self, name), 0), f"{name} must be seconds from 0")
        require(
            self.command_timeout is None or is_number(self.command_timeout, 0),
            "command_timeout must be seconds from 0, or None",
        )
        require(
            not self.table_prefix,
            "table_prefix is not supported; keep the tables in a schema of their own: schema=...",
        )
        require(
            self.schema is None
            or (isinstance(self.schema, str) and 0 < len(self.schema) <= 63 and "\x00" not in self.schema),
            "schema must be a name of 1 to 63 characters",
        )
        given = self.server_settings
        require(
            isinstance(given, Mapping) and all(isinstance(text, str) for item in given.items() for text in item),
            "server_settings must be a mapping of names to text",
        )


def sqlite_path(value: object) -> str:
    """Return the path in a plain path or a ``sqlite:///`` URL (three slashes: relative; four: absolute)."""
    if not isinstance(value, str | os.PathLike):
        raise MemoryConfigurationError(f"a path is needed, got {type(value).__name__}")
    text = str(value)
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.split("+")[0] != "sqlite":
        return text
    path = rest.partition("?")[0]
    if path and not path.startswith("/"):
        raise MemoryConfigurationError(
            "a SQLite URL has three slashes before a relative path",
            suggestion="for example sqlite:///memory.db",
        )
    return path[1:] or ":memory:"
