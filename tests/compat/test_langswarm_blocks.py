"""Every code block of the LangSwarm V2 document runs, under both names of the package.

Once with only the import lines changed, once as it stands after ``install_langswarm()``. What a block takes from the
text around it is defined here. `test_langswarm_examples.py` holds examples of our own, which run everywhere.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import langswarm_memory
from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    ConversationSummary,
    InMemoryBackend,
    MemoryManager,
    Message,
    MessageRole,
    PostgresBackend,
    RedisBackend,
    SessionMetadata,
    SessionStatus,
    SQLiteBackend,
    SummaryType,
    create_memory_manager,
    create_openai_message,
    get_global_memory_manager,
)
from langswarm_memory import exceptions as errors
from langswarm_memory.compat import install_langswarm, uninstall_langswarm
from tests.compat.documents import blocks, execute
from tests.compat.model_api import ModelAPI
from tests.services.redis import RedisService

Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(params=["langswarm_memory", "langswarm.core.memory"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs the block below a heading, with the names given; returns the names it defines."""
    found = blocks(2)
    if request.param == "langswarm.core.memory" and not install_langswarm():
        pytest.skip("LangSwarm itself is installed, so its name is not ours to take")

    async def run_block(heading: str, **names: Any) -> dict[str, Any]:
        (code,) = found[heading]
        return await execute(code.replace("langswarm.core.memory", request.param), names)

    yield run_block
    uninstall_langswarm()


def ids(messages: list[Message]) -> list[str]:
    return [message.message_id for message in messages]


TYPING = {
    **vars(typing),
    "dataclass": dataclasses.dataclass,
    "field": dataclasses.field,
    "datetime": datetime,
    "MessageRole": MessageRole,
    "SessionStatus": SessionStatus,
    "SummaryType": SummaryType,
    "Message": Message,
    "SessionMetadata": SessionMetadata,
    "ConversationSummary": ConversationSummary,
    "IMemorySession": langswarm_memory.IMemorySession,
    "IMemoryBackend": langswarm_memory.IMemoryBackend,
}
"""What the blocks that declare interfaces take from modules that they do not import."""

BLOCKS = {
    "Core Interfaces",
    "Memory Session Interface",
    "Memory Backend Interface",
    "Memory Manager Interface",
    "In-Memory Backend",
    "SQLite Backend",
    "Redis Backend",
    "Configuration Patterns",
    "Memory Factory",
    "OpenAI Format Support",
    "Anthropic Format Support",
    "Universal Message Format",
    "Session Lifecycle",
    "Message Filtering and Retrieval",
    "Conversation Summarization",
    "Usage Statistics",
    "Health Monitoring",
    "Cleanup and Maintenance",
    "MemorySessionContext",
    "Global Memory Context",
    "V1 to V2 Migration Interface",
}


def test_every_block_of_the_document_has_a_test_here() -> None:
    found, source = blocks(2), Path(__file__).read_text()
    assert set(found) == BLOCKS
    assert [heading for heading in found if source.count(f'"{heading}"') < 2] == []
    assert [heading for heading, codes in found.items() if len(codes) > 1] == []


# --- interfaces ----------------------------------------------------------------------------------------------------


async def test_data_classes_take_and_show_every_field_that_is_declared(run: Run) -> None:
    names = await run("Core Interfaces", **TYPING)
    values = {
        "role": MessageRole.USER,
        "content": "text",
        "timestamp": datetime(2026, 1, 2, 3, 4),
        "message_id": "m",
        "session_id": "s",
        "summary_id": "x",
        "summary_text": "text",
        "message_count": 1,
        "token_count": 2,
        "created_at": datetime(2026, 1, 2, 3, 4),
        "summary_type": SummaryType.MANUAL,
    }
    ours = {"Message": Message, "SessionMetadata": SessionMetadata}
    for name, cls in ours.items():
        theirs = names[name]
        given = {f.name: values[f.name] for f in dataclasses.fields(theirs) if f.default is f.default_factory}
        one, other = theirs(**given), cls(**given)
        differing = {f.name for f in dataclasses.fields(theirs) if not hasattr(other, f.name)}
        assert differing == set()
        assert {key: getattr(other, key) for key in given} == {key: getattr(one, key) for key in given}


async def test_messages_take_the_declared_order_of_positions(run: Run) -> None:
    names = await run("Core Interfaces", **TYPING)
    given = ("user", "text", datetime(2026, 1, 2), "m", 7, {"key": "value"}, {"name": "f"}, [{"id": "c"}])
    theirs, ours = names["Message"](*given), Message(*given)
    assert [getattr(ours, f.name) == getattr(theirs, f.name) for f in dataclasses.fields(theirs)] == [True] * 8


async def test_summaries_show_every_field_that_is_declared(run: Run) -> None:
    names = await run("Core Interfaces", **TYPING)
    summary = ConversationSummary("text", 3, datetime(2026, 1, 2), datetime(2026, 1, 2), session_id="s", token_count=4)
    assert [f.name for f in dataclasses.fields(names["ConversationSummary"]) if not hasattr(summary, f.name)] == []


@pytest.mark.parametrize(
    ("heading", "name", "cls"),
    [
        ("Memory Session Interface", "IMemorySession", BaseMemorySession),
        ("Memory Backend Interface", "IMemoryBackend", BaseMemoryBackend),
        ("Memory Manager Interface", "IMemoryManager", MemoryManager),
    ],
)
async def test_every_declared_member_can_be_called_by_name(run: Run, heading: str, name: str, cls: type) -> None:
    interface = (await run(heading, **TYPING))[name]
    missing = [member for member in interface.__annotations__ if not isinstance(getattr(cls, member, None), property)]
    for member, function in inspect.getmembers(interface, inspect.isfunction):
        ours = getattr(cls, member, None)
        if ours is None or not inspect.iscoroutinefunction(ours):
            missing.append(member)
            continue
        given = {
            key: None
            for key, parameter in inspect.signature(function).parameters.items()
            if key != "self" and parameter.kind is not parameter.VAR_KEYWORD
        }
        inspect.signature(ours).bind(None, **given)
    assert missing == []


# --- backends ------------------------------------------------------------------------------------------------------


async def test_in_memory_backend(run: Run) -> None:
    names = await run("In-Memory Backend", SessionMetadata=SessionMetadata)
    assert isinstance(names["backend"], InMemoryBackend)
    assert (await names["backend"].get_session("test_session")).metadata.user_id == "user_123"


async def test_sqlite_backend(run: Run, leftovers: Callable[[Any], Any]) -> None:
    names = await run("SQLite Backend", metadata=SessionMetadata("s1"))
    leftovers(names["backend"])
    assert isinstance(names["backend"], SQLiteBackend)
    assert names["messages"] == []
    assert names["session"].session_id == "s1"


@pytest.mark.store("redis")
async def test_redis_backend(run: Run, local_redis: RedisService, leftovers: Callable[[Any], Any]) -> None:
    names = await run("Redis Backend", metadata=SessionMetadata("s1"))
    leftovers(names["backend"])
    assert isinstance(names["backend"], RedisBackend)
    assert names["backend"].get_ttl() == 86_400
    with local_redis.client() as client:
        (key,) = client.keys("langswarm:memory:*s1*")
        assert client.ttl(key) >= 86_000


# --- configuration -------------------------------------------------------------------------------------------------


async def test_configuration_patterns(run: Run) -> None:
    names = await run("Configuration Patterns")
    backend = names["manager"].backend
    assert isinstance(backend, RedisBackend)
    assert isinstance(get_global_memory_manager().backend, SQLiteBackend)
    assert get_global_memory_manager().backend.settings.db_path == "/data/memory.db"


async def test_memory_factory(run: Run, leftovers: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]) -> None:
    class CustomBackend(InMemoryBackend):
        pass

    names = await run("Memory Factory", CustomBackend=CustomBackend)
    leftovers(names["manager"])
    assert names["manager"].backend.is_connected
    assert {"custom", "in_memory", "sqlite", "redis"} <= set(names["available_backends"])
    assert capsys.readouterr().out == f"Available: {names['available_backends']}\n"


# --- provider formats ----------------------------------------------------------------------------------------------


async def test_openai_format(run: Run, memory: MemoryManager, api: ModelAPI) -> None:
    names = await run("OpenAI Format Support")
    assert names["response"]["choices"][0]["message"]["content"] == "Done."
    ((path, request),) = api.requests
    assert path == "/v1/chat/completions"
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "assistant"]
    assert request["messages"][2]["function_call"]["name"] == "get_weather"


async def test_anthropic_format(run: Run, memory: MemoryManager, api: ModelAPI) -> None:
    names = await run("Anthropic Format Support", MemorySessionContext=langswarm_memory.MemorySessionContext)
    assert names["response"]["content"][0]["text"] == "Done."
    ((path, request),) = api.requests
    assert path == "/v1/messages"
    assert [message["role"] for message in request["messages"]] == ["user", "assistant"]
    assert request["messages"][1]["content"][1]["id"] == "tool_123"


async def test_universal_message_format(run: Run, memory: MemoryManager) -> None:
    names = await run("Universal Message Format")
    sent = [names["universal_msg"], names["system_msg"], names["tool_msg"]]
    assert (sent[2].tool_call_id, sent[2].name) == ("call_123", "get_weather")
    session = await memory.create_session("s1")
    await session.add_messages(sent)
    stored = await session.get_messages()
    assert [message.metadata for message in stored] == [message.metadata for message in sent]


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_session_lifecycle(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    await run("Session Lifecycle", create_openai_message=create_openai_message)
    assert capsys.readouterr().out == "Context has 2 messages\n"
    stored = (await memory.get_session("chat_456")).metadata
    assert (stored.user_id, stored.status, stored.summary_threshold) == ("user_123", SessionStatus.ARCHIVED, 50)
    assert (stored.max_messages, stored.max_tokens) == (500, 32_000)
    assert stored.properties == {"app": "chatbot", "version": "2.0", "custom_field": "value"}


async def test_message_filtering_and_retrieval(run: Run, memory: MemoryManager) -> None:
    session = await memory.create_session("s1")
    old = Message("user", "old", datetime(2020, 1, 1))
    system, user, assistant = Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello")
    await session.add_messages([old, system, user, assistant])
    names = await run("Message Filtering and Retrieval", session=session)
    assert ids(names["recent_messages"]) == ids([user, assistant])
    assert ids(names["context"]) == ids([old, system, user, assistant])
    assert ids(names["user_messages"]) == ids([old, user])
    assert old.message_id not in ids(names["morning_messages"])


async def test_conversation_summarization(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    session = await memory.create_session("s1")
    await session.add_messages([Message("user", "The parcel is late."), Message("assistant", "It comes on Monday.")])
    names = await run("Conversation Summarization", memory=memory, session=session)
    (kept,) = names["summaries"]
    assert (kept.summary_type, kept.message_count) == (SummaryType.MANUAL, 2)
    assert f"Covers 2 messages, {kept.token_count} tokens" in capsys.readouterr().out
    made = names["session"].metadata
    assert (made.summary_threshold, made.properties["summary_strategy"]) == (100, "periodic")


# --- statistics and care -------------------------------------------------------------------------------------------


async def test_usage_statistics(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    session = await memory.create_session("s1")
    await session.add_messages([Message("user", "Hi", token_count=3), Message("assistant", "Hello")])
    await (await memory.create_session("s2")).archive_session()
    names = await run("Usage Statistics", memory=memory, session=session)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Total sessions: 2", "Total messages: 2"]
    assert lines[3:6] == ["Active sessions: 1", "Archived sessions: 1", "Messages per session (avg): 1.0"]
    stats = names["session_stats"]
    assert (stats["message_count"], stats["summary_count"]) == (2, 0)
    assert stats["conversation_duration"].total_seconds() >= 0


async def test_health_monitoring(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    names = await run("Health Monitoring", memory=memory)
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[1], lines[3]) == ("Backend status: healthy", "Connection: True", "Last error: None")
    assert names["session"].session_id == "user_123"


async def test_health_monitoring_of_a_store_that_is_down(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    down = MemoryManager(PostgresBackend(host="127.0.0.1", port=9, timeout=1.0))
    await run("Health Monitoring", memory=down)
    await down.stop()
    assert "Backend unhealthy: postgres: " in capsys.readouterr().out


NAMES = {
    "SQLiteBackend": SQLiteBackend,
    "RedisBackend": RedisBackend,
    "SessionStatus": SessionStatus,
    "datetime": datetime,
    "timedelta": timedelta,
}


async def test_cleanup_and_maintenance(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    long_ago = datetime(2020, 1, 1)
    for name, at in (("old", long_ago), ("new", None)):
        await memory.backend.create_session(SessionMetadata(name, created_at=at, updated_at=at))
    names = await run("Cleanup and Maintenance", memory=memory, **NAMES)
    assert capsys.readouterr().out == "Cleaned up 1 expired sessions\n"
    assert [one.session_id for one in names["inactive_sessions"]] == ["new"]


@pytest.mark.store("redis")
async def test_cleanup_and_maintenance_on_redis(
    run: Run, local_redis: RedisService, leftovers: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    memory = create_memory_manager("redis", ttl=600)
    leftovers(memory)
    await memory.create_session("s1")
    await run("Cleanup and Maintenance", memory=memory, **NAMES)
    assert "Sessions expiring in next hour: 1\n" in capsys.readouterr().out


# --- contexts ------------------------------------------------------------------------------------------------------


async def test_memory_session_context(run: Run, memory: MemoryManager, capsys: pytest.CaptureFixture[str]) -> None:
    names = await run(
        "MemorySessionContext",
        create_openai_message=create_openai_message,
        invalid_message=Message("user", {1, 2}),  # type: ignore[arg-type]
        MemoryError=errors.MemoryError,
    )
    assert [message.content for message in names["messages"]] == ["Hello!"]
    assert [message.content for message in await memory.get_history("existing_session")] == ["Continue chat"]
    assert capsys.readouterr().out.startswith("Memory error: ")
    listed = await memory.list_user_sessions("user_123")
    assert sorted(one.max_tokens or 0 for one in listed) == [0, 0, 16_000]


async def test_global_memory_context(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    names = await run("Global Memory Context", create_openai_message=create_openai_message)
    await names["startup"]()
    context = await names["handle_request"]("user_1", "Hello")
    again = await names["handle_request"]("user_1", "Again")
    await names["shutdown"]()
    assert [[message.content for message in one] for one in (context, again)] == [["Hello"], ["Hello", "Again"]]
    assert get_global_memory_manager() is None
    assert capsys.readouterr().out == "Memory system initialized\nMemory system shut down\n"


# --- migration -----------------------------------------------------------------------------------------------------


async def test_migration_interface(run: Run, memory: MemoryManager) -> None:
    names = await run("V1 to V2 Migration Interface", memory=memory, **TYPING)
    assert names["migration_result"] is None  # the methods of the document's class do nothing
    with pytest.raises(langswarm_memory.UnsupportedOperationError):
        await names["migrator"].backup_data(memory.backend, "backup.zip")
