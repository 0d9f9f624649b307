"""Large images, sounds and files beside the messages instead of inside them, found by the hash of their bytes."""

from __future__ import annotations

import base64
import copy
import hashlib
import operator
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..errors import CorruptRecordError, InvalidInputError, MemoryStorageError
from ..interfaces.message import Message

DETACHED = "langswarm_memory.detached"
"""The ``type`` of what stands in a message in place of its bytes."""

THRESHOLD = 16_384
"""Bytes from which a part is detached if nothing else is asked for."""

BINARY_KEYS = frozenset(["data", "url", "file_data", "image_url", "result", "b64_json"])
"""Keys under which providers have base64, alone or as a ``data:`` URL. Texts and signatures are never touched."""

_DEPTH = 16  # the deepest known, an image in a tool result of Anthropic, lies at 6
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore(Protocol):
    """Keeps bytes under the SHA-256 of themselves: the same bytes are kept once."""

    def put(self, data: bytes) -> str:
        """Keep bytes and return their SHA-256 in hexadecimal."""

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a hash.

        Raises:
            CorruptRecordError: They are not there, or are no longer what they were.
        """


class DirectoryBlobStore:
    """A :class:`BlobStore` in a directory, a file per blob. Safe for several processes; blobs are never overwritten.

    Args:
        directory: Where; made if missing.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def put(self, data: bytes) -> str:
        """Keep bytes and return their SHA-256. They are on the disk when this returns.

        Raises:
            MemoryStorageError: The directory cannot be written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, data)
        except OSError as exc:
            raise MemoryStorageError("put", "blobs", exc) from exc
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a hash, checked against it.

        Raises:
            CorruptRecordError: They are not there, or are no longer what they were.
            MemoryStorageError: The directory cannot be read.
        """
        try:
            data = self._path(sha256).read_bytes()
        except FileNotFoundError as exc:
            raise CorruptRecordError("blobs", sha256, exc) from exc
        except OSError as exc:
            raise MemoryStorageError("get", "blobs", exc) from exc
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptRecordError("blobs", sha256)
        return data

    def _path(self, sha256: str) -> Path:
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise InvalidInputError("a blob is named by the SHA-256 of its bytes in hexadecimal")
        return self.directory / sha256[:2] / sha256

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def detach_binaries(message: Message, store: BlobStore, *, threshold: int = THRESHOLD) -> Message:
    """Return the message with its large base64 parts in the store, and references in their place.

    A reference is ``{"type": "langswarm_memory.detached", "sha256": ..., "bytes": n}``, with the head of the
    ``data:`` URL under ``prefix`` if there was one. :func:`attach_binaries` gives exactly the message again. Base64
    that would not come back letter for letter (line breaks, other alphabets) stays where it is.

    Args:
        message: Any message; it is not changed. Without large parts it is returned as it is.
        store: Where the bytes go.
        threshold: Bytes from which a part is detached.

    Raises:
        MemoryStorageError: The store cannot be written.
    """

    def detached(key: str, value: Any) -> Any:
        if key not in BINARY_KEYS or not isinstance(value, str) or len(value) * 3 // 4 < threshold:
            return value
        head = _DATA_URL.match(value)
        prefix = head[0] if head else ""
        data = _decoded(value[len(prefix) :])
        if data is None or len(data) < threshold:
            return value
        reference = {"type": DETACHED, "sha256": store.put(data), "bytes": len(data)}
        return {**reference, "prefix": prefix} if prefix else reference

    return _changed(message, detached)


def attach_binaries(message: Message, store: BlobStore) -> Message:
    """Return the message with its large parts in place again, exactly as :func:`detach_binaries` was given it.

    Args:
        message: Any message; it is not changed. Without references it is returned as it is.
        store: Where the bytes are.

    Raises:
        CorruptRecordError: Bytes are not there, or are no longer what they were.
        MemoryStorageError: The store cannot be read.
    """

    def attached(_key: str, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("type") != DETACHED:
            return value
        sha256, prefix = value.get("sha256"), value.get("prefix", "")
        if not isinstance(sha256, str) or not isinstance(prefix, str):
            return value
        return prefix + base64.b64encode(store.get(sha256)).decode()

    return _changed(message, attached)


def _changed(message: Message, change: Callable[[str, Any], Any]) -> Message:
    content = _walk(message.content, change, _DEPTH) if isinstance(message.content, list) else message.content
    if content is message.content:
        return message
    result = copy.copy(message)
    result.content = content
    return result


def _walk(value: Any, change: Callable[[str, Any], Any], depth: int) -> Any:
    """Return the value with what lies under keys changed; the value itself if nothing is."""
    if not depth or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        inner = [_walk(item, change, depth - 1) for item in value]
        return value if all(map(operator.is_, inner, value)) else inner
    changed = {}
    for key, item in value.items():
        new = change(key, item)
        if new is item:
            new = _walk(item, change, depth - 1)
        if new is not item:
            changed[key] = new
    return {**value, **changed} if changed else value


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None
