"""Every form in which guides, examples and programs call the package is taken, and means what it says there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    InMemoryBackend,
    MemoryConfiguration,
    MemoryConfigurationError,
    MemoryFactory,
    MemoryManager,
    MemorySessionContext,
    Message,
    PostgresBackend,
    RedisBackend,
    SessionStatus,
    SQLiteBackend,
    create_memory_backend,
    create_memory_manager,
    get_global_memory_manager,
    initialize_memory,
    setup_global_memory,
    teardown_global_memory,
)
from langswarm_memory.base import get_memory_manager, set_memory_manager
from tests.compat.documents import blocks, execute

POSTGRES = {"host": "localhost", "port": 5432, "database": "langswarm", "user": "admin", "password": "password"}
VECTOR = {
    "enable_semantic_search": True,
    "embedding": {"provider": "openai", "api_key": "sk-none"},
    "vector_store": {
        "store_type": "pinecone",
        "connection_params": {"api_key": "none", "environment": "us-west1", "index_name": "agent-memory"},
    },
}


# --- configurations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "backend", "settings"),
    [
        (lambda: create_memory_manager("sqlite", db_path="x.db"), SQLiteBackend, {"db_path": "x.db"}),
        (
            lambda: create_memory_manager("sqlite", db_path="x.db", pool_size=10, timeout=30),
            SQLiteBackend,
            {"db_path": "x.db", "pool_size": 10, "timeout": 30},
        ),
        (
            lambda: create_memory_manager("redis", host="h", port=6380, db=2, password="p"),
            RedisBackend,
            {"host": "h", "port": 6380, "db": 2, "password": "p"},
        ),
        (
            lambda: create_memory_manager(backend="redis", host="h", port=6380, password="p"),
            RedisBackend,
            {"host": "h", "port": 6380, "password": "p"},
        ),
        (
            lambda: create_memory_manager(
                backend="postgres",
                url="postgresql://h/d",
                enable_vector=True,
                embedding_dimension=1536,
                embedding={"provider": "openai", "api_key": "sk-none", "model": "text-embedding-3-small"},
            ),
            PostgresBackend,
            {"url": "postgresql://h/d", "enable_semantic_search": True, "embedding_dimension": 1536},
        ),
        (lambda: create_memory_manager("memory"), InMemoryBackend, {}),
        (lambda: create_memory_manager("in_memory"), InMemoryBackend, {}),
        (lambda: create_memory_manager(backend="sqlite", db_path="x.db"), SQLiteBackend, {"db_path": "x.db"}),
        (
            lambda: create_memory_manager({"backend": "sqlite", "settings": {"db_path": "x.db"}}),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
        (
            lambda: create_memory_manager({"backend": "sqlite", "config": {"db_path": "x.db"}}),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
        (
            lambda: create_memory_manager({"backend": "redis", "url": "redis://h:6380"}),
            RedisBackend,
            {"url": "redis://h:6380"},
        ),
        (
            lambda: create_memory_manager(config={"backend": "sqlite", "db_path": "x.db"}),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
        (lambda: create_memory_manager("sqlite", {"db_path": "x.db"}), SQLiteBackend, {"db_path": "x.db"}),
        (lambda: create_memory_manager({"backend": "postgres", "settings": POSTGRES}), PostgresBackend, POSTGRES),
        (
            lambda: create_memory_manager(
                {
                    "backend": "redis",
                    "settings": {"url": "redis://localhost:6379", "key_prefix": "ls:v1:"},
                }
            ),
            RedisBackend,
            {"url": "redis://localhost:6379", "key_prefix": "ls:v1:"},
        ),
        (
            lambda: create_memory_manager(MemoryConfiguration(backend="sqlite", settings={"db_path": "x.db"})),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
        (lambda: create_memory_manager("development"), SQLiteBackend, {"db_path": "./langswarm_dev_memory.db"}),
        (lambda: create_memory_manager("testing"), InMemoryBackend, {}),
        (lambda: create_memory_manager(True), SQLiteBackend, {"db_path": "langswarm_memory.db"}),
        (lambda: initialize_memory("in_memory"), InMemoryBackend, {}),
        (lambda: initialize_memory(config="in_memory"), InMemoryBackend, {}),
        (
            lambda: initialize_memory(memory={"backend": "sqlite", "config": {"db_path": "x.db"}}),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
        (lambda: MemoryFactory.create_manager(MemoryConfiguration(backend="memory")), InMemoryBackend, {}),
        (lambda: MemoryFactory.create_manager(config=MemoryConfiguration(backend="memory")), InMemoryBackend, {}),
        (lambda: MemoryFactory().create_manager(config={"backend": "memory"}), InMemoryBackend, {}),
        (lambda: MemoryFactory.create_manager(config="in_memory"), InMemoryBackend, {}),
        (lambda: MemoryFactory.create("sqlite", config={"db_path": "x.db"}), SQLiteBackend, {"db_path": "x.db"}),
        (
            lambda: MemoryFactory.create_manager(MemoryConfiguration.from_simple_config(config="in_memory")),
            InMemoryBackend,
            {},
        ),
        (
            lambda: MemoryFactory.create_manager("sqlite", config={"db_path": "x.db"}),
            SQLiteBackend,
            {"db_path": "x.db"},
        ),
    ],
)
def test_manager_is_made_as_the_call_says(
    make: Callable[[], MemoryManager], backend: type[BaseMemoryBackend], settings: dict[str, Any]
) -> None:
    made = make().backend
    assert type(made) is backend
    assert {name: getattr(made.settings, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("make", "backend", "settings"),
    [
        (lambda: SQLiteBackend(db_path=":memory:"), SQLiteBackend, {"db_path": ":memory:"}),
        (lambda: SQLiteBackend("old.db"), SQLiteBackend, {"db_path": "old.db"}),
        (lambda: SQLiteBackend({"db_path": "old.db"}), SQLiteBackend, {"db_path": "old.db"}),
        (
            lambda: RedisBackend(host="h", port=6380, password="p", db=0, key_prefix="x:", ttl=3600),
            RedisBackend,
            {"host": "h", "port": 6380, "password": "p", "key_prefix": "x:", "ttl": 3600},
        ),
        (lambda: RedisBackend(pool_size=10, ttl_seconds=60), RedisBackend, {"ttl": 60}),
        (lambda: PostgresBackend({"url": "postgresql://h/d"}), PostgresBackend, {"url": "postgresql://h/d"}),
        (lambda: PostgresBackend(dsn="postgresql://h/d"), PostgresBackend, {"url": "postgresql://h/d"}),
        (
            lambda: PostgresBackend(connection_string="postgresql://h/d", pool_size=7),
            PostgresBackend,
            {"url": "postgresql://h/d", "max_size": 7},
        ),
        (
            lambda: PostgresBackend(**POSTGRES, min_connections=5, max_connections=20),
            PostgresBackend,
            {**POSTGRES, "min_size": 5, "max_size": 20},
        ),
        (lambda: InMemoryBackend(), InMemoryBackend, {}),
        (lambda: create_memory_backend("sqlite", db_path="x.db"), SQLiteBackend, {"db_path": "x.db"}),
        (lambda: MemoryFactory.create_backend(config=MemoryConfiguration(backend="memory")), InMemoryBackend, {}),
    ],
)
def test_backend_is_made_as_the_call_says(
    make: Callable[[], BaseMemoryBackend], backend: type[BaseMemoryBackend], settings: dict[str, Any]
) -> None:
    made = make()
    assert type(made) is backend
    assert {name: getattr(made.settings, name) for name in settings} == settings


def test_refused_form_is_listed() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "compatibility.md").read_text()
    assert re.search(r"^\| `PostgresBackend\(table_prefix=", page, re.MULTILINE)
    with pytest.raises(MemoryConfigurationError, match="table_prefix"):
        PostgresBackend({"url": "postgresql://h/d", "table_prefix": "test_"})


def test_vector_backend_is_made_of_its_documented_settings() -> None:
    manager = create_memory_manager({"backend": "vector", "settings": VECTOR})
    assert manager is not None
    assert manager.backend.backend_type.value == "vector"


@pytest.mark.parametrize(("heading", "index"), [("Configuration", 0), ("configuration", 0)])
async def test_storage_page_blocks_run(heading: str, index: int) -> None:
    names = await execute(blocks(4)[heading][index], {"create_memory_manager": create_memory_manager})
    assert isinstance(names["manager"], MemoryManager)


def test_list_of_backends_tells_which_can_be_used() -> None:
    available = [name for name in MemoryFactory.list_backends() if MemoryFactory.get_backend_info(name)["available"]]
    assert available == MemoryFactory.get_available_backends()


def test_configuration_comes_from_a_string() -> None:
    forms = ("development", "testing", "sqlite", "redis", "sqlite:///x.db")
    assert [MemoryConfiguration.from_string(text).validate() for text in forms] == [[]] * len(forms)


# --- managers ------------------------------------------------------------------------------------------------------


async def test_manager_starts_over_a_backend_that_was_given() -> None:
    manager = MemoryManager(SQLiteBackend(db_path=":memory:"))
    await manager.start()
    assert manager.backend.is_connected
    await manager.stop()


async def test_factory_can_be_awaited() -> None:
    manager = await MemoryFactory().create_manager(MemoryConfiguration.from_string("in_memory"))
    assert manager.backend.is_connected
    await manager.stop()


async def test_backend_connects_without_a_start() -> None:
    manager = create_memory_manager("memory")
    assert manager is not None
    assert await manager.backend.connect() is True
    await manager.backend.disconnect()


async def test_disabled_memory_is_no_manager() -> None:
    assert create_memory_manager(False) is None


def test_global_memory_is_set_up_and_torn_down_without_a_loop() -> None:
    assert setup_global_memory("in_memory")
    assert get_global_memory_manager() is get_memory_manager()
    teardown_global_memory()
    assert get_global_memory_manager() is None


async def test_global_manager_is_set() -> None:
    manager = MemoryManager(InMemoryBackend())
    set_memory_manager(manager)
    assert get_global_memory_manager() is manager


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_get_or_create_session_takes_an_id_and_an_agent(memory: MemoryManager) -> None:
    made = await memory.get_or_create_session(session_id="s1", agent_id="a1")
    again = await memory.get_or_create_session("s1")
    assert (again.session_id, again.metadata.agent_id) == (made.session_id, "a1")


async def test_get_or_create_session_takes_a_user_alone(memory: MemoryManager) -> None:
    made = await memory.get_or_create_session(user_id="u1")
    assert (await memory.get_or_create_session(user_id="u1")).session_id == made.session_id


async def test_create_session_takes_keywords_in_any_order(memory: MemoryManager) -> None:
    session = await memory.create_session(user_id="u1", session_id="s1", max_messages=5, topic="parcels")
    metadata = session.metadata
    assert (metadata.user_id, metadata.max_messages, metadata.properties) == ("u1", 5, {"topic": "parcels"})


async def test_limit_returns_the_newest_oldest_first(memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    for text in ("one", "two", "three"):
        assert await session.add_message(Message("user", text)) is True
    messages = await session.get_messages(limit=2)
    assert [message.content for message in messages] == ["two", "three"]
    assert messages[0].role.value == "user"
    assert messages[0].to_openai_format() == {"role": "user", "content": "two"}


async def test_status_is_updated_by_keyword(memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.update_metadata(status=SessionStatus.PAUSED)
    assert (await memory.get_session("s1")).metadata.status == SessionStatus.PAUSED


async def test_context_makes_a_session_of_the_user(memory: MemoryManager) -> None:
    async with MemorySessionContext(user_id="u1") as session:
        await session.add_message(Message("user", "Hi"))
    assert [one.session_id for one in await memory.list_user_sessions("u1")] == [session.session_id]


async def test_manager_adds_reads_and_searches_by_session_id(memory: MemoryManager) -> None:
    await memory.add_message(session_id="s1", role="system", content="Answer about parcels.")
    assert [message.content for message in await memory.get_history("s1")] == ["Answer about parcels."]
    assert [message.content for message in await memory.search_messages("parcels")] == ["Answer about parcels."]
