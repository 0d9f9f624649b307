"""A backup back into a store: the whole file is verified before anything is written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO, TypeVar

from .._calls import settle
from ..errors import CorruptRecordError, InvalidInputError
from ..interfaces.contracts import IMemoryBackend
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository.documents import unpack_message, unpack_metadata, unpack_summary
from . import archive
from .archive import Record
from .hashing import ContentHash
from .report import TransferReport
from .source import SourceCounts
from .transfer import BATCH, TransferProgress, transfer

T = TypeVar("T")

PAGE = 500  # messages per page
SCANNED = 2_000  # records that are verified between two looks at whether the call was cancelled


class BackupSource:
    """A backup as a source. Opening it verifies the whole file.

    Args:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self.name = f"backup {self._path}"
        self._file: BinaryIO | None = None
        self._counts: SourceCounts | None = None
        self.sha256 = ""

    async def open(self) -> None:
        """Verify the file.

        Raises:
            InvalidInputError: It cannot be read, is no backup, is of a newer format, or is cut off or altered; the
                first record at fault is named.
        """
        if self._file is not None:
            return
        file = await settle(asyncio.to_thread(_open, self._path))
        try:
            await self._verify(file)
        except BaseException:
            file.close()
            raise
        # What was verified is read from the same open file: another one that takes its name meanwhile is not.
        self._file = file

    async def _verify(self, file: BinaryIO) -> None:
        sealed = await settle(asyncio.to_thread(archive.is_sealed, file))
        verifier = _Verifier(self._path)
        records = archive.read_records(file, self._path)
        while page := await _in_thread(lambda: _taken(verifier, records)):
            del page
        self._counts, self.sha256 = verifier.counts(), verifier.totals.sha256
        if not sealed:
            raise InvalidInputError(
                f"{self._path}: what follows record {verifier.number}, the last, was altered",
                suggestion="restore another copy of the backup",
            )

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            await settle(asyncio.to_thread(file.close))

    async def counts(self) -> SourceCounts:
        """Return what the manifest says, which was found to be true."""
        if self._counts is None:
            raise InvalidInputError(f"{self._path} is not open")
        return self._counts

    async def sessions(self) -> AsyncIterator[BackedUpSession]:
        """Yield the sessions in their order; each is read before the next."""
        if self._file is None:
            raise InvalidInputError(f"{self._path} is not open")
        reader = _Reader(self._path, archive.read_records(self._file, self._path))
        while (record := await reader.next()).kind != "Z":
            if record.kind != "S":
                continue  # the head, and what is left of a session that was not read to its end
            session = BackedUpSession(reader, record)
            await session.begin()
            yield session


class BackedUpSession:
    """A session of a backup. Made by :class:`BackupSource`."""

    def __init__(self, reader: _Reader, record: Record) -> None:
        count, _, document = record.body.partition(b" ")
        self._reader = reader
        self._metadata = unpack_metadata("backup", document)
        self._count = int(count)
        self._summaries: list[ConversationSummary] = []

    @property
    def metadata(self) -> SessionMetadata:
        """The session."""
        return self._metadata

    @property
    def message_count(self) -> int:
        """Messages that the store counted when it was backed up."""
        return self._count

    async def begin(self) -> None:
        """Read the summaries."""
        while (record := await self._reader.next()).kind == "Y":
            self._summaries.append(unpack_summary("backup", record.body))
        self._reader.back(record)

    async def pages(self) -> AsyncIterator[list[Message]]:
        """Yield the messages; once."""
        page: list[Message] = []
        while (record := await self._reader.next()).kind == "M":
            page.append(_message(record.body))
            if len(page) == PAGE:
                yield page
                page = []
        self._reader.back(record)
        if page:
            yield page

    async def summaries(self) -> Sequence[ConversationSummary]:
        """Return the summaries."""
        return self._summaries


async def restore(
    path: str | os.PathLike[str],
    target_backend: IMemoryBackend,
    *,
    session_ids: Iterable[str] | None = None,
    batch_size: int = BATCH,
    progress: TransferProgress | None = None,
    dry_run: bool = False,
) -> TransferReport:
    """Put everything a backup holds into a backend.

    The whole file is verified first; one that is cut off, altered, foreign or of a newer format is refused and the
    target left untouched. Restoring again changes nothing, and goes on where a run was interrupted. A session of the
    target that holds something else is reported, and left as it is.

    Args:
        path: The file.
        target_backend: Where to.
        session_ids: Only these. None: all.
        batch_size: Messages per transaction.
        progress: Called with the messages done, the messages of the backup, and the session's id.
        dry_run: Verify and compare, and write nothing.

    Raises:
        InvalidInputError: The file is refused; says why, and names the first record at fault.
        MemoryBackendError: The store failed. Calling again goes on where this call stopped.
    """
    return await transfer(
        BackupSource(path),
        target_backend,
        session_ids=session_ids,
        batch_size=batch_size,
        progress=progress,
        dry_run=dry_run,
    )


def is_backup(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a backup does; whether it is whole shows when it is opened."""
    try:
        with open(path, "rb") as file:
            if file.read(len(archive.MAGIC)) != archive.MAGIC:
                return False
            return next(archive.read_records(file, str(path)), None) is not None
    except InvalidInputError as exc:
        return "format version" in exc.message
    except OSError:
        return False


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as exc:
        raise InvalidInputError(f"cannot read {path}: {exc.strerror or type(exc).__name__}") from exc


async def _in_thread(call: Callable[[], T]) -> T:
    # Settled: a generator that a thread still runs cannot be closed.
    return await settle(asyncio.to_thread(call))


def _taken(verifier: _Verifier, records: Iterator[Record]) -> int:
    count = 0
    for record in islice(records, SCANNED):
        verifier.take(record)
        count += 1
    return count


def _message(body: bytes) -> Message:
    seq, _, document = body.partition(b" ")
    return unpack_message("backup", document, int(seq))


class _Reader:
    """The records of a verified file, one at a time, read in a thread by pages."""

    def __init__(self, name: str, records: Iterator[Record]) -> None:
        self._name, self._records = name, records
        self._page: list[Record] = []
        self._at = 0

    async def next(self) -> Record:
        if self._at == len(self._page):
            self._page, self._at = await _in_thread(lambda: list(islice(self._records, PAGE))), 0
            if not self._page:
                raise InvalidInputError(f"{self._name} was changed while it was read")
        self._at += 1
        return self._page[self._at - 1]

    def back(self, record: Record) -> None:
        assert self._page[self._at - 1] is record
        self._at -= 1


class _Verifier:
    """Whether the records of a file are those of a backup, and the counts and hashes are true."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.number = 0
        self._kind = ""
        self.totals = archive.Totals()
        self._metadata: SessionMetadata | None = None
        self._summaries: list[ConversationSummary] = []
        self._content: ContentHash | None = None
        self._messages = 0

    def take(self, record: Record) -> None:
        """Check the next record.

        Raises:
            InvalidInputError: It is not what may stand here.
        """
        if record.kind not in _AFTER.get(self._kind, ""):
            raise archive.broken(self._name, record.number)
        self.number, self._kind = record.number, record.kind
        try:
            self._look(record)
        except (CorruptRecordError, ValueError) as exc:
            raise archive.broken(self._name, record.number) from exc

    def _look(self, record: Record) -> None:
        if record.kind == "S":
            count, _, document = record.body.partition(b" ")
            int(count)
            self._metadata = unpack_metadata("backup", document)
            self._summaries, self._content, self._messages = [], None, 0
        elif record.kind == "Y":
            self._summaries.append(unpack_summary("backup", record.body))
        elif record.kind == "M":
            message = _message(record.body)
            self._hash().add_packed([message], [record.body.partition(b" ")[2]])
            self._messages += 1
        elif record.kind == "E":
            ending = self.totals.add(self._messages, len(self._summaries), self._hash().hexdigest())
            self._require(record, ending)
        elif record.kind == "Z":
            self._require(record, self.totals.manifest())

    def _hash(self) -> ContentHash:
        assert self._metadata is not None
        if self._content is None:
            self._content = ContentHash(self._metadata, self._summaries)
        return self._content

    def _require(self, record: Record, found: dict[str, object]) -> None:
        if archive.load_object(record.body) != found:
            raise archive.broken(self._name, record.number)

    def counts(self) -> SourceCounts:
        """Return the counts, all records being taken."""
        if self._kind != "Z":
            raise archive.cut_off(self._name, self.number + 1)
        return SourceCounts(self.totals.sessions, self.totals.messages, self.totals.summaries)


_AFTER = {"": "H", "H": "SZ", "S": "YME", "Y": "YME", "M": "ME", "E": "SZ"}
"""The kinds of record that may follow each kind."""
