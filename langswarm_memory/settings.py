"""Settings: one frozen dataclass per store, and the one function that fills it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from .errors import MemoryConfigurationError

Overflow = str
S = TypeVar("S", bound="BackendSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """What every backend takes.

    Args:
        ttl: Seconds after its last message that a session expires. None or 0: never.
        overflow: What becomes of messages beyond ``max_messages``: ``"keep"`` them out of the window, or
            ``"delete"`` them.
        max_messages: ``max_messages`` of sessions that are created without one. None: the session's own default (100).
    """

    ttl: int | None = None
    overflow: str = "keep"
    max_messages: int | None = None

    address: ClassVar[str | None] = None
    """The setting that a bare text configures."""
    aliases: ClassVar[Mapping[str, str]] = {
        "ttl_seconds": "ttl",
        "session_ttl": "ttl",
        "max_messages_per_session": "max_messages",
    }

    def __post_init__(self) -> None:
        require(self.ttl is None or _is_int(self.ttl, 0), "ttl must be seconds as an int from 0, or None")
        require(self.overflow in ("keep", "delete"), "overflow must be 'keep' or 'delete'")
        require(
            self.max_messages is None or _is_int(self.max_messages, 1),
            "max_messages must be an int from 1, or None",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemorySettings(BackendSettings):
    """Settings of the in-memory backend."""


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
        _set(self, "db_path", sqlite_path(self.db_path))
        require(bool(self.db_path) and "\x00" not in self.db_path, "db_path must not be empty, nor hold NUL")
        mode = str(self.journal_mode or ("WAL" if self.enable_wal else "DELETE")).upper()
        require(mode in JOURNAL_MODES, f"journal_mode must be one of {', '.join(JOURNAL_MODES)}")
        _set(self, "journal_mode", mode)
        _set(self, "synchronous", str(self.synchronous).upper())
        require(self.synchronous in SYNCHRONOUS, f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        require(self.cache_size is None or _is_int(self.cache_size, -(2**31)), "cache_size must be an int or None")
        require(_is_int(self.pool_size, 1), "pool_size must be an int from 1")
        require(_is_number(self.timeout, 0), "timeout must be seconds from 0")
        if isinstance(self.auto_vacuum, bool):
            _set(self, "auto_vacuum", "full" if self.auto_vacuum else "none")
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
        require(_is_int(self.port, 1, 65_535), "port must be an int from 1 to 65,535")
        require(_is_int(self.min_size, 0), "min_size must be an int from 0")
        require(_is_int(self.max_size, 1), "max_size must be an int from 1")
        require(_is_int(self.statement_cache_size, 0), "statement_cache_size must be an int from 0")
        for name in ("pool_timeout", "timeout"):
            require(_is_number(getattr(self, name), 0), f"{name} must be seconds from 0")
        require(
            self.command_timeout is None or _is_number(self.command_timeout, 0),
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


def require(condition: bool, issue: str) -> None:
    """Raise ``MemoryConfigurationError`` unless the condition holds."""
    if not condition:
        raise MemoryConfigurationError(issue)


def _set(settings: Any, name: str, value: Any) -> None:
    object.__setattr__(settings, name, value)


def _is_int(value: object, low: int, high: int | None = None) -> bool:
    return type(value) is int and value >= low and (high is None or value <= high)


def _is_number(value: object, low: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= low


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


def load_settings(cls: type[S], config: Mapping[str, Any] | str | None = None, **options: Any) -> S:
    """Merge explicit options over the mapping over the defaults.

    Args:
        cls: Which settings.
        config: A mapping, or the store's address as text.
        **options: Explicit options. None counts as not given where an option cannot be None.

    Raises:
        MemoryConfigurationError: An unknown option (the nearest known one is named), an option given twice under two
            names, or a value out of range.
    """
    known = {f.name: f for f in fields(cls)}
    given: dict[str, Any] = {}
    if config is not None and not isinstance(config, Mapping):
        if cls.address is None or (not hasattr(config, "__fspath__") and not isinstance(config, str)):
            raise MemoryConfigurationError(f"{cls.__name__} takes a mapping of options, got {type(config).__name__}")
        config = {cls.address: str(config)}
    for source in (config or {}, options):
        spelled: dict[str, str] = {}
        for option, value in source.items():
            name = cls.aliases.get(option, option)
            if name not in known:
                raise MemoryConfigurationError(_unknown(cls, option, [*known, *cls.aliases]))
            if name in spelled and source[spelled[name]] != value:
                raise MemoryConfigurationError(f"{spelled[name]!r} and {option!r} are the same option, given twice")
            spelled[name] = option
            if value is None and known[name].default is not None and "None" not in str(known[name].type):
                continue
            given[name] = value
    return cls(**given)


def _unknown(cls: type, option: str, names: list[str]) -> str:
    near = difflib.get_close_matches(str(option), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(names))}"
    return f"{cls.__name__} has no option {option!r}; {hint}"
