"""What a side of a comparison can do: the floor and the package both, so every workload is written once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from benchmarks.data import Draft, Plan

Read = Callable[[], Awaitable[Sequence[Any]]]
Append = Callable[[Any], Awaitable[Any]]


class Side(Protocol):
    """The package, or a raw driver."""

    async def open(self) -> None:
        """Connect to a database of its own and create the tables."""

    async def close(self) -> None:
        """Disconnect."""

    async def add_session(self, session_id: str) -> None:
        """Store a session."""

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        """Store many sessions; not measured."""

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        """Store many messages; not measured."""

    async def settle(self) -> None:
        """Bring statistics up to date after loading; not measured."""

    def prepare(self, drafts: Sequence[Draft]) -> list[Any]:
        """Return the messages as this side's caller holds them; not measured."""

    async def appender(self, session_id: str, writer: int) -> Append:
        """Return what appends one prepared message, for the writer of this number."""

    async def batcher(self, session_id: str) -> Append:
        """Return what appends a list of prepared messages, all or none."""

    async def last(self, session_id: str, count: int) -> Read:
        """Return what reads the newest messages over an open handle."""

    async def history(self, session_id: str) -> Read:
        """Return what reads all messages over an open handle."""

    async def context(self, session_id: str, budget: int) -> Read:
        """Return what reads the newest messages within a budget of tokens."""

    async def opening(self, session_id: str, count: int) -> Read:
        """Return what finds a session nobody has a handle on, and reads its newest messages, in two calls."""

    async def opening_at_once(self, session_id: str, count: int) -> Read:
        """Return the same in one call, if there is such a call."""

    async def listing(self, user_id: str, count: int) -> Read:
        """Return what lists a user's newest sessions."""

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Look at role and text of each message, oldest first, as whoever builds a prompt does."""

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        """Return the ids of listed sessions."""

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        """Return (seq, message id) of all stored messages, by seq; for checking what was measured."""

    async def stored_bytes(self) -> int:
        """Return what the database takes on disk, its log not counted."""
