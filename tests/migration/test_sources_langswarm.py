"""What LangSwarm V1, memswarm, langswarm.core.session and LangChain left in SQLite files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.errors import InvalidInputError, MemoryConfigurationError, MemoryStorageError
from langswarm_memory.interfaces.enums import SessionStatus
from langswarm_memory.migration.sources import CurrentFormatError, UnknownFormatError, detect_source
from langswarm_memory.migration.sources.formats import UNDERSTOOD
from tests.migration.earlier import REFERENCE, damage, exact, message_row, names_in, read_all, session_row, write

V1_SESSIONS = """
CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user_id TEXT, provider TEXT, model TEXT, status TEXT,
    session_control TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, last_activity TEXT, metadata TEXT,
    history TEXT);
CREATE INDEX idx_user_id ON sessions (user_id);
"""
MEMORY = "CREATE TABLE memory (key TEXT PRIMARY KEY, value TEXT NOT NULL, metadata TEXT);"
MESSAGES = (
    "CREATE TABLE {} (session_id TEXT, user_id TEXT, created_at TEXT, role TEXT, content TEXT, timestamp TEXT,"
    " metadata TEXT);"
)
CORE = """
CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user_id TEXT, provider TEXT, model TEXT, backend TEXT,
    context_data TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE session_messages (id INTEGER PRIMARY KEY, session_id TEXT, message_id TEXT, role TEXT, content TEXT,
    timestamp TEXT, metadata TEXT, provider_message_id TEXT, token_count INTEGER, finish_reason TEXT);
CREATE TABLE session_metrics (session_id TEXT PRIMARY KEY, message_count INTEGER);
"""
MESSAGE_STORE = "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT);"


def v1_data(session_id: str = "session_0a1b2c3d", **changes: Any) -> dict[str, Any]:
    metadata = {
        "user_id": "ann",
        "session_id": session_id,
        "provider": "openai",
        "model": "gpt-4o",
        "created_at": "2024-05-06T07:08:09.123456",
        "updated_at": "2024-05-06T08:00:00",
        "status": "inactive",
        "session_control": "hybrid",
        "provider_thread_id": "thread_1",
        "context_limit": 8000,
        "auto_truncate": True,
        "summarization_enabled": False,
        "message_count": 5,
        "total_tokens": 9,
        "tags": ["vip"],
        "custom_metadata": {"plan": "pro"},
    }
    history = {
        "session_id": session_id,
        "messages": [
            {"id": "msg_1", "role": "user", "content": "Hi", "timestamp": "2024-05-06T07:10:00", "metadata": {"a": 1}},
            {
                "id": "msg_2",
                "role": "assistant",
                "content": "Hello",
                "timestamp": "2024-05-06T07:09:00",
                "metadata": {},
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                "tool_call_id": None,
                "provider_message_id": "chatcmpl-1",
            },
        ],
        "summary": "They met.",
        "total_tokens": 9,
        "truncated_at": "2024-05-06T07:30:00",
    }
    return {"metadata": metadata, "history": history | changes}


def v1_row(**changes: Any) -> dict[str, Any]:
    data = v1_data(**changes)
    metadata = data["metadata"]
    same = ("session_id", "user_id", "provider", "model", "status", "session_control", "created_at", "updated_at")
    row = {name: metadata[name] for name in same}
    return row | {"metadata": json.dumps(metadata), "history": json.dumps(data["history"])}


# --- V1 sessions --------------------------------------------------------------------------------------------------


async def test_a_v1_session_keeps_its_messages_in_their_order(tmp_path: Path) -> None:
    _, found = await read_all(write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()]))
    first, second = found["session_0a1b2c3d"].messages
    assert (first.message_id, first.role, first.content, first.metadata) == ("msg_1", "user", "Hi", {"a": 1})
    assert (second.message_id, second.content, second.metadata) == (
        "msg_2",
        "Hello",
        {"provider_message_id": "chatcmpl-1"},
    )
    assert second.tool_calls == v1_data()["history"]["messages"][1]["tool_calls"]
    assert second.timestamp == datetime(2024, 5, 6, 7, 9, tzinfo=UTC)


async def test_what_has_no_field_any_more_stands_in_the_properties(tmp_path: Path) -> None:
    _, found = await read_all(write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()]))
    metadata = found["session_0a1b2c3d"].metadata
    assert metadata.properties == {
        "plan": "pro",
        "provider": "openai",
        "model": "gpt-4o",
        "session_control": "hybrid",
        "provider_thread_id": "thread_1",
        "context_limit": 8000,
        "auto_truncate": True,
        "message_count": 5,
        "truncated_at": "2024-05-06T07:30:00",
    }
    assert (metadata.user_id, metadata.tags, metadata.auto_summarize) == ("ann", ["vip"], False)
    assert metadata.status is SessionStatus.PAUSED
    assert metadata.created_at == datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


async def test_the_summary_of_a_v1_history_counts_what_it_replaced(tmp_path: Path) -> None:
    _, found = await read_all(write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()]))
    (summary,) = found["session_0a1b2c3d"].summaries
    assert (summary.summary, summary.message_count) == ("They met.", 3)


async def test_a_history_cut_off_in_the_middle_is_kept_and_the_others_are_read(tmp_path: Path) -> None:
    rows = [v1_row(session_id="cut") | {"history": '{"messages": [{"id": "msg_'}, v1_row(session_id="whole")]
    counts, found = await read_all(write(tmp_path / "v1.db", V1_SESSIONS, sessions=rows))
    assert found["cut"].metadata.properties["unreadable"] == {"history": '{"messages": [{"id": "msg_'}
    assert found["whole"].texts == ["Hi", "Hello"]
    assert counts.losses["unreadable history of a session: kept as it was"] == 1


async def test_entries_of_a_history_that_are_no_messages_are_kept(tmp_path: Path) -> None:
    entries = ["just text", {"content": ["block"]}, 7]
    _, found = await read_all(write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row(messages=entries)]))
    read = found["session_0a1b2c3d"].messages
    assert [(message.role, message.content) for message in read] == [
        ("unknown", "just text"),
        ("unknown", ["block"]),
        ("unknown", "7"),
    ]


# --- documents ----------------------------------------------------------------------------------------------------


def document(key: str, value: str, metadata: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "metadata": metadata if isinstance(metadata, str) else str(metadata)}


async def test_a_session_kept_as_a_document_is_read_from_its_data(tmp_path: Path) -> None:
    data = v1_data("d1")
    rows = [
        document("session:d1", "Session", {"type": "session", "session_id": "d1", "session_data": json.dumps(data)}),
        document("conversation:msg_1_msg_2", "Hi -> Hello", {"type": "conversation", "session_id": "d1"}),
        document("message:msg_1", "Hi", {"type": "message", "session_id": "d1", "message_id": "msg_1", "role": "user"}),
        document(
            "message:msg_9", "New", {"type": "message", "session_id": "d1", "message_id": "msg_9", "role": "user"}
        ),
    ]
    counts, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert found["d1"].texts == ["Hi", "Hello", "New"]
    assert found["d1"].metadata.status is SessionStatus.PAUSED
    assert counts.losses["documents that repeat messages of a session: not carried a second time"] == 2


async def test_messages_kept_as_documents_make_a_session(tmp_path: Path) -> None:
    meta = {"type": "message", "session_id": "d2", "user_id": "u", "timestamp": "2024-01-01T00:00:00"}
    rows = [
        document("message:a", "One", meta | {"message_id": "a", "role": "user"}),
        document("message:b", "Two", meta | {"message_id": "b", "role": "assistant", "model": "m"}),
        document("conversation:a_b", "One -> Two", {"type": "conversation", "session_id": "d2"}),
    ]
    _, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert [(m.message_id, m.role, m.content) for m in found["d2"].messages] == [
        ("a", "user", "One"),
        ("b", "assistant", "Two"),
    ]
    assert (found["d2"].metadata.user_id, found["d2"].messages[1].metadata) == ("u", {"model": "m"})


async def test_a_turn_of_which_only_the_joined_text_is_left_is_one_message(tmp_path: Path) -> None:
    rows = [document("conversation:a_b", "One -> Two", {"type": "conversation", "session_id": "d3"})]
    counts, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert found["d3"].texts == ["One -> Two"]
    assert counts.losses["turns of which only the joined text is left: carried as one message"] == 1


async def test_shared_memories_are_grouped_by_the_context_of_their_key(tmp_path: Path) -> None:
    meta = {"agent": "scout", "timestamp": "2023-11-05T10:00:00", "confidence": 0.5}
    rows = [
        document("team:2023-11-05T10:00:00Z", "Found it", meta),
        document("team:2023-11-05T10:00:01Z", "Took it", {**meta, "llm": "x"}),
        document("note", "Remember", {}),
    ]
    _, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert {name: read.texts for name, read in found.items()} == {
        "team": ["Found it", "Took it"],
        "memory": ["Remember"],
    }
    assert (found["team"].metadata.agent_id, found["team"].messages[0].role) == ("scout", "assistant")
    assert found["team"].messages[1].metadata["llm"] == "x"


async def test_a_turn_with_question_and_answer_becomes_two_messages(tmp_path: Path) -> None:
    turn = {"session_id": "t", "timestamp": "2024-01-01T00:00:00", "user_input": "Q", "agent_response": "A"}
    rows = [document("k", json.dumps(turn), turn)]
    _, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert [(message.role, message.content) for message in found["t"].messages] == [("user", "Q"), ("assistant", "A")]


async def test_metadata_in_pythons_notation_runs_no_code(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    rows = [document("k", "text", f"{{'a': open({str(trap)!r}, 'w')}}")]
    _, found = await read_all(write(tmp_path / "memory.db", MEMORY, memory=rows))
    assert found["memory"].messages[0].metadata == {"original": {"metadata": rows[0]["metadata"]}}
    assert not trap.exists()


# --- one table of messages, core sessions, LangChain ----------------------------------------------------------------


@pytest.mark.parametrize("table", ["messages", "conversations"])
async def test_one_table_of_messages_makes_sessions(tmp_path: Path, table: str) -> None:
    row = {"session_id": "g", "user_id": "u", "created_at": "2024-01-01T00:00:00", "role": "user", "metadata": "{}"}
    rows: list[dict[str, Any]] = [
        row | {"content": "One", "timestamp": "2024-01-01T00:00:01"},
        row | {"content": "Two", "timestamp": "2024-01-01T00:00:00", "role": "assistant"},
        row | {"content": "Three", "timestamp": None, "user_id": "other"},
    ]
    path = write(tmp_path / "g.db", MESSAGES.format(table), **{table: rows})
    _, found = await read_all(path)
    _, again = await read_all(path)
    assert found["g"].texts == ["One", "Two", "Three"]
    assert found["g"].metadata.user_id == "u"
    assert found["g"].messages[2].metadata == {"user_id": "other"}
    assert found == again


async def test_a_table_of_messages_of_another_name_is_read_when_named(tmp_path: Path) -> None:
    rows = [{"session_id": "g", "role": "user", "content": "One"}]
    path = write(tmp_path / "g.db", MESSAGES.format("chats"), chats=rows)
    _, found = await read_all({"type": "sqlite", "path": path, "table_name": "chats"})
    assert found["g"].texts == ["One"]


async def test_sessions_of_the_core_package_are_read(tmp_path: Path) -> None:
    context = {"session_id": "c", "max_messages": 30, "auto_archive": True, "provider_session_id": "p1", "model": "old"}
    session = {
        "session_id": "c",
        "user_id": "u",
        "provider": "anthropic",
        "model": "claude",
        "backend": "local",
        "context_data": json.dumps(context),
        "created_at": "2025-01-01T00:00:00",
        "updated_at": "2025-01-02T00:00:00",
    }
    message = {
        "session_id": "c",
        "message_id": "m1",
        "role": "assistant",
        "content": "Hi",
        "timestamp": "2025-01-01T00:00:01",
        "metadata": '{"k": 1}',
        "provider_message_id": "x",
        "token_count": 3,
        "finish_reason": "stop",
    }
    path = write(tmp_path / "c.db", CORE, sessions=[session], session_messages=[message])
    _, found = await read_all(path)
    metadata, (read,) = found["c"].metadata, found["c"].messages
    assert (metadata.max_messages, metadata.user_id) == (30, "u")
    assert metadata.properties == {
        "auto_archive": True,
        "provider_session_id": "p1",
        "provider": "anthropic",
        "model": "claude",
        "backend": "local",
    }
    assert (read.message_id, read.token_count) == ("m1", 3)
    assert read.metadata == {"k": 1, "provider_message_id": "x", "finish_reason": "stop"}


async def test_a_langchain_history_is_read(tmp_path: Path) -> None:
    call = {"name": "look", "args": {"q": "ü"}, "id": "c1", "type": "tool_call"}
    stored = [
        {"type": "system", "data": {"content": "Be brief.", "additional_kwargs": {}, "type": "system"}},
        {"type": "human", "data": {"content": "Hi", "additional_kwargs": {}, "example": False, "name": "ann"}},
        {"type": "ai", "data": {"content": "", "id": "run-1", "tool_calls": [call], "usage_metadata": {"total": 3}}},
        {"type": "tool", "data": {"content": "found", "tool_call_id": "c1", "name": "look", "status": "success"}},
    ]
    rows = [{"session_id": "lc", "message": json.dumps(message)} for message in stored]
    counts, found = await read_all(write(tmp_path / "lc.db", MESSAGE_STORE, message_store=rows))
    system, human, ai, tool = found["lc"].messages
    assert [message.role for message in (system, human, ai, tool)] == ["system", "user", "assistant", "tool"]
    assert (human.content, human.name, human.metadata) == ("Hi", "ann", {})
    assert (ai.message_id, ai.metadata) == ("run-1", {"usage_metadata": {"total": 3}})
    assert exact(ai.tool_calls) == exact(
        [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": "ü"}'}}]
    )
    assert (tool.tool_call_id, tool.name, tool.metadata) == ("c1", "look", {"status": "success"})
    assert counts.losses["sessions without a time: given 1970-01-01T00:00:00+00:00"] == 1


async def test_what_has_no_time_gets_the_one_that_is_told(tmp_path: Path) -> None:
    rows = [{"session_id": "lc", "message": '{"type": "human", "data": {"content": "Hi"}}'}]
    path = write(tmp_path / "lc.db", MESSAGE_STORE, message_store=rows)
    _, found = await read_all({"backend": "sqlite", "path": path, "default_time": "2024-06-01"})
    assert found["lc"].messages[0].timestamp == found["lc"].metadata.created_at == datetime(2024, 6, 1, tzinfo=UTC)


async def test_an_entry_of_langchain_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    rows = [{"session_id": "lc", "message": '{"type": "human", "da'}]
    _, found = await read_all(write(tmp_path / "lc.db", MESSAGE_STORE, message_store=rows))
    assert found["lc"].texts == ['{"type": "human", "da']


# --- telling them apart -------------------------------------------------------------------------------------------


async def test_several_formats_in_one_file_are_all_read(tmp_path: Path) -> None:
    stored = [{"session_id": "lc", "message": '{"type": "human", "data": {"content": "Hi"}}'}]
    schema = REFERENCE + MEMORY + MESSAGE_STORE
    path = write(
        tmp_path / "all.db",
        schema,
        sessions=[session_row()],
        messages=[message_row("m")],
        memory=[document("k", "note", {})],
        message_store=stored,
    )
    _, found = await read_all(path)
    assert set(found) == {"s", "lc", "memory"}


async def test_a_file_in_no_known_format_is_refused_with_what_was_found(tmp_path: Path) -> None:
    path = write(tmp_path / "other.db", "CREATE TABLE recipes (title TEXT, steps TEXT);")
    with pytest.raises(UnknownFormatError) as caught:
        await detect_source(path)
    assert caught.value.details == {"found": ["recipes (steps, title)"]}
    assert all(name in str(caught.value) for name in UNDERSTOOD)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all")
    with pytest.raises(InvalidInputError, match="no SQLite database"):
        await detect_source(path)


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        await detect_source(tmp_path / "missing.db")
    assert names_in(tmp_path) == []


async def test_a_damaged_database_is_a_typed_error(tmp_path: Path) -> None:
    rows = [message_row(f"m{number}", content="x" * 3000) for number in range(40)]
    path = damage(Path(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows)))
    with pytest.raises(MemoryStorageError, match="recover"):
        await read_all(path)


async def test_a_file_of_the_present_version_says_so(tmp_path: Path) -> None:
    from langswarm_memory import SQLiteBackend

    backend = SQLiteBackend(db_path=str(tmp_path / "new.db"))
    await backend.connect()
    await backend.disconnect()
    with pytest.raises(CurrentFormatError, match="present version"):
        await detect_source(tmp_path / "new.db")


@pytest.mark.parametrize(
    "config",
    [
        "{path}",
        "sqlite:///{path}",
        "sqlite+aiosqlite:///{path}",
        {"backend": "sqlite", "db_path": "{path}"},
        {"type": "sqlite", "path": "{path}"},
        {"type": "sqlite", "url": "sqlite:///{path}"},
        {"db_path": "{path}"},
        {"backend": "sqlite", "settings": {"db_path": "{path}"}},
        {"backend": "sqlite", "config": {"database": "{path}"}},
    ],
)
async def test_every_way_to_name_a_file_is_understood(tmp_path: Path, config: Any) -> None:
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()])
    _, found = await read_all(json.loads(json.dumps(config).replace("{path}", path)))
    assert list(found) == ["s"]


@pytest.mark.parametrize("config", [{}, {"backend": "sqlite"}, {"backend": "floppy", "path": "x"}, "ftp://x/y", 7])
async def test_a_configuration_that_names_nothing_is_refused(config: Any) -> None:
    with pytest.raises(MemoryConfigurationError):
        await detect_source(config)
