"""The documents and indexes of MongoDB, and the conditions of listings and readings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...errors import CorruptRecordError, InvalidInputError
from ...interfaces.message import Message
from ...interfaces.records import SessionMetadata
from .. import codec
from ..documents import instant_text, pack_message, pack_metadata, parse_instant, unpack_message, unpack_metadata
from ..protocol import MessageQuery, SessionQuery, SessionRecord
from .connection import ASCENDING, DESCENDING, NAME, IndexModel
from .terms import text_fields

MAX_DOCUMENT = 16 * 1024 * 1024 - 32 * 1024
"""Bytes of a record's own document; what stands beside it (ids, user, agent) stays below 32 kB."""

MAX_SKIP = 2**31 - 1  # what the wire protocol takes for skip and limit
NEVER = "never"
"""``expires`` of a session that does not: sorts behind every instant, so one comparison tells who is alive."""

UP, DOWN = ASCENDING, DESCENDING

TERMS_INDEX = "by_term"
INDEXES: dict[str, tuple[IndexModel, ...]] = {
    "sessions": (
        IndexModel([("created", DOWN), ("_id", DOWN)], name="by_created"),
        IndexModel([("user_id", UP), ("created", DOWN), ("_id", DOWN)], name="by_user"),
        IndexModel([("agent_id", UP), ("created", DOWN), ("_id", DOWN)], name="by_agent"),
        IndexModel([("status", UP), ("created", DOWN), ("_id", DOWN)], name="by_status"),
        IndexModel([("expires", UP)], name="by_expiry"),
        IndexModel([("updated", UP)], name="by_update"),
    ),
    "messages": (
        IndexModel([("session_id", UP), ("seq", UP)], name="by_seq", unique=True),
        IndexModel([("session_id", UP), ("role", UP), ("seq", UP)], name="by_role"),
        IndexModel([("terms", UP)], name=TERMS_INDEX),
    ),
    "summaries": (IndexModel([("session_id", UP), ("summary_id", UP)], name="by_summary_id", unique=True),),
}
"""By collection. A name belongs to its keys for ever: other keys get another name."""


def fitting(document: bytes) -> bytes:
    """Return a record's document.

    Raises:
        InvalidInputError: It is larger than a document of MongoDB's.
    """
    if len(document) > MAX_DOCUMENT:
        raise InvalidInputError(
            f"a record of {len(document)} bytes is more than MongoDB's 16 MB", suggestion="keep large parts elsewhere"
        )
    return document


def session_fields(metadata: SessionMetadata) -> dict[str, Any]:
    """Return what a session's metadata becomes: fields for filters, and everything as one document."""
    return {
        "user_id": metadata.user_id,
        "agent_id": metadata.agent_id,
        "status": getattr(metadata.status, "value", metadata.status),
        "created": instant_text(metadata.created_at),
        "updated": instant_text(metadata.updated_at),
        "expires": expiry_text(metadata.expires_at),
        "document": fitting(pack_metadata(metadata)),
    }


def expiry_text(at: datetime | None) -> str:
    """Return an expiry as it is stored."""
    return NEVER if at is None else instant_text(at)


def session_record(found: dict[str, Any]) -> SessionRecord:
    """Return a session as stored.

    Raises:
        CorruptRecordError: Not such a document.
    """
    key = f"session {found.get('_id')!r}"
    try:
        expires = found["expires"]
        metadata = unpack_metadata(
            NAME,
            found["document"],
            updated_at=parse_instant(found["updated"]),
            expires_at=None if expires == NEVER else parse_instant(expires),
        )
        return SessionRecord(
            metadata,
            int(found["revision"]),
            int(found["message_count"]),
            int(found["token_count"]),
            int(found["last_seq"]),
            int(found.get("edits", 0)),  # a session stored before there were edits has no count of them
        )
    except CorruptRecordError as exc:
        raise CorruptRecordError(NAME, key, exc.original_error) from exc
    except (KeyError, ValueError, TypeError, OverflowError) as exc:
        raise CorruptRecordError(NAME, key, exc) from exc


def message_parts(
    rows: Sequence[codec.MessageColumns], messages: Sequence[Message], *, searchable: bool
) -> list[dict[str, Any]]:
    """Return messages as documents, without what the append gives them: session_id, seq and born."""
    parts = []
    for row, message in zip(rows, messages, strict=True):
        document = fitting(pack_message(message))
        parts.append(
            {
                "message_id": row.message_id,
                "role": row.role,
                "at": instant_text(row.timestamp),
                "tokens": row.token_count,
                "document": document,
                **(text_fields(message.text, MAX_DOCUMENT - len(document)) if searchable else {}),
            }
        )
    return parts


def numbered(parts: Sequence[dict[str, Any]], session: dict[str, Any], first: int) -> list[dict[str, Any]]:
    """Return the documents under seqs from `first` on."""
    session_id, born = session["_id"], session["born"]
    return [
        {
            "_id": message_key(session_id, part["message_id"]),
            "session_id": session_id,
            "born": born,
            "seq": seq,
            **part,
        }
        for seq, part in enumerate(parts, first)
    ]


def message_key(session_id: str, message_id: str) -> dict[str, str]:
    """Return the ``_id`` of a message: what makes its id unique in its session."""
    return {"s": session_id, "m": message_id}


def unpack(found: dict[str, Any]) -> Message:
    """Return a message as stored.

    Raises:
        CorruptRecordError: Not such a document.
    """
    try:
        return unpack_message(NAME, found["document"], found["seq"])
    except (KeyError, TypeError) as exc:
        raise CorruptRecordError(NAME, f"message {found.get('seq')!r}", exc) from exc


def listing(query: SessionQuery) -> tuple[dict[str, Any], str | None]:
    """Return the conditions of a listing, and the index that has its order; None where the order is sorted anew."""
    every: list[dict[str, Any]] = [
        {name: getattr(query, name)} for name in ("user_id", "agent_id", "status") if getattr(query, name) is not None
    ]
    if query.live_at is not None:
        every.append({"expires": {"$gt": instant_text(query.live_at)}})
        every.append({"status": {"$ne": "expired"}})
    if query.expired_at is not None:
        every.append({"$or": [{"status": "expired"}, {"expires": {"$lte": instant_text(query.expired_at)}}]})
    if query.updated_before is not None:
        every.append({"updated": {"$lt": instant_text(query.updated_before)}})
    if query.after is not None:
        created, session_id = instant_text(query.after[0]), query.after[1]
        every.append({"created": {"$lte": created}})  # bounds the walk through the index; the next line cannot
        every.append({"$or": [{"created": {"$lt": created}}, {"_id": {"$lt": session_id}}]})
    conditions = {"$and": every} if every else {}
    if query.user_id is not None:
        return conditions, "by_user"
    if query.agent_id is not None:
        return conditions, "by_agent"
    if query.status is not None:
        return conditions, "by_status"
    # Sweeps look for few among many: there the filter's index is worth more than the order's.
    return conditions, None if query.expired_at or query.updated_before else "by_created"


def reading(session_id: str, query: MessageQuery) -> dict[str, Any]:
    """Return the conditions of a reading on session and seq."""
    conditions: dict[str, Any] = {"session_id": session_id}
    bounds: dict[str, int] = {}
    if query.after_seq is not None:
        bounds["$gt"] = _bounded(query.after_seq)
    if query.before_seq is not None:
        bounds["$lt"] = _bounded(query.before_seq)
    if bounds:
        conditions["seq"] = bounds
    return conditions


def deletion(session_id: str, through_seq: int | None, keep_roles: frozenset[str]) -> dict[str, Any]:
    """Return the conditions of a deletion."""
    conditions: dict[str, Any] = {"session_id": session_id}
    if through_seq is not None:
        conditions["seq"] = {"$lte": _bounded(through_seq)}
    if keep_roles:
        conditions["role"] = {"$nin": sorted(keep_roles)}
    return conditions


def _bounded(seq: int) -> int:
    return max(-codec.MAX_INT, min(seq, codec.MAX_INT))
