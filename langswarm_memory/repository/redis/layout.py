"""What is stored where, and how it is read back.

    {prefix}session:{id}            hash: document, state ('revision count tokens last updated expires created status
                                    edits', where the last is not there until something is edited), writer and editor
                                    (the calls that wrote the metadata and edited messages, so that they may be sent
                                    twice), 'index:{name}' -> 'last edits' as an index outside has seen them
    {prefix}session:{id}:messages   sorted set by seq: 'seq role time tokens message_id document'
    {prefix}session:{id}:ids        hash: message_id -> seq
    {prefix}session:{id}:system     sorted set: the seqs of system messages
    {prefix}session:{id}:summaries  hash: summary_id -> document
    {prefix}index:all               sorted set of 'created session_id', all with score 0 and so in the order of bytes
    {prefix}index:ids               the same in the order of ids: without 'created'
    {prefix}index:user:{id}  index:agent:{id}  index:status:{status}   the same of one user, agent or status

The braces around the id are part of the key: they make the keys of a session one slot of a Cluster. Ids stand
percent-encoded in keys and members. The documents are those of ``repository/documents.py``; those of messages may be
compressed (``z``, then zlib). Instants are microseconds since the year 1, 18 digits; ``-`` is none. The indexes lie in
other slots, so no script covers both: an entry may outlive its session, and whoever meets such an entry removes it.
"""

from __future__ import annotations

import re
import zlib
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from ...errors import CorruptRecordError
from ...interfaces.message import Message
from ...interfaces.records import SessionMetadata
from ...interfaces.timestamps import Timestamp
from .. import codec
from ..documents import (
    instant_text,
    pack_message,
    parse_instant,
    unpack_metadata,
)
from ..protocol import MessageQuery, SessionQuery, SessionRecord

STORE = "redis"
COMPRESS_FROM = 512  # bytes; shorter documents gain nothing
GRACE = timedelta(hours=1)
"""How long an expired session can still be listed as such before Redis drops it."""

NONE = "-"

_MILLISECOND = timedelta(milliseconds=1)
_SAFE = "-_.~:@/+!*'()$,;=&?|^`[]"
_is_plain = re.compile(rf"[A-Za-z0-9{re.escape(_SAFE)}]*").fullmatch

Pair = tuple[str, str]
"""Key of an index, and an entry of it."""


def quoted(text: str) -> str:
    """Return text without spaces and braces: safe between the braces of a key and between the blanks of a member."""
    return text if _is_plain(text) else quote(text, safe=_SAFE)


def ids_key(prefix: str) -> str:
    """Return the key of the index of all sessions by id."""
    return f"{prefix}index:ids"


def pairs_of(prefix: str, metadata: SessionMetadata) -> list[Pair]:
    """Return the entries by which a session is listed."""
    entry = f"{instant_text(metadata.created_at)} {metadata.session_id}"
    status = getattr(metadata.status, "value", metadata.status)
    found = [(f"{prefix}index:all", entry), (f"{prefix}index:status:{quoted(status)}", entry)]
    found.append((ids_key(prefix), f" {metadata.session_id}"))  # no instant: in the order of ids
    if metadata.user_id is not None:
        found.append((f"{prefix}index:user:{quoted(metadata.user_id)}", entry))
    if metadata.agent_id is not None:
        found.append((f"{prefix}index:agent:{quoted(metadata.agent_id)}", entry))
    return found


def index_for(prefix: str, query: SessionQuery) -> str:
    """Return the key of the index that has the fewest entries to look at."""
    for name, value in (("user", query.user_id), ("agent", query.agent_id), ("status", query.status)):
        if value is not None:
            return f"{prefix}index:{name}:{quoted(value)}"
    return f"{prefix}index:all"


def session_of(entry: str) -> str:
    """Return the id of the session that an entry of an index stands for."""
    return entry.partition(" ")[2]


def ttl_of(expires_at: datetime | None, start: datetime) -> str:
    """Return the milliseconds to keep a session, counted from the caller's clock."""
    if expires_at is None:
        return NONE
    left = Timestamp.of(expires_at).plain() - Timestamp.of(start).plain() + GRACE
    return str(max(left // _MILLISECOND, 1))


def expiry_text(expires_at: datetime | None) -> str:
    """Return an expiry as it stands in a session's state."""
    return NONE if expires_at is None else instant_text(expires_at)


def metadata_state(metadata: SessionMetadata) -> str:
    """Return the part of a session's state that comes from its metadata."""
    return " ".join(
        (
            instant_text(metadata.updated_at),
            expiry_text(metadata.expires_at),
            instant_text(metadata.created_at),
            getattr(metadata.status, "value", metadata.status),
        )
    )


class State(NamedTuple):
    """What changes without the metadata being edited, and what listings look at."""

    revision: int
    message_count: int
    token_count: int
    last_seq: int
    updated: str
    expires: str
    created: str
    status: str
    edits: int = 0

    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """What a session's record says beside its metadata."""
        return (*self[:4], self.edits)


def state_of(text: bytes) -> State:
    """Return the state of a session.

    Raises:
        CorruptRecordError: Not a state.
    """
    try:
        revision, count, tokens, last, updated, expires, created, status, *edits = text.decode().split(" ")
        counters = int(revision), int(count), int(tokens), int(last)
        return State(*counters, updated, expires, created, status, *map(int, edits))
    except (ValueError, TypeError) as exc:
        raise CorruptRecordError(STORE, "session", exc) from exc


def record_of(document: bytes, text: bytes) -> SessionRecord:
    """Return the session of a document and a state.

    Raises:
        CorruptRecordError: Not a session.
    """
    state = state_of(text)
    try:
        metadata = unpack_metadata(
            STORE,
            document,
            updated_at=parse_instant(state.updated),
            expires_at=None if state.expires == NONE else parse_instant(state.expires),
        )
    except (ValueError, OverflowError) as exc:
        raise CorruptRecordError(STORE, "session", exc) from exc
    return SessionRecord(metadata, *state.counters)


def member_of(message: Message, *, compress: bool) -> bytes:
    """Return what the append script puts behind a seq: the header that the scripts look at, and the document.

    Raises:
        InvalidInputError: The message cannot be stored as it is.
    """
    row = codec.encode_message(message)
    document = pack_message(message)
    if compress and len(document) >= COMPRESS_FROM:
        document = b"z" + zlib.compress(document)
    header = f"{quoted(row.role)} {instant_text(row.timestamp)} {row.token_count} {quoted(row.message_id)} "
    return header.encode() + document


def split(reply: bytes) -> list[bytes]:
    """Return the texts of the read script's reply: arrays of texts as MessagePack writes them, without the arrays.

    Raises:
        CorruptRecordError: Something else.
    """
    found, at, end = [], 0, len(reply)
    while at < end:
        kind = reply[at]
        at += 1
        width = _LENGTH_BYTES.get(kind)
        if width is not None:
            length = int.from_bytes(reply[at : at + width])
            at += width
        elif 0xA0 <= kind <= 0xBF:  # a short text
            length = kind - 0xA0
        elif 0x80 <= kind <= 0x9F:  # a short array; for an empty one, the script cannot tell it from a map
            continue
        elif kind in _LONG_ARRAYS:
            at += _LONG_ARRAYS[kind]
            continue
        else:
            raise CorruptRecordError(STORE, "reply")
        found.append(reply[at : at + length])
        at += length
    return found


_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4}  # of texts up to 2**8, 2**16 and 2**32 bytes
_LONG_ARRAYS = {0xDC: 2, 0xDD: 4}


def read_arguments(query: MessageQuery, *, with_session: bool = False) -> list[Any]:
    """Return what the read script wants to know."""
    return [
        "" if query.after_seq is None else query.after_seq,
        "" if query.before_seq is None else query.before_seq,
        "" if query.since is None else instant_text(query.since),
        1 if query.newest_first else 0,
        "" if query.limit is None else query.limit,
        "" if query.max_tokens is None else query.max_tokens,
        "" if query.roles is None else roles_text(query.roles) or " ",  # a blank: no role at all
        roles_text(query.exclude_roles),
        roles_text(query.keep_roles),
        1 if with_session else 0,
    ]


def roles_text(roles: frozenset[str]) -> str:
    """Return roles in the form in which the scripts search: ' assistant user '."""
    return f" {' '.join(quoted(role) for role in sorted(roles))} " if roles else ""
