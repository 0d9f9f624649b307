"""From domain objects to the documents of the three indexes, and back.

A session's document decides what is stored: its ``last_seq`` and counters, under ``pending`` those messages that a
search may not find yet, and under ``rewrite`` those that it may find but that are no more, or have others in their
place. Whoever writes it does so on condition that nobody else has since it was read.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import Any, NamedTuple

from ...errors import CorruptRecordError, SessionExpiredError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...search.words import stem, tokenize
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


class Changes(NamedTuple):
    """Messages that were deleted and replaced, which the index of messages may not know yet."""

    gone: dict[int, str]
    """Deleted ones: seq → message_id."""
    instead: dict[int, Json]
    """Replaced ones: seq → what is in their place, in the form of ``pending``."""

    def source(self) -> Json:
        """Return the form in which a session's document keeps them."""
        return {"gone": [[seq, name] for seq, name in self.gone.items()], "instead": list(self.instead.values())}


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
        """Return revision, message_count, token_count, last_seq or edits."""
        value = self._field(name)
        if type(value) is not int:
            raise CorruptRecordError(STORE, f"session, field {name}")
        return value

    @property
    def edits(self) -> int:
        """How often stored messages were changed; documents of the first version of the mappings do not say."""
        return self.number("edits") if "edits" in self.source else 0

    @property
    def pending(self) -> list[Json]:
        """Messages of which it is not known that a search finds them; ascending by seq."""
        return _entries(self.source.get("pending"), "pending")

    @property
    def changes(self) -> Changes | None:
        """Messages that were deleted and replaced, while it is not known that searches know of it."""
        kept = self.source.get("rewrite")
        if kept is None:
            return None
        try:
            gone = {seq: name for seq, name in kept["gone"] if type(seq) is int and type(name) is str}
            sound = len(gone) == len(kept["gone"])
            instead = _entries(kept["instead"], "rewrite")
        except UNREADABLE as exc:
            raise CorruptRecordError(STORE, "session, field rewrite", exc) from exc
        if not sound:
            raise CorruptRecordError(STORE, "session, field rewrite")
        return Changes(gone, {entry["seq"]: entry for entry in instead})

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
        count, tokens = self.number("message_count"), self.number("token_count")
        return SessionRecord(metadata, self.number("revision"), count, tokens, self.number("last_seq"), self.edits)

    def check_expiry(self, now: Any) -> None:
        """Refuse a session that has expired.

        Raises:
            SessionExpiredError: It has.
        """
        expires = self.source.get("expires")
        if expires is not None and expires <= microseconds(now):
            raise SessionExpiredError(self.session_id)

    def matches(self, condition: Json) -> Json:
        """Return a bulk action's header made conditional on this version."""
        return {**condition, "if_seq_no": self.seq_no, "if_primary_term": self.primary_term}


def session_source(metadata: SessionMetadata, counters: Json) -> Json:
    """Return a session's document; check the metadata first with ``codec.encode_metadata``.

    Args:
        metadata: As given.
        counters: What is not in it, by the names in COUNTERS.
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


NUMBERS = ("revision", "message_count", "token_count", "last_seq", "edits")
COUNTERS = ("session_key", *NUMBERS, "editor", "pending", "rewrite", "indexed", "indexes", "fresh")
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
        "metadata": labels(message),
        "document": _text(pack_message(message)),
    }


def labels(message: Message) -> list[str]:
    """Return the keywords by which a message is found by its metadata."""
    return [label(key, value) for key, value in message.metadata.items() if isinstance(value, str | int | float)]


def label(key: str, value: str | float | bool) -> str:
    """Return a key and a value of a message's metadata as one keyword: ``1`` and ``1.0`` have the same, ``"1"`` not."""
    if isinstance(value, bool):
        text = f"b:{str(value).lower()}"
    elif isinstance(value, str):
        text = f"s:{value}"
    else:
        text = f"n:{int(value) if isinstance(value, float) and value.is_integer() else value}"
    return clean(f"{key}={text}")[:MAX_TAG]


SEARCHED = 100_000  # characters of a message, whose stems take a tenth of a second


def message_document(key: str, session_id: str, entry: Json) -> Json:
    """Return a message's document: what ``pending`` keeps, and what searches by words look at."""
    words = map(stem, tokenize((entry.get("content") or "")[:SEARCHED]))
    return {"session_id": session_id, "session_key": key, **entry, "stems": " ".join(words)}


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


def _entries(kept: Any, name: str) -> list[Json]:
    entries = kept or []
    try:
        sound = all(type(e["seq"]) is type(e["tokens"]) is type(e["at"]) is int and e["message_id"] for e in entries)
    except UNREADABLE as exc:
        raise CorruptRecordError(STORE, f"session, field {name}", exc) from exc
    if not sound:
        raise CorruptRecordError(STORE, f"session, field {name}")
    return list(entries)


def _text(document: bytes) -> str:
    return b64encode(document).decode("ascii")


def _iso(value: Any) -> str:
    return parse_instant(instant_text(value)).isoformat()
