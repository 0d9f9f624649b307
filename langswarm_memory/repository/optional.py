"""What a store may do besides: primitives that make a feature cheaper, or possible at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from .protocol import MessageQuery, SessionRecord


@runtime_checkable
class OpenAndRead(Protocol):
    """Optional primitive: a session and its newest messages in one round trip."""

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return ``fetch_session`` and ``read_messages`` at once, of one snapshot; None: no such session."""


@runtime_checkable
class CopiesMessages(Protocol):
    """Optional primitive: a new session with messages of another, without reading them."""

    async def copy_session(
        self, session_id: str, metadata: SessionMetadata, *, through_seq: int | None
    ) -> SessionRecord:
        """Store a new session that holds a session's messages up to and including a seq (None: all), at once.

        The copies are numbered from 1 without gaps, and have the ids, times and contents of the originals.

        Raises:
            SessionNotFoundError: There is no session to copy from.
            SessionExistsError: The id of the new one is taken; nothing was written.
        """


@runtime_checkable
class Signals(Protocol):
    """Optional primitive: being told of appends, those of other processes included."""

    def signals(self, session_id: str) -> AbstractAsyncContextManager[Callable[[float], Awaitable[None]]]:
        """Listen while the context is open.

        Its value is ``wait(seconds)``, which returns when messages may have been appended since it was last called or
        the context was entered, or when the time is over. It may return for nothing. An append that was acknowledged
        after the context was entered is always told; where the connection breaks, ``wait`` returns at its time.
        """


@runtime_checkable
class Describes(Protocol):
    """Optional primitive: what a health check tells of a store besides its state."""

    async def describe(self) -> Mapping[str, Any]:
        """Return where and what the store is, such as its ``database`` or ``version``. No secrets."""


class IndexState(NamedTuple):
    """How far an index outside the store (of embeddings) has come with a session."""

    session_id: str
    last_seq: int
    """The session's, now."""
    edits: int
    """The session's, now."""
    indexed_seq: int
    """``last_seq`` when it was indexed; 0: never."""
    indexed_edits: int
    """``edits`` when it was indexed."""


@runtime_checkable
class TracksIndexes(Protocol):
    """Optional primitives: a transactional outbox without a row per message.

    Appends and rewrites move ``last_seq`` and ``edits`` in their own transaction. What an index outside of the store
    has seen is kept beside them, so a session is stale exactly while the two differ. It goes with the session.
    """

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of sessions that an index has not seen as they are, by ascending id, those above `after`.

        Args:
            index: Name of the index, such as that of its model.
            limit: At most so many.
            after: The last session id of the page before.
        """

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session, stale or not; None: no such session."""

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note that an index has seen a session as it was at `last_seq` and `edits`. No such session: nothing."""

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index: every session becomes stale for it."""
