"""The base class for memories of a user's own, which a ``MemoryManager`` takes as a backend."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from ...errors import SessionExistsError, UnsupportedOperationError
from ...interfaces import message as core
from ...interfaces.contracts import IMemoryBackend, IMemorySession
from ...interfaces.enums import MemoryBackendType, SessionStatus
from ...interfaces.records import MemoryUsage, SessionMetadata, coerce_status
from ...interfaces.timestamps import now
from ...search import TextIndex, parse
from ...windows import check_limit
from .sessions import PlainSession


class MemoryBackend(IMemoryBackend, ABC):
    """A memory that saves, loads and clears messages by session id.

    A subclass defines ``save``, ``load`` and ``clear``. One that wraps another memory keeps it as ``self.backend`` and
    defines only what it changes: everything else is asked of that one.

    It is a backend for ``MemoryManager`` too. What a session is besides its messages (owner, limits, status) is then
    known to this object alone, and gone with it; sessions it has not made itself are found by their messages.

    Args:
        config: Options of the subclass's, kept as ``config``.
    """

    save_replaces: ClassVar[bool] = False
    """Whether ``save`` puts its messages in place of those stored. False: it adds them."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Return a new memory; this class itself is none."""
        if cls is MemoryBackend:
            raise TypeError("MemoryBackend is abstract; define save(), load() and clear() in a subclass")
        return super().__new__(cls)

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: Any = dict(config or {})

    def _wrapped(self, method: str) -> Any:
        found = getattr(self.__dict__.get("backend"), method, None)
        if found is None:
            raise UnsupportedOperationError(
                type(self).__name__, method, f"define {method}(), or keep another memory as self.backend"
            )
        return found

    # --- the memory --------------------------------------------------------------------------------------------

    async def save(self, session_id: str, messages: Any) -> None:
        """Save messages."""
        await self._wrapped("save")(session_id, messages)

    async def load(self, session_id: str, limit: int | None = None) -> Sequence[Any]:
        """Return messages, oldest first; with a limit, the newest."""
        wrapped = self._wrapped("load")
        found: Sequence[core.Message] = await (wrapped(session_id) if limit is None else wrapped(session_id, limit))
        return found

    async def clear(self, session_id: str | None = None) -> None:
        """Forget a session. None: all."""
        await self._wrapped("clear")(session_id)

    async def search(self, query: str, session_id: str | None = None, limit: int | None = 10) -> list[Any]:
        """Return the messages that match a query best.

        The memory in ``self.backend`` is asked; without one, the messages of the session are loaded and ranked.

        Raises:
            UnsupportedOperationError: There is no ``self.backend``, and no session is named.
        """
        if "backend" in self.__dict__:
            found: list[core.Message] = await self._wrapped("search")(query, session_id, limit)
            return found
        if session_id is None:
            raise UnsupportedOperationError(type(self).__name__, "search in all sessions", "name a session")
        count, wanted = check_limit(limit), parse(query)
        messages = list(await self.load(session_id))
        index: TextIndex[int] = TextIndex()
        for place, message in enumerate(messages):
            index.add(place, message.text)
        ranked = sorted(index.search(wanted, lambda place: messages[place].text), reverse=True)
        return [messages[place] for _, place in ranked[:count]]

    async def clear_old_sessions(self, older_than: datetime) -> int:
        """Forget the sessions without activity since an instant; return how many there were."""
        cleared: int = await self._wrapped("clear_old_sessions")(older_than)
        return cleared

    # --- as a backend ------------------------------------------------------------------------------------------

    @property
    def known_sessions(self) -> dict[str, SessionMetadata]:
        """Metadata of the sessions that were made through this object."""
        known: dict[str, SessionMetadata] = self.__dict__.setdefault("_known_sessions", {})
        return known

    @property
    def backend_type(self) -> MemoryBackendType:
        """Kind of store: one of the user's own."""
        return MemoryBackendType.EXTERNAL_DB

    @property
    def is_connected(self) -> bool:
        """Always True."""
        return True

    async def connect(self) -> bool:
        """Return True."""
        return True

    async def disconnect(self) -> bool:
        """Return True."""
        return True

    async def create_session(self, metadata: SessionMetadata) -> IMemorySession:
        """Make a session known.

        Raises:
            SessionExistsError: It is known, or messages are saved under its id.
        """
        if await self.get_session(metadata.session_id) is not None:
            raise SessionExistsError(metadata.session_id)
        if metadata.session_id in self.known_sessions:  # an expired one makes room
            await self.clear(metadata.session_id)
        self.known_sessions[metadata.session_id] = metadata
        return PlainSession(metadata, self)

    async def get_session(self, session_id: str) -> IMemorySession | None:
        """Return a session that is known, or has messages."""
        known = self.known_sessions.get(session_id)
        if known is not None:
            return None if known.is_expired() else PlainSession(known, self)
        messages = list(await self.load(session_id))
        if not messages:
            return None
        first, last = messages[0].timestamp, messages[-1].timestamp
        found = SessionMetadata(session_id, max_messages=None, created_at=first, updated_at=last)
        return PlainSession(self.known_sessions.setdefault(session_id, found), self)

    async def list_sessions(
        self,
        user_id: str | None = None,
        status: SessionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[SessionMetadata]:
        """Return a page of the sessions that this object knows, newest created first."""
        wanted, at = None if status is None else coerce_status(status), now()
        expired = wanted == SessionStatus.EXPIRED
        found = [
            one
            for one in self.known_sessions.values()
            if (user_id is None or one.user_id == user_id)
            and one.is_expired(at) == expired
            and (expired or wanted is None or one.status == wanted)
        ]
        found.sort(key=lambda one: (one.created_at, one.session_id), reverse=True)
        return found[offset : offset + limit]

    async def delete_session(self, session_id: str) -> bool:
        """Clear a session. False: there was none."""
        there = self.known_sessions.pop(session_id, None) is not None or bool(await self.load(session_id))
        await self.clear(session_id)
        return there

    async def cleanup_expired_sessions(self) -> int:
        """Clear the expired sessions that this object knows, and return how many there were."""
        expired = [one.session_id for one in self.known_sessions.values() if one.is_expired()]
        for session_id in expired:
            await self.delete_session(session_id)
        return len(expired)

    async def get_usage_stats(self) -> MemoryUsage:
        """Return how much the sessions hold that this object knows."""
        usage = MemoryUsage(session_count=len(self.known_sessions))
        for metadata in self.known_sessions.values():
            messages = await self.load(metadata.session_id)
            usage.message_count += len(messages)
            usage.total_tokens += sum(message.token_count or 0 for message in messages)
            usage.storage_size_bytes += sum(len(message.text) for message in messages)
            usage.active_sessions += metadata.status == SessionStatus.ACTIVE
        return usage

    async def health_check(self) -> dict[str, Any]:
        """Return the state: of the memory in ``self.backend`` if it tells one."""
        if isinstance(inner := self.__dict__.get("backend"), IMemoryBackend):
            return await inner.health_check()
        return {
            "status": "healthy",
            "connected": True,
            "backend": type(self).__name__,
            "backend_type": self.backend_type.value,
            "session_count": len(self.known_sessions),
            "timestamp": now().isoformat(),
        }
