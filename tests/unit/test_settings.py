"""Every documented option does what it says on a real database, or is refused with a reason."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from langswarm_memory import (
    InMemoryBackend,
    MemoryConfigurationError,
    MemoryManager,
    Message,
    PostgresBackend,
    SchemaVersionError,
    SessionMetadata,
    SQLiteBackend,
)
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.settings import InMemorySettings, PostgresSettings, SQLiteSettings, load_settings

# --- SQLite: as the connection that a caller gets sees it ---------------------------------------------------------


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({}, "journal_mode", "wal"),
        ({"enable_wal": False}, "journal_mode", "delete"),
        ({"enable_wal": True, "journal_mode": "DELETE"}, "journal_mode", "delete"),
        ({}, "synchronous", 2),
        ({"synchronous": "normal"}, "synchronous", 1),
        ({"synchronous": "OFF"}, "synchronous", 0),
        ({"synchronous": "EXTRA"}, "synchronous", 3),
        ({}, "foreign_keys", 1),
        ({"enable_foreign_keys": False}, "foreign_keys", 0),
        ({"cache_size": 1234}, "cache_size", 1234),
        ({"cache_size": -2000}, "cache_size", -2000),
        ({"auto_vacuum": "full"}, "auto_vacuum", 1),
        ({"auto_vacuum": True}, "auto_vacuum", 1),
        ({"auto_vacuum": "incremental"}, "auto_vacuum", 2),
        ({"auto_vacuum": False}, "auto_vacuum", 0),
        ({"timeout": 12.5}, "busy_timeout", 12_500),
    ],
)
async def test_sqlite_option_reaches_the_database(
    tmp_path: Path, options: dict[str, Any], name: str, value: object
) -> None:
    async with SQLiteBackend(tmp_path / "memory.db", **options) as backend:
        connection = backend.get_connection()
        assert connection.execute(f"PRAGMA {name}").fetchone() == (value,)


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(("mode", "left"), [("TRUNCATE", True), ("persist", True), ("DELETE", False)])
async def test_sqlite_journal_mode_is_that_of_the_writer(tmp_path: Path, mode: str, left: bool) -> None:
    async with SQLiteBackend(tmp_path / "memory.db", journal_mode=mode) as backend:
        await backend.create_session(SessionMetadata("s"))
        assert ("memory.db-journal" in os.listdir(tmp_path)) is left


@pytest.mark.store("sqlite")
async def test_sqlite_makes_the_directories_of_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "memory.db"
    async with SQLiteBackend(path):
        assert path.is_file()


@pytest.mark.store("sqlite")
async def test_sqlite_url_names_the_file(tmp_path: Path) -> None:
    async with SQLiteBackend(f"sqlite:///{tmp_path / 'memory.db'}"):
        assert (tmp_path / "memory.db").is_file()


@pytest.mark.store("sqlite-memory")
async def test_database_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLiteBackend(":memory:") as backend:
        await backend.create_session(SessionMetadata("s"))
        assert len(await backend.list_sessions()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.store("sqlite-memory")
async def test_two_databases_in_memory_are_two() -> None:
    async with SQLiteBackend(":memory:") as first, SQLiteBackend(":memory:") as second:
        await first.create_session(SessionMetadata("s"))
        assert await second.list_sessions() == []


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(
    "options",
    [
        {"db_path": ""},
        {"db_path": 5},
        {"db_path": True},
        {"db_path": "a\x00b"},
        {"db_path": "sqlite://memory.db"},
        {"journal_mode": "fast"},
        {"journal_mode": 5},
        {"synchronous": "sometimes"},
        {"cache_size": "2000"},
        {"cache_size": True},
        {"pool_size": 0},
        {"pool_size": 1.5},
        {"timeout": -1},
        {"timeout": "30"},
        {"timeout": float("nan")},
        {"auto_vacuum": "sometimes"},
        {"ttl": -1},
        {"ttl": "1 day"},
        {"overflow": "discard"},
        {"max_messages": 0},
        {"table_name": "conversations"},
    ],
    ids=repr,
)
def test_wrong_sqlite_option_is_refused_before_any_io(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        SQLiteBackend(**options)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(postgres_url: str) -> dict[str, Any]:
    """The parts of a URL as options."""
    split = urlsplit(postgres_url)
    return {
        "host": split.hostname,
        "port": split.port,
        "user": split.username,
        "password": split.password or "",
        "database": split.path[1:],
    }


async def test_postgres_is_reached_by_the_parts_of_its_url(parts: dict[str, Any]) -> None:
    async with PostgresBackend(**parts) as backend:
        assert await backend.query("SELECT current_database() AS name") == [{"name": parts["database"]}]


@pytest.mark.parametrize("option", ["url", "dsn", "connection_string"])
async def test_postgres_is_reached_by_its_url_under_any_name(postgres_url: str, option: str) -> None:
    async with PostgresBackend({option: postgres_url}) as backend:
        assert await backend.list_sessions() == []


async def test_postgres_schema_holds_the_tables(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, schema='odd "name" %x') as backend:
        await backend.create_session(SessionMetadata("s"))
        rows = await backend.query("SELECT schemaname FROM pg_tables WHERE tablename = 'sessions'")
        assert rows == [{"schemaname": 'odd "name" %x'}]
    async with PostgresBackend(postgres_url) as backend:
        assert await backend.list_sessions() == []


async def test_postgres_server_settings_are_set(postgres_url: str) -> None:
    settings = {"application_name": "tests", "statement_timeout": "12345"}
    async with PostgresBackend(postgres_url, server_settings=settings) as backend:
        assert await backend.query("SHOW application_name") == [{"application_name": "tests"}]
        assert await backend.query("SHOW statement_timeout") == [{"statement_timeout": "12345ms"}]


async def test_postgres_takes_no_more_connections_than_max_size(postgres_url: str) -> None:
    async with PostgresBackend(postgres_url, max_size=3) as backend:
        for _ in range(3):
            await backend.create_session(SessionMetadata(f"s{_}"))
        sessions = [await backend.get_session(f"s{n % 3}") for n in range(30)]
        await asyncio.gather(*(session.add_message(Message("user", "x")) for session in sessions if session))
        await asyncio.gather(*(session.update_metadata(a=1) for session in sessions[:3] if session))
        rows = await backend.query("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()")
        assert 1 <= rows[0]["n"] <= 3


async def test_postgres_uses_an_engine_of_the_callers_and_leaves_it_open(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url.replace("postgresql://", "postgresql+asyncpg://", 1), pool_size=2)
    async with PostgresBackend(engine=engine) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello"))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM messages"))).scalar() == 1
    await engine.dispose()


async def test_command_timeout_of_none_is_no_bound(postgres_url: str) -> None:
    assert PostgresBackend(postgres_url).settings.command_timeout == 60
    assert PostgresBackend(postgres_url, command_timeout=None).settings.command_timeout is None


@pytest.mark.store("postgres")
@pytest.mark.parametrize(
    "options",
    [
        {"url": 5},
        {"url": ""},
        {"url": "mysql://host/database"},
        {"url": "postgresql://host:port/database"},
        {"host": 5},
        {"user": 5},
        {"password": b"secret"},
        {"database": None, "user": ["a"]},
        {"port": "5432"},
        {"port": 0},
        {"port": 70_000},
        {"max_size": 0},
        {"min_size": -1},
        {"pool_timeout": -1},
        {"timeout": None, "pool_timeout": "x"},
        {"command_timeout": -1},
        {"statement_cache_size": -1},
        {"schema": ""},
        {"schema": "x" * 64},
        {"schema": 5},
        {"schema": "a\x00b"},
        {"server_settings": ["a"]},
        {"server_settings": {"statement_timeout": 5}},
        {"table_prefix": "ls_"},
        {"enable_vector": True},  # without an embedding
        {"table_name": "agent_conversations"},
        {"enable_search": True},
    ],
    ids=repr,
)
def test_wrong_postgres_option_is_refused_before_any_io(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        PostgresBackend(**options)


# --- every backend -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"max_messages": 7}, {"max_messages_per_session": 7}], ids=repr)
async def test_max_messages_is_the_window_of_new_sessions(options: dict[str, Any]) -> None:
    manager = MemoryManager(InMemoryBackend(**options))
    session = await manager.create_session("s")
    assert session.metadata.max_messages == 7
    own = await manager.create_session("t", max_messages=3)
    assert own.metadata.max_messages == 3


@pytest.mark.parametrize("option", ["max_sessions", "db_path", "url", "pool_size"])
def test_in_memory_refuses_what_it_has_not(option: str) -> None:
    with pytest.raises(MemoryConfigurationError, match=f"no option '{option}'"):
        InMemoryBackend(**{option: 5})


@pytest.mark.parametrize("config", [5, True, ["a"], b"memory.db", object()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("kind", [InMemoryBackend, SQLiteBackend, PostgresBackend])
def test_configuration_that_is_none_is_refused(kind: type[BaseMemoryBackend], config: Any) -> None:
    with pytest.raises(MemoryConfigurationError):
        kind(config)


@pytest.mark.store("sqlite")
async def test_new_file_is_left_empty_without_auto_migrate(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "memory.db", auto_migrate=False)
    with pytest.raises(SchemaVersionError, match="db upgrade"):
        await backend.connect()


async def test_new_database_is_left_empty_without_auto_migrate(postgres_url: str) -> None:
    backend = PostgresBackend(postgres_url, auto_migrate=False)
    with pytest.raises(SchemaVersionError, match="db upgrade"):
        await backend.connect()


def test_options_win_over_the_mapping() -> None:
    settings = load_settings(SQLiteSettings, {"db_path": "a.db", "pool_size": 2}, db_path="b.db")
    assert (settings.db_path, settings.pool_size) == ("b.db", 2)


@pytest.mark.parametrize(
    ("cls", "option", "near"),
    [
        (SQLiteSettings, "db_pth", "db_path"),
        (SQLiteSettings, "sychronous", "synchronous"),
        (PostgresSettings, "shema", "schema"),
        (PostgresSettings, "connection_strng", "connection_string"),
        (InMemorySettings, "tll", "ttl"),
    ],
)
def test_unknown_option_names_the_nearest(cls: type[Any], option: str, near: str) -> None:
    with pytest.raises(MemoryConfigurationError, match=f"no option '{option}'; did you mean '{near}'"):
        load_settings(cls, **{option: 1})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        InMemoryBackend().settings.ttl = 5  # type: ignore[misc]
