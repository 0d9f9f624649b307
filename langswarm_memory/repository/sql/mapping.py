"""Rows to domain objects, decoding a column only when it is asked for.

A history of 1,000 messages costs 1 ms to fetch and would cost 4 ms to decode. So a row becomes a message that holds
its plain columns at once and decodes time and JSON on first use. To the caller it is a ``Message`` in every respect;
pickling or copying makes a plain one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ...errors import CorruptRecordError
from ...interfaces.enums import RESULT_ROLES, ROLES, MessageRole, SessionStatus, SummaryType
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...interfaces.timestamps import Timestamp
from .. import codec
from ..protocol import SessionRecord

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
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise CorruptRecordError("sql", f"{instance.row_key()}.{self._name}", exc) from exc
        setattr(instance, self._name, value)
        return value


def instant(value: Any) -> Timestamp | None:
    """Return a stored instant: text in UTC on SQLite, an aware datetime on PostgreSQL."""
    if value is None:
        return None
    if isinstance(value, str):
        return Timestamp.fromisoformat(value + "+00:00")  # a third of the time that replace() takes
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)  # asyncpg takes the first and the last instant there are for infinities
    return Timestamp.of(value)


def sqlite_text(value: datetime) -> str:
    """Return an instant as SQLite stores it; texts of one width, so that they sort as the instants do."""
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    # combine() drops the zone in a sixth of the time of replace().
    return datetime.combine(utc, utc.time()).isoformat(" ", "microseconds")


# Positions of the columns in a message row: statements.MESSAGE_COLUMNS.
_SEQ, MESSAGE_ID, ROLE, _CONTENT, _TIME, TOKENS, _CALL, _NAME, _BLOCKS, _CALLS, _FUNCTION, _META, _EXACT = range(13)


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


def _text(index: int, name: str) -> Callable[[Any], Any]:
    def decode(message: Any) -> Any:
        row = message._row
        if row[_EXACT] is not None:
            return codec.load_verbatim(row[_EXACT]).get(name, row[index])
        return row[index]

    return decode


class plain:
    """An attribute that a row holds as it is; the first use of one sets all of them."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return None
        instance.load()
        return instance.__dict__[self._name]


class RowMessage(Message):
    """A message that decodes its row as it is used."""

    role = lazy(lambda self: _role(self._row[ROLE], self._row[ROLE]))  # by itself: windows look at nothing else
    message_id = plain()
    token_count = plain()
    content = lazy(_content)
    timestamp = lazy(lambda self: instant(self._row[_TIME]))
    metadata = lazy(lambda self: _json(self._row, _META, "metadata", {}))
    tool_calls = lazy(lambda self: _json(self._row, _CALLS, "tool_calls", None))
    function_call = lazy(lambda self: _json(self._row, _FUNCTION, "function_call", None))
    tool_call_id = lazy(_text(_CALL, "tool_call_id"))
    name = lazy(_text(_NAME, "name"))

    _row: Row = ()  # empty in what dataclasses.replace() made of a message

    @property
    def seq(self) -> int | None:
        """Position in the session."""
        return self._row[_SEQ] if self._row else None

    def stands_alone(self) -> bool:
        """As for every message; where nothing was looked at yet, without decoding anything."""
        row = self._row
        if len(self.__dict__) > 1:  # decoded, and perhaps changed since
            return super().stands_alone()
        return (
            row[_CALLS] is None
            and row[_BLOCKS] is None
            and row[_CONTENT] is not None
            and row[_FUNCTION] is None
            and row[_EXACT] is None
            and row[ROLE] not in RESULT_ROLES
        ) or super().stands_alone()

    def load(self) -> None:
        """Set every attribute that needs no decoding and was not set by the caller meanwhile."""
        row = self._row
        role = row[ROLE]
        values = {"message_id": row[MESSAGE_ID], "role": _role(role, role), "token_count": row[TOKENS]}
        if row[_EXACT] is None:
            values["tool_call_id"] = row[_CALL]
            values["name"] = row[_NAME]
            if row[_BLOCKS] is None:
                values["content"] = row[_CONTENT]
            if row[_CALLS] is None:
                values["tool_calls"] = None
            if row[_FUNCTION] is None:
                values["function_call"] = None
            if row[_META] is None:
                values["metadata"] = {}
        values.update(self.__dict__)
        self.__dict__.update(values)

    def row_key(self) -> str:
        """Name the record for an error."""
        return f"message {self._row[MESSAGE_ID]!r}"


RowMessage.__qualname__ = RowMessage.__name__ = "Message"  # what repr() shows


def message_from_row(row: Row) -> Message:
    """Return the message of a row of ``statements.MESSAGE_COLUMNS``; further columns are ignored."""
    message = _new(RowMessage)
    message._row = row
    return message


def messages_from_rows(rows: Iterable[Row]) -> list[Message]:
    """Return the messages of rows. A tenth of the time that fetching them takes."""
    messages: list[Message] = []
    for row in rows:
        message = _new(RowMessage)
        message._row = row
        messages.append(message)
    return messages


_new = object.__new__
_role: Callable[[str, str], MessageRole | str] = ROLES.get


# Positions in a session row: statements.SESSION_COLUMNS.
_STATUS, _CREATED, _UPDATED, _EXPIRES, _TAGS, _PROPERTIES, _S_EXACT, _REVISION = range(8, 16)
_COUNTERS = slice(_REVISION, _REVISION + 5)  # revision, message_count, token_count, last_seq, edits


def _session_json(row: Row, index: int, name: str, empty: Callable[[], Any]) -> Any:
    if row[_S_EXACT] is not None:
        exact = codec.load_verbatim(row[_S_EXACT])
        if name in exact:
            return exact[name]
    return empty() if row[index] is None else json.loads(row[index])


class RowMetadata(SessionMetadata):
    """Session metadata that decodes its row as it is used."""

    session_id = lazy(lambda self: self._row[0])
    user_id = lazy(lambda self: self._row[1])
    agent_id = lazy(lambda self: self._row[2])
    workflow_id = lazy(lambda self: self._row[3])
    max_messages = lazy(lambda self: self._row[4])
    max_tokens = lazy(lambda self: self._row[5])
    auto_summarize = lazy(lambda self: bool(self._row[6]))
    summary_threshold = lazy(lambda self: self._row[7])
    expires_at = lazy(lambda self: instant(self._row[_EXPIRES]))
    status = lazy(lambda self: SessionStatus(self._row[_STATUS]))
    created_at = lazy(lambda self: instant(self._row[_CREATED]))
    updated_at = lazy(lambda self: instant(self._row[_UPDATED]))
    expires_at = lazy(lambda self: instant(self._row[_EXPIRES]))
    tags = lazy(lambda self: _session_json(self._row, _TAGS, "tags", list))
    properties = lazy(lambda self: _session_json(self._row, _PROPERTIES, "properties", dict))

    _row: Row

    def row_key(self) -> str:
        """Name the record for an error."""
        return f"session {self.session_id!r}"


RowMetadata.__qualname__ = RowMetadata.__name__ = "SessionMetadata"


def record_from_row(row: Row) -> SessionRecord:
    """Return the session of a row of ``statements.SESSION_COLUMNS``."""
    metadata = _new(RowMetadata)
    metadata._row = row
    return SessionRecord(metadata, *row[_COUNTERS])


def summary_from_row(row: Row) -> ConversationSummary:
    """Return the summary of a row of the table."""
    columns = codec.SummaryColumns(*row)
    try:
        exact = codec.load_verbatim(columns.verbatim) if columns.verbatim is not None else {}
        topics = [] if columns.key_topics is None else json.loads(columns.key_topics)
        times: dict[str, Any] = {
            name: instant(getattr(columns, name)) for name in ("start_time", "end_time", "created_at")
        }
        return ConversationSummary(
            summary=exact.get("summary", columns.summary),
            message_count=columns.message_count,
            **times,
            key_topics=exact.get("key_topics", topics),
            summary_id=columns.summary_id,
            session_id=columns.session_id,
            token_count=columns.token_count,
            summary_type=SummaryType(columns.summary_type),
            first_seq=columns.first_seq,
            last_seq=columns.last_seq,
        )
    except (ValueError, TypeError, RecursionError) as exc:
        raise CorruptRecordError("sql", f"summary {columns.summary_id!r}", exc) from exc
