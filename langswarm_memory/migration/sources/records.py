"""From a row of an earlier format to a session, a message or a summary that every store takes.

No row is refused and none is dropped. A value that cannot be what its column says is kept as it was, under the key
``original`` of the metadata (of a session: of the properties), and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidInputError
from ...interfaces.enums import ROLES, SessionStatus
from ...interfaces.message import Content, Message
from ...interfaces.records import (
    DEFAULT_MAX_MESSAGES,
    DEFAULT_SUMMARY_THRESHOLD,
    ConversationSummary,
    SessionMetadata,
)
from ...interfaces.timestamps import Timestamp
from ...repository.values import MAX_INT, MAX_TOKENS, check_id, check_json
from .values import Losses, Times, UnreadableError, decode_text, parse_time, parse_value, place_id, plain

ORIGINAL = "original"
UNKNOWN_ROLE = "unknown"
STATUSES = {"inactive": SessionStatus.PAUSED}
"""Statuses that no longer exist, and what they are now."""

_EMPTY = (None, "", b"")


class Record:
    """One row, and what of it could not be read."""

    def __init__(self, what: str, row: Mapping[str, Any], losses: Losses, times: Times) -> None:
        self.what = what
        self.row = row
        self.losses = losses
        self.times = times
        self.original: dict[str, Any] = {}

    def keep(self, name: str, issue: str = "unreadable") -> None:
        """Keep a column as it was, and count it."""
        self.original[name] = plain(self.row.get(name))
        fate = "left behind" if self.what == "summary" else "kept as it was"  # a summary has nowhere to keep it
        self.losses.add(f"{issue} {name} of a {self.what}: {fate}")

    def with_original(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return metadata or properties with what could not be read."""
        if not self.original:
            return values
        key = ORIGINAL
        while key in values:
            key += "_"
        return {**values, key: self.original}

    def time(self, name: str) -> Timestamp | None:
        """Return an instant; None where there is none or it cannot be read."""
        value = self.row.get(name)
        if value in _EMPTY:
            return None
        try:
            instant, naive = parse_time(value, self.times.zone)
        except InvalidInputError:
            self.keep(name)
            return None
        if naive:
            taken = "local time" if self.times.zone is None else str(self.times.zone)
            self.losses.add(f"times without a time zone: taken as {taken}")
        return instant

    def whole(self, name: str, default: int | None, low: int = 1, high: int = MAX_INT) -> int | None:
        """Return a number within bounds, or the default."""
        value = self.row.get(name)
        if value in _EMPTY:
            return default
        number: int | None = None
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            pass
        else:
            if isinstance(value, float) and number != value:
                number = None
        if number is None or not low <= number <= high:
            self.keep(name)
            return default
        return number

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean written as number, text or boolean."""
        value = self.row.get(name)
        if value in _EMPTY:
            return default
        text = str(value).lower()
        if text in ("1", "true", "1.0"):
            return True
        if text in ("0", "false", "0.0"):
            return False
        self.keep(name)
        return default

    def identifier(self, name: str) -> str | None:
        """Return the id of a user or an agent; None where there is none or no store can hold it."""
        value = self.row.get(name)
        if value in _EMPTY:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        try:
            return check_id(value, name)
        except InvalidInputError:
            self.keep(name, "unusable")
            return None

    def text(self, name: str) -> str | None:
        """Return text; None where there is none."""
        value = self.row.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            self.losses.add(f"{name} of a {self.what} stored as bytes: read as text")
            return decode_text(value)
        self.losses.add(f"{name} of a {self.what} that is no text: made text")
        return str(value)

    def structure(self, name: str, kind: type) -> Any:
        """Return a JSON object or list; None where there is none or it cannot be read."""
        value = self.row.get(name)
        try:
            for _ in range(2):  # some drivers wrote JSON text as a JSON string
                if value in _EMPTY:
                    return None
                if isinstance(value, bytes):
                    value = decode_text(value)
                if not isinstance(value, str):
                    break
                value = parse_value(value)
            if value is None:
                return None  # JSON's null
            if not isinstance(value, kind):
                raise UnreadableError("another kind of value")
            check_json(value, name)
        except (UnreadableError, InvalidInputError):
            self.keep(name)
            return None
        return value

    def content(self) -> Content:
        """Return what a message says: text, blocks or nothing."""
        value = self.row.get("content")
        if isinstance(value, dict | list):
            try:
                check_json(value, "content")
            except InvalidInputError:
                self.losses.add(f"content of a {self.what} that is no JSON: made text")
                return repr(value)
            return value if isinstance(value, list) else [value]
        return self.text("content")

    def role(self) -> str:
        """Return the role; one that no message can have becomes ``unknown``."""
        value = self.row.get("role")
        try:
            return ROLES.get(value, check_id(value, "role")) if isinstance(value, str) else self._lost_role()
        except InvalidInputError:
            return self._lost_role()

    def _lost_role(self) -> str:
        self.keep("role", "unusable")
        return UNKNOWN_ROLE

    def status(self) -> SessionStatus:
        """Return the status; one that never was ours stands in the properties."""
        value = self.row.get("status")
        if value in _EMPTY:
            return SessionStatus.ACTIVE
        name = str(value).lower()
        if name in STATUSES:
            self.losses.add(f"status {name}: now {STATUSES[name].value}")
            return STATUSES[name]
        try:
            return SessionStatus(name)
        except ValueError:
            self.keep("status", "unknown")
            return SessionStatus.ACTIVE


def read_session(record: Record, session_id: str) -> SessionMetadata:
    """Return a session; columns are those of the earlier package, and ``extra`` goes to the properties.

    Args:
        record: The row; empty for a session whose row is missing.
        session_id: Its id, already one that every store can hold.
    """
    tags = record.structure("tags", list) or []
    if not all(isinstance(tag, str) for tag in tags):
        record.keep("tags")
        tags = [tag for tag in tags if isinstance(tag, str)]
    properties = dict(record.structure("properties", dict) or {})
    for name, value in (record.row.get("extra") or {}).items():
        if properties.setdefault(name, plain(value)) != plain(value):
            record.original[name] = plain(value)
    created = record.time("created_at")
    updated = record.time("updated_at")
    if created is None and updated is None:
        record.losses.add(f"sessions without a time: given {record.times.default.isoformat()}")
    created = created or updated or record.times.default
    values: dict[str, Any] = {
        "user_id": record.identifier("user_id"),
        "agent_id": record.identifier("agent_id"),
        "workflow_id": record.identifier("workflow_id"),
        "max_messages": record.whole("max_messages", DEFAULT_MAX_MESSAGES),
        "max_tokens": record.whole("max_tokens", None),
        "auto_summarize": record.flag("auto_summarize", True),
        "summary_threshold": record.whole("summary_threshold", DEFAULT_SUMMARY_THRESHOLD),
        "status": record.status(),
        "expires_at": record.time("expires_at"),
    }
    if record.row and record.row.get("session_id", session_id) != session_id:
        record.keep("session_id", "unusable")
    return SessionMetadata(
        session_id=session_id,
        created_at=created,
        updated_at=updated or created,
        tags=tags,
        properties=record.with_original(properties),
        **values,
    )


class MessageReader:
    """Reads the messages of one session, oldest first: ids are made unique, and missing times carried forward."""

    def __init__(self, session: SessionMetadata, losses: Losses, times: Times, *, unique_ids: bool) -> None:
        self._session = session
        self._losses = losses
        self._times = times
        self._last = session.created_at
        self._seen: dict[str, int] | None = None if unique_ids else {}

    def read(self, row: Mapping[str, Any], place: object) -> Message:
        """Return a message; columns are those of the earlier package, and ``extra`` goes to the metadata.

        Args:
            row: The columns.
            place: Where in the source it stands; its id is made of it where it has none.
        """
        record = Record("message", row, self._losses, self._times)
        message_id = self._id(record, place)
        metadata = dict(record.structure("metadata", dict) or {})
        for name, value in (row.get("extra") or {}).items():
            if metadata.setdefault(name, plain(value)) != plain(value):
                record.original[name] = plain(value)
        timestamp = record.time("timestamp")
        if timestamp is None:
            self._losses.add("messages without a time: given that of the message before")
            timestamp = Timestamp.of(self._last)
        self._last = timestamp
        tokens = record.whole("token_count", None, 0, MAX_TOKENS)
        values: dict[str, Any] = {
            "function_call": record.structure("function_call", dict),
            "tool_calls": record.structure("tool_calls", list),
            "tool_call_id": record.text("tool_call_id"),
            "name": record.text("name"),
        }
        role, content = record.role(), record.content()
        return Message(
            role,
            content,
            timestamp=timestamp,
            message_id=message_id,
            token_count=tokens,
            metadata=record.with_original(metadata),
            **values,
        )

    def _id(self, record: Record, place: object) -> str:
        given = record.row.get("message_id")
        session_id = self._session.session_id
        if given in _EMPTY:
            self._losses.add("messages without an id: given one made of their place")
            return place_id("message", session_id, place)
        if isinstance(given, int | float) and not isinstance(given, bool):
            given = str(given)
        try:
            message_id = check_id(given, "message_id")
        except InvalidInputError:
            record.keep("message_id", "unusable")
            message_id = place_id("message", session_id, repr(given))
        if self._seen is None:
            return message_id
        times = self._seen[message_id] = self._seen.get(message_id, 0) + 1
        if times == 1:
            return message_id
        self._losses.add("messages with the id of another: given one of their own")
        return place_id("message", session_id, message_id, times)


def read_summary(record: Record, session: SessionMetadata, place: object) -> ConversationSummary:
    """Return a summary; columns are those of the earlier package."""
    row = record.row
    text = record.text("summary")
    created = record.time("created_at") or record.time("end_time") or Timestamp.of(session.updated_at)
    start = record.time("start_time")
    end = record.time("end_time")
    given = row.get("summary_id")
    try:
        summary_id = check_id(given, "summary_id")
    except InvalidInputError:
        record.losses.add("summaries without a usable id: given one made of their place")
        summary_id = place_id("summary", session.session_id, place)
    topics = record.structure("key_topics", list) or []
    return ConversationSummary(
        summary="" if text is None else text,
        message_count=record.whole("message_count", 0, 0) or 0,
        start_time=start or end or Timestamp.of(session.created_at),
        end_time=end or created,
        key_topics=topics,
        summary_id=summary_id,
        created_at=created,
        session_id=session.session_id,
        token_count=record.whole("token_count", 0, 0) or 0,
    )


def usable_id(value: Any, *place: object) -> str:
    """Return the id of a session that every store can hold: the given one, or one made of it."""
    try:
        return check_id(value, "session_id")
    except InvalidInputError:
        return place_id("session", repr(value), *place)
