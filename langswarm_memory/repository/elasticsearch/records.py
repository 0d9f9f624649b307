"""From domain objects to the documents of the three indexes, and back.

A session's document decides what is stored: its ``last_seq`` and counters, and under ``pending`` those messages that a
search may not find yet. Whoever writes it does so on condition that nobody else has since it was read.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import Any, NamedTuple

from ...errors import CorruptRecordError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from .. import codec
from ..documents import (
    instant_text,
    pack_message,
    pack_metadata,
    pack_summary,
    parse_instant,
    unpack_message,
    unpack_metadata,
    unpack_summary,
)
from ..protocol import SessionRecord
from ..values import clean

Json = dict[str, Any]

STORE = "elasticsearch"
KEY_BYTES = 16  # of a digest: 2**64 messages before two are likely to share one
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


def microseconds(value: Any) -> int:
    """Return an instant as a number that sorts as instants do."""
    return int(instant_text(value))


def document_id(session_key: str, own_id: str) -> str:
    """Return the ``_id`` of what belongs to a session: both ids together may be longer than an ``_id``."""
    return blake2b(f"{session_key}\0{own_id}".encode(), digest_size=KEY_BYTES).hexdigest()


class StoredSession(NamedTuple):
    """A session's document, and the version of it that was read."""

    source: Json
    seq_no: int
    primary_term: int

    @classmethod
    def of_hit(cls, hit: Json) -> StoredSession:
        """Return what a search or a read by id found."""
        return cls(hit["_source"], hit["_seq_no"], hit["_primary_term"])

    @property
    def session_id(self) -> str:
        """The session."""
        return str(self._field("session_id"))

    @property
    def key(self) -> str:
        """What its messages and summaries are routed and found by; another one after it was deleted and made again."""
        return str(self._field("session_key"))

    def number(self, name: str) -> int:
        """Return revision, message_count, token_count or last_seq."""
        value = self._field(name)
        if type(value) is not int:
            raise CorruptRecordError(STORE, f"session, field {name}")
        return value

    @property
    def pending(self) -> list[Json]:
        """Messages of which it is not known that a search finds them; ascending by seq."""
        entries = self.source.get("pending") or []
        try:
            sound = all(
                type(e["seq"]) is type(e["tokens"]) is type(e["at"]) is int and e["message_id"] for e in entries
            )
        except UNREADABLE as exc:
            raise CorruptRecordError(STORE, "session, field pending", exc) from exc
        if not sound:
            raise CorruptRecordError(STORE, "session, field pending")
        return list(entries)

    def _field(self, name: str) -> Any:
        try:
            return self.source[name]
        except KeyError as exc:
            raise CorruptRecordError(STORE, "session", exc) from exc

    def record(self) -> SessionRecord:
        """Return what the session's document says.

        Raises:
            CorruptRecordError: It is not such a document.
        """
        source = self.source
        try:
            expires = source.get("expires")
            metadata = unpack_metadata(
                STORE,
                b64decode(source["document"]),
                updated_at=parse_instant(str(source["updated"])),
                expires_at=None if expires is None else parse_instant(str(expires)),
            )
        except (*UNREADABLE, OverflowError) as exc:
            raise CorruptRecordError(STORE, "session", exc) from exc
        counters = (self.number(name) for name in ("revision", "message_count", "token_count", "last_seq"))
        return SessionRecord(metadata, *counters)

    def matches(self, condition: Json) -> Json:
        """Return a bulk action's header made conditional on this version."""
        return {**condition, "if_seq_no": self.seq_no, "if_primary_term": self.primary_term}


def session_source(metadata: SessionMetadata, counters: Json) -> Json:
    """Return a session's document; check the metadata first with ``codec.encode_metadata``.

    Args:
        metadata: As given.
        counters: What is not in it: session_key, revision, message_count, token_count, last_seq, pending.
    """
    expires = metadata.expires_at
    return {
        "session_id": metadata.session_id,
        "user_id": metadata.user_id,
        "agent_id": metadata.agent_id,
        "workflow_id": metadata.workflow_id,
        "status": getattr(metadata.status, "value", metadata.status),
        "tags": [clean(tag)[:MAX_TAG] for tag in metadata.tags],
        "created": microseconds(metadata.created_at),
        "created_at": _iso(metadata.created_at),
        **instants(metadata.updated_at, expires),
        "document": _text(pack_metadata(metadata)),
        **counters,
    }


MAX_TAG = 8_000  # characters; an indexed keyword ends at 32,766 bytes


def instants(updated: Any, expires: Any) -> Json:
    """Return the fields that an append changes; None: no expiry."""
    return {
        "updated": microseconds(updated),
        "updated_at": _iso(updated),
        "expires": None if expires is None else microseconds(expires),
        "expires_at": None if expires is None else _iso(expires),
    }


COUNTERS = ("session_key", "revision", "message_count", "token_count", "last_seq", "pending")
"""The fields of a session's document that do not come from its metadata."""


def message_source(row: codec.MessageColumns, message: Message, batch: str) -> Json:
    """Return a message as ``pending`` keeps it, but for its seq.

    Args:
        row: Of the message.
        message: As given.
        batch: The same for all messages of one append, and only for them.
    """
    return {
        "batch": batch,
        "message_id": row.message_id,
        "role": row.role,
        "at": microseconds(row.timestamp),
        "timestamp": _iso(row.timestamp),
        "tokens": row.token_count,
        "content": row.content,
        "document": _text(pack_message(message)),
    }


def read_message(source: Json) -> Message:
    """Reverse :func:`message_source`.

    Raises:
        CorruptRecordError: Not such a document.
    """
    try:
        return unpack_message(STORE, b64decode(source["document"]), source["seq"])
    except UNREADABLE as exc:
        raise CorruptRecordError(STORE, f"message {source.get('seq')}", exc) from exc


def summary_source(row: codec.SummaryColumns, summary: ConversationSummary, key: str) -> Json:
    """Return a summary's document."""
    return {
        "session_id": row.session_id,
        "session_key": key,
        "summary_id": row.summary_id,
        "created": microseconds(row.created_at),
        "created_at": _iso(row.created_at),
        "summary": row.summary,
        "document": _text(pack_summary(summary)),
    }


def read_summary(source: Json) -> ConversationSummary:
    """Reverse :func:`summary_source`.

    Raises:
        CorruptRecordError: Not such a document.
    """
    try:
        return unpack_summary(STORE, b64decode(source["document"]))
    except UNREADABLE as exc:
        raise CorruptRecordError(STORE, "summary", exc) from exc


def _text(document: bytes) -> str:
    return b64encode(document).decode("ascii")


def _iso(value: Any) -> str:
    return parse_instant(instant_text(value)).isoformat()
