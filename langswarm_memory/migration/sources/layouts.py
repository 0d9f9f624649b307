"""How each earlier format names things: its rows, in the columns of the earlier package (``extra``: all others)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...interfaces.records import SessionMetadata
from .base import Row
from .values import UnreadableError, parse_value, without

SESSION_COLUMNS = (
    "session_id",
    "user_id",
    "agent_id",
    "workflow_id",
    "status",
    "max_messages",
    "max_tokens",
    "auto_summarize",
    "summary_threshold",
    "created_at",
    "updated_at",
    "expires_at",
    "tags",
    "properties",
    "extra",
)
MESSAGE_COLUMNS = (
    "message_id",
    "session_id",
    "role",
    "content",
    "timestamp",
    "token_count",
    "metadata",
    "function_call",
    "tool_calls",
    "tool_call_id",
    "name",
    "extra",
)
NOT_CARRIED = ("embedding",)  # made anew from the text by whoever searches by meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """Tables of an earlier format.

    Args:
        name: What it is, for people.
        sessions: Table of the sessions; None where only messages have rows.
        messages: Table of the messages.
        summaries: Table of the summaries.
        message_id: Column of the messages' ids.
        session: Makes the columns of a session from its row.
        message: Makes the columns of a message from its row.
        orphan: Makes the columns of a session without a row from the row of its first message.
    """

    name: str
    sessions: str | None
    messages: str
    summaries: str | None = None
    message_id: str | None = "message_id"
    session: Callable[[Row], Row]
    message: Callable[[Row, SessionMetadata], Row]
    orphan: Callable[[Row, SessionMetadata], Row]


def reference_session(row: Row) -> Row:
    """Return the columns of a session of the earlier package; a column that it never had is kept."""
    return _with_extra(row, SESSION_COLUMNS)


def reference_message(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a message of the earlier package; a column that it never had is kept."""
    return _with_extra(row, (*MESSAGE_COLUMNS, *NOT_CARRIED))


def reference_orphan(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a session that only its messages tell of."""
    return {"created_at": row.get("timestamp")}


def core_session(row: Row) -> Row:
    """Return the columns of a session of ``langswarm.core.session``."""
    known = ("session_id", "user_id", "created_at", "updated_at", "context_data")
    columns = {name: row.get(name) for name in known[:-1]}
    extra = without(row, *known)
    context = read_object(row.get("context_data"))
    if context is None:
        return {**columns, "extra": extra, "properties": row.get("context_data")}
    # The row is written with every change; what it repeats of the context is the newer of the two.
    columns["max_messages"] = context.get("max_messages")
    return {**columns, "extra": {**without(context, *known, "max_messages"), **extra}}


def core_message(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a message of ``langswarm.core.session``."""
    return _with_extra({name: value for name, value in row.items() if name != "id"}, MESSAGE_COLUMNS)


def guide_message(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a message in the form of LangSwarm's migration guide."""
    own = ("id", "user_id", "created_at")
    columns = _with_extra({name: value for name, value in row.items() if name not in own}, MESSAGE_COLUMNS)
    columns["timestamp"] = row.get("timestamp") or row.get("created_at")
    user = row.get("user_id")
    if user not in (None, "", session.user_id):  # a message of somebody else in the session
        columns["extra"] = {**columns["extra"], "user_id": user}
    return columns


def guide_orphan(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a session in the form of the guide: each of its messages repeats them."""
    return {"user_id": row.get("user_id"), "created_at": row.get("created_at") or row.get("timestamp")}


LANGCHAIN_ROLES = {"human": "user", "ai": "assistant"}


def langchain_message(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a message of LangChain's: ``message`` is JSON with ``type`` and ``data``."""
    stored = read_object(row.get("message"))
    if stored is None:
        return {"role": "unknown", "content": row.get("message"), "timestamp": row.get("created_at")}
    data = stored.get("data")
    data = data if isinstance(data, dict) else without(stored, "type")
    kind = str(stored.get("type") or data.get("type") or "")
    role = kind.removesuffix("MessageChunk").removesuffix("Message").lower()
    if role == "chat" and isinstance(data.get("role"), str):
        role = data["role"]
    additional = data.get("additional_kwargs")
    additional = additional if isinstance(additional, dict) else {}
    calls = additional.get("tool_calls") or _openai_calls(data.get("tool_calls")) or None
    rest = without(data, "content", "id", "name", "type", "role", "tool_calls", "tool_call_id", "additional_kwargs")
    more = without(additional, "tool_calls", "function_call")
    extra = {name: value for name, value in rest.items() if value not in ([], {}, False, "")}
    if more:
        extra["additional_kwargs"] = more
    return {
        "message_id": data.get("id"),
        "role": LANGCHAIN_ROLES.get(role, role),
        "content": data.get("content"),
        "timestamp": row.get("created_at"),
        "name": data.get("name"),
        "tool_call_id": data.get("tool_call_id"),
        "tool_calls": calls,
        "function_call": additional.get("function_call"),
        "extra": extra,
    }


def langchain_orphan(row: Row, session: SessionMetadata) -> Row:
    """Return the columns of a session of LangChain's: it has nothing of its own."""
    return {"created_at": row.get("created_at")}


def _openai_calls(calls: Any) -> Any:
    if not isinstance(calls, list) or not all(isinstance(call, dict) and "args" in call for call in calls):
        return calls
    return [
        {
            "id": call.get("id"),
            "type": "function",
            "function": {"name": call.get("name"), "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in calls
    ]


def read_object(value: Any) -> dict[str, Any] | None:
    """Return the JSON object of a value or of its text, or None if it is none."""
    if isinstance(value, str | bytes):
        try:
            value = parse_value(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
        except UnreadableError:
            return None
    return value if isinstance(value, dict) else None


def _with_extra(row: Mapping[str, Any], known: tuple[str, ...]) -> Row:
    columns = {name: value for name, value in row.items() if name in known}
    return {**columns, "extra": {**without(row, *known), **(row.get("extra") or {})}}


def reference_layout(prefix: str = "") -> TableLayout:
    """Return the tables of langswarm-memory 0.1 and 0.2."""
    return TableLayout(
        name="langswarm-memory 0.x",
        sessions=f"{prefix}sessions",
        messages=f"{prefix}messages",
        summaries=f"{prefix}summaries",
        session=reference_session,
        message=reference_message,
        orphan=reference_orphan,
    )


def core_layout() -> TableLayout:
    """Return the tables of ``langswarm.core.session``."""
    return TableLayout(
        name="langswarm.core.session",
        sessions="sessions",
        messages="session_messages",
        session=core_session,
        message=core_message,
        orphan=reference_orphan,
    )


def guide_layout(table: str) -> TableLayout:
    """Return the one table that LangSwarm's migration guide describes."""
    return TableLayout(
        name="LangSwarm V1, one table of messages",
        sessions=None,
        messages=table,
        session=reference_session,
        message=guide_message,
        orphan=guide_orphan,
    )


def langchain_layout(table: str) -> TableLayout:
    """Return the table of LangChain's SQL message history."""
    return TableLayout(
        name="LangChain message history",
        sessions=None,
        messages=table,
        message_id=None,
        session=reference_session,
        message=langchain_message,
        orphan=langchain_orphan,
    )
