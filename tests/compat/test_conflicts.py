"""Where the documents disagree, every documented form is taken, and none that loses data is chosen.

One section for each disagreement; facts that `test_call_forms.py` or other tests hold already are not repeated.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import langswarm_memory
from langswarm_memory import (
    BaseMemoryBackend,
    ConversationSummary,
    IMemoryMigrator,
    InMemoryBackend,
    LangSwarmMemoryError,
    MemoryConfigurationError,
    MemoryConnectionError,
    MemoryFactory,
    MemoryManager,
    MemorySessionContext,
    Message,
    MessageRole,
    PostgresBackend,
    RedisBackend,
    SessionMetadata,
    SessionStatus,
    SQLiteBackend,
    StorageUnavailableError,
    SummaryType,
    create_memory_manager,
    errors,
    exceptions,
    factory,
    initialize_memory,
    messages_to_anthropic_format,
    setup_global_memory,
    shutdown_global_memory,
    teardown_global_memory,
)
from langswarm_memory.migration.v1 import V1MemoryMigrator

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


async def talked(memory: MemoryManager, *messages: Message) -> Any:
    session = await memory.create_session("s1")
    await session.add_messages(messages)
    return session


# --- where things are, and how they are made -----------------------------------------------------------------------


MODULES = "interfaces backends base factory errors exceptions models migration.v1 vector_stores vector_backend"
HEALTH = "status backend_type backend session_count connected timestamp response_time_ms last_error"
STATISTICS = """
usage health cached_sessions backend_type active_sessions archived_sessions avg_messages_per_session memory_usage_mb
"""


@pytest.mark.parametrize("module", MODULES.split())
def test_documented_module_is_importable(module: str) -> None:
    assert importlib.import_module(f"langswarm_memory.{module}").__doc__


def test_keywords_win_over_keys_beside_over_config_over_settings() -> None:
    given = {
        "backend": "sqlite",
        "settings": {"db_path": "1.db", "timeout": 1, "cache_size": 1, "pool_size": 1},
        "config": {"timeout": 2, "cache_size": 2, "pool_size": 2},
        "cache_size": 3,
        "pool_size": 3,
    }
    manager = create_memory_manager(given, pool_size=4)
    assert manager is not None
    settings = manager.backend.settings  # type: ignore[attr-defined]
    assert (settings.db_path, settings.timeout, settings.cache_size, settings.pool_size) == ("1.db", 2, 3, 4)


def test_other_names_of_backends_are_known() -> None:
    names = ("memory", "postgresql", "pg", "mongo", "elastic")
    found = [MemoryFactory.get_backend_info(name)["name"] for name in names]
    assert found == ["in_memory", "postgres", "postgres", "mongodb", "elasticsearch"]


def test_name_of_a_vector_store_means_the_vector_backend() -> None:
    embed = {"provider": "openai", "api_key": "sk-none"}
    managers = [create_memory_manager(name, embedding=embed, url="u") for name in ("qdrant", "chromadb", "Pinecone")]
    assert {manager.backend.backend_type.value for manager in managers if manager is not None} == {"vector"}
    assert [manager.backend.settings.vector_store for manager in managers] == [  # type: ignore[attr-defined, union-attr]
        {"store_type": kind, "connection_params": {"url": "u"}} for kind in ("qdrant", "chroma", "pinecone")
    ]


def test_vector_store_named_twice_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="vector_store"):
        create_memory_manager("qdrant", vector_store="chroma")


def test_backend_registered_under_the_name_of_a_vector_store_is_itself() -> None:
    class Own(InMemoryBackend):
        pass

    MemoryFactory.register_backend("qdrant", Own)
    manager = create_memory_manager("qdrant")
    assert manager is not None
    assert type(manager.backend) is Own


def test_path_replaces_that_of_a_preset() -> None:
    manager = create_memory_manager("development", db_path="x.db")
    assert manager is not None
    assert manager.backend.settings.db_path == "x.db"  # type: ignore[attr-defined]


def test_configuration_given_under_both_keywords_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="once"):
        initialize_memory(memory="in_memory", config="in_memory")


def test_all_ways_lead_to_one_global_manager() -> None:
    manager = initialize_memory("in_memory")
    getters = (
        langswarm_memory.get_memory_manager,
        langswarm_memory.get_global_memory_manager,
        factory.get_global_memory_manager,
    )
    assert [get() is manager for get in getters] == [True] * 3


async def test_teardown_inside_a_loop_stops_the_manager() -> None:
    manager = await setup_global_memory("in_memory")
    assert manager is not None
    teardown_global_memory()
    await shutdown_global_memory()  # waits for what the other one began
    assert not manager.backend.is_connected


# --- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [({"k": 1}, 7), (7, {"k": 1})])
def test_metadata_and_token_count_come_in_either_order(pair: tuple[Any, Any]) -> None:
    message = Message("user", "text", AT, "m1", *pair)
    assert (message.metadata, message.token_count) == ({"k": 1}, 7)


def test_roles_equal_their_text() -> None:
    assert Message("user", "text").role is MessageRole.USER
    assert MessageRole.USER == "user"


def test_roles_of_other_frameworks_are_understood() -> None:
    found = [Message(role, "text").role for role in ("human", "ai", "model", "developer")]
    assert found == [MessageRole.USER, MessageRole.ASSISTANT, MessageRole.ASSISTANT, MessageRole.DEVELOPER]


def test_unknown_role_is_kept() -> None:
    assert Message("critic", "text").role == "critic"


def test_text_of_any_content_is_text() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    assert [Message("user", content).text for content in ("one", None, blocks)] == ["one", "", "one\ntwo"]


def test_id_is_the_message_id() -> None:
    assert Message("user", "text", message_id="m1").id == "m1"


def test_message_of_a_dict_needs_neither_time_nor_id() -> None:
    message = Message.from_dict({"role": "user", "content": "text", "channel": "web"})
    assert (message.timestamp.tzinfo, len(message.message_id), message.metadata) == (UTC, 36, {"channel": "web"})


def test_system_text_stands_beside_anthropic_messages() -> None:
    given = messages_to_anthropic_format([Message("system", "Be brief."), Message("user", "Hello")])
    assert (given.system, list(given)) == ("Be brief.", [{"role": "user", "content": "Hello"}])


# --- sessions ------------------------------------------------------------------------------------------------------


def test_metadata_of_a_session_answers_to_both_names() -> None:
    one = SessionMetadata("s1", auto_summarize_threshold=9, metadata={"a": 1}, custom_metadata={"b": 2})
    assert (one.summary_threshold, one.auto_summarize_threshold) == (9, 9)
    assert one.properties == one.metadata == one.custom_metadata == {"a": 1, "b": 2}


def test_naive_times_are_local_times() -> None:
    naive = datetime(2026, 1, 2, 3, 4)
    assert SessionMetadata("s1", created_at=naive).created_at == naive.astimezone(UTC)


def test_stored_times_compare_with_naive_ones() -> None:
    updated = SessionMetadata("s1").updated_at
    assert datetime.now() - timedelta(days=1) < updated <= datetime.now()
    assert datetime.now() - updated < timedelta(days=1)


def test_summary_answers_to_both_names() -> None:
    one = ConversationSummary("text", 2, AT, AT)
    assert (one.summary_text, one.session_id, one.token_count, one.summary_type) == ("text", None, 0, SummaryType.AUTO)


@pytest.mark.parametrize("given", [(True,), (SummaryType.PERIODIC,)])
async def test_first_argument_of_create_summary_is_told_by_its_type(memory: MemoryManager, given: Any) -> None:
    session = await talked(memory, Message("user", "My parcel is late."))
    made = await session.create_summary(*given)
    assert made.summary_type == (given[0] if isinstance(given[0], SummaryType) else SummaryType.MANUAL)


async def test_summary_is_not_made_of_too_little(memory: MemoryManager) -> None:
    session = await talked(memory, Message("user", "My parcel is late."))
    assert await session.create_summary() is None


async def test_metadata_is_updated_by_dict_and_by_keyword(memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    await session.update_metadata({"max_tokens": 5, "a": 1}, b=2)
    assert (session.metadata.max_tokens, session.metadata.properties) == (5, {"a": 1, "b": 2})


async def test_time_as_second_argument_of_get_messages_is_since(memory: MemoryManager) -> None:
    session = await talked(memory, Message("user", "old", AT), Message("user", "new"))
    assert [one.content for one in await session.get_messages(None, AT + timedelta(days=1))] == ["new"]


async def test_session_is_closed_archived_then_deleted(memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    statuses = []
    for end in (session.close, session.archive_session):
        await end()
        statuses.append((await memory.get_session("s1")).metadata.status)  # type: ignore[union-attr]
    assert statuses == [SessionStatus.COMPLETED, SessionStatus.ARCHIVED]
    assert await session.delete_session() is True
    assert await memory.get_session("s1") is None


@pytest.mark.parametrize(("close", "status"), [(False, SessionStatus.ACTIVE), (True, SessionStatus.COMPLETED)])
async def test_context_closes_only_when_told(memory: MemoryManager, close: bool, status: SessionStatus) -> None:
    async with MemorySessionContext("s1", "ada", close_on_exit=close):
        pass
    assert (await memory.get_session("s1")).metadata.status == status  # type: ignore[union-attr]


# --- backends and managers -----------------------------------------------------------------------------------------


async def test_failure_to_connect_is_raised() -> None:
    manager = MemoryManager(PostgresBackend(host="127.0.0.1", port=9, timeout=1.0))
    with pytest.raises(StorageUnavailableError):
        await manager.start()
    await manager.stop()


async def test_clean_up_counts_age_only_where_an_age_is_given(memory: MemoryManager) -> None:
    old = datetime.now() - timedelta(days=40)
    await memory.backend.create_session(SessionMetadata("old", created_at=old, updated_at=old))
    assert await memory.backend.cleanup_expired_sessions() == 0
    assert isinstance(memory.backend, BaseMemoryBackend)
    assert await memory.backend.cleanup_expired_sessions(max_age_days=30) == 1


async def test_usage_is_an_object_as_well_as_a_mapping(memory: MemoryManager) -> None:
    await talked(memory, Message("user", "Hello"))
    usage = await memory.backend.get_usage_stats()
    assert (
        usage.message_count == usage["total_messages"] == usage.get("total_messages") == dict(usage)["total_messages"]
    )
    assert ("total_sessions" in usage, "nonsense" in usage) == (True, False)


async def test_health_has_the_keys_of_all_documents(memory: MemoryManager) -> None:
    health = await memory.backend.health_check()
    assert set(HEALTH.split()) - set(health) == set()


async def test_system_statistics_have_the_keys_of_all_documents(memory: MemoryManager) -> None:
    stats = await memory.get_system_stats()
    assert set(STATISTICS.split()) - set(stats) == set()


async def test_sessions_are_created_by_position_as_the_package_had_it(memory: MemoryManager) -> None:
    session = await memory.create_session("s1", "ada", "agent")
    metadata = session.metadata
    assert (metadata.session_id, metadata.user_id, metadata.agent_id) == ("s1", "ada", "agent")


async def test_text_of_get_or_create_session_is_the_session(memory: MemoryManager) -> None:
    assert (await memory.get_or_create_session("user_123")).session_id == "user_123"


def test_sqlite_is_durable_by_default() -> None:
    settings = SQLiteBackend().settings
    assert (settings.db_path, settings.journal_mode, settings.enable_foreign_keys) == (  # type: ignore[attr-defined]
        "langswarm_memory.db",
        "WAL",
        True,
    )


@pytest.mark.parametrize("ttl", [0, None])
def test_no_ttl_is_never(ttl: int | None) -> None:
    assert RedisBackend(ttl=ttl).get_ttl() is None


def test_presets_keep_their_key_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://localhost:6379")
    managers = [create_memory_manager(name) for name in ("production", "cloud", "redis")]
    assert [manager.backend.settings.key_prefix for manager in managers] == [  # type: ignore[attr-defined, union-attr]
        "langswarm:v2:memory:",
        "langswarm:cloud:memory:",
        "langswarm:memory:",
    ]


# --- errors and migrators ------------------------------------------------------------------------------------------


def test_errors_of_one_name_are_one_class() -> None:
    names = ("MemoryBackendError", "MemoryConfigurationError")
    places = (factory, exceptions, langswarm_memory)
    assert {getattr(place, name) is getattr(errors, name) for place in places for name in names} == {True}


def test_error_takes_either_form() -> None:
    one = errors.MemoryBackendError("sqlite", "append", ValueError())
    other = errors.MemoryBackendError("no room", backend="sqlite", details={"free": 0})
    assert (one.backend, one.operation, other.backend, other.details) == ("sqlite", "append", "sqlite", {"free": 0})
    assert errors.MemoryConfigurationError("wrong", {"backend": "x"}).config_data == {"backend": "x"}


def test_connection_error_is_pythons_as_well() -> None:
    assert issubclass(MemoryConnectionError, ConnectionError)
    assert issubclass(MemoryConnectionError, errors.MemoryBackendError)


def test_memory_error_is_an_attribute_of_its_module_only() -> None:
    assert exceptions.MemoryError is LangSwarmMemoryError
    assert not hasattr(langswarm_memory, "MemoryError")


def test_migrator_can_be_constructed_without_methods() -> None:
    class Own(IMemoryMigrator):
        pass

    assert isinstance(Own(), IMemoryMigrator)


async def test_validate_migration_tells_statistics_from_a_backend(memory: MemoryManager) -> None:
    migrator = V1MemoryMigrator()
    assert await migrator.validate_migration({"sessions": 2}, {"sessions": 1}) is False
    assert (await migrator.validate_migration(InMemoryBackend(), memory.backend))["sessions"] == 0
