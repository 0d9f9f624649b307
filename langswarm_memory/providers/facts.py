"""What a stored session shows by itself: counts, times and gaps, read in one pass over its history."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from ..interfaces.contracts import IMemorySession
from ..interfaces.enums import SYSTEM_ROLES, MessageRole
from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..interfaces.timestamps import now
from ..session import BaseMemorySession
from ..windows.repair import Break
from .answers import SPEAKERS
from .turns import asks, called, results

KEPT_SPOKEN = 1_000  # messages held for topics and for a model to read; older ones are counted only


@dataclass
class Facts:
    """What a session shows.

    Args:
        metadata: The session's metadata, as stored now.
        read_at: When this was read, by the clock of the session's backend.

    Attributes:
        words_at: Position of the last message that neither calls tools nor holds results.
        summarised_to: Position of the last message that the newest summary covers.
        since_summary: Messages behind it.
        breaks: None where the session cannot tell.
    """

    metadata: SessionMetadata
    read_at: datetime
    by_role: Counter[str] = field(default_factory=Counter)
    tokens_by_role: Counter[str] = field(default_factory=Counter)
    uncounted: int = 0
    turns: int = 0
    tool_calls: Counter[str] = field(default_factory=Counter)
    tool_results: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    last: Message | None = None
    response_seconds: list[float] = field(default_factory=list)
    spoken: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_SPOKEN))
    breaks: list[Break] | None = None
    summarised_to: int | None = None
    since_summary: int = 0
    words_at: int = 0

    _asked_at: datetime | None = None

    @property
    def total(self) -> int:
        """Messages of every role."""
        return sum(self.by_role.values())

    @property
    def others(self) -> int:
        """Messages that are no instructions."""
        return sum(count for role, count in self.by_role.items() if role not in SYSTEM_ROLES)

    def add(self, message: Message) -> None:
        """Count a message; they come oldest first."""
        role = str(getattr(message.role, "value", message.role))
        self.by_role[role] += 1
        if message.token_count is None:
            self.uncounted += 1
        else:
            self.tokens_by_role[role] += message.token_count
        self.first_at = message.timestamp if self.first_at is None else min(self.first_at, message.timestamp)
        self.last_at = message.timestamp if self.last_at is None else max(self.last_at, message.timestamp)
        if role in SYSTEM_ROLES:
            return
        self.last = message
        self.since_summary += self.summarised_to is None or (message.seq or 0) > self.summarised_to
        calls, held = list(called(message)), results(message)
        self.tool_calls.update(calls)
        self.tool_results += held
        if not calls and (not held or asks(message)):
            self.words_at = message.seq or 0
        self._time(message)
        if message.role in SPEAKERS and message.text.strip():
            self.spoken.append(message)

    def _time(self, message: Message) -> None:
        """Note how long the user waited for words: calls and results on the way belong to the wait."""
        if asks(message):
            self.turns += 1
            self._asked_at = message.timestamp if self._asked_at is None else self._asked_at
        elif message.role == MessageRole.ASSISTANT and self._asked_at is not None and message.text.strip():
            seconds = (message.timestamp - self._asked_at).total_seconds()
            if seconds >= 0:  # timestamps are data: a clock may have stepped back
                self.response_seconds.append(seconds)
            self._asked_at = None


async def read_facts(session: IMemorySession) -> Facts:
    """Read a session.

    Cost: two passes over the history in pages, and two small reads. A session that is not of this package's backends
    is read through its interface: one page of messages, and no breaks.

    Raises:
        SessionNotFoundError: The session was deleted.
        MemoryBackendError: The store failed.
    """
    if isinstance(session, BaseMemorySession):
        facts = Facts(await session.refresh(), session.backend.clock())
    else:
        facts = Facts(session.metadata, now())
    summary = await session.get_summary()
    facts.summarised_to = summary.last_seq if summary is not None else None
    async for message in _history(session):
        facts.add(message)
    if isinstance(session, BaseMemorySession):
        facts.breaks = await session.find_breaks()
    return facts


async def _history(session: IMemorySession) -> AsyncIterator[Message]:
    if isinstance(session, BaseMemorySession):
        async for message in session.iter_messages():
            yield message
    else:
        for message in await session.get_messages():
            yield message
