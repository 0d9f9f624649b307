"""Messages, session metadata, summaries, usage and instants: fields, defaults, aliases."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from langswarm_memory import (
    ConversationSummary,
    InvalidInputError,
    MemoryUsage,
    Message,
    MessageRole,
    SessionMetadata,
    SessionStatus,
    SummaryType,
    Timestamp,
    create_openai_message,
    messages_to_anthropic_format,
)


def test_message_fields_stand_in_the_documented_order() -> None:
    names = list(inspect.signature(Message).parameters)
    assert names == [
        "role", "content", "timestamp", "message_id", "metadata", "token_count", "function_call", "tool_calls",
        "tool_call_id", "name",
    ]  # fmt: skip


def test_message_takes_the_other_positional_order() -> None:
    message = Message("user", "hi", datetime.now(UTC), "m1", 7, {"a": 1})  # type: ignore[arg-type]
    assert (message.token_count, message.metadata) == (7, {"a": 1})


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("user", MessageRole.USER),
        ("human", MessageRole.USER),
        ("ai", MessageRole.ASSISTANT),
        ("model", MessageRole.ASSISTANT),
        (MessageRole.TOOL, MessageRole.TOOL),
        ("developer", MessageRole.DEVELOPER),
        ("critic", "critic"),
    ],
)
def test_role_is_coerced_or_kept_as_text(given: str, role: str) -> None:
    message = Message(given, "hi")
    assert message.role == role
    assert type(message.role) is type(role)


@pytest.mark.parametrize("role", [None, 3, object(), ""])
def test_role_that_is_no_text_is_refused(role: object) -> None:
    with pytest.raises(InvalidInputError, match="role"):
        Message(role, "hi")  # type: ignore[arg-type]


def test_role_equals_its_text() -> None:
    assert Message("user", "hi").role == "user"


def test_tool_links_are_read_from_metadata() -> None:
    message = Message("tool", "{}", metadata={"tool_call_id": "call_1", "tool_name": "get_weather"})
    assert (message.tool_call_id, message.name) == ("call_1", "get_weather")


def test_default_ids_differ() -> None:
    assert Message("user", "hi").message_id != Message("user", "hi").message_id


def test_id_is_the_message_id() -> None:
    message = Message("user", "hi")
    assert message.id == message.message_id


def test_unsaved_message_has_no_position() -> None:
    assert Message("user", "hi").seq is None


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ("hi", "hi"), ([{"type": "text", "text": "a"}, {"type": "image"}, "b"], "a\nb"), ([], "")],
)
def test_text_of_any_content(content: object, text: str) -> None:
    assert Message("user", content).text == text  # type: ignore[arg-type]


def test_dict_round_trip() -> None:
    message = Message("tool", "x", tool_call_id="c", name="n", metadata={"a": 1}, token_count=3)
    assert Message.from_dict(message.to_dict()) == message


def test_dict_leaves_out_what_is_not_set() -> None:
    assert set(Message("user", "x").to_dict()) == {"role", "content", "timestamp", "message_id"}


def test_from_dict_keeps_unknown_keys_in_metadata() -> None:
    message = Message.from_dict({"role": "user", "content": "x", "channel": "web", "metadata": {"a": 1}})
    assert message.metadata == {"channel": "web", "a": 1}


@pytest.mark.parametrize("data", [{}, {"content": "x"}, [], "user", None])
def test_from_dict_without_role_is_refused(data: object) -> None:
    with pytest.raises(InvalidInputError, match="role"):
        Message.from_dict(data)  # type: ignore[arg-type]


def test_message_copies_and_pickles() -> None:
    message = Message("user", "x", metadata={"a": [1]})
    assert copy.deepcopy(message) == message == pickle.loads(pickle.dumps(message))


@pytest.mark.parametrize(
    "data",
    [
        {"role": "user", "content": "x"},
        {"content": None, "role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "function_call": None},
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": "1"},
        {"role": "assistant", "tool_calls": []},
        {"role": "model", "content": [{"type": "text", "text": "x"}], "audio": {"id": "a"}},
        {"role": "critic", "content": ""},
    ],
)
def test_openai_round_trip_is_exact(data: dict[str, object]) -> None:
    import json

    assert json.dumps(Message.from_openai(data).to_openai_format()) == json.dumps(data)


def test_openai_message_in_usual_form_carries_no_note() -> None:
    assert Message.from_openai({"role": "user", "content": "x"}).metadata == {}


def test_edited_message_gives_its_present_content() -> None:
    message = Message.from_openai({"content": "old", "role": "user"})
    message.content = "new"
    assert message.to_openai_format() == {"content": "new", "role": "user"}


def test_create_openai_message_takes_fields_of_both_kinds() -> None:
    message = create_openai_message("assistant", None, function_call={"name": "f", "arguments": "{}"}, token_count=3)
    assert message.function_call == {"name": "f", "arguments": "{}"}
    assert message.token_count == 3


def test_anthropic_list_has_the_system_text_beside_it() -> None:
    messages = [Message("system", "be kind"), Message("user", "hi"), Message("assistant", "hello")]
    form = messages_to_anthropic_format(messages)
    assert form.system == "be kind"
    assert form == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def test_anthropic_tool_result_is_a_user_turn() -> None:
    form = Message("tool", "42", tool_call_id="c").to_anthropic_format()
    assert form["role"] == "user"
    assert form["content"][0]["tool_use_id"] == "c"


def test_session_metadata_defaults() -> None:
    metadata = SessionMetadata("s")
    assert (metadata.max_messages, metadata.max_tokens, metadata.summary_threshold) == (100, None, 50)
    assert (metadata.auto_summarize, metadata.status, metadata.tags, metadata.properties) == (
        True,
        SessionStatus.ACTIVE,
        [],
        {},
    )
    assert metadata.created_at == metadata.updated_at


def test_session_metadata_aliases() -> None:
    metadata = SessionMetadata("s", auto_summarize_threshold=7, metadata={"a": 1}, custom_metadata={"b": 2})
    assert metadata.summary_threshold == metadata.auto_summarize_threshold == 7
    assert metadata.properties == metadata.metadata == metadata.custom_metadata == {"a": 1, "b": 2}


def test_session_expires_at_its_instant() -> None:
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    metadata = SessionMetadata("s", expires_at=instant)
    assert not metadata.is_expired(instant - timedelta(microseconds=1))
    assert metadata.is_expired(instant)


def test_unknown_status_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="archived"):
        SessionMetadata("s", status="gone")  # type: ignore[arg-type]


def test_summary_text_and_defaults() -> None:
    now = datetime.now(UTC)
    summary = ConversationSummary("text", 3, now, now)
    assert (summary.summary_text, summary.session_id, summary.token_count, summary.summary_type) == (
        "text",
        None,
        0,
        SummaryType.AUTO,
    )


def test_usage_answers_as_a_mapping() -> None:
    usage = MemoryUsage(session_count=2, message_count=5, storage_size_bytes=1_500_000)
    assert usage["total_sessions"] == 2
    assert usage["storage_size_mb"] == 1.5
    assert usage.get("nothing", 9) == 9
    assert "total_messages" in usage
    assert dict(usage)["total_messages"] == 5
    with pytest.raises(KeyError):
        usage["nothing"]


def test_naive_instant_means_local_time() -> None:
    naive = datetime(2026, 5, 1, 12)
    assert Timestamp.of(naive) == naive.astimezone(UTC)


def test_offset_is_turned_into_utc() -> None:
    instant = Timestamp.of(datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert instant.isoformat() == "2026-05-01T10:00:00+00:00"


def test_instant_compares_with_naive_ones() -> None:
    instant = Timestamp.of(datetime.now(UTC))
    later = datetime.now() + timedelta(days=1)
    assert instant < later
    assert later > instant
    assert timedelta(hours=23) < later - instant < timedelta(days=1, minutes=1)
    assert instant - later < timedelta(0)
    assert instant != later


def test_instant_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="years 1 to 9999"):
        Timestamp.of(datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))))


def test_instant_that_is_no_datetime_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="datetime"):
        Message("user", "x", timestamp="yesterday")  # type: ignore[arg-type]
