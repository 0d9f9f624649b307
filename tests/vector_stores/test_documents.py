"""Documents as payloads: nothing is lost, and what can be asked for can be found."""

from __future__ import annotations

import math
from typing import Any

import pytest

from langswarm_memory.errors import CorruptRecordError, InvalidInputError
from langswarm_memory.testing.samples import TEXTS, exact
from langswarm_memory.vector_stores.checking import check_payload
from langswarm_memory.vector_stores.documents import DOCUMENT, from_payload, to_payload

TIME = "2100-01-01T12:30:15.123456+00:00"
METADATA: dict[str, dict[str, Any]] = {
    "none": {},
    "flat": {"user_id": "u", "n": 1, "x": 0.5, "ok": True, "tags": ["a", "b"]},
    "nested": {"user_id": "u", "deep": {"a": [1, {"b": None}]}},
    "null": {"a": None, "user_id": "u"},
    "not a number": {"x": math.nan, "y": math.inf},
    "large integer": {"n": 2**64},
    "mixed list": {"l": [1, "a", None]},
    "odd keys": {"a.b": 1, "": 2, "$ne": 3, "é": 4, "_a": 5, "k" * 100: 6},
    "keys of ours": {"content": "c", "timestamp": "t", DOCUMENT: "d"},
    "text no store holds": {"a": "\x00", "b": "\ud800"},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_comes_back_exactly(metadata: dict[str, Any]) -> None:
    parts = from_payload(check_payload(to_payload("text", metadata, TIME)), "store", "id")
    assert exact(dict(sorted(parts.metadata.items()))) == exact(dict(sorted(metadata.items())))
    assert parts.content == "text"
    assert parts.timestamp is not None
    assert parts.timestamp.isoformat() == TIME


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_content_comes_back_exactly(content: str) -> None:
    payload = check_payload(to_payload(content, {"a": 1}, None))
    assert exact(from_payload(payload, "store", "id").content) == exact(content)


def test_flat_metadata_lies_in_the_payload_alone() -> None:
    assert to_payload("text", METADATA["flat"], TIME) == {**METADATA["flat"], "content": "text", "timestamp": TIME}


def test_what_can_be_asked_for_lies_in_the_payload_beside_what_cannot() -> None:
    assert to_payload("text", METADATA["nested"], None)["user_id"] == "u"


def test_key_of_the_metadata_is_asked_for_rather_than_ours() -> None:
    assert to_payload("text", {"content": "mine"}, None)["content"] == "mine"


def test_metadata_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        to_payload("text", {"a": object()}, None)


@pytest.mark.parametrize("kept", ["{", "[]", '{"metadata": 1}', '{"timestamp": "yesterday"}'])
def test_document_that_cannot_be_read_is_corrupt(kept: str) -> None:
    with pytest.raises(CorruptRecordError, match="the-id"):
        from_payload({DOCUMENT: kept}, "store", "the-id")


@pytest.mark.parametrize("stamp", ["2024-05-01T10:00:00", 1714557600, 1714557600.0])
def test_time_of_an_older_store_is_utc(stamp: Any) -> None:
    parts = from_payload({"timestamp": stamp}, "store", "id")
    assert parts.timestamp is not None
    assert parts.timestamp.isoformat() == "2024-05-01T10:00:00+00:00"
