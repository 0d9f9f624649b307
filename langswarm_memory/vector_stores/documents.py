"""Documents of ``IVectorStore`` as payloads: text and time beside the metadata, flat, so that conditions reach them.

What no payload can hold as it is (nested values, None, odd keys, keys that collide, NUL) is kept exactly, as JSON,
under a key of our own. The values that can be asked for are in the payload all the same.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..errors import CorruptRecordError, InvalidInputError
from ..interfaces.timestamps import Timestamp
from ..repository.values import check_json, clean, dump_exact, is_clean, load_verbatim
from .checking import check_payload
from .protocol import Scalar

CONTENT, TIMESTAMP, DOCUMENT = "content", "timestamp", "langswarm_document"


class Parts(NamedTuple):
    """What a document holds besides id and vector."""

    content: str
    metadata: dict[str, Any]
    timestamp: datetime | None


def to_payload(content: str, metadata: Mapping[str, Any], timestamp: str | None) -> dict[str, Scalar | list[str]]:
    """Return a payload from which :func:`from_payload` makes the document again.

    Raises:
        InvalidInputError: The metadata is no JSON.
    """
    check_json(dict(metadata), "metadata")
    payload: dict[str, Scalar | list[str]] = {}
    for key, value in metadata.items():
        if key != DOCUMENT and _fits(key, value):
            payload.update(check_payload({key: value}))
    kept: dict[str, Any] = {}
    if len(payload) < len(metadata):
        kept["metadata"] = dict(metadata)
    for key, text in ((CONTENT, content), (TIMESTAMP, timestamp)):
        if text is None:
            continue
        if key in metadata or not is_clean(text):
            kept[key] = text
            kept["metadata"] = dict(metadata)
        payload.setdefault(key, clean(text))
    if kept:
        text = dump_exact(kept)
        payload[DOCUMENT] = text if is_clean(text) else b64encode(text.encode("utf-8", "surrogatepass")).decode()
    return payload


def from_payload(payload: Mapping[str, Any], store: str, point_id: str) -> Parts:
    """Return the parts of a document.

    Raises:
        CorruptRecordError: They cannot be read.
    """
    own = {key: payload[key] for key in (CONTENT, TIMESTAMP) if key in payload}
    metadata = {key: value for key, value in payload.items() if key not in (CONTENT, TIMESTAMP, DOCUMENT)}
    try:
        kept = _kept(payload[DOCUMENT]) if DOCUMENT in payload else {}
        metadata = kept.get("metadata", metadata)
        own.update({key: kept[key] for key in (CONTENT, TIMESTAMP) if key in kept})
        return Parts(str(own.get(CONTENT, "")), dict(metadata), _instant(own.get(TIMESTAMP)))
    except (TypeError, ValueError, AttributeError, OverflowError, OSError) as exc:
        raise CorruptRecordError(store, point_id, exc) from exc


def _kept(text: str) -> dict[str, Any]:
    data = text.encode() if text.startswith("{") else b64decode(text, validate=True)
    return load_verbatim(data)


def _fits(key: Any, value: Any) -> bool:
    try:
        return bool(check_payload({key: value})[key] == value)
    except InvalidInputError:
        return False


def _instant(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    # Without an offset: times of the earlier package, which were UTC.
    return Timestamp.parse(value, naive_is_utc=True)
