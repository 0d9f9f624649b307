"""What this process knows of sessions that it writes to. All of it can be forgotten: it saves requests, no more."""

from __future__ import annotations

from asyncio import Lock
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from .records import Json, StoredSession

Name = tuple[str, int]
"""A message: the key of its session, and its seq."""

FOUND = -1  # in place of a number of refreshes: searches find the message already
MOST = 256  # sessions remembered


@dataclass(slots=True)
class SessionState:
    """One session."""

    lock: Lock = field(default_factory=Lock)
    """Held while its document is changed: writers of one process queue here instead of refuting each other."""
    known: StoredSession | None = None
    """The document as last written here. A write that is conditional on it tells whether it still holds."""
    on_the_way: set[Name] = field(default_factory=set)
    """Pending messages that this process is writing into the index of messages."""
    written: dict[Name, int] = field(default_factory=dict)
    """Pending messages that are in the index of messages, and how many refreshes had begun by then."""

    def learn(self, stored: StoredSession) -> None:
        """Note the newest document."""
        self.known = stored
        if self.written:
            pending = {(stored.key, entry["seq"]) for entry in stored.pending}
            self.written = {name: begun for name, begun in self.written.items() if name in pending}

    def unfound(self, stored: StoredSession, refreshed: int) -> list[Json]:
        """Return the pending messages that searches may not find.

        Args:
            stored: The session.
            refreshed: Which refresh was the last to end, counted as they begin.
        """
        written = self.written
        return [e for e in stored.pending if written.get((stored.key, e["seq"]), refreshed) >= refreshed]


class States:
    """The sessions written to most recently."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, SessionState] = OrderedDict()

    def of(self, session_id: str) -> SessionState:
        """Return the state of a session."""
        state = self._states.setdefault(session_id, SessionState())
        self._states.move_to_end(session_id)
        while len(self._states) > MOST:
            self._states.popitem(last=False)
        return state

    @asynccontextmanager
    async def held(self, session_ids: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of those sessions that are remembered, and forget what was known of them."""
        async with AsyncExitStack() as stack:
            for session_id in sorted(set(session_ids)):  # one order for all, so that two callers do not wait in a ring
                if session_id in self._states:
                    state = self._states[session_id]
                    await stack.enter_async_context(state.lock)
                    state.known = None
            yield
