"""Domain objects as self-contained byte documents, for stores that keep a whole record as one value.

A document is JSON in UTF-8 in which lone surrogates stay single code points, so every value comes back exactly. What a
store filters by (seq, role, time, tokens, …) it keeps beside the document, in its own form.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import CorruptRecordError
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..interfaces.timestamps import Timestamp
from . import codec
from .values import dump_verbatim

FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
DIGITS = 18
"""Digits of an instant as text: microseconds since the year 1 stay below 10**18 until the year 31,688."""

_MICROSECOND = timedelta(microseconds=1)
_MESSAGE_FIELDS = tuple(field.name for field in fields(Message))
_METADATA_FIELDS = tuple(field.name for field in fields(SessionMetadata))
_SUMMARY_FIELDS = tuple(field.name for field in fields(ConversationSummary))


def instant_text(value: datetime) -> str:
    """Return an instant as text of fixed width: texts sort as the instants do, in every store."""
    return f"{(Timestamp.of(value).plain() - FIRST_INSTANT) // _MICROSECOND:0{DIGITS}d}"


def parse_instant(text: str | bytes) -> Timestamp:
    """Reverse :func:`instant_text`."""
    return Timestamp.of(FIRST_INSTANT + int(text) * _MICROSECOND)


def pack_message(message: Message) -> bytes:
    """Return a message as a document; check it first with ``codec.encode_message``."""
    data: dict[str, Any] = {"id": message.message_id, "at": instant_text(message.timestamp)}
    for name in _MESSAGE_FIELDS:
        value = getattr(message, name)
        if name in ("message_id", "timestamp") or value is None or (name == "metadata" and value == {}):
            continue
        data[name] = value
    return _dump(data)


def unpack_message(store: str, document: bytes, seq: int) -> Message:
    """Reverse :func:`pack_message`.

    Raises:
        CorruptRecordError: Not such a document.
    """
    try:
        data = codec.load_verbatim(document)
        message = Message(
            message_id=data.pop("id"),
            timestamp=parse_instant(data.pop("at")),
            content=data.pop("content", None),
            **data,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise CorruptRecordError(store, f"message {seq}", exc) from exc
    message.__dict__["_seq"] = seq
    return message


def pack_metadata(metadata: SessionMetadata) -> bytes:
    """Return a session's metadata as a document; check it first with ``codec.encode_metadata``."""
    data = {name: getattr(metadata, name) for name in _METADATA_FIELDS}
    for name in ("created_at", "updated_at", "expires_at"):
        data[name] = None if data[name] is None else instant_text(data[name])
    data["status"] = getattr(metadata.status, "value", metadata.status)
    return _dump(data)


def unpack_metadata(store: str, document: bytes, **changes: Any) -> SessionMetadata:
    """Reverse :func:`pack_metadata`; `changes` are fields that the store keeps beside the document."""
    try:
        data = codec.load_verbatim(document)
        for name in ("created_at", "updated_at", "expires_at"):
            data[name] = None if data[name] is None else parse_instant(data[name])
        return SessionMetadata(**(data | changes))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise CorruptRecordError(store, "session", exc) from exc


def pack_summary(summary: ConversationSummary) -> bytes:
    """Return a summary as a document; check it first with ``codec.encode_summary``."""
    data = {name: getattr(summary, name) for name in _SUMMARY_FIELDS}
    for name in ("created_at", "start_time", "end_time"):
        data[name] = instant_text(data[name])
    data["summary_type"] = summary.summary_type.value
    return _dump(data)


def unpack_summary(store: str, document: bytes) -> ConversationSummary:
    """Reverse :func:`pack_summary`."""
    try:
        data = codec.load_verbatim(document)
        for name in ("created_at", "start_time", "end_time"):
            data[name] = parse_instant(data[name])
        return ConversationSummary(**data)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise CorruptRecordError(store, "summary", exc) from exc


def _dump(data: dict[str, Any]) -> bytes:
    return dump_verbatim(data) or b"{}"
