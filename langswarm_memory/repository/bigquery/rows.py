"""From domain objects to rows, and back. The ``document`` column is exact; the others are for queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...interfaces.timestamps import Timestamp
from .. import codec
from ..documents import pack_message, pack_metadata, pack_summary, unpack_metadata
from ..protocol import SessionRecord
from .schema import SUMMARIES
from .statements import GIVEN, METADATA

STORE = "bigquery"

COUNTERS = ("revision", "message_count", "token_count", "last_seq", "edits")
"""Of a record, in its order."""


def session_row(metadata: SessionMetadata, revision: int) -> dict[str, Any]:
    """Check a session's metadata and return its columns.

    Raises:
        InvalidInputError: A field cannot be stored.
    """
    columns = codec.encode_metadata(metadata)._asdict()
    columns |= {"revision": revision, "document": pack_metadata(metadata)}
    return {name: columns[name] for name in METADATA}


def session_record(row: Any, prefix: str = "") -> SessionRecord:
    """Return the record of a row.

    Raises:
        CorruptRecordError: Its document is none.
    """
    metadata = unpack_metadata(
        STORE,
        row[f"{prefix}document"],
        updated_at=Timestamp.of(row[f"{prefix}updated_at"]),  # appends move these two, and leave the document
        expires_at=_optional(row[f"{prefix}expires_at"]),
    )
    counters = (row[f"{prefix}{name}"] for name in COUNTERS)
    return SessionRecord(metadata, *counters)


def _optional(value: datetime | None) -> Timestamp | None:
    return None if value is None else Timestamp.of(value)


def message_row(session_id: str, message: Message) -> dict[str, Any]:
    """Check a message and return its columns, but those that the store gives.

    Raises:
        InvalidInputError: A field cannot be stored.
    """
    columns = codec.encode_message(message)._asdict()
    columns |= {"session_id": session_id, "digest": digest(message), "document": pack_message(message)}
    return {name: columns[name] for name in GIVEN}


def digest(message: Message) -> str:
    """Return what tells a repeated message from another one of its id, in 64 characters."""
    return hashlib.sha256(codec.fingerprint(message).encode("utf-8", "surrogatepass")).hexdigest()


FIELD_BYTES = 40
"""What the name and the wrapping of a field take in a request, about."""

FIELDS_TWICE = 15
"""Fields of a message that are sent a second time, or beside it: what decides about it."""


def sent_bytes(row: Mapping[str, Any]) -> int:
    """Return about how many bytes a row takes in a request: text as escaped JSON, bytes in base64."""
    return (len(row) + FIELDS_TWICE) * FIELD_BYTES + sum(
        len(value) * 4 // 3 if isinstance(value, bytes) else len(json.dumps(value)) if isinstance(value, str) else 30
        for value in row.values()
    )


def summary_row(summary: ConversationSummary) -> dict[str, Any]:
    """Check a summary and return its columns.

    Raises:
        InvalidInputError: A field cannot be stored.
    """
    columns = codec.encode_summary(summary)._asdict() | {"document": pack_summary(summary)}
    return {name: columns[name] for name in SUMMARIES}
