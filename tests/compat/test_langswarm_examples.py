"""What programs for LangSwarm V2 do, in examples of our own: one or more for each block of its document.

`test_langswarm_blocks.py` runs the document's own blocks where it stands beside the checkout; these run everywhere.
Each runs on the package, and on the alias of its old name.
"""

from __future__ import annotations

import importlib
import importlib.util
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from langswarm_memory import (
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryConfigurationError,
    MemoryManager,
    UnsupportedOperationError,
)
from langswarm_memory.compat import install_langswarm, uninstall_langswarm
from tests.compat.model_api import ModelAPI
from tests.services.redis import RedisService

Keep = Callable[[Any], Any]


@pytest.fixture(params=["langswarm_memory", "langswarm.core.memory"])
def v2(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module under one of its names, with its submodules."""
    if request.param != "langswarm_memory" and not install_langswarm():
        pytest.skip("LangSwarm itself is installed, so its name is not ours to take")
    module = importlib.import_module(request.param)
    parts = {name: importlib.import_module(f"{request.param}.{name}") for name in ("interfaces", "backends", "factory")}
    migration = "langswarm_memory.migration.v1" if request.param == "langswarm_memory" else f"{request.param}.migration"
    yield SimpleNamespace(api=module, **parts, migrator=lambda: importlib.import_module(migration).V1MemoryMigrator())
    uninstall_langswarm()


def texts(messages: list[Any]) -> list[Any]:
    return [message.content for message in messages]


# --- backends ------------------------------------------------------------------------------------------------------


async def test_in_memory_backend_needs_no_arguments(v2: Any) -> None:
    backend = v2.backends.InMemoryBackend()
    await backend.connect()
    session = await backend.create_session(v2.interfaces.SessionMetadata(session_id="order-7", user_id="ada"))
    assert (await backend.get_session("order-7")).metadata.user_id == session.metadata.user_id


async def test_sqlite_backend_keeps_sessions_in_a_file(v2: Any, leftovers: Keep) -> None:
    for _ in range(2):
        backend = v2.backends.SQLiteBackend(db_path="orders.db", enable_wal=True, enable_foreign_keys=True)
        leftovers(backend)
        found = await backend.get_session("order-7")
        if found is None:
            await backend.create_session(v2.interfaces.SessionMetadata(session_id="order-7"))
    assert found.session_id == "order-7"


async def test_sqlite_works_without_its_log_where_told(v2: Any, leftovers: Keep) -> None:
    backend = v2.backends.SQLiteBackend(db_path="orders.db", enable_wal=False)
    leftovers(backend)
    await backend.connect()
    assert backend.get_connection().execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.store("redis")
async def test_redis_backend_takes_parts_of_an_address(v2: Any, local_redis: RedisService, leftovers: Keep) -> None:
    backend = v2.backends.RedisBackend(host="localhost", port=6379, db=0, password=None, pool_size=4, ttl_seconds=900)
    leftovers(backend)
    await backend.create_session(v2.interfaces.SessionMetadata(session_id="order-7"))
    assert (await backend.get_ttl_stats())["expiring_1h"] == 1


# --- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "backend"),
    [
        (True, "SQLiteBackend"),
        ("development", "SQLiteBackend"),
        ("testing", "InMemoryBackend"),
        ("production", "SQLiteBackend"),
        ({"backend": "sqlite", "config": {"db_path": "orders.db", "pool_size": 2}}, "SQLiteBackend"),
        ({"backend": "redis"}, "RedisBackend"),
    ],
)
def test_memory_is_initialized_from_any_form(v2: Any, given: Any, backend: str) -> None:
    manager = v2.api.initialize_memory(memory=given)
    assert v2.api.get_global_memory_manager() is manager
    assert type(manager.backend).__name__ == backend


def test_misspelt_option_names_the_right_one(v2: Any) -> None:
    with pytest.raises(MemoryConfigurationError, match="db_path"):
        v2.api.initialize_memory(memory={"backend": "sqlite", "config": {"db_pth": "orders.db"}})


def test_manager_is_made_directly(v2: Any) -> None:
    manager = v2.api.create_memory_manager(backend="redis", host="redis.example.org", port=6380, password="secret")
    settings = manager.backend.settings
    assert (settings.host, settings.port) == ("redis.example.org", 6380)
    assert "secret" not in repr(manager)


async def test_factory_knows_backends_that_are_registered(v2: Any, leftovers: Keep) -> None:
    class Shelf(v2.backends.InMemoryBackend):  # type: ignore[misc]
        pass

    factory = v2.factory.MemoryFactory()
    factory.register_backend("shelf", Shelf)
    manager = await factory.create_manager(v2.factory.MemoryConfiguration.from_string("shelf"))
    leftovers(manager)
    assert type(manager.backend) is Shelf
    assert {"in_memory", "sqlite", "shelf"} <= set(factory.get_available_backends())


def test_backend_without_its_driver_is_not_available(v2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "motor" else object())
    assert "mongodb" not in v2.factory.MemoryFactory().get_available_backends()


def test_registering_what_is_no_backend_is_refused(v2: Any) -> None:
    with pytest.raises(MemoryConfigurationError, match="IMemoryBackend"):
        v2.factory.MemoryFactory().register_backend("shelf", dict)


# --- provider formats ----------------------------------------------------------------------------------------------


async def test_openai_messages_are_stored_and_sent(v2: Any, memory: MemoryManager, api: ModelAPI) -> None:
    call = {"name": "track", "arguments": '{"parcel": 7}'}
    async with v2.api.MemorySessionContext(user_id="ada") as session:
        await session.add_message(v2.api.create_openai_message("user", "Where is parcel 7?"))
        await session.add_message(v2.api.create_openai_message("assistant", content=None, function_call=call))
        await session.add_message(v2.api.create_openai_message("function", "In Bonn.", name="track"))
        sent = v2.api.messages_to_openai_format(await session.get_messages())
    reply = await api.openai().ChatCompletion.acreate(model="gpt-4", messages=sent)
    assert reply["choices"][0]["message"]["role"] == "assistant"
    assert sent[1] == {"role": "assistant", "content": None, "function_call": call}


async def test_anthropic_messages_are_stored_and_sent(v2: Any, memory: MemoryManager, api: ModelAPI) -> None:
    use = {"type": "tool_use", "id": "use_1", "name": "track", "input": {"parcel": 7}}
    result = {"type": "tool_result", "tool_use_id": "use_1", "content": "In Bonn."}
    async with v2.api.MemorySessionContext(user_id="ada") as session:
        await session.add_message(v2.api.create_anthropic_message("user", "Where is parcel 7?"))
        await session.add_message(
            v2.api.create_anthropic_message("assistant", [{"type": "text", "text": "A moment."}, use])
        )
        await session.add_message(v2.api.create_anthropic_message("user", [result]))
        sent = v2.api.messages_to_anthropic_format(await session.get_messages())
    client = api.anthropic().Anthropic()
    reply = await client.messages.create(model="claude", messages=sent, max_tokens=100)
    assert reply["role"] == "assistant"
    assert sent[1]["content"][1] == use


async def test_universal_messages_keep_their_metadata(v2: Any, memory: MemoryManager) -> None:
    functions = [{"name": "track", "parameters": {"type": "object", "properties": {"parcel": {"type": "integer"}}}}]
    Message, MessageRole = v2.interfaces.Message, v2.interfaces.MessageRole
    sent = [
        Message(role=MessageRole.SYSTEM, content="You track parcels.", metadata={"functions": functions}),
        Message(role=MessageRole.USER, content="Where is parcel 7?", metadata={"channel": "web"}),
        Message(role=MessageRole.TOOL, content="{}", metadata={"tool_call_id": "call_1", "tool_name": "track"}),
    ]
    session = await memory.create_session("s1")
    await session.add_messages(sent)
    read = await session.get_messages()
    assert [message.metadata for message in read] == [message.metadata for message in sent]
    assert (read[2].tool_call_id, read[2].name) == ("call_1", "track")


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_session_is_configured_updated_then_archived(v2: Any, memory: MemoryManager) -> None:
    manager = v2.api.get_global_memory_manager()
    session = await manager.create_session(
        user_id="ada",
        session_id="order-7",
        max_messages=20,
        max_tokens=900,
        auto_summarize_threshold=10,
        custom_metadata={"shop": "Bonn"},
    )
    await session.add_message(v2.api.create_openai_message("user", "Hello"))
    assert texts(await session.get_conversation_context(max_tokens=100)) == ["Hello"]
    await session.update_metadata({"max_tokens": 1_000, "priority": "high"})
    await session.archive_session()
    stored = (await memory.get_session("order-7")).metadata
    assert stored.status == v2.interfaces.SessionStatus.ARCHIVED
    assert (stored.max_messages, stored.max_tokens, stored.auto_summarize_threshold) == (20, 1_000, 10)
    assert stored.metadata == {"shop": "Bonn", "priority": "high"}


async def test_messages_are_filtered_by_role_and_time(v2: Any, memory: MemoryManager) -> None:
    Message, MessageRole = v2.interfaces.Message, v2.interfaces.MessageRole
    session = await memory.create_session("s1")
    yesterday = datetime.now() - timedelta(days=1)
    await session.add_messages(
        [
            Message("user", "old", yesterday),
            Message("system", "rule"),
            Message("user", "new"),
            Message("assistant", "ok"),
        ]
    )
    hour_ago = datetime.now() - timedelta(hours=1)
    spoken = [MessageRole.USER, MessageRole.ASSISTANT]
    assert texts(await session.get_messages(limit=10, since=hour_ago, roles=spoken)) == ["new", "ok"]
    assert texts(await session.get_messages(roles=[MessageRole.USER])) == ["old", "new"]
    assert texts(await session.get_messages(since=yesterday)) == ["old", "rule", "new", "ok"]
    assert texts(await session.get_messages(10, hour_ago)) == ["rule", "new", "ok"]


async def test_recent_messages_fit_a_number_of_tokens(v2: Any, memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.add_messages([v2.interfaces.Message("user", f"{n}", token_count=10) for n in range(5)])
    assert texts(await session.get_recent_messages(token_limit=25)) == ["3", "4"]


async def test_summary_tells_what_it_covers(v2: Any, memory: MemoryManager) -> None:
    SummaryType = v2.interfaces.SummaryType
    session = await memory.create_session("s1", summary_strategy="manual")
    for role, text in (("user", "My parcel is late."), ("assistant", "It comes on Monday.")):
        await session.add_message(v2.api.create_openai_message(role, text))
    made = await session.create_summary(summary_type=SummaryType.MANUAL)
    (read,) = await session.get_summaries()
    assert (read.summary_text, read.message_count, read.summary_type) == (made.summary_text, 2, SummaryType.MANUAL)
    assert (read.session_id, read.token_count > 0) == ("s1", True)


async def test_summary_is_made_when_the_threshold_is_passed(v2: Any, memory: MemoryManager) -> None:
    session = await memory.create_session(user_id="ada", auto_summarize_threshold=4, summary_strategy="periodic")
    for n in range(8):
        await session.add_message(
            v2.api.create_openai_message("assistant" if n % 2 else "user", f"Parcel {n} is here.")
        )
    assert sum(summary.message_count for summary in await session.get_summaries()) >= 4


# --- statistics and care -------------------------------------------------------------------------------------------


async def test_usage_is_read_by_key(v2: Any, memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.add_message(v2.interfaces.Message("user", "Hello"))
    usage = await memory.backend.get_usage_stats()
    assert (usage["total_sessions"], usage["total_messages"]) == (1, 1)
    assert usage["storage_size_mb"] > 0


async def test_system_statistics_tell_sessions_by_status(v2: Any, memory: MemoryManager) -> None:
    for name in ("s1", "s2", "s3"):
        session = await memory.create_session(name)
        await session.add_message(v2.interfaces.Message("user", "Hello"))
    await session.archive_session()
    stats = await v2.api.get_global_memory_manager().get_system_stats()
    assert (stats["active_sessions"], stats["archived_sessions"], stats["avg_messages_per_session"]) == (2, 1, 1.0)
    assert stats["memory_usage_mb"] > 0


async def test_times_of_a_session_can_be_subtracted(v2: Any, memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.add_message(v2.interfaces.Message("user", "Hello"))
    metadata = await session.refresh()
    assert metadata.updated_at - metadata.created_at >= timedelta(0)
    assert datetime.now() - timedelta(days=7) < metadata.updated_at < datetime.now() + timedelta(days=1)


async def test_health_is_told_in_a_word(v2: Any, memory: MemoryManager) -> None:
    health = await memory.backend.health_check()
    assert (health["status"], health["connected"], health.get("last_error")) == ("healthy", True, None)
    assert health["response_time_ms"] >= 0


async def test_health_of_a_store_that_is_down_is_told(v2: Any) -> None:
    manager = v2.api.create_memory_manager("postgres", host="127.0.0.1", port=9, timeout=1.0)
    health = await manager.backend.health_check()
    await manager.stop()
    assert (health["status"], health["connected"]) == ("unhealthy", False)
    assert health["error"] == health["last_error"]


async def test_old_sessions_are_cleaned_up_by_age(v2: Any, memory: MemoryManager) -> None:
    for name, days in (("old", 40), ("new", 1)):
        at = datetime.now() - timedelta(days=days)
        await memory.backend.create_session(v2.interfaces.SessionMetadata(name, created_at=at, updated_at=at))
    assert await memory.cleanup_all_sessions(max_age_days=30) == 1
    assert [one.session_id for one in await memory.backend.list_sessions(limit=1_000)] == ["new"]


async def test_vacuum_gives_space_back(v2: Any, memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.add_messages([v2.interfaces.Message("user", "parcel " * 500) for _ in range(200)])
    await session.delete_session()
    before = (await memory.backend.get_usage_stats())["storage_size_mb"]
    assert isinstance(memory.backend, v2.backends.SQLiteBackend)
    assert await memory.backend.vacuum_database()
    assert (await memory.backend.get_usage_stats())["storage_size_mb"] < before


# --- contexts ------------------------------------------------------------------------------------------------------


async def test_context_makes_a_session_with_its_options(v2: Any, memory: MemoryManager) -> None:
    async with v2.api.MemorySessionContext(user_id="ada", max_tokens=500, auto_summarize_threshold=9) as session:
        metadata = session.metadata
    assert (metadata.user_id, metadata.max_tokens, metadata.summary_threshold) == ("ada", 500, 9)


async def test_context_enters_a_session_again(v2: Any, memory: MemoryManager) -> None:
    for text in ("Hello", "Still there?"):
        async with v2.api.MemorySessionContext(session_id="order-7") as session:
            await session.add_message(v2.api.create_openai_message("user", text))
    assert texts(await memory.get_history("order-7")) == ["Hello", "Still there?"]
    assert session.metadata.status == v2.interfaces.SessionStatus.ACTIVE


async def test_context_keeps_what_was_added_before_an_error(v2: Any, memory: MemoryManager) -> None:
    with pytest.raises(InvalidInputError):
        await _add_what_cannot_be_stored(v2)
    assert texts(await memory.get_history("order-7")) == ["Hello"]


async def _add_what_cannot_be_stored(v2: Any) -> None:
    async with v2.api.MemorySessionContext(session_id="order-7") as session:
        await session.add_message(v2.api.create_openai_message("user", "Hello"))
        await session.add_message(v2.api.create_openai_message("user", {"a", "set"}))


async def test_context_without_a_manager_says_what_to_do(v2: Any) -> None:
    with pytest.raises(LangSwarmMemoryError, match="initialize_memory"):
        await v2.api.MemorySessionContext(user_id="ada").__aenter__()


async def test_global_memory_lives_from_setup_to_shutdown(v2: Any) -> None:
    await v2.api.setup_global_memory("production")
    manager = v2.api.get_global_memory_manager()
    assert manager.backend.is_connected
    session = await manager.get_or_create_session("ada")
    await session.add_message(v2.api.create_openai_message("user", "Hello"))
    assert texts(await session.get_conversation_context()) == ["Hello"]
    await v2.api.shutdown_global_memory()
    assert (v2.api.get_global_memory_manager(), manager.backend.is_connected) == (None, False)


# --- migration -----------------------------------------------------------------------------------------------------


async def test_migrator_of_ones_own_defines_what_it_needs(v2: Any, memory: MemoryManager) -> None:
    class Notes(v2.interfaces.IMemoryMigrator):  # type: ignore[misc]
        async def migrate_sessions(self, source_backend: str, target_backend: Any, batch_size: int = 100) -> Any:
            await target_backend.create_session(v2.interfaces.SessionMetadata(source_backend))
            return {"sessions_migrated": 1}

    assert await Notes().migrate_sessions("notes", memory.backend) == {"sessions_migrated": 1}
    assert await memory.get_session("notes") is not None
    with pytest.raises(UnsupportedOperationError, match="backup_data"):
        await Notes().backup_data(memory.backend, "notes.zip")


async def test_sessions_of_version_1_are_migrated(v2: Any, memory: MemoryManager) -> None:
    with sqlite3.connect("langswarm_sessions.db") as old:
        old.execute("CREATE TABLE sessions (session_id, user_id, status, created_at, updated_at, metadata, history)")
        history = '{"messages": [{"id": "m1", "role": "user", "content": "Hello", "timestamp": "2024-05-06T07:10:00"}]}'
        at = "2024-05-06T07:10:00"
        old.execute("INSERT INTO sessions VALUES ('s1', 'ada', 'active', ?, ?, '{}', ?)", (at, at, history))
    old.close()
    migrator = v2.migrator()
    result = await migrator.migrate_sessions(source_backend="v1_sqlite", target_backend=memory.backend)
    assert (result["sessions_migrated"], result["messages_migrated"], result["errors"]) == (1, 1, [])
    assert texts(await memory.get_history("s1")) == ["Hello"]
    stats = await memory.backend.get_usage_stats()
    assert await migrator.validate_migration({"sessions": 1, "messages": 1}, dict(stats)) is True
