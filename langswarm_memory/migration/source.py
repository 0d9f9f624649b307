"""What data is moved out of: a store of ours, a backup, or what earlier software left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """How much a source holds, and what of it cannot be carried over unchanged."""

    sessions: int
    messages: int
    summaries: int = 0
    losses: dict[str, int] = field(default_factory=dict)
    """By reason, in words a user understands: how many records are changed or left behind."""


class SourceSession(Protocol):
    """One session of a source. Its parts are read lazily, so that a long history never stands in memory whole."""

    @property
    def metadata(self) -> SessionMetadata:
        """The session, as it will be stored."""

    @property
    def message_count(self) -> int:
        """How many messages ``pages()`` yields in all."""

    def pages(self) -> AsyncIterator[list[Message]]:
        """Yield the messages, oldest first, in pages; each with its ``seq`` where the source has one."""

    async def summaries(self) -> Sequence[ConversationSummary]:
        """Return the summaries, oldest first."""


class Source(Protocol):
    """Something sessions are read from. Reading never changes it."""

    name: str
    """What it is, for people: the kind and the place, without secrets."""

    async def open(self) -> None:
        """Make ready to read; raises a typed error that says what is wrong with the source."""

    async def close(self) -> None:
        """Release everything; idempotent."""

    async def counts(self) -> SourceCounts:
        """Return how much there is, without changing anything."""

    def sessions(self) -> AsyncIterator[SourceSession]:
        """Yield the sessions in a stable order, oldest first."""
