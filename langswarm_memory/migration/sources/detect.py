"""Which earlier format a file, a database or a Redis is in: told from what is found there, not from its name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from ...errors import InvalidInputError, MemoryConfigurationError, MissingDependencyError
from ...settings import MongoDBSettings
from ...settings.base import load_settings
from ...settings.relational import sqlite_path
from ..source import Source
from .base import EarlierSource, JoinedSource, Row
from .documents import SQLiteDocumentsSource
from .formats import CurrentFormatError, UnknownFormatError
from .layouts import TableLayout, core_layout, guide_layout, langchain_layout, reference_layout
from .sqlite_file import SQLiteFile
from .tables import SQLiteTablesSource, quote_name
from .v1_sessions import V1SessionsSource
from .values import Times, parse_time, read_zone

KINDS = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "file": "sqlite",
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgresql+asyncpg": "postgres",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "mongodb": "mongodb",
    "mongo": "mongodb",
    "mongodb+srv": "mongodb",
}

_LOCATIONS = {
    "sqlite": ("db_path", "path", "file", "database", "db", "url", "filename"),
    "postgres": ("url", "dsn", "connection_string"),
    "redis": ("url", "redis_url", "connection_string"),
    "mongodb": ("uri", "url", "connection_string"),
}

OPTIONS = (
    "naive_timezone",
    "default_time",
    "key_prefix",
    "prefix",
    "schema",
    "table_prefix",
    "table_name",
    "collection_prefix",
)
"""What a configuration, or the query of a URL, may say beside the place."""

Tables = Mapping[str, frozenset[str]]
"""Names of tables, and of the columns of each."""


async def detect_source(config: str | Path | Mapping[str, Any]) -> Source:
    """Return the reader of what earlier software left behind, found out from the data itself.

    Args:
        config: A path, a URL (``sqlite:///…``, ``postgresql://…``, ``redis://…``), or a mapping: ``backend`` (or
            ``type``) with ``db_path``, ``path`` or ``url``, or with ``host``, ``port``, ``user``, ``password``; these
            may also stand in a mapping of their own, ``settings`` or ``config``. Beside them, ``key_prefix`` (Redis),
            ``schema`` and ``table_prefix`` (PostgreSQL), ``database`` and ``collection_prefix`` (MongoDB),
            ``table_name`` (a table of messages); ``naive_timezone``,
            what times without an offset are given in (``"utc"``, the default, ``"local"``, or ``"Europe/Rome"``);
            ``default_time``, the time of what has none (ISO 8601; default: the beginning of 1970). A URL may have the
            options in its query.

    Raises:
        UnknownFormatError: In no format that is understood.
        CurrentFormatError: In that of the present version.
        InvalidInputError: There is no such file, or it is no database.
        MemoryConfigurationError: The configuration cannot be read.
        MemoryBackendError: The server cannot be reached.
    """
    kind, location, options = _read_config(config)
    location, told = _without_options(location)
    options = {**told, **options}
    times = _times(options)
    if kind == "sqlite":
        return await _in_sqlite(Path(sqlite_path(location)), options, times)
    if kind == "postgres":
        return await _in_postgres(location, options, times)
    return await (_in_redis if kind == "redis" else _in_mongodb)(location, options, times)


def _read_config(config: str | Path | Mapping[str, Any]) -> tuple[str, str, Row]:
    if isinstance(config, str | Path):
        return _kind_of(str(config)), str(config), {}
    if not isinstance(config, Mapping):
        raise MemoryConfigurationError(f"a source is a path, a URL or a mapping, got {type(config).__name__}")
    options: Row = dict(config)
    for name in ("settings", "config"):
        nested = options.pop(name, None)
        if isinstance(nested, Mapping):
            options = {**nested, **options}
    given = options.pop("backend", None) or options.pop("type", None)
    options.pop("type", None)
    location = next(
        (
            str(options[name])
            for name in ("url", *_LOCATIONS["sqlite"], *_LOCATIONS["redis"], *_LOCATIONS["mongodb"])
            if _is_text(options, name)
        ),
        None,
    )
    kind = KINDS.get(str(given).lower()) if given is not None else None if location is None else _kind_of(location)
    if kind is None:
        raise MemoryConfigurationError(
            f"no earlier format is kept in {given!r}" if given else "the source has no backend",
            suggestion="use one of sqlite, postgres, redis, mongodb",
        )
    location = next((str(options.pop(name)) for name in _LOCATIONS[kind] if _is_text(options, name)), None)
    if location is None:
        if kind == "sqlite":
            raise MemoryConfigurationError("the source has no db_path")
        location = "mongodb://localhost:27017" if kind == "mongodb" else _url_of(kind, options)
    return kind, location, options


def _is_text(options: Row, name: str) -> bool:
    return isinstance(options.get(name), str | Path) and bool(str(options[name]))


def _kind_of(location: str) -> str:
    scheme, mark, _ = location.partition("://")
    if not mark:
        return "sqlite"
    if scheme not in KINDS:
        raise MemoryConfigurationError(
            f"no earlier format is kept in {scheme}://",
            suggestion="use a path, sqlite:///, postgresql://, redis:// or mongodb://",
        )
    return KINDS[scheme]


def _url_of(kind: str, options: Row) -> str:
    from sqlalchemy.engine import URL

    user = options.get("user") or options.get("username")
    password = options.get("password")
    postgres = kind == "postgres"
    database = options.get("database") if postgres else options.get("db")
    return URL.create(
        "postgresql" if postgres else "redis",
        None if user is None else str(user),
        None if password is None else str(password),
        str(options.get("host") or "localhost"),
        int(options.get("port") or (5432 if postgres else 6379)),
        str(database if database is not None else "langswarm" if postgres else "0"),
    ).render_as_string(hide_password=False)


def _times(options: Row) -> Times:
    times = Times(zone=read_zone(options.get("naive_timezone")))
    given = options.get("default_time")
    if given is None:
        return times
    try:
        return Times(zone=times.zone, default=parse_time(given, times.zone)[0])
    except InvalidInputError as exc:
        raise MemoryConfigurationError("default_time is no ISO 8601 date and time") from exc


def _without_options(location: str) -> tuple[str, Row]:
    """Return a URL without what is meant for us in its query, and that; a path as it is."""
    if "://" not in location:
        return location, {}
    parts = urlsplit(location)
    query = parse_qsl(parts.query, keep_blank_values=True)
    told: Row = {name: value for name, value in query if name in OPTIONS}
    if not told:
        return location, {}
    rest = urlencode([(name, value) for name, value in query if name not in OPTIONS])
    return location.partition("?")[0] + (f"?{rest}" if rest else ""), told


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: without user, password and options."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


# --- tables -------------------------------------------------------------------------------------------------------


def layouts_of(tables: Tables, prefix: str = "", table_name: str | None = None) -> list[TableLayout]:
    """Return the layouts of the tables found, those with a row per message."""
    found: list[TableLayout] = []
    sessions = tables.get(f"{prefix}sessions", frozenset())
    messages = tables.get(f"{prefix}messages", frozenset())
    if "max_messages" in sessions and {"session_id", "role", "content"} <= messages:
        layout = reference_layout(prefix)
        found.append(layout if f"{prefix}summaries" in tables else _without_summaries(layout))
    elif {"session_id", "context_data"} <= sessions and "session_messages" in tables:
        found.append(core_layout())
    else:
        for name in (table_name,) if table_name else ("messages", "conversations"):
            if {"session_id", "role", "content"} <= tables.get(name, frozenset()):
                found.append(guide_layout(name))
    for name in (table_name,) if table_name else ("message_store",):
        if {"session_id", "message"} <= tables.get(name, frozenset()):
            found.append(langchain_layout(name))
    return found


def _without_summaries(layout: TableLayout) -> TableLayout:
    from dataclasses import replace

    return replace(layout, summaries=None)


def is_current(tables: Tables) -> bool:
    """Return whether the tables are those of the present version."""
    return "last_seq" in tables.get("sessions", frozenset()) and "seq" in tables.get("messages", frozenset())


async def _in_sqlite(path: Path, options: Row, times: Times) -> Source:
    file = SQLiteFile(path)
    await file.open()
    try:
        tables = await file.run(_tables)
        if is_current(tables):
            raise CurrentFormatError(str(path))
        layouts = layouts_of(tables, table_name=options.get("table_name"))
        parts: list[EarlierSource] = [SQLiteTablesSource(SQLiteFile(path), layout, times) for layout in layouts]
        if {"session_id", "history"} <= tables.get("sessions", frozenset()):
            parts.append(V1SessionsSource(SQLiteFile(path), times))
        if {"key", "value", "metadata"} <= tables.get("memory", frozenset()):
            parts.append(SQLiteDocumentsSource(SQLiteFile(path), times))
    finally:
        await file.close()
    if not parts:
        raise UnknownFormatError(str(path), [f"{name} ({', '.join(sorted(tables[name]))})" for name in sorted(tables)])
    return parts[0] if len(parts) == 1 else JoinedSource(parts)


def _tables(connection: sqlite3.Connection) -> Tables:
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
    ]
    return {
        name: frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({quote_name(name)})"))
        for name in names
    }


async def _in_postgres(url: str, options: Row, times: Times) -> Source:
    try:
        from .postgres_server import find_tables, make_engine
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "asyncpg":
            raise
        raise MissingDependencyError("asyncpg", extra="postgres") from None
    from .postgres_tables import PostgresTablesSource

    place = without_secrets(url)
    schema, prefix = options.get("schema"), str(options.get("table_prefix") or "")
    tables = await find_tables(url, schema)
    if is_current(tables):
        raise CurrentFormatError(place)
    parts: list[EarlierSource] = [
        PostgresTablesSource(make_engine(url), schema, layout, place, times)
        for layout in layouts_of(tables, prefix, options.get("table_name"))
    ]
    if not parts:
        raise UnknownFormatError(place, [f"{name} ({', '.join(sorted(tables[name]))})" for name in sorted(tables)])
    return parts[0] if len(parts) == 1 else JoinedSource(parts)


async def _in_redis(url: str, options: Row, times: Times) -> Source:
    try:
        from .redis_server import find_formats
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "redis":
            raise
        raise MissingDependencyError("redis", extra="redis") from None
    prefix = options.get("key_prefix", options.get("prefix"))
    place = unquote(without_secrets(url))
    found, names = await find_formats(url, None if prefix is None else str(prefix), place, times)
    if not found:
        raise UnknownFormatError(place, names)
    return found[0] if len(found) == 1 else JoinedSource(found)


async def _in_mongodb(uri: str, options: Row, times: Times) -> Source:
    from .mongodb_collections import MongoCollectionsSource

    prefix = options.get("collection_prefix", options.get("prefix"))
    source = MongoCollectionsSource(
        load_settings(MongoDBSettings, uri=uri, database=options.get("database"), collection_prefix=prefix), times
    )
    await source.open()
    try:
        await source.check_format()
    finally:
        await source.close()
    return source
