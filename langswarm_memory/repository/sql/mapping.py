"""Rows to domain objects, decoding a column only when it is asked for.

A history of 1,000 messages costs 1 ms to fetch and would cost 4 ms to decode. So a row becomes a message that holds
its plain columns at once and decodes time and JSON on first use. To the caller it is a ``Message`` in every respect;
pickling or copying makes a plain one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ...errors import CorruptRecordError
from ...interfaces.enums import ROLES, SessionStatus, SummaryType
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...interfaces.timestamps import Timestamp
from .. import codec
from ..protocol import SessionRecord
from .models import SummaryRow

Row = Sequence[Any]


class lazy:
    """An attribute decoded from the row on first use and then kept; assigning it replaces it."""

    def __init__(self, decode: Callable[[Any], Any]) -> None:
        self._decode = decode

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return None
        try:
            value = self._decode(instance)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise CorruptRecordError("sql", f"{instance.row_key()}.{self._name}", exc) from exc
        instance.__dict__[self._name] = value
        return value


def instant(value: Any) -> Timestamp | None:
    """Return a stored instant: text in UTC on SQLite, an aware datetime on PostgreSQL."""
    if value is None:
        return None
    if isinstance(value, str):
        return Timestamp.fromisoformat(value).replace(tzinfo=UTC)
    return Timestamp.of(value)


def sqlite_text(value: datetime) -> str:
    """Return an instant as SQLite stores it; texts of one width, so that they sort as the instants do."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


# Positions of the columns in a message row: statements.MESSAGE_COLUMNS.
_SEQ, _ID, ROLE, _CONTENT, _TIME, TOKENS, _CALL, _NAME, _BLOCKS, _CALLS, _FUNCTION, _META, _EXACT = range(13)


def _json(row: Row, index: int, name: str, empty: Any) -> Any:
    if row[_EXACT] is not None:
        exact = codec.load_verbatim(row[_EXACT])
        if name in exact:
            return exact[name]
    value = row[index]
    return empty if value is None else json.loads(value)


def _content(message: Any) -> Any:
    row = message._row
    if row[_EXACT] is not None:
        exact = codec.load_verbatim(row[_EXACT])
        if "content" in exact:
            return exact["content"]
    return row[_CONTENT] if row[_BLOCKS] is None else json.loads(row[_BLOCKS])


def _plain(index: int, name: str) -> Callable[[Any], Any]:
    def decode(message: Any) -> Any:
        row = message._row
        if row[_EXACT] is not None:
            return codec.load_verbatim(row[_EXACT]).get(name, row[index])
        return row[index]

    return decode


class RowMessage(Message):
    """A message that decodes its row as it is used."""

    content = lazy(_content)
    timestamp = lazy(lambda self: instant(self._row[_TIME]))
    metadata = lazy(lambda self: _json(self._row, _META, "metadata", {}))
    tool_calls = lazy(lambda self: _json(self._row, _CALLS, "tool_calls", None))
    function_call = lazy(lambda self: _json(self._row, _FUNCTION, "function_call", None))
    tool_call_id = lazy(_plain(_CALL, "tool_call_id"))
    name = lazy(_plain(_NAME, "name"))

    _row: Row

    def row_key(self) -> str:
        """Name the record for an error."""
        return f"message {self.message_id!r}"


RowMessage.__qualname__ = RowMessage.__name__ = "Message"  # what repr() shows


def message_from_row(row: Row) -> Message:
    """Return the message of a row of ``statements.MESSAGE_COLUMNS``; further columns are ignored."""
    role = row[ROLE]
    message = object.__new__(RowMessage)
    if row[_BLOCKS] is None and row[_EXACT] is None:
        message.__dict__ = {
            "_seq": row[_SEQ],
            "message_id": row[_ID],
            "role": ROLES.get(role, role),
            "content": row[_CONTENT],
            "token_count": row[TOKENS],
            "_row": row,
        }
    else:
        message.__dict__ = {
            "_seq": row[_SEQ],
            "message_id": row[_ID],
            "role": ROLES.get(role, role),
            "token_count": row[TOKENS],
            "_row": row,
        }
    return message


def messages_from_rows(rows: Sequence[Row]) -> list[Message]:
    """Return the messages of rows."""
    return [message_from_row(row) for row in rows]


# Positions in a session row: statements.SESSION_COLUMNS.
_STATUS, _CREATED, _UPDATED, _EXPIRES, _TAGS, _PROPERTIES, _S_EXACT, _REVISION, _COUNT, _S_TOKENS, _LAST = range(8, 19)


def _session_json(row: Row, index: int, name: str, empty: Callable[[], Any]) -> Any:
    if row[_S_EXACT] is not None:
        exact = codec.load_verbatim(row[_S_EXACT])
        if name in exact:
            return exact[name]
    return empty() if row[index] is None else json.loads(row[index])


class RowMetadata(SessionMetadata):
    """Session metadata that decodes its row as it is used."""

    status = lazy(lambda self: SessionStatus(self._row[_STATUS]))
    created_at = lazy(lambda self: instant(self._row[_CREATED]))
    updated_at = lazy(lambda self: instant(self._row[_UPDATED]))
    tags = lazy(lambda self: _session_json(self._row, _TAGS, "tags", list))
    properties = lazy(lambda self: _session_json(self._row, _PROPERTIES, "properties", dict))

    _row: Row

    def row_key(self) -> str:
        """Name the record for an error."""
        return f"session {self.session_id!r}"


RowMetadata.__qualname__ = RowMetadata.__name__ = "SessionMetadata"


def record_from_row(row: Row) -> SessionRecord:
    """Return the session of a row of ``statements.SESSION_COLUMNS``."""
    metadata = object.__new__(RowMetadata)
    metadata.__dict__ = {
        "session_id": row[0],
        "user_id": row[1],
        "agent_id": row[2],
        "workflow_id": row[3],
        "max_messages": row[4],
        "max_tokens": row[5],
        "auto_summarize": bool(row[6]),
        "summary_threshold": row[7],
        "expires_at": None if row[_EXPIRES] is None else instant(row[_EXPIRES]),
        "_row": row,
    }
    return SessionRecord(metadata, row[_REVISION], row[_COUNT], row[_S_TOKENS], row[_LAST])


def summary_from_row(row: SummaryRow) -> ConversationSummary:
    """Return the summary of a mapped row."""
    try:
        exact = codec.load_verbatim(row.verbatim) if row.verbatim is not None else {}
        return ConversationSummary(
            summary=exact.get("summary", row.summary),
            message_count=row.message_count,
            start_time=row.start_time,
            end_time=row.end_time,
            key_topics=exact.get("key_topics", row.key_topics or []),
            summary_id=row.summary_id,
            created_at=row.created_at,
            session_id=row.session_id,
            token_count=row.token_count,
            summary_type=SummaryType(row.summary_type),
            first_seq=row.first_seq,
            last_seq=row.last_seq,
        )
    except (ValueError, TypeError) as exc:
        raise CorruptRecordError("sql", f"summary {row.summary_id!r}", exc) from exc
