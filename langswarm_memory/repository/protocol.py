"""The seam: what a store must do, and nothing else. Everything above is built from these primitives.

    open close ping · insert_session fetch_session replace_session list_sessions delete_sessions ·
    append read_messages delete_messages rewrite · put_summary list_summaries · stats

Rules that the signatures do not say are in ``langswarm_memory.testing.RepositoryConformance``, which every store
passes. The in-memory store (``repository/memory.py``) reads as the specification. What a store may do besides is in
``repository/optional.py`` and ``repository/text_search.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata


class SessionRecord(NamedTuple):
    """What a store knows about a session."""

    metadata: SessionMetadata
    revision: int
    """Counts the calls of ``replace_session``; appending leaves it alone."""
    message_count: int
    """Messages stored now."""
    token_count: int
    """Sum of their token counts."""
    last_seq: int
    """Highest ``seq`` ever given; never goes down, not even when messages are deleted."""
    edits: int = 0
    """Counts the calls of ``rewrite`` and ``delete_messages`` that changed stored messages; appending leaves it
    alone. Together with ``last_seq`` it tells whether anything changed since a look at the messages."""


class Appended(NamedTuple):
    """The outcome of an append."""

    seqs: tuple[int, ...]
    """One per message given, in order; the old one for a message that was stored before."""
    inserted: int
    """How many were new."""
    message_count: int
    """Messages in the session after the append."""
    last_seq: int
    """Highest ``seq`` after the append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageQuery:
    """Which messages to read. All given conditions hold together; the answer is always oldest first."""

    after_seq: int | None = None
    """Only messages with a higher seq."""
    before_seq: int | None = None
    """Only messages with a lower seq."""
    since: datetime | None = None
    """Only messages with this timestamp or a later one."""
    roles: frozenset[str] | None = None
    """Only messages of these roles. None: of every role."""
    exclude_roles: frozenset[str] = frozenset()
    """No messages of these roles."""
    keep_roles: frozenset[str] = frozenset()
    """Messages of these roles are all returned and not counted by ``limit``; they count for ``max_tokens``
    first and are never dropped for it."""
    newest_first: bool = True
    """Whether ``limit`` keeps the newest messages or the oldest."""
    limit: int | None = None
    """At most so many messages, counted after filtering. None: all; 0: none (but those of ``keep_roles``)."""
    max_tokens: int | None = None
    """With ``newest_first``: stop before the first message, going back, that would exceed this sum of token
    counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A change of stored messages, computed from what was read: carried out whole, or refused."""

    edits: int
    """The session's ``edits`` as read; another count now is a conflict."""
    last_seq: int | None = None
    """The session's ``last_seq`` as read, where messages appended meanwhile are a conflict too. None: they are not."""
    removed: tuple[Message, ...] = ()
    """Messages to delete, as read, in their order."""
    replaced: tuple[tuple[Message, Message], ...] = ()
    """Pairs of a message as read and what to store in its place, in their order. ``message_id`` and ``seq`` stay."""

    @property
    def count(self) -> int:
        """How many messages fewer there are afterwards."""
        return len(self.removed)

    @property
    def tokens(self) -> int:
        """How many tokens fewer (or, negative, more) the messages hold afterwards."""
        gone = sum(message.token_count or 0 for message in self.removed)
        return gone + sum((old.token_count or 0) - (new.token_count or 0) for old, new in self.replaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions to list: always newest first, by (created_at, session_id)."""

    user_id: str | None = None
    agent_id: str | None = None
    status: str | None = None
    live_at: datetime | None = None
    """Only sessions that have not expired at this instant and whose status is not expired."""
    expired_at: datetime | None = None
    """Only sessions that have expired at this instant, or whose status is expired."""
    updated_before: datetime | None = None
    after: tuple[datetime, str] | None = None
    """Keyset cursor: (created_at, session_id) of the last session of the page before."""
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFeatures:
    """What a store can promise beyond the protocol. Code above the seam asks these, never the type."""

    atomic_batches: bool = True
    """A batch is all or nothing. Where False, repeating the batch completes it."""
    gapless_seq: bool = True
    """The seqs of a session are 1, 2, 3, … in commit order."""
    commit_ordered: bool = True
    """A reader that has seen seq n never later finds a new message below n."""
    read_your_writes: bool = True
    """What a call acknowledged, the next call sees."""
    native_expiry: bool = False
    """The store itself removes expired sessions."""
    text_search: bool = False
    """Implements ``TextSearch`` of ``repository/text_search.py``."""
    signals: bool = False
    """Implements ``Signals`` of ``repository/optional.py``."""
    persistent: bool = True
    """Data outlives the process."""
    cancel_safe: bool = False
    """A cancelled call neither tears a write nor harms a connection, so it needs no shield."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How much a store holds."""

    sessions: int
    messages: int
    tokens: int
    size_bytes: int
    sessions_by_status: Mapping[str, int] = field(default_factory=dict)


class MemoryRepository(Protocol):
    """A store. Values in and out are copies; time comes in as an argument.

    Every method but ``open`` and ``close`` may raise ``MemoryBackendError``; only ``LangSwarmMemoryError`` leaves a
    repository. A missing session: ``fetch_session`` returns None, ``delete_sessions`` does not count it, everything
    else raises ``SessionNotFoundError``.
    """

    name: str
    features: StoreFeatures

    async def open(self) -> None:
        """Connect and bring the schema up to date; idempotent."""

    async def close(self) -> None:
        """Release everything; idempotent."""

    async def ping(self) -> None:
        """Make one round trip, or raise."""

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session. Raises ``SessionExistsError``."""

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, expired or not, or None."""

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace a session's metadata; another revision raises ``ConflictError`` (retryable)."""

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page of sessions."""

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions with their messages and summaries; return how many there were."""

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        *,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Appended:
        """Give each new message the next seq and store it; all or nothing.

        Args:
            session_id: The session.
            messages: At least one, ids distinct, token counts set.
            now: Becomes the session's ``updated_at``; a session expired by then refuses the append.
            expires_at: New expiry of the session. None: leave it.

        Raises:
            SessionNotFoundError: None such.
            SessionExpiredError: Past its expiry.
            ConflictError: An id of the batch is stored with other content; nothing was written.
        """

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first, each with its ``seq``."""

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to and including a seq (None: all), but those of some roles; return how many."""

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages at once, all or nothing, and return the session as it is then.

        Args:
            session_id: The session.
            change: Of messages that were read at its ``edits``, so they are as they were read.
            now: Becomes the session's ``updated_at``; a session expired by then refuses.

        Raises:
            SessionNotFoundError: None such.
            SessionExpiredError: Past its expiry.
            ConflictError: Messages were changed, or with ``change.last_seq`` appended, meanwhile; nothing was
                written (retryable: read again).
        """

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store a summary, or replace the one of that id in its session."""

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return a session's summaries, newest first by (created_at, summary_id)."""

    async def stats(self) -> StoreStats:
        """Return how much is stored."""


Params = Mapping[str, Any] | Sequence[Any] | None
