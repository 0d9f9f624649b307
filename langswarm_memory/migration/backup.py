"""Everything a store holds in one file: streamed, compressed, written whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .._calls import settle
from .._version import __version__
from ..errors import InvalidInputError, MemoryStorageError, StorageFullError
from ..interfaces.contracts import IMemoryBackend
from ..interfaces.timestamps import now
from ..repository.documents import pack_message, pack_metadata, pack_summary
from .archive import FORMAT, VERSION, Packer, Totals
from .closing import closing
from .hashing import ContentHash
from .restore import is_backup
from .source import Source, SourceSession
from .stores import StoreSource
from .transfer import TransferProgress

PARTIAL = ".partial"
"""End of the name of a file that is being written; one that a killed process left behind may be deleted."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds."""

    path: str
    sessions: int
    messages: int
    summaries: int
    sha256: str
    """Over the hashes of the sessions, in order: equal for equal contents."""
    size_bytes: int


async def backup(
    source: Source | IMemoryBackend,
    path: str | os.PathLike[str],
    *,
    session_ids: Iterable[str] | None = None,
    progress: TransferProgress | None = None,
) -> BackupReport:
    """Write everything a backend or another source holds to a file.

    The file appears at `path` when it is complete and on disk; an older backup there is replaced by it, anything else
    refused. Until then, and after a failure, `path` is as it was. Only the owner may read the file.

    Args:
        source: Where from. A source is opened here and closed.
        path: The file. A backup that runs writes beside it.
        session_ids: Only these sessions; for a backend. None: all.
        progress: Called with the messages done, the messages of the source, and the session's id.

    Raises:
        InvalidInputError: `path` is a file that is no backup, or its folder does not exist.
        StorageFullError: The disk is full.
        MemoryBackendError: The store failed, or a record of it cannot be read: a backup lacks nothing.
    """
    name = os.fspath(path)
    reading = StoreSource(source, session_ids=session_ids) if isinstance(source, IMemoryBackend) else source
    await settle(asyncio.to_thread(_check_place, name))
    await reading.open()
    try:
        writer = _Writer(name)
        try:
            await settle(asyncio.to_thread(writer.open))
            return await _write(reading, writer, progress)
        finally:
            await settle(asyncio.to_thread(writer.discard))
    finally:
        await reading.close()


def _check_place(name: str) -> None:
    if not os.path.isdir(os.path.dirname(os.path.abspath(name))):
        raise InvalidInputError(f"{name}: its folder does not exist")
    if os.path.lexists(name) and not is_backup(name):
        raise InvalidInputError(f"{name} exists and is not a backup", suggestion="choose another name")


async def _write(source: Source, writer: _Writer, progress: TransferProgress | None) -> BackupReport:
    total = done = 0
    if progress is not None:
        total = await source.message_total() if isinstance(source, StoreSource) else (await source.counts()).messages
    head = {"format": FORMAT, "version": VERSION, "created_at": now().isoformat(), "written_by": __version__}
    await writer.add([("H", _json(head))])
    totals = Totals()
    async with closing(source.sessions()) as sessions:
        async for session in sessions:
            session_id = session.metadata.session_id
            async for page in _written(session, writer, totals):
                done += page
                if progress is not None:
                    progress(done, total, session_id)
    await writer.add([("Z", _json(totals.manifest()))])
    size = await settle(asyncio.to_thread(writer.finish))
    return BackupReport(writer.name, size_bytes=size, **totals.manifest())


async def _written(session: SourceSession, writer: _Writer, totals: Totals) -> AsyncIterator[int]:
    """Write a session, and yield the number of messages of each page."""
    metadata, summaries = session.metadata, await session.summaries()
    content, messages = ContentHash(metadata, summaries), 0
    records = [("S", b"%d %s" % (session.message_count, pack_metadata(metadata)))]
    records += [("Y", pack_summary(summary)) for summary in summaries]
    async with closing(session.pages()) as pages:
        async for page in pages:
            documents = [pack_message(message) for message in page]
            content.add_packed(page, documents)
            for place, (message, document) in enumerate(zip(page, documents, strict=True), messages + 1):
                records.append(("M", b"%d %s" % (place if message.seq is None else message.seq, document)))
            messages += len(page)
            await writer.add(records)
            records = []
            yield len(page)
    records.append(("E", _json(totals.add(messages, len(summaries), content.hexdigest()))))
    await writer.add(records)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


class _Writer:
    """A file that takes its name when it is complete."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._packer = Packer()
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        folder, base = os.path.split(os.path.abspath(self.name))
        try:
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed by discard()
                dir=folder, prefix=f".{base}.", suffix=PARTIAL, delete=False
            )
        except OSError as exc:
            raise _failed("open", exc) from exc

    async def add(self, records: list[tuple[str, bytes]]) -> None:
        await settle(asyncio.to_thread(self._add, records))

    def _add(self, records: list[tuple[str, bytes]]) -> None:
        assert self._file is not None
        data = self._packer.add(records)
        try:
            self._file.write(data)
        except OSError as exc:
            raise _failed("write", exc) from exc

    def finish(self) -> int:
        assert self._file is not None
        try:
            self._file.write(self._packer.end())
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            os.replace(self._file.name, self.name)
            _sync_folder(os.path.dirname(os.path.abspath(self.name)))
        except OSError as exc:
            raise _failed("write", exc) from exc
        self._file = None
        return size

    def discard(self) -> None:
        """Remove what is not complete."""
        if self._file is not None:
            with suppress(OSError):  # a full disk: what is buffered cannot be written
                self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None


def _sync_folder(folder: str) -> None:
    # The new name must survive a power loss too. Windows cannot open folders, and needs no such call.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(operation: str, error: OSError) -> MemoryStorageError:
    kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else MemoryStorageError
    return kind(operation, "backup", error)
