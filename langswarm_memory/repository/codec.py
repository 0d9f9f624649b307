"""From domain objects to columns that every store and every query can hold, and back, without loss.

A *clean* value goes into its own column: text as text, structures as JSON text. Where a value is not clean (see
``values.py``), the column holds its nearest clean form, so that queries still work, and ``verbatim`` holds the exact
values of those fields. Most rows have no ``verbatim``.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import ConflictError, InvalidInputError
from ..interfaces.enums import MessageRole, SummaryType
from ..interfaces.message import Message, coerce_role
from ..interfaces.records import ConversationSummary, SessionMetadata, coerce_status
from ..interfaces.timestamps import Timestamp
from .values import (
    MAX_ID_BYTES,
    MAX_INT,
    MAX_JSON_DEPTH,
    MAX_TOKENS,
    check_id,
    check_json,
    check_optional_id,
    clean,
    copy_json,
    dump_json,
    dump_verbatim,
    is_clean,
    load_verbatim,
)

__all__ = [
    "MAX_ID_BYTES",
    "MAX_INT",
    "MAX_JSON_DEPTH",
    "MessageColumns",
    "MetadataColumns",
    "SummaryColumns",
    "check_content",
    "check_count",
    "check_id",
    "check_json",
    "check_optional_id",
    "check_replay",
    "clean",
    "copy_json",
    "copy_metadata",
    "encode_message",
    "encode_metadata",
    "encode_summary",
    "fingerprint",
    "is_clean",
    "load_verbatim",
]


class MessageColumns(NamedTuple):
    """A message as a row, in the order of the table. ``timestamp`` is an aware UTC datetime."""

    message_id: str
    role: str
    content: str | None
    timestamp: datetime
    token_count: int
    tool_call_id: str | None
    name: str | None
    content_blocks: str | None
    tool_calls: str | None
    function_call: str | None
    metadata: str | None
    verbatim: bytes | None


def encode_message(message: Message) -> MessageColumns:
    """Check a message and return its columns.

    Raises:
        InvalidInputError: A field cannot be stored without loss; says which.
    """
    if not isinstance(message, Message):
        raise InvalidInputError(
            f"a Message is needed, got {type(message).__name__}",
            suggestion="use Message(role=..., content=...)",
        )
    role = message.role
    role_text = role.value if isinstance(role, MessageRole) else _role_text(role)
    content, blocks, text = message.content, None, None
    exact: dict[str, Any] = {}
    if type(content) is str:
        text = content
        if not is_clean(content):
            text, exact["content"] = clean(content), content
    elif content is not None:
        text, blocks = _content_columns(message, exact)
    tokens = message.token_count
    if type(tokens) is not int or not 0 <= tokens <= MAX_TOKENS:
        raise InvalidInputError("token_count must be an int from 0 to 2**31 - 1, or None")
    call_id, name, metadata = message.tool_call_id, message.name, message.metadata
    calls, function = message.tool_calls, message.function_call
    # Most messages have none of these; asking here rather than in the functions halves the time of encoding, and a
    # tuple made as such takes a third of the time of the class's own constructor.
    return _new_row(
        MessageColumns,
        (
            check_id(message.message_id, "message_id"),
            role_text,
            text,
            Timestamp.of(message.timestamp).plain(),
            tokens,
            None if call_id is None else _text_column(call_id, "tool_call_id", exact),
            None if name is None else _text_column(name, "name", exact),
            blocks,
            None if calls is None else _json_column(calls, list, "tool_calls", exact),
            None if function is None else _json_column(function, dict, "function_call", exact),
            None if metadata == {} else _json_column(metadata, dict, "metadata", exact),
            dump_verbatim(exact) if exact else None,
        ),
    )


_new_row = tuple.__new__


def _role_text(role: object) -> str:
    found = coerce_role(role)
    return found.value if isinstance(found, MessageRole) else check_id(found, "role")


def _content_columns(message: Message, exact: dict[str, Any]) -> tuple[str, str | None]:
    content = message.content
    if isinstance(content, str):  # a subclass of str
        exact["content"] = str(content)
        return clean(str(content)), None
    if not isinstance(content, list):
        raise InvalidInputError(
            f"content must be a str, a list of blocks or None, got {type(content).__name__}",
            suggestion="wrap a single block in a list",
        )
    blocks, is_exact = dump_json(content, "content")
    if not is_exact:
        exact["content"] = content
    return clean(message.text), blocks


def check_content(message: Message) -> None:
    """Refuse what cannot be counted: checked before tokens are, which look into content and calls.

    Raises:
        InvalidInputError: As :func:`encode_message`.
    """
    content = message.content
    if not isinstance(content, str):
        if content is not None and not isinstance(content, list):
            raise InvalidInputError(
                f"content must be a str, a list of blocks or None, got {type(content).__name__}",
                suggestion="wrap a single block in a list",
            )
        check_json(content, "content")
    if message.tool_calls is not None:
        _json_column(message.tool_calls, list, "tool_calls", {})
    if message.function_call is not None:
        _json_column(message.function_call, dict, "function_call", {})
    if message.name is not None:
        _text_column(message.name, "name", {})


def _text_column(value: object, where: str, exact: dict[str, Any]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInputError(f"{where} must be a str or None, got {type(value).__name__}")
    if is_clean(value):
        return value
    exact[where] = value
    return clean(value)


def _json_column(value: Any, kind: type, where: str, exact: dict[str, Any]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, kind):
        raise InvalidInputError(f"{where} must be a {kind.__name__} or None, got {type(value).__name__}")
    text, is_exact = dump_json(value, where)
    if not is_exact:
        exact[where] = value
    return text


class MetadataColumns(NamedTuple):
    """A session's metadata as a row, in the order of the table, without its counters."""

    session_id: str
    user_id: str | None
    agent_id: str | None
    workflow_id: str | None
    max_messages: int | None
    max_tokens: int | None
    auto_summarize: bool
    summary_threshold: int
    status: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    tags: str | None
    properties: str | None
    verbatim: bytes | None


def encode_metadata(metadata: SessionMetadata) -> MetadataColumns:
    """Check a session's metadata and return its columns.

    Raises:
        InvalidInputError: A field cannot be stored; says which.
    """
    if not isinstance(metadata, SessionMetadata):
        raise InvalidInputError(f"a SessionMetadata is needed, got {type(metadata).__name__}")
    exact: dict[str, Any] = {}
    for tag in metadata.tags if isinstance(metadata.tags, list) else ():
        if not isinstance(tag, str):
            raise InvalidInputError(f"tags must be text, got {type(tag).__name__}")
    if type(metadata.auto_summarize) is not bool:
        raise InvalidInputError("auto_summarize must be True or False")
    return MetadataColumns(
        check_id(metadata.session_id, "session_id"),
        check_optional_id(metadata.user_id, "user_id"),
        check_optional_id(metadata.agent_id, "agent_id"),
        check_optional_id(metadata.workflow_id, "workflow_id"),
        check_count(metadata.max_messages, "max_messages"),
        check_count(metadata.max_tokens, "max_tokens"),
        metadata.auto_summarize,
        check_count(metadata.summary_threshold, "summary_threshold", optional=False) or 1,
        coerce_status(metadata.status).value,
        Timestamp.of(metadata.created_at).plain(),
        Timestamp.of(metadata.updated_at).plain(),
        None if metadata.expires_at is None else Timestamp.of(metadata.expires_at).plain(),
        _json_column(metadata.tags, list, "tags", exact) if metadata.tags != [] else None,
        _json_column(metadata.properties, dict, "properties", exact) if metadata.properties != {} else None,
        dump_verbatim(exact),
    )


def check_count(value: object, what: str, *, optional: bool = True) -> int | None:
    """Return a limit: a positive int, or None where that means "no limit".

    Raises:
        InvalidInputError: Anything else.
    """
    if value is None and optional:
        return None
    if type(value) is not int or not 0 < value <= MAX_INT:
        kind = "a positive int" + (" or None" if optional else "")
        raise InvalidInputError(f"{what} must be {kind}, got {value if type(value) is int else type(value).__name__}")
    return value


def copy_metadata(metadata: SessionMetadata) -> SessionMetadata:
    """Return a copy of checked metadata, as a store would return it."""
    values = {name: getattr(metadata, name) for name in SessionMetadata.__dataclass_fields__}
    return SessionMetadata(**(values | {name: copy_json(values[name]) for name in ("tags", "properties")}))


class SummaryColumns(NamedTuple):
    """A summary as a row, in the order of the table."""

    session_id: str
    summary_id: str
    summary: str
    message_count: int
    token_count: int
    start_time: datetime
    end_time: datetime
    first_seq: int | None
    last_seq: int | None
    key_topics: str | None
    summary_type: str
    created_at: datetime
    verbatim: bytes | None


def encode_summary(summary: ConversationSummary) -> SummaryColumns:
    """Check a summary and return its columns.

    Raises:
        InvalidInputError: A field cannot be stored; says which.
    """
    exact: dict[str, Any] = {}
    text = _text_column(summary.summary, "summary", exact)
    if text is None:
        raise InvalidInputError("a summary needs text")
    for name in ("message_count", "token_count", "first_seq", "last_seq"):
        number = getattr(summary, name)
        if number is None and name in ("first_seq", "last_seq"):
            continue
        if type(number) is not int or not 0 <= number <= MAX_INT:
            raise InvalidInputError(f"{name} must be an int from 0 to 2**63 - 1")
    if summary.summary_type not in list(SummaryType):
        raise InvalidInputError("summary_type must be a SummaryType")
    return SummaryColumns(
        check_id(summary.session_id, "session_id"),
        check_id(summary.summary_id, "summary_id"),
        text,
        summary.message_count,
        summary.token_count,
        Timestamp.of(summary.start_time).plain(),
        Timestamp.of(summary.end_time).plain(),
        summary.first_seq,
        summary.last_seq,
        _json_column(summary.key_topics, list, "key_topics", exact) if summary.key_topics else None,
        SummaryType(summary.summary_type).value,
        Timestamp.of(summary.created_at).plain(),
        dump_verbatim(exact),
    )


def fingerprint(message: Message) -> str:
    """Return a text that is equal for two messages of equal content, and only for those.

    Role, content, calls, results, name and metadata count; timestamp and token count do not, because a
    message rebuilt for a retry gets new ones.
    """
    values = [
        message.role,
        message.content,
        message.name,
        message.tool_call_id,
        message.function_call,
        message.tool_calls,
        message.metadata or {},
    ]
    try:
        # Not escaped: escapes would make one character of two lone surrogates.
        return json.dumps(values, ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInputError(f"message {message.message_id!r} holds what JSON cannot carry") from exc


def check_replay(session_id: str, given: Message, stored: Message) -> None:
    """Accept a message that is stored already.

    Raises:
        ConflictError: The stored one has the same id and other content.
    """
    if fingerprint(given) != fingerprint(stored):
        raise ConflictError(
            f"message {given.message_id!r} is already stored in session {session_id!r} with other content",
            suggestion="give the new message an id of its own",
        )
