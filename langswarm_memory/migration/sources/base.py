"""What the readers of all earlier formats have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ..closing import closing
from ..source import SourceCounts, SourceSession
from .records import Record
from .values import Losses, Times

PAGE = 500  # messages read at once
PAGE_BYTES = 4_000_000  # text after which a page ends early: rows may be large

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over a source: how times are read, and what was not carried over exactly so far."""

    losses: Losses
    times: Times

    def record(self, what: str, row: Row) -> Record:
        """Return a row to be read."""
        return Record(what, row, self.losses, self.times)

    def times_of_messages(self, first: object, last: object) -> Row:
        """Return the times of a session that are those of its messages; counted when the messages are read."""
        record = Record("session", {"created_at": first, "updated_at": last}, Losses(), self.times)
        return {name: record.time(name) for name in record.row}


async def no_summaries() -> Sequence[ConversationSummary]:
    """Return the summaries of a format that has none."""
    return ()


@dataclass(frozen=True, slots=True)
class EarlierSession:
    """A session of an earlier format; see ``SourceSession``."""

    metadata: SessionMetadata
    message_count: int
    pages: Callable[[], AsyncIterator[list[Message]]]
    summaries: Callable[[], Any] = no_summaries


class EarlierSource(ABC):
    """A source in an earlier format; see ``Source``.

    Args:
        name: What it is, for people, without secrets.
        times: How times are read.
    """

    def __init__(self, name: str, times: Times) -> None:
        self.name = name
        self._times = times
        self._counts: SourceCounts | None = None

    @abstractmethod
    async def open(self) -> None:
        """Make ready to read."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything; idempotent."""

    @abstractmethod
    def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        """Yield the sessions in a stable order."""

    async def counts(self) -> SourceCounts:
        """Return how much there is and what cannot be carried over as it is. Reads everything once."""
        if self._counts is None:
            reading = Reading(Losses(), self._times)
            sessions = messages = summaries = 0
            async for session in self._read(reading):
                sessions += 1
                async for page in session.pages():
                    messages += len(page)
                summaries += len(await session.summaries())
            self._counts = SourceCounts(sessions, messages, summaries, dict(sorted(reading.losses.items())))
        return self._counts

    async def sessions(self) -> AsyncIterator[SourceSession]:
        """Yield the sessions in a stable order, oldest first as far as the source knows."""
        async with closing(self._read(Reading(Losses(), self._times))) as sessions:
            async for session in sessions:
                yield session


class JoinedSource(EarlierSource):
    """Several formats in one place, read one after the other."""

    def __init__(self, parts: Sequence[EarlierSource]) -> None:
        super().__init__(" and ".join(part.name for part in parts), Times())
        self._parts = parts

    async def open(self) -> None:
        """Open all of them."""
        for part in self._parts:
            await part.open()

    async def close(self) -> None:
        """Close all of them."""
        for part in self._parts:
            await part.close()

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        for part in self._parts:
            async for session in part._read(Reading(reading.losses, part._times)):
                yield session
