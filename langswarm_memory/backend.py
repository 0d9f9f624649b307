"""A backend: every feature of a store of sessions, once, over any repository."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from weakref import WeakValueDictionary

from ._calls import settle
from .errors import (
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryBackendError,
    NotConnectedError,
    SessionExistsError,
)
from .interfaces.contracts import IMemoryBackend
from .interfaces.enums import MemoryBackendType, SessionStatus
from .interfaces.message import Message
from .interfaces.records import SessionMetadata, coerce_status
from .interfaces.timestamps import Timestamp, now
from .plain import PlainMethods
from .recall.methods import RecallMethods
from .repository import codec
from .repository.protocol import (
    MemoryRepository,
    MessageQuery,
    SessionQuery,
    SessionRecord,
    StoreFeatures,
)
from .session import BaseMemorySession
from .settings import BackendSettings, load_settings
from .state import TellsState
from .summaries import Summarizer, default_digest, strategy_of
from .tokens import TokenCounter, get_token_counter
from .windows import check_limit

if TYPE_CHECKING:
    from .background import SummaryWorker

T = TypeVar("T")

SWEEP_PAGE = 500  # sessions deleted per statement while cleaning up
INSERT_TRIES = 3  # times a session is inserted again after an expired one of its id was removed


class BaseMemoryBackend(TellsState, RecallMethods, PlainMethods, IMemoryBackend):
    """A store of sessions.

    Subclasses say how settings become a repository; nothing else differs between stores.

    Args:
        config: Settings as a mapping, or as text what the store calls its address (a path or a URL).
        clock: Where the present instant comes from.
        token_counter: Counts messages that come without a token count, as the setting of that name. None: that of the
            settings.
        summarizer: Makes summaries: a function or an async one, see ``langswarm_memory.summaries``.
        **options: Settings as keywords; they win over `config`.

    Raises:
        MemoryConfigurationError: A setting is unknown (the nearest known one is named) or out of range.
    """

    settings_class: ClassVar[type[BackendSettings]]
    session_class: ClassVar[type[BaseMemorySession]] = BaseMemorySession
    kind: ClassVar[MemoryBackendType]

    def __init__(
        self,
        config: Mapping[str, Any] | str | None = None,
        *,
        clock: Callable[[], Timestamp] = now,
        token_counter: TokenCounter | str | None = None,
        summarizer: Summarizer = default_digest,
        **options: Any,
    ) -> None:
        self.settings = load_settings(self.settings_class, config, **options)
        self.clock = clock
        self.token_counter = get_token_counter(self.settings.token_counter if token_counter is None else token_counter)
        self.summarizer = summarizer
        self.summary_worker: SummaryWorker | None = None  # a started manager's
        self._summary_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.watchers: dict[str, set[asyncio.Event]] = {}
        self.repository: MemoryRepository = self._build(self.settings)
        ttl = self.settings.ttl
        self._ttl = timedelta(seconds=ttl) if ttl else None
        self.deletes_overflow = self.settings.overflow == "delete"
        self._shielded = not self.repository.features.cancel_safe
        self._connected = False
        self._disconnected = False
        self._connecting: asyncio.Task[None] | None = None
        self._last_error: LangSwarmMemoryError | None = None
        self._last_cleanup: Timestamp | None = None

    def _build(self, settings: Any) -> MemoryRepository:
        raise NotImplementedError

    def __repr__(self) -> str:
        state = "connected" if self._connected else "disconnected" if self._disconnected else "new"
        return f"<{type(self).__name__} {state}>"

    # --- life --------------------------------------------------------------------------------------------------

    @property
    def backend_type(self) -> MemoryBackendType:
        """Kind of store."""
        return self.kind

    @property
    def config(self) -> BackendSettings:
        """The settings in force."""
        return self.settings

    @property
    def is_connected(self) -> bool:
        """Whether the store is open."""
        return self._connected

    @property
    def features(self) -> StoreFeatures:
        """What the store promises beyond the protocol."""
        return self.repository.features

    async def connect(self) -> bool:
        """Open the store and bring its schema up to date; return True. Idempotent.

        Every operation connects by itself; calling this first only makes a failure show earlier.

        Raises:
            MemoryBackendError: The store cannot be reached, or its schema is not ours to use.
        """
        self._disconnected = False
        await self.ensure_connected()
        return True

    async def disconnect(self) -> bool:
        """Close the store and return True. Idempotent; later use raises ``NotConnectedError`` until a ``connect``."""
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        self._connected, self._disconnected = False, True
        if self._semantic is not None:
            await self._semantic.close()
        await settle(self.repository.close())
        return True

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.disconnect()

    async def ensure_connected(self) -> None:
        """Connect unless that was done; what every operation does first."""
        if self._disconnected:
            raise NotConnectedError("the backend was disconnected", suggestion="call connect() first")
        if self._connected:
            return
        if self._connecting is None or self._connecting.done():  # done: the one that failed after it was abandoned
            self._connecting = asyncio.ensure_future(self._open())
        opening = self._connecting
        try:
            await asyncio.shield(opening)
        finally:
            if opening.done() and self._connecting is opening:
                self._connecting = None

    def require_connected(self) -> None:
        """Raise ``NotConnectedError`` unless the store is open; for accessors that cannot wait for it."""
        if not self._connected:
            raise NotConnectedError("the backend is not connected", suggestion="call connect() first")

    async def _open(self) -> None:
        try:
            await self.repository.open()
        except LangSwarmMemoryError as exc:
            self._last_error = exc
            raise
        self._connected = True

    async def perform(self, call: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Call the repository: connected, and settled where a cancelled call could do harm."""
        if not self._connected:
            await self.ensure_connected()
        try:
            if self._shielded:
                return await settle(call(*args, **kwargs))
            return await call(*args, **kwargs)
        except MemoryBackendError as exc:
            self._last_error = exc
            raise

    def expiry(self, at: Timestamp) -> Timestamp | None:
        """Return when a session that is written at `at` expires; None without a TTL."""
        return at + self._ttl if self._ttl is not None else None

    def set_ttl(self, seconds: int | None) -> None:
        """Let sessions expire so long after their last message. None: never."""
        self._ttl = timedelta(seconds=seconds) if seconds else None

    def appended(self, session_id: str) -> None:
        """Tell those in this process who want to know that messages were appended to a session."""
        for wake in self.watchers.get(session_id, ()):
            wake.set()
        if self.embedding_worker is not None:
            self.embedding_worker.appended(session_id)

    def changed(self, session_id: str, edits: int, seqs: Iterable[int], removed: Iterable[str]) -> None:
        """Tell those in this process who want to know that messages of a session were changed.

        Args:
            session_id: The session.
            edits: Its count of edits since.
            seqs: Which were replaced.
            removed: Ids of those that were deleted.
        """
        for wake in self.watchers.get(session_id, ()):
            wake.set()
        if self.embedding_worker is not None:
            self.embedding_worker.touched(session_id, edits, seqs, removed)

    def summary_lock(self, session_id: str) -> asyncio.Lock:
        """Return the lock of this process on making summaries of a session."""
        lock = self._summary_locks.get(session_id)
        if lock is None:
            lock = self._summary_locks[session_id] = asyncio.Lock()
        return lock

    # --- sessions ----------------------------------------------------------------------------------------------

    def session_of(self, record: SessionRecord) -> BaseMemorySession:
        """Return a handle on a session that was just read."""
        return self.session_class(record.metadata, self)

    async def create_session(self, metadata: SessionMetadata) -> BaseMemorySession:
        """Store a new session. An expired one of the same id makes room for it.

        Raises:
            SessionExistsError: The id is taken.
            InvalidInputError: A field cannot be stored.
        """
        codec.encode_metadata(metadata)
        strategy_of(metadata)  # refused before it is stored
        if metadata.expires_at is None and self._ttl is not None:
            metadata = SessionMetadata(
                **{f: getattr(metadata, f) for f in SessionMetadata.__dataclass_fields__ if f != "expires_at"},
                expires_at=self.expiry(self.clock()),
            )
        for attempt in range(INSERT_TRIES):
            try:
                return self.session_of(await self.perform(self.repository.insert_session, metadata))
            except SessionExistsError:
                taken = await self.perform(self.repository.fetch_session, metadata.session_id)
                if attempt == INSERT_TRIES - 1 or (taken is not None and not self._expired(taken)):
                    raise
                await self._delete([metadata.session_id])
        raise AssertionError("unreachable")

    def _expired(self, record: SessionRecord) -> bool:
        return record.metadata.is_expired(self.clock()) or record.metadata.status == SessionStatus.EXPIRED

    async def get_session(self, session_id: str) -> BaseMemorySession | None:
        """Return a session; None when there is none or it has expired."""
        codec.check_id(session_id, "session_id")
        record = await self.perform(self.repository.fetch_session, session_id)
        return None if record is None or self._expired(record) else self.session_of(record)

    async def open_session(self, session_id: str, limit: int = 50) -> tuple[BaseMemorySession, list[Message]] | None:
        """Return a session and its newest messages; one round trip where the store can do both at once.

        Args:
            session_id: The session.
            limit: How many messages.
        """
        codec.check_id(session_id, "session_id")
        query = MessageQuery(limit=check_limit(limit))
        combined = getattr(self.repository, "fetch_with_messages", None)
        if combined is None:
            session = await self.get_session(session_id)
            return None if session is None else (session, await session.get_messages(limit))
        found = await self.perform(combined, session_id, query)
        if found is None or self._expired(found[0]):
            return None
        return self.session_of(found[0]), found[1]

    async def list_sessions(
        self,
        user_id: str | None = None,
        status: SessionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        agent_id: str | None = None,
        after: SessionMetadata | tuple[datetime, str] | None = None,
    ) -> list[SessionMetadata]:
        """Return a page of sessions, newest created first, in one statement.

        Expired sessions are left out, unless ``status=SessionStatus.EXPIRED`` asks for them.

        Args:
            user_id: Only this user's.
            status: Only of this status.
            limit: Sessions per page.
            offset: Sessions to skip. For deep pages use `after`: it costs the same on every page.
            agent_id: Only this agent's.
            after: The last session of the page before, or its (created_at, session_id).
        """
        count, skip = check_limit(limit), check_limit(offset, "offset")
        if count is None or skip is None:
            raise InvalidInputError("limit and offset must be ints")
        at = self.clock()
        wanted = None if status is None else coerce_status(status)
        expired = wanted == SessionStatus.EXPIRED
        if isinstance(after, SessionMetadata):
            after = (after.created_at, after.session_id)
        elif after is not None and not (isinstance(after, tuple) and len(after) == 2):
            raise InvalidInputError("after is a session's metadata, or its (created_at, session_id)")
        query = SessionQuery(
            user_id=codec.check_optional_id(user_id, "user_id"),
            agent_id=codec.check_optional_id(agent_id, "agent_id"),
            status=None if expired or wanted is None else wanted.value,
            live_at=None if expired else at,
            expired_at=at if expired else None,
            after=None if after is None else (Timestamp.of(after[0]), codec.check_id(after[1], "after")),
            offset=skip,
            limit=count,
        )
        found = [record.metadata for record in await self.perform(self.repository.list_sessions, query)]
        if expired:
            for metadata in found:
                metadata.status = SessionStatus.EXPIRED
        return found

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with all its data. False: there was none."""
        codec.check_id(session_id, "session_id")
        return await self._delete([session_id]) > 0

    async def _delete(self, session_ids: list[str]) -> int:
        """Delete sessions, their embeddings first: of a session that is gone none may stay."""
        if not self.is_semantic:
            return await self.perform(self.repository.delete_sessions, session_ids)
        await self.semantic_index.forget(session_ids)
        deleted = await self.perform(self.repository.delete_sessions, session_ids)
        await self.semantic_index.forgotten(session_ids)
        return deleted

    async def cleanup_expired_sessions(self, max_age_days: float | None = None) -> int:
        """Delete expired sessions and return how many there were.

        Args:
            max_age_days: Delete sessions without activity for so long as well. None: expired ones only.
        """
        at = self.clock()
        queries = [SessionQuery(expired_at=at, limit=SWEEP_PAGE)]
        if max_age_days is not None:
            queries.append(SessionQuery(updated_before=self._age(at, max_age_days), limit=SWEEP_PAGE))
        deleted = 0
        for query in queries:
            while page := await self.perform(self.repository.list_sessions, query):
                deleted += await self._delete([record.metadata.session_id for record in page])
        self._last_cleanup = at
        return deleted

    def _age(self, at: Timestamp, days: float) -> datetime:
        if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days < 1_000_000:
            raise InvalidInputError("max_age_days must be a number from 0 to 999,999")
        try:
            return at - timedelta(days=days)
        except OverflowError as exc:
            raise InvalidInputError("max_age_days reaches back before the year 1") from exc
