"""A store of ours as a source: its sessions oldest first, their messages by pages, and their summaries.

Nothing is needed beyond the protocol of the repository. What a session holds is read up to the position that it had
when it was listed, so that each is copied as it was at one moment, though the store is in use meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from ..backend import BaseMemoryBackend
from ..errors import InvalidInputError, SessionNotFoundError, UnsupportedOperationError
from ..interfaces.contracts import IMemoryBackend
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository import codec
from ..repository.protocol import MessageQuery, SessionQuery, SessionRecord
from ..repository.whole import MovesSessions
from .closing import closing
from .source import SourceCounts

PAGE = 500  # messages per read
LISTED = 500  # sessions per listing
AHEAD = 8  # sessions that are read while earlier ones are written
GROUP = 2 * PAGE  # messages of short sessions that are read at once, where the store can
GROUPED = 200  # sessions that are read at once
GROUPS_AHEAD = 2  # such reads while earlier sessions are written


class _Begun(NamedTuple):
    """What is read of a session before its turn comes."""

    messages: list[Message]
    summaries: list[ConversationSummary]


class StoredSession:
    """A session of a store. Made by :class:`StoreSource`."""

    def __init__(self, backend: BaseMemoryBackend, record: SessionRecord, page_size: int) -> None:
        self._backend, self._record, self._page_size = backend, record, page_size
        self._begun: _Begun | None = None

    @property
    def metadata(self) -> SessionMetadata:
        """The session's metadata as listed."""
        return self._record.metadata

    @property
    def message_count(self) -> int:
        """Messages that it held when it was listed."""
        return self._record.message_count

    async def begin(self) -> None:
        """Read the first page and the summaries; what comes later is read when it is asked for."""
        if self._begun is None:
            self._begun = _Begun(await self._read(0), await self._list())

    def begun(self, messages: list[Message], summaries: list[ConversationSummary]) -> None:
        """Take what was read of it together with other sessions."""
        last = self._record.last_seq
        self._begun = _Begun([message for message in messages if (message.seq or 0) <= last], summaries)

    @property
    def is_short(self) -> bool:
        """Whether it is a page or less."""
        return self._record.message_count < self._page_size

    async def _read(self, after: int) -> list[Message]:
        if self._record.message_count == 0:
            return []
        query = MessageQuery(
            after_seq=after, before_seq=self._record.last_seq + 1, newest_first=False, limit=self._page_size
        )
        return await self._backend.perform(self._backend.repository.read_messages, self.metadata.session_id, query)

    async def _list(self) -> list[ConversationSummary]:
        listed = await self._backend.perform(self._backend.repository.list_summaries, self.metadata.session_id)
        return listed[::-1]

    async def pages(self) -> AsyncIterator[list[Message]]:
        """Yield the messages, oldest first, in pages."""
        page = self._begun.messages if self._begun is not None else await self._read(0)
        while page:
            yield page
            if len(page) < self._page_size:
                return
            page = await self._read(page[-1].seq or 0)

    async def summaries(self) -> Sequence[ConversationSummary]:
        """Return the summaries, oldest first."""
        return self._begun.summaries if self._begun is not None else await self._list()


class StoreSource:
    """Everything a backend holds, expired sessions included.

    Args:
        backend: Where from. One that is not connected is connected, and disconnected when the source is closed.
        session_ids: Only these sessions. None: all.
        page_size: Messages per read.
    """

    def __init__(
        self, backend: IMemoryBackend, *, session_ids: Iterable[str] | None = None, page_size: int = PAGE
    ) -> None:
        self._backend = full_backend(backend)
        if type(page_size) is not int or page_size < 1:
            raise InvalidInputError("page_size must be a positive int")
        self._page_size = page_size
        self._ids = None if session_ids is None else [codec.check_id(one, "session_ids") for one in session_ids]
        self._connected_here = False
        self.name = f"{self._backend.repository.name} store"

    def only(self, session_ids: Iterable[str]) -> StoreSource:
        """Return a source of some sessions of the same backend."""
        return StoreSource(self._backend, session_ids=session_ids, page_size=self._page_size)

    async def open(self) -> None:
        """Connect."""
        if not self._backend.is_connected:
            await self._backend.connect()
            self._connected_here = True

    async def close(self) -> None:
        """Disconnect, if the source connected."""
        if self._connected_here:
            self._connected_here = False
            await self._backend.disconnect()

    async def counts(self) -> SourceCounts:
        """Return how much there is: a listing, and a read per session for its summaries."""
        sessions = messages = summaries = 0
        async with closing(self._records()) as records:
            async for record in records:
                listed = await self._backend.perform(
                    self._backend.repository.list_summaries, record.metadata.session_id
                )
                sessions, messages = sessions + 1, messages + record.message_count
                summaries += len(listed)
        return SourceCounts(sessions, messages, summaries)

    async def message_total(self) -> int:
        """Return how many messages there are: a listing."""
        async with closing(self._records()) as records:
            return sum([record.message_count async for record in records])

    async def sessions(self) -> AsyncIterator[StoredSession]:
        """Yield the sessions, oldest first, reading a few ahead. One that is deleted meanwhile is left out."""
        together = isinstance(self._backend.repository, MovesSessions)
        ahead = GROUPS_AHEAD if together else AHEAD
        waiting: deque[tuple[list[StoredSession], asyncio.Task[list[StoredSession]]]] = deque()
        try:
            async with closing(self._groups(together)) as groups:
                async for group in groups:
                    waiting.append((group, asyncio.ensure_future(self._begin(group))))
                    if len(waiting) > ahead:
                        for session in await _first(waiting):
                            yield session
            while waiting:
                for session in await _first(waiting):
                    yield session
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)

    async def _groups(self, together: bool) -> AsyncIterator[list[StoredSession]]:
        group: list[StoredSession] = []
        async with closing(self._records()) as records:
            async for record in records:
                session = StoredSession(self._backend, record, self._page_size)
                size = sum(one.message_count for one in group) + session.message_count
                if group and (not together or not session.is_short or size > GROUP or len(group) == GROUPED):
                    yield group
                    group = []
                group.append(session)
                if not session.is_short:
                    yield group
                    group = []
        if group:
            yield group

    async def _begin(self, group: list[StoredSession]) -> list[StoredSession]:
        repository = self._backend.repository
        if len(group) > 1 and isinstance(repository, MovesSessions):
            found = await self._backend.perform(repository.read_whole, [one.metadata.session_id for one in group])
            for session in group:
                session.begun(*found[session.metadata.session_id])
            return group
        kept = []
        for session in group:
            try:
                await session.begin()
            except SessionNotFoundError:  # deleted since it was listed
                continue
            kept.append(session)
        return kept

    async def _records(self) -> AsyncIterator[SessionRecord]:
        repository = self._backend.repository
        if self._ids is not None:
            for session_id in dict.fromkeys(self._ids):
                record = await self._backend.perform(repository.fetch_session, session_id)
                if record is not None:
                    yield record
            return
        # Stores list the newest first. A first pass keeps only where each page begins; a second one goes backwards.
        pages: list[SessionQuery] = []
        ends: list[str] = []
        query = SessionQuery(limit=LISTED)
        while page := await self._backend.perform(repository.list_sessions, query):
            pages.append(query)
            last = page[-1].metadata
            ends.append(last.session_id)
            query = SessionQuery(after=(last.created_at, last.session_id), limit=LISTED)
            if len(page) < LISTED:
                break
        while pages:
            for record in reversed(await self._page(pages.pop(), ends.pop())):
                yield record

    async def _page(self, query: SessionQuery, end: str) -> list[SessionRecord]:
        page = await self._backend.perform(self._backend.repository.list_sessions, query)
        found = list(page)
        # Sessions that were made since the first pass push others off the page.
        while len(page) == LISTED and all(record.metadata.session_id != end for record in page):
            last = page[-1].metadata
            query = SessionQuery(after=(last.created_at, last.session_id), limit=LISTED)
            page = await self._backend.perform(self._backend.repository.list_sessions, query)
            found += page
        return found


async def _first(
    waiting: deque[tuple[list[StoredSession], asyncio.Task[list[StoredSession]]]],
) -> list[StoredSession]:
    task = waiting[0][1]
    try:
        return await task
    finally:
        if task.done():
            waiting.popleft()


def full_backend(backend: object) -> BaseMemoryBackend:
    """Return the backend, which must be one over a repository.

    Raises:
        InvalidInputError: No backend.
        UnsupportedOperationError: One of another kind.
    """
    if isinstance(backend, BaseMemoryBackend):
        return backend
    if isinstance(backend, IMemoryBackend):
        raise UnsupportedOperationError(type(backend).__name__, "moving data")
    raise InvalidInputError(f"a backend is needed, got {type(backend).__name__}")
