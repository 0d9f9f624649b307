"""From any source into any store: resumable, in flat memory, and the same twice is stored once.

The source is read in order by one reader; up to ``WRITERS`` sessions are written at the same time, so that stores can
put what several of them append into one transaction. No more than ``BUFFERED`` pages wait in between.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..backend import BaseMemoryBackend
from ..errors import (
    ConflictError,
    CorruptRecordError,
    InvalidInputError,
    LangSwarmMemoryError,
    SessionExistsError,
    SessionNotFoundError,
)
from ..incoming import counted
from ..interfaces.contracts import IMemoryBackend
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary
from ..repository.whole import MovesSessions, WholeSession
from .closing import closing
from .placing import Placed, Placing
from .report import TransferFailure, TransferReport
from .source import Source, SourceSession
from .stores import StoreSource, full_backend

BATCH = 500  # messages per transaction
WRITERS = 16  # sessions written at the same time
BUFFERED = 2  # pages of a session that wait for its writer
GROUP = 1_000  # messages of short sessions that are stored at once, where the store can
GROUPED = 200  # sessions that are stored at once
GROUP_WRITERS = 2  # such groups that are written at the same time

TransferProgress = Callable[[int, int, str], None]
"""Called with the messages done, the messages of the source, and the session's id."""


async def transfer(
    source: Source | IMemoryBackend,
    target_backend: IMemoryBackend,
    *,
    session_ids: Iterable[str] | None = None,
    batch_size: int = BATCH,
    progress: TransferProgress | None = None,
    dry_run: bool = False,
) -> TransferReport:
    """Copy sessions with their messages and summaries into a backend.

    Ids, order, times, metadata, status and expiry are the same there. Positions are given anew, from 1; see
    ``langswarm_memory.migration.numbering`` for what that means to summaries.

    Copying again changes nothing, and goes on where a run was interrupted, however that happened. A session that grew
    in the source gets what is new. A session of the target that holds something else under the same id is a failure of
    the report; it is never changed.

    Args:
        source: Where from: a backend, a backup, or what ``detect_source`` found. Opened here, and closed if it was not
            open.
        target_backend: Where to; connected if it is not, and left connected.
        session_ids: Only these. None: all.
        batch_size: Messages per transaction.
        progress: Called after each page. It makes the source count its messages first.
        dry_run: Read and compare everything, and write nothing: the report says what would be done.

    Raises:
        InvalidInputError: No such source, a wrong batch size, or source and target are the same backend.
        MemoryBackendError: A store failed. Calling again goes on where this call stopped.
    """
    target = full_backend(target_backend)
    if source is target_backend:
        raise InvalidInputError("source and target are the same backend")
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidInputError("batch_size must be a positive int")
    reading = StoreSource(source) if isinstance(source, IMemoryBackend) else source
    wanted = None if session_ids is None else frozenset(session_ids)
    if wanted is not None and isinstance(reading, StoreSource):
        reading = reading.only(sorted(wanted))
    await reading.open()
    try:
        return await _Run(reading, target, wanted, batch_size, progress, dry_run).run()
    finally:
        await reading.close()


class _Run:
    """One run over one source. Short sessions go in groups where the store takes several at once."""

    def __init__(
        self,
        source: Source,
        target: BaseMemoryBackend,
        wanted: frozenset[str] | None,
        batch_size: int,
        progress: TransferProgress | None,
        dry_run: bool,
    ) -> None:
        self._source, self._target, self._wanted = source, target, wanted
        self._batch_size, self._progress, self._dry_run = batch_size, progress, dry_run
        self._total = self._done = 0
        self._counts: Counter[str] = Counter()
        self._failures: list[TransferFailure] = []
        self._slots = asyncio.Semaphore(WRITERS)
        self._new = True  # whether sessions are likely not there yet
        self._together = not dry_run and isinstance(target.repository, MovesSessions)
        self._short: list[_Short] = []
        self._group_slots = asyncio.Semaphore(GROUP_WRITERS)

    async def run(self) -> TransferReport:
        """Copy every session."""
        losses = await self._count()
        try:
            async with asyncio.TaskGroup() as writers, closing(self._source.sessions()) as sessions:
                async for session in sessions:
                    await self._read(session, writers)
                await self._flush(writers)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        counts = dict(self._counts)
        sessions_seen = sum(counts.get(name, 0) for name in _OUTCOMES) + len(self._failures)
        return TransferReport(
            self._source.name,
            self._dry_run,
            sessions_seen,
            failures=tuple(sorted(self._failures, key=lambda failure: failure.session_id)),
            losses=losses,
            **counts,
        )

    async def _count(self) -> Mapping[str, int]:
        if isinstance(self._source, StoreSource):
            if self._progress is not None:
                self._total = await self._source.message_total()
            return {}
        counts = await self._source.counts()
        self._total = counts.messages
        return counts.losses

    async def _read(self, session: SourceSession, writers: asyncio.TaskGroup) -> None:
        session_id = session.metadata.session_id
        if self._wanted is not None and session_id not in self._wanted:
            return
        try:
            summaries = await session.summaries()
            async with closing(session.pages()) as pages:
                begin = [page async for page in _at_most(pages, 2)]
                if len(begin) < 2 and self._together and self._new and _is_plain(begin, summaries):
                    await self._collect(_Short(session, begin[0] if begin else [], summaries), writers)
                else:
                    await self._feed(session, summaries, begin, pages, writers)
        except _UNREADABLE as exc:
            self._failures.append(TransferFailure(session_id, exc))

    def _tell(self, page: Sequence[Message], session_id: str) -> None:
        self._done += len(page)
        if self._progress is not None and page:
            self._progress(self._done, self._total, session_id)

    async def _feed(
        self,
        session: SourceSession,
        summaries: Sequence[ConversationSummary],
        begin: list[list[Message]],
        pages: AsyncIterator[list[Message]],
        writers: asyncio.TaskGroup,
    ) -> None:
        """Hand a session to a writer of its own, page by page."""
        await self._slots.acquire()
        feed = _Feed()
        writers.create_task(self._write(session, feed, summaries))
        try:
            for page in begin:
                await feed.put(page)
                self._tell(page, session.metadata.session_id)
            async for page in pages:
                await feed.put(page)
                self._tell(page, session.metadata.session_id)
        except _UNREADABLE as exc:
            await feed.put(exc)
        else:
            await feed.put(None)

    async def _write(self, session: SourceSession, feed: _Feed, summaries: Sequence[ConversationSummary]) -> None:
        try:
            await self._place(session, summaries, feed.pages())
        finally:
            feed.abandon()
            self._slots.release()

    async def _place(
        self,
        session: SourceSession,
        summaries: Sequence[ConversationSummary],
        pages: AsyncIterator[list[Message]],
    ) -> None:
        placing = Placing(self._target, self._batch_size, dry_run=self._dry_run, new=self._new)
        try:
            self._add(await placing.place(session.metadata, summaries, pages))
        except (ConflictError, *_UNREADABLE) as exc:
            self._failures.append(TransferFailure(session.metadata.session_id, exc))
        self._new = not placing.found

    # --- short sessions, many at a time ------------------------------------------------------------------------

    async def _collect(self, short: _Short, writers: asyncio.TaskGroup) -> None:
        self._short.append(short)
        self._tell(short.messages, short.session.metadata.session_id)
        if len(self._short) >= GROUPED or sum(len(one.messages) for one in self._short) >= GROUP:
            await self._flush(writers)

    async def _flush(self, writers: asyncio.TaskGroup) -> None:
        if self._short:
            await self._group_slots.acquire()
            group, self._short = self._short, []
            writers.create_task(self._write_group(group))

    async def _write_group(self, group: list[_Short]) -> None:
        repository, count = self._target.repository, self._target.token_counter
        assert isinstance(repository, MovesSessions)
        try:
            whole = [
                WholeSession(one.session.metadata, [counted(message, count) for message in one.messages], one.summaries)
                for one in group
            ]
            await self._target.perform(repository.insert_whole, whole)
        except (ConflictError, CorruptRecordError, InvalidInputError, SessionExistsError):
            # One of them is there already, or cannot be stored; by itself each is treated as it should be.
            for one in group:
                await self._place(one.session, one.summaries, _single(one.messages))
        else:
            for one in group:
                self._add(Placed("copied", len(one.messages), len(one.summaries)))
        finally:
            self._group_slots.release()

    def _add(self, placed: Placed) -> None:
        self._counts[placed.outcome] += 1
        self._counts["messages"] += placed.messages
        self._counts["summaries"] += placed.summaries


_UNREADABLE = (CorruptRecordError, InvalidInputError, SessionNotFoundError)
_OUTCOMES = ("copied", "continued", "unchanged", "ahead", "expired")


class _Short(NamedTuple):
    """A session that was read whole."""

    session: SourceSession
    messages: list[Message]
    summaries: Sequence[ConversationSummary]


def _is_plain(begin: list[list[Message]], summaries: Sequence[ConversationSummary]) -> bool:
    """Return whether positions stay what they are, as far as summaries name any."""
    reach = max((summary.last_seq or 0 for summary in summaries), default=0)
    messages = begin[0] if begin else []
    numbered = all(message.seq in (None, place) for place, message in enumerate(messages, 1))
    return reach == 0 or (numbered and reach <= len(messages))


async def _at_most(pages: AsyncIterator[list[Message]], count: int) -> AsyncIterator[list[Message]]:
    for _ in range(count):
        try:
            yield await anext(pages)
        except StopAsyncIteration:
            return


async def _single(page: list[Message]) -> AsyncIterator[list[Message]]:
    if page:
        yield page


class _Feed:
    """The pages of a session on their way from the reader to its writer."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[list[Message] | LangSwarmMemoryError | None] = asyncio.Queue(BUFFERED)
        self._abandoned = asyncio.Event()

    async def put(self, page: list[Message] | LangSwarmMemoryError | None) -> None:
        """Hand a page over, the reason why there is none, or the end; nothing once the writer has ended."""
        if self._abandoned.is_set():
            return
        await self._queue.put(page)

    def abandon(self) -> None:
        """Take nothing more; a reader that waits goes on."""
        self._abandoned.set()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def pages(self) -> AsyncIterator[list[Message]]:
        """Yield the pages."""
        while (page := await self._queue.get()) is not None:
            if isinstance(page, LangSwarmMemoryError):
                raise page
            yield page
