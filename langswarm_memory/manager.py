"""The manager: an application's entry point to the sessions of one backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from .backend import SWEEP_PAGE, BaseMemoryBackend
from .background import WorksInBackground
from .errors import (
    InvalidInputError,
    LangSwarmMemoryError,
    SessionExistsError,
    SessionOwnershipError,
    UnsupportedOperationError,
)
from .incoming import counted
from .interfaces.contracts import IMemoryBackend, IMemoryManager, IMemorySession
from .interfaces.enums import MessageRole, SessionStatus
from .interfaces.message import Message, new_id
from .interfaces.records import METADATA_ALIASES, METADATA_FIELDS, MemoryUsage, SessionMetadata, merged_properties
from .repository import codec
from .tokens import estimate_tokens

if TYPE_CHECKING:
    from .recall.hits import RecallHit

logger = logging.getLogger("langswarm_memory")

CREATE_TRIES = 3  # rounds of get-or-create when a session appears and vanishes in between


class MemoryManager(WorksInBackground, IMemoryManager):
    """Sessions over one backend.

    Usable at once: the backend connects on first use. ``start``, ``async with`` or ``await manager`` connect
    earlier, run the clean-up of expired sessions and make due summaries in the background.

    Args:
        backend: Where sessions are kept. It is disconnected by ``stop``.
        auto_cleanup: Whether ``start`` begins the clean-up.
        cleanup_interval: Seconds between two clean-ups.
        summarize_in_background: Whether, once started, it makes summaries as they fall due; else reading makes them.
    """

    def __init__(
        self,
        backend: IMemoryBackend,
        *,
        auto_cleanup: bool = True,
        cleanup_interval: float = 300,
        summarize_in_background: bool = True,
    ) -> None:
        self._backend = backend
        self._summarize = summarize_in_background
        self._auto_cleanup = auto_cleanup
        self._cleanup_interval = cleanup_interval
        self._cleaner: asyncio.Task[None] | None = None
        self._owner: str | None = None

    def __repr__(self) -> str:
        scope = f" for user {self._owner!r}" if self._owner is not None else ""
        return f"<{type(self).__name__}{scope} over {self._backend!r}>"

    @property
    def backend(self) -> IMemoryBackend:
        """Where the sessions are kept."""
        return self._backend

    # --- life --------------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Connect and begin the clean-up. Idempotent. Returns the manager.

        Raises:
            MemoryBackendError: The store cannot be opened.
        """
        await self._backend.connect()
        if self._auto_cleanup and (self._cleaner is None or self._cleaner.done()):
            self._cleaner = asyncio.create_task(self._clean())
        self._begin_work()
        return self

    async def stop(self) -> None:
        """End the clean-up, abandon summaries that wait (see ``flush``) and disconnect. Idempotent.

        A confined manager leaves that to the one it came from.
        """
        if self._owner is not None:
            return
        cleaner, self._cleaner = self._cleaner, None
        if cleaner is not None:
            cleaner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cleaner
        await self._end_work()
        await self._backend.disconnect()

    async def shutdown(self) -> None:
        """The same as :meth:`stop`."""
        await self.stop()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.start().__await__()

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(self._cleanup_interval)
            try:
                deleted = await self._backend.cleanup_expired_sessions()
            except LangSwarmMemoryError as exc:
                logger.warning("clean-up failed, trying again in %s s: %s", self._cleanup_interval, exc)
            else:
                if deleted:
                    logger.info("clean-up deleted %d expired sessions", deleted)

    # --- ownership ---------------------------------------------------------------------------------------------

    def for_user(self, user_id: str) -> MemoryManager:
        """Return a manager in which every call is confined to one user.

        It creates sessions of that user only, and finds, lists, searches, counts and deletes no others. It shares this
        manager's backend; starting and stopping stays with this one.
        """
        if not isinstance(user_id, str) or not user_id:
            raise InvalidInputError("for_user needs a user id")
        self._user(user_id)
        confined = MemoryManager(self._backend, auto_cleanup=False)
        confined._owner = user_id
        return confined

    def _user(self, user_id: str | None) -> str | None:
        if self._owner is None or user_id is None or user_id == self._owner:
            return self._owner or user_id
        raise InvalidInputError("this manager is confined to one user", suggestion="leave user_id out")

    # --- sessions ----------------------------------------------------------------------------------------------

    async def create_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        **kwargs: Any,
    ) -> IMemorySession:
        """Create a session.

        Args:
            session_id: Its id. None: a new UUID.
            user_id: Its owner.
            agent_id: Its agent.
            **kwargs: Other fields of ``SessionMetadata``; names it does not know go into ``properties``.

        Raises:
            SessionExistsError: The id is taken.
            InvalidInputError: A field cannot be stored.
        """
        metadata = self._metadata(
            session_id or new_id() if session_id is None else session_id, user_id, agent_id, kwargs
        )
        try:
            return await self._backend.create_session(metadata)
        except SessionExistsError:
            if self._owner is not None and await self.get_session(metadata.session_id) is None:
                raise SessionOwnershipError(metadata.session_id) from None
            raise

    def _metadata(
        self, session_id: str, user_id: str | None, agent_id: str | None, options: dict[str, Any]
    ) -> SessionMetadata:
        known = METADATA_FIELDS | set(METADATA_ALIASES) | {"metadata", "custom_metadata"}
        values = {name: value for name, value in options.items() if name in known}
        extra = {name: value for name, value in options.items() if name not in known}
        if "max_messages" not in values and isinstance(self._backend, BaseMemoryBackend):
            default = self._backend.settings.max_messages
            if default is not None:
                values["max_messages"] = default
        metadata = SessionMetadata(session_id, user_id=self._user(user_id), agent_id=agent_id, **values)
        if extra:
            metadata.properties = merged_properties(metadata.properties, extra)
        return metadata

    async def get_session(self, session_id: str) -> IMemorySession | None:
        """Return a session; None when there is none, it has expired, or it is not the confined user's."""
        session = await self._backend.get_session(session_id)
        if session is not None and self._owner is not None and session.metadata.user_id != self._owner:
            return None
        return session

    async def open_session(self, session_id: str, limit: int = 50) -> tuple[IMemorySession, list[Message]] | None:
        """Return a session and its newest messages; on PostgreSQL and SQLite in one statement. None: no session."""
        if not isinstance(self._backend, BaseMemoryBackend):
            session = await self.get_session(session_id)
            return None if session is None else (session, await session.get_messages(limit))
        found = await self._backend.open_session(session_id, limit)
        if found is not None and self._owner is not None and found[0].metadata.user_id != self._owner:
            return None
        return found

    async def get_or_create_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        **kwargs: Any,
    ) -> IMemorySession:
        """Return a session, made now if there is none. Concurrent calls agree on one.

        Args:
            session_id: Its id. None: the user's newest active session, or a new one.
            user_id: Its owner; a session of another user is refused.
            agent_id: Agent of a session made now.
            **kwargs: Further fields of a session made now, as for :meth:`create_session`.

        Raises:
            SessionOwnershipError: The session is another user's.
            InvalidInputError: Neither a session nor a user is named.
        """
        user_id = self._user(user_id)
        if session_id is None:
            if user_id is None:
                raise InvalidInputError("get_or_create_session needs a session_id or a user_id")
            active = await self._backend.list_sessions(user_id, SessionStatus.ACTIVE, 1)
            if not active:
                return await self.create_session(None, user_id, agent_id, **kwargs)
            session_id = active[0].session_id
        for attempt in range(CREATE_TRIES):
            session = await self._backend.get_session(session_id)
            if session is not None:
                owner = session.metadata.user_id
                if user_id is not None and owner != user_id and (owner is not None or self._owner is not None):
                    raise SessionOwnershipError(session_id)
                return session
            try:
                return await self._backend.create_session(self._metadata(session_id, user_id, agent_id, kwargs))
            except SessionExistsError:
                if attempt == CREATE_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with all its data. False: there was none (of the confined user's)."""
        if self._owner is not None and await self.get_session(session_id) is None:
            return False
        return await self._backend.delete_session(session_id)

    async def list_user_sessions(
        self,
        user_id: str | None = None,
        status: SessionStatus | None = None,
        limit: int = 50,
        offset: int = 0,
        *,
        after: SessionMetadata | tuple[datetime, str] | None = None,
    ) -> list[SessionMetadata]:
        """Return a page of a user's sessions, newest first.

        Args:
            user_id: The user; may be left out in a confined manager.
            status: Only of this status.
            limit: Sessions per page.
            offset: Sessions to skip.
            after: The last session of the page before; costs the same on every page.
        """
        user_id = self._user(user_id)
        if user_id is None:
            raise InvalidInputError("list_user_sessions needs a user_id")
        if after is None:
            return await self._backend.list_sessions(user_id, status, limit, offset)
        return await self._full("paging by 'after'").list_sessions(user_id, status, limit, offset, after=after)

    def _full(self, feature: str) -> BaseMemoryBackend:
        if not isinstance(self._backend, BaseMemoryBackend):
            raise UnsupportedOperationError(type(self._backend).__name__, feature)
        return self._backend

    # --- messages ----------------------------------------------------------------------------------------------

    async def add_message(self, session_id: str, role: MessageRole | str, content: Any, **fields: Any) -> Message:
        """Append a message made of the given parts to a session, made now if there is none; return the message."""
        message = Message(role=role, content=content, **fields)
        codec.encode_message(counted(message, estimate_tokens))  # refused before a session is made for it
        session = await self.get_or_create_session(session_id)
        await session.add_message(message)
        return message

    async def get_history(self, session_id: str) -> list[Message]:
        """Return the window of a session; empty when there is no such session."""
        session = await self.get_session(session_id)
        return [] if session is None else await session.get_messages()

    async def search_messages(self, query: str, session_id: str | None = None, limit: int | None = 10) -> list[Message]:
        """Return the messages that match a query best, of the confined user's sessions or of all."""
        backend = self._full("text search")
        if self._owner is not None and session_id is not None and await self.get_session(session_id) is None:
            return []
        return await backend.search_messages(query, session_id, limit, user_id=self._owner)

    async def recall(self, query: str, **options: Any) -> list[RecallHit]:
        """Return what was said that fits a query best, of the confined user's sessions or of all.

        Args:
            query: Words or a question.
            **options: As of the backend's ``recall``: ``limit``, ``mode``, filters, ``neighbours``, …
        """
        backend = self._full("recall")
        options["user_id"] = self._user(options.get("user_id"))
        return await backend.recall(query, **options)

    # --- care --------------------------------------------------------------------------------------------------

    async def cleanup_expired_sessions(self) -> int:
        """Delete expired sessions (of the confined user, or all) and return how many there were."""
        if self._owner is None:
            return await self._backend.cleanup_expired_sessions()
        deleted = 0
        while page := await self._backend.list_sessions(self._owner, SessionStatus.EXPIRED, SWEEP_PAGE):
            for metadata in page:
                deleted += await self._backend.delete_session(metadata.session_id)
        return deleted

    async def cleanup_all_sessions(self, max_age_days: float = 30) -> int:
        """Delete expired sessions and those without activity for `max_age_days`; return how many there were."""
        if self._owner is not None:
            raise UnsupportedOperationError("a confined manager", "clean-up by age", "use the manager it came from")
        return await self._full("clean-up by age").cleanup_expired_sessions(max_age_days)

    async def get_system_stats(self) -> dict[str, Any]:
        """Return usage and health.

        Keys: ``usage`` (fields of ``MemoryUsage``), ``health`` (as ``backend.health_check()``; and ``summary_lag``,
        ``summary_error`` of summaries made in the background), ``backend_type``,
        ``cached_sessions`` (always 0: handles hold no data), ``total_sessions``, ``total_messages``,
        ``active_sessions``, ``archived_sessions``, ``avg_messages_per_session``, ``storage_size_mb``,
        ``memory_usage_mb`` (the same).
        """
        if self._owner is not None:
            raise UnsupportedOperationError("a confined manager", "system statistics", "use the manager it came from")
        usage = await self._backend.get_usage_stats()
        health = await self._backend.health_check()
        by_status = await self._backend.count_by_status() if isinstance(self._backend, BaseMemoryBackend) else {}
        return {
            "usage": {name: usage[name] for name in MemoryUsage.__dataclass_fields__},
            "health": {**health, **self._summary_health()},
            "backend_type": self._backend.backend_type.value,
            "cached_sessions": 0,
            "total_sessions": usage.session_count,
            "total_messages": usage.message_count,
            "active_sessions": usage.active_sessions,
            "archived_sessions": by_status.get(SessionStatus.ARCHIVED.value, 0),
            "avg_messages_per_session": usage.message_count / usage.session_count if usage.session_count else 0.0,
            "storage_size_mb": usage.storage_size_mb,
            "memory_usage_mb": usage.storage_size_mb,
        }
