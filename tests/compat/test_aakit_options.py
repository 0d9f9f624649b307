"""The options of AA Kit's constructors do what they say."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import redis
import redis.asyncio

from langswarm_memory import (
    MemoryBackendError,
    MemoryConfigurationError,
    QueryError,
    StorageUnavailableError,
    UnsupportedOperationError,
)
from langswarm_memory.compat import aakit
from langswarm_memory.compat.aakit import (
    InMemoryBackend,
    MemoryConfig,
    Message,
    PostgreSQLBackend,
    RedisBackend,
    SQLiteBackend,
    create_memory,
)
from langswarm_memory.interfaces.timestamps import now
from tests.compat.aakit_memories import make, store
from tests.services.redis import RedisService

__all__ = ["make", "store"]

SIGNATURES: dict[Any, dict[str, Any]] = {
    InMemoryBackend: {"max_sessions": 1000, "max_messages_per_session": 1000, "ttl": None},
    RedisBackend: {
        "client": None,
        "url": None,
        "prefix": "agentz:sessions:",
        "ttl": 86400,
        "max_messages": 1000,
        "compression": True,
    },
    SQLiteBackend: {
        "db_path": "agent_memory.db",
        "table_name": "conversations",
        "auto_vacuum": True,
        "journal_mode": "WAL",
    },
    PostgreSQLBackend: {
        "connection_string": None,
        "pool_size": 10,
        "table_name": "agent_conversations",
        "schema": "public",
        "enable_search": True,
    },
    MemoryConfig: {
        "backend": "memory",
        "max_messages": 1000,
        "context_window": 20,
        "summarization": False,
        "compression": False,
        "encryption": False,
        "search_enabled": True,
    },
}


def said(count: int, first: int = 0) -> list[Message]:
    return [Message("user", str(n)) for n in range(first, first + count)]


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


@pytest.mark.parametrize("cls", SIGNATURES, ids=lambda cls: cls.__name__)
def test_options_have_the_documented_order_and_defaults(cls: Any) -> None:
    wanted = SIGNATURES[cls]
    parameters = inspect.signature(cls).parameters.values()
    positional = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert [(one.name, one.default) for one in positional] == list(wanted.items())


def test_every_public_name_is_there() -> None:
    assert [name for name in aakit.__all__ if getattr(aakit, name).__name__ != name] == []


# --- in this process ------------------------------------------------------------------------------------------------


async def test_max_sessions_forgets_the_session_that_was_quiet_for_longest() -> None:
    memory = InMemoryBackend(max_sessions=2)
    for session_id in ("a", "b", "a", "c"):
        await memory.save(session_id, said(1))
    assert [texts(await memory.load(one)) for one in ("a", "b", "c")] == [["0", "0"], [], ["0"]]


async def test_a_session_in_use_is_not_forgotten_however_old() -> None:
    memory = InMemoryBackend(max_sessions=3)
    for n in range(20):
        await memory.save("in use", said(1))
        await memory.save(str(n), said(1))
    assert len(await memory.load("in use")) == 20
    assert {one.session_id for one in await memory.list_sessions()} == {"in use", "18", "19"}


async def test_bounds_hold_beyond_what_was_deleted() -> None:
    memory = InMemoryBackend(max_sessions=3)
    for n in range(5):
        await memory.save(str(n), said(1))
    await memory.clear("3")
    await memory.save("5", said(1))
    assert {one.session_id for one in await memory.list_sessions()} == {"2", "4", "5"}


async def test_max_messages_per_session_forgets_the_oldest() -> None:
    memory = InMemoryBackend(max_messages_per_session=2)
    await memory.save("u", [Message("system", "rules"), *said(4)])
    session = await memory.get_session("u")
    assert session is not None
    assert texts(await session.get_messages(full_history=True)) == ["rules", "2", "3"]


async def test_forgotten_messages_that_are_saved_again_do_not_come_back() -> None:
    memory = InMemoryBackend(max_messages_per_session=2)
    conversation = said(3)
    await memory.save("u", conversation)
    await memory.save("u", [*conversation, Message("user", "3")])
    assert texts(await memory.load("u")) == ["2", "3"]


@pytest.mark.parametrize("options", [{"max_sessions": 0}, {"max_sessions": True}, {"max_messages_per_session": 0}])
def test_a_bound_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        InMemoryBackend(**options)


# --- on every store -------------------------------------------------------------------------------------------------


async def test_ttl_forgets_a_session_some_time_after_its_last_message(make: Callable[..., Any]) -> None:
    times = [now()]
    memory = make(clock=lambda: times[-1], ttl=3600)
    await memory.save("u", said(1))
    times.append(times[0] + timedelta(seconds=3599))
    assert texts(await memory.load("u")) == ["0"]
    times.append(times[0] + timedelta(seconds=3601))
    assert await memory.load("u") == []


async def test_saving_to_an_expired_session_begins_it_anew(make: Callable[..., Any]) -> None:
    times = [now()]
    memory = make(clock=lambda: times[-1], ttl=3600)
    await memory.save("u", said(1))
    times.append(times[0] + timedelta(hours=2))
    await memory.save("u", said(1, first=5))
    assert texts(await memory.load("u")) == ["5"]


async def test_searching_can_be_switched_off(make: Callable[..., Any]) -> None:
    memory = make(enable_search=False)
    await memory.save("u", said(1))
    for call in (memory.search, memory.search_fulltext, memory.search_messages):
        with pytest.raises(UnsupportedOperationError, match="enable_search"):
            await call("0")


async def test_summaries_are_made_only_where_asked(make: Callable[..., Any]) -> None:
    for session_id, summarization in (("without", False), ("with", True)):
        memory = make(summarization=summarization)
        await memory.save(session_id, said(1))
        session = await memory.get_session(session_id)
        assert session is not None
        assert session.metadata.auto_summarize is summarization


def test_an_unknown_option_names_the_nearest(make: Callable[..., Any]) -> None:
    with pytest.raises(MemoryConfigurationError, match="token_counter"):
        make(token_countr="estimate")


# --- Redis ----------------------------------------------------------------------------------------------------------


async def test_max_messages_bounds_what_is_loaded(redis_server: RedisService, redis_prefix: str) -> None:
    async with RedisBackend(url=redis_server.url, prefix=redis_prefix, max_messages=3) as memory:
        await memory.save("u", said(5))
        assert texts(await memory.load("u")) == texts(await memory.load("u", limit=10)) == ["2", "3", "4"]
        session = await memory.get_session("u")
        assert session is not None
        assert await session.count_messages() == 5  # older ones are not lost


async def test_prefix_begins_every_key_and_ttl_is_redis_own(redis_server: RedisService, redis_prefix: str) -> None:
    async with RedisBackend(url=redis_server.url, prefix=f"{redis_prefix}agent:", ttl=500) as memory:
        await memory.save("u", said(1))
    with redis.Redis.from_url(redis_server.url) as client:
        keys = list(client.scan_iter(f"{redis_prefix}*"))
        assert all(key.startswith(f"{redis_prefix}agent:".encode()) for key in keys)
        assert max(client.ttl(key) for key in keys) >= 490  # those of the session; Redis waits a while longer


async def test_compression_makes_long_messages_small(redis_server: RedisService, redis_prefix: str) -> None:
    sizes = {}
    with redis.Redis.from_url(redis_server.url) as client:
        for compression in (True, False):
            prefix = f"{redis_prefix}{compression}:"
            async with RedisBackend(url=redis_server.url, prefix=prefix, compression=compression) as memory:
                await memory.save("u", [Message("user", "a long story " * 5_000)])
                assert len((await memory.load("u"))[0].content) == 65_000
            sizes[compression] = sum(client.memory_usage(key) or 0 for key in client.scan_iter(f"{prefix}*"))
    assert sizes[True] < sizes[False] / 5


@pytest.mark.parametrize("decode", [True, False])
async def test_a_blocking_client_leads_to_its_server(
    redis_server: RedisService, redis_prefix: str, decode: bool
) -> None:
    with redis.Redis.from_url(redis_server.url, decode_responses=decode) as client:
        async with RedisBackend(client, prefix=redis_prefix, ttl=7200) as memory:
            await memory.save("u", said(1))
        assert list(client.scan_iter(f"{redis_prefix}*")) != []


async def test_an_asynchronous_client_is_used_itself(redis_server: RedisService, redis_prefix: str) -> None:
    async with (
        redis.asyncio.Redis.from_url(redis_server.url) as client,
        RedisBackend(client=client, prefix=redis_prefix) as memory,
    ):
        await memory.save("u", said(1))
        assert memory.get_redis() is client


# --- SQLite ---------------------------------------------------------------------------------------------------------


async def test_the_first_argument_is_the_path() -> None:
    async with SQLiteBackend("data/old.db") as memory:
        await memory.save("u", said(1))
    with closing(sqlite3.connect("file:data/old.db?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT content FROM messages").fetchall() == [("0",)]


async def test_the_table_name_can_be_queried() -> None:
    async with SQLiteBackend("a.db", table_name="agent_memory") as memory:
        await memory.save("u", [Message("user", "I like python"), Message("user", "and tea")])
        rows = await memory.query("SELECT * FROM agent_memory WHERE content LIKE ?", ("%python%",))
    assert [(row["session_id"], row["role"], row["content"]) for row in rows] == [("u", "user", "I like python")]


async def test_other_programs_find_the_table_in_the_file() -> None:
    async with SQLiteBackend("a.db") as memory:
        await memory.save("u", said(1))
    with closing(sqlite3.connect("a.db")) as connection:
        assert connection.execute("SELECT content FROM conversations").fetchall() == [("0",)]


async def test_query_writes_nothing() -> None:
    async with SQLiteBackend("a.db") as memory:
        with pytest.raises(QueryError):
            await memory.query("DELETE FROM conversations")


async def test_a_file_keeps_its_table_name() -> None:
    async with SQLiteBackend("a.db", table_name="one") as memory:
        await memory.save("u", said(1))
    other = SQLiteBackend("a.db", table_name="two")
    with pytest.raises(MemoryConfigurationError, match="table_name 'one'"):
        await other.load("u")
    assert not other.is_connected


async def test_a_file_is_opened_again_under_its_name() -> None:
    for _ in range(2):
        async with SQLiteBackend("a.db", table_name="one") as memory:
            await memory.save("u", said(1))
    async with SQLiteBackend("a.db", table_name="one") as memory:
        assert texts(await memory.load("u")) == ["0", "0"]


async def test_a_file_of_others_is_refused_and_stays_as_it_is() -> None:
    with closing(sqlite3.connect("a.db")) as connection:
        connection.execute("CREATE TABLE conversations (session_id, role, content)")
    with pytest.raises(MemoryConfigurationError, match="langswarm-memory migrate"):
        await SQLiteBackend("a.db").connect()
    with closing(sqlite3.connect("a.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("conversations",)]


async def test_a_table_name_of_the_packages_own_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="another table_name"):
        await SQLiteBackend("a.db", table_name="messages").connect()


async def test_a_file_that_is_no_database_is_a_typed_error() -> None:
    with open("a.db", "w") as file:  # noqa: ASYNC230 - a file of one line
        file.write("no database, " * 100)
    with pytest.raises(MemoryBackendError):
        await SQLiteBackend("a.db").connect()


async def test_a_database_in_memory_has_its_table_name() -> None:
    async with SQLiteBackend(":memory:") as memory:
        await memory.save("u", said(1))
        assert [row["content"] for row in await memory.query("SELECT content FROM conversations")] == ["0"]


@pytest.mark.parametrize("name", ["", "a b", 'x"; DROP TABLE messages; --', "1a", "é", "x" * 64, None])
@pytest.mark.parametrize("cls", [SQLiteBackend, PostgreSQLBackend])
def test_a_table_name_that_is_no_name_is_refused(cls: Any, name: Any) -> None:
    with pytest.raises(MemoryConfigurationError, match="table_name"):
        cls(table_name=name)


@pytest.mark.parametrize(("option", "expected"), [(True, 1), (False, 0)])
async def test_auto_vacuum_is_that_of_the_file(option: bool, expected: int) -> None:
    async with SQLiteBackend("a.db", auto_vacuum=option) as memory:
        await memory.save("u", said(1))
    with closing(sqlite3.connect("a.db")) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (expected,)


@pytest.mark.parametrize("mode", ["WAL", "delete"])
async def test_journal_mode_is_that_of_the_file(mode: str) -> None:
    async with SQLiteBackend("a.db", journal_mode=mode) as memory:
        await memory.save("u", said(1))
        with closing(sqlite3.connect("a.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == (mode.lower(),)


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


async def test_schema_and_table_name_are_where_the_messages_are_found(postgres_url: str) -> None:
    async with PostgreSQLBackend(postgres_url, table_name="talks", schema="My Agents") as memory:
        await memory.save("u", said(1))
        assert [row["content"] for row in await memory.query("SELECT content FROM talks")] == ["0"]
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval('SELECT content FROM "My Agents".talks') == "0"
    finally:
        await connection.close()


async def test_two_schemas_are_two_memories(postgres_url: str) -> None:
    for schema in ("one", "two"):
        async with PostgreSQLBackend(postgres_url, schema=schema) as memory:
            await memory.save("u", [Message("user", schema)])
    async with PostgreSQLBackend(postgres_url, schema="one") as memory:
        assert texts(await memory.load("u")) == ["one"]


async def test_a_schema_keeps_its_table_name(postgres_url: str) -> None:
    async with PostgreSQLBackend(postgres_url, table_name="one") as memory:
        await memory.save("u", said(1))
    with pytest.raises(MemoryConfigurationError, match="another schema"):
        await PostgreSQLBackend(postgres_url, table_name="two").connect()


async def test_processes_that_connect_at_once_share_the_table(postgres_url: str) -> None:
    memories = [PostgreSQLBackend(postgres_url, pool_size=1) for _ in range(4)]
    await asyncio.gather(*(memory.save(str(n), said(1)) for n, memory in enumerate(memories)))
    assert len(await memories[0].query("SELECT * FROM agent_conversations")) == 4
    for memory in memories:
        await memory.disconnect()


async def test_a_server_that_is_down_is_unavailable() -> None:
    with pytest.raises(StorageUnavailableError):
        await PostgreSQLBackend("postgresql://user:secret@127.0.0.1:1/agentdb").load("u")


async def test_pool_size_bounds_the_connections(postgres_url: str) -> None:
    async with PostgreSQLBackend(postgres_url, pool_size=3) as memory:
        await asyncio.gather(*(memory.save(str(n), said(1)) for n in range(20)))
        found = await memory.query(
            "SELECT count(*) AS connections FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend'"
        )
    assert 1 <= found[0]["connections"] <= 3


# --- by name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cls"),
    [("memory", InMemoryBackend), ("redis", RedisBackend), ("sqlite", SQLiteBackend), ("postgres", PostgreSQLBackend)],
)
def test_create_memory_knows_the_four_names(name: str, cls: type) -> None:
    assert type(create_memory(name)) is cls


@pytest.mark.parametrize("name", ["mongo", "nonsense"])
def test_create_memory_refuses_other_names(name: str) -> None:
    with pytest.raises(MemoryConfigurationError, match=name):
        create_memory(name)


def test_a_config_makes_the_memory_it_describes() -> None:
    config = MemoryConfig(backend="redis", max_messages=5000, context_window=50, summarization=True, compression=True)
    memory: Any = create_memory(config, prefix="agent:")
    assert (memory.settings.max_messages, memory.settings.compression, memory.settings.key_prefix) == (
        5000,
        True,
        "agent:",
    )
    assert (memory.context_window, memory.summarizes, memory.searches) == (50, True, True)


@pytest.mark.parametrize("name", ["memory", "sqlite", "postgres"])
def test_a_config_bounds_what_is_loaded_from_every_store(name: str) -> None:
    memory: Any = create_memory(MemoryConfig(backend=name, max_messages=7, search_enabled=False))
    assert (memory.settings.max_messages, memory.searches) == (7, False)


def test_a_config_is_a_dict_and_its_items_are_attributes() -> None:
    config = MemoryConfig(backend="sqlite", db_path="a.db")
    config.context_window = 3
    config["max_messages"] = 9
    assert (dict(config)["context_window"], config.max_messages, config.db_path) == (3, 9, "a.db")
    assert not hasattr(config, "nonsense")


@pytest.mark.parametrize("options", [{"encryption": True}, {"backend": "sqlite", "compression": True}])
def test_a_config_that_a_store_cannot_keep_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        create_memory(MemoryConfig(**options))


def test_a_config_does_not_show_passwords() -> None:
    config = MemoryConfig(backend="redis", url="redis://:secret@localhost")
    assert "secret" not in repr(config)
