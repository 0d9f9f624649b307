"""Large parts beside the messages: exact on the way back, kept once, never silently wrong."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langswarm_memory.errors import CorruptRecordError, InvalidInputError, MemoryStorageError
from langswarm_memory.formats import DirectoryBlobStore, attach_binaries, detach_binaries
from langswarm_memory.interfaces.message import Message

from .conversations import CASES, exact
from .providers import PROVIDERS

LARGE = bytes(range(256)) * 80
TEXT = base64.b64encode(LARGE).decode()
URL = f"data:image/png;base64,{TEXT}"

PLACES: dict[str, Any] = {
    "image_url": {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
    "input_audio": {"type": "input_audio", "input_audio": {"data": TEXT, "format": "wav"}},
    "file": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{TEXT}"}},
    "input_image": {"type": "input_image", "image_url": URL},
    "image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
    "inlineData": {"inlineData": {"mimeType": "image/png", "data": TEXT}},
    "image_generation_call": {"type": "image_generation_call", "id": "ig", "result": TEXT},
    "tool_result": {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}}],
    },
}


class Memory:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        self.blobs[name] = data
        return name

    def get(self, sha256: str) -> bytes:
        return self.blobs[sha256]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryBlobStore:
    return DirectoryBlobStore(tmp_path / "blobs")


@pytest.mark.parametrize("block", PLACES.values(), ids=PLACES)
def test_large_part_of(block: Any, store: DirectoryBlobStore) -> None:
    message = Message("user", [{"type": "text", "text": "x"}, block])
    small = detach_binaries(message, store)
    assert TEXT not in exact(small.content)
    assert attach_binaries(small, store) == message
    assert exact(attach_binaries(small, store).content) == exact(message.content)


def test_reference_says_what_it_stands_for(store: DirectoryBlobStore) -> None:
    small = detach_binaries(Message("user", [PLACES["input_image"]]), store)
    assert small.content == [
        {
            "type": "input_image",
            "image_url": {
                "type": "langswarm_memory.detached",
                "sha256": hashlib.sha256(LARGE).hexdigest(),
                "bytes": len(LARGE),
                "prefix": "data:image/png;base64,",
            },
        }
    ]


def test_message_given_is_not_changed(store: DirectoryBlobStore) -> None:
    message = Message("user", [PLACES["image_url"]])
    detach_binaries(message, store)
    assert message.content == [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]


def test_position_and_id_stay(store: DirectoryBlobStore) -> None:
    message = Message("user", [PLACES["image_url"]], message_id="m").numbered(7)
    small = detach_binaries(message, store)
    assert (small.message_id, small.seq) == ("m", 7)


def test_same_bytes_are_kept_once(store: DirectoryBlobStore) -> None:
    detach_binaries(Message("user", list(PLACES.values())), store)
    assert len([path for path in store.directory.rglob("*") if path.is_file()]) == 1


KEPT: dict[str, Any] = {
    "small": {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    "an address": {"type": "image_url", "image_url": {"url": "https://example.com/" + "a" * 30_000}},
    "text that looks like base64": {"type": "text", "text": TEXT},
    "a signature": {"type": "thinking", "thinking": "x", "signature": TEXT},
    "base64 in lines": {
        "inlineData": {"data": "\n".join(TEXT[place : place + 76] for place in range(0, len(TEXT), 76))}
    },
    "another alphabet": {"inlineData": {"data": base64.urlsafe_b64encode(LARGE).decode()}},
    "bits that base64 would drop": {"inlineData": {"data": TEXT[:-2] + "B="}},
    "a number": {"inlineData": {"data": 5}},
}


@pytest.mark.parametrize("block", KEPT.values(), ids=KEPT)
def test_stays_in_the_message(block: Any, store: DirectoryBlobStore) -> None:
    message = Message("user", [block])
    assert detach_binaries(message, store) is message


@pytest.mark.parametrize(("provider", "conversation"), CASES)
def test_conversation_comes_back_exactly(provider: str, conversation: list[Any]) -> None:
    read, write = PROVIDERS[provider]
    memory = Memory()
    small = [detach_binaries(message, memory, threshold=1) for message in read(conversation)]
    assert exact(write([attach_binaries(message, memory) for message in small])) == exact(conversation)


@given(data=st.binary(max_size=64), threshold=st.integers(0, 64))
def test_any_bytes_come_back(data: bytes, threshold: int) -> None:
    memory = Memory()
    message = Message("user", [{"inlineData": {"data": base64.b64encode(data).decode()}}])
    small = detach_binaries(message, memory, threshold=threshold)
    assert (small is message) == (len(data) < threshold)
    assert attach_binaries(small, memory) == message


def test_missing_blob_is_told(store: DirectoryBlobStore) -> None:
    small = detach_binaries(Message("user", [PLACES["image"]]), store)
    (blob,) = (path for path in store.directory.rglob("*") if path.is_file())
    blob.unlink()
    with pytest.raises(CorruptRecordError):
        attach_binaries(small, store)


def test_changed_blob_is_told(store: DirectoryBlobStore) -> None:
    small = detach_binaries(Message("user", [PLACES["image"]]), store)
    (blob,) = (path for path in store.directory.rglob("*") if path.is_file())
    blob.write_bytes(b"other")
    with pytest.raises(CorruptRecordError):
        attach_binaries(small, store)


def test_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("x")
    with pytest.raises(MemoryStorageError):
        DirectoryBlobStore(tmp_path / "blobs").put(b"x")


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, 5])
def test_name_that_is_no_hash_is_refused(name: Any, store: DirectoryBlobStore) -> None:
    with pytest.raises(InvalidInputError):
        store.get(name)
