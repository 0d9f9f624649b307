r"""The file of a backup: records, one per line, compressed, sealed.

    gzip member                                  what `gzip -dc FILE` prints:
      line 1    the head                         H <check> {"format": ..., "version": 1, ...}
      lines     sessions, one after the other    S <check> <messages> <metadata>
                  its summaries                  Y <check> <summary>
                  its messages                   M <check> <position> <message>
                  its end                        E <check> {"messages": n, "summaries": n, "sha256": ...}
      last      the manifest                     Z <check> {"sessions": n, "messages": n, "summaries": n, "sha256": ...}
    gzip member of 58 bytes, empty: the seal, the SHA-256 of all bytes before it, as an extra field

Records are the documents of ``repository/documents.py``, which lose nothing. Each check is chained to the one before,
so that the first record that was altered, left out or moved can be named. The seal covers what gzip does not: the
bits of a compressed stream that say nothing.

gzip is of the standard library, and every system can look into such a file. zstandard halves the time of compressing;
but the file is bound by reading the store, and a format must be readable for longer than a dependency is kept.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ..errors import InvalidInputError

FORMAT = "langswarm-memory-backup"
VERSION = 1
GZIP = 31  # wbits of zlib: a gzip header and trailer, without a name and a time
LEVEL = 6
CHUNK = 1 << 16  # bytes read at a time
MAX_LINE = 1 << 30  # bytes; longer than any message that stores take
CHECK_BYTES = 8
MAGIC = b"\x1f\x8b\x08"
_SEAL_HEAD = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x24\x00LS\x20\x00"
_SEAL_END = b"\x03\x00" + b"\x00" * 8
SEAL_BYTES = len(_SEAL_HEAD) + 32 + len(_SEAL_END)


class Record(NamedTuple):
    """A line of the file."""

    number: int
    """From 1."""
    kind: str
    """One of H S Y M E Z."""
    body: bytes


class Totals:
    """What the manifest says, added up session by session."""

    def __init__(self) -> None:
        self.sessions = self.messages = self.summaries = 0
        self._hashes = hashlib.sha256()

    def add(self, messages: int, summaries: int, sha256: str) -> dict[str, Any]:
        """Count a session, and return what its end says."""
        self.sessions, self.messages = self.sessions + 1, self.messages + messages
        self.summaries += summaries
        self._hashes.update(sha256.encode())
        return {"messages": messages, "summaries": summaries, "sha256": sha256}

    @property
    def sha256(self) -> str:
        """The hash of the sessions' hashes."""
        return self._hashes.hexdigest()

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest says."""
        return {name: getattr(self, name) for name in ("sessions", "messages", "summaries", "sha256")}


class Packer:
    """Turns records into the bytes of a file."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        self._seal = hashlib.sha256()
        self._check = b""

    def add(self, records: list[tuple[str, bytes]]) -> bytes:
        """Return the bytes that become due with some records."""
        lines = []
        for kind, body in records:
            self._check = check(self._check, kind, body)
            lines.append(b"%s %s %s\n" % (kind.encode(), self._check.hex().encode(), body))
        return self._sealed(self._compressor.compress(b"".join(lines)))

    def end(self) -> bytes:
        """Return the last bytes, the seal included."""
        rest = self._sealed(self._compressor.flush())
        return rest + seal(self._seal.digest())

    def _sealed(self, data: bytes) -> bytes:
        self._seal.update(data)
        return data


def check(before: bytes, kind: str, body: bytes) -> bytes:
    """Return the check of a record that follows one with the check `before`."""
    return hashlib.blake2b(b"%s%s %s" % (before, kind.encode(), body), digest_size=CHECK_BYTES).digest()


def seal(digest: bytes) -> bytes:
    """Return the seal of a file whose bytes before it have this SHA-256."""
    return _SEAL_HEAD + digest + _SEAL_END


def is_sealed(file: BinaryIO) -> bool:
    """Return whether the last bytes of a file are the seal of all that comes before."""
    size = file.seek(0, 2)
    if size <= SEAL_BYTES:
        return False
    digest, left = hashlib.sha256(), size - SEAL_BYTES
    file.seek(0)
    while left and (data := file.read(min(CHUNK, left))):
        digest.update(data)
        left -= len(data)
    return file.read() == seal(digest.digest())


def read_records(file: BinaryIO, name: str) -> Iterator[Record]:
    """Yield the records of a file from its beginning, each checked.

    Args:
        file: The file.
        name: What errors call it.

    Raises:
        InvalidInputError: No such file, or the first record that was altered or is cut off; says which.
    """
    before = b""
    for number, line in enumerate(_lines(file, name), 1):
        parts = line.split(b" ", 2)
        if len(parts) < 3 or len(parts[0]) != 1:
            raise broken(name, number) if number > 1 else _foreign(name)
        kind, body = parts[0].decode("ascii", "replace"), parts[2]
        if number == 1:
            _check_head(name, kind, body)
        before = check(before, kind, body)
        if before.hex().encode() != parts[1]:
            raise broken(name, number)
        yield Record(number, kind, body)


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the lines of the first gzip member; an error names the line in which it stands."""
    number, size = 0, 0
    parts: list[bytes] = []  # of a line that has not ended
    try:
        for data in _unpacked(file):
            first, *others = data.split(b"\n")
            parts.append(first)
            size += len(first)
            for other in others:
                number += 1
                yield b"".join(parts)
                parts, size = [other], len(other)
            if size > MAX_LINE:
                raise broken(name, number + 1)
    except zlib.error as exc:
        raise (broken(name, number + 1) if number else _foreign(name)) from exc
    except EOFError as exc:
        raise cut_off(name, number + 1) from exc
    if size:
        raise broken(name, number + 1) if number else _foreign(name)


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    unpacker, pending = zlib.decompressobj(GZIP), b""
    while not unpacker.eof:
        pending = pending or file.read(CHUNK)
        if not pending:
            raise EOFError
        saved = unpacker.copy()
        try:
            data = unpacker.decompress(pending, CHUNK)
        except zlib.error:
            yield from _before_error(saved, pending)
            raise
        pending = unpacker.unconsumed_tail
        yield data


def _before_error(unpacker: Any, pending: bytes) -> Iterator[bytes]:
    # zlib gives nothing of a piece in which an error stands: byte by byte, all that comes before it.
    for place in range(len(pending)):
        try:
            yield unpacker.decompress(pending[place : place + 1])
        except zlib.error:
            return


def _check_head(name: str, kind: str, body: bytes) -> None:
    head = load_object(body)
    if kind != "H" or head is None or head.get("format") != FORMAT:
        raise _foreign(name)
    version = head.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        raise InvalidInputError(
            f"{name}: a backup of format version {version!r}; this version of langswarm-memory reads {VERSION}",
            suggestion="upgrade it: pip install --upgrade langswarm-memory" if newer else None,
        )


def load_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a record's body; None: it is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _foreign(name: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: not a backup of langswarm-memory")


def broken(name: str, number: int) -> InvalidInputError:
    """Return the error for a record that is not what was written."""
    return InvalidInputError(f"{name}: record {number} was altered", suggestion="restore another copy of the backup")


def cut_off(name: str, number: int) -> InvalidInputError:
    """Return the error for a file that lacks its end."""
    return InvalidInputError(
        f"{name}: the file ends before record {number}", suggestion="it was cut off; restore another copy of the backup"
    )
