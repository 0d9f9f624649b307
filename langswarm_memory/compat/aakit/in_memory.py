"""The memory in this process."""

from __future__ import annotations

from typing import Any

from ...backends.in_memory import InMemoryBackend as CoreBackend
from ...errors import MemoryConfigurationError
from ...interfaces.records import SessionMetadata
from ...repository import codec
from ...repository.protocol import SessionQuery, SessionRecord
from ...session import BaseMemorySession
from .memory import MemoryBackend
from .stores import CONTEXT_WINDOW, StoreMethods


class InMemoryBackend(StoreMethods, CoreBackend, MemoryBackend):
    """Messages in this process, within bounds, and gone with it.

    Args:
        max_sessions: Sessions kept. One more, and the session that was quiet for longest is forgotten.
        max_messages_per_session: Messages kept of a session, system messages besides. Older ones are forgotten, unless
            `overflow` is ``"keep"``: then they are only left out of what is loaded.
        ttl: Seconds after its last message that a session is forgotten. None: never.
        enable_search: Whether ``search`` may be called.
        context_window: How many messages ``context`` returns.
        summarization: Whether summaries are made of the sessions that ``save`` makes.
        overflow: ``"delete"`` or ``"keep"``; see above.
        **options: Further settings, see ``InMemorySettings``.

    Raises:
        MemoryConfigurationError: An option is unknown or out of range.
    """

    def __init__(
        self,
        max_sessions: int = 1000,
        max_messages_per_session: int = 1000,
        ttl: int | None = None,
        *,
        enable_search: bool = True,
        context_window: int = CONTEXT_WINDOW,
        summarization: bool = False,
        overflow: str = "delete",
        **options: Any,
    ) -> None:
        if type(max_sessions) is not int or max_sessions < 1:
            raise MemoryConfigurationError("max_sessions must be an int from 1")
        self.max_sessions = max_sessions
        self._quiet: list[SessionMetadata] = []  # of a listing: what may be forgotten next stands last
        self.searches, self.context_window, self.summarizes = enable_search, context_window, summarization
        CoreBackend.__init__(
            self, max_messages_per_session=max_messages_per_session, ttl=ttl, overflow=overflow, **options
        )

    async def create_session(self, metadata: SessionMetadata) -> BaseMemorySession:
        """Store a new session; beyond ``max_sessions``, forget those that were quiet for longest."""
        session = await super().create_session(metadata)
        while await self._is_over():
            await self._forget(metadata.session_id)
        return session

    async def _is_over(self) -> bool:
        query = SessionQuery(offset=self.max_sessions, limit=1)
        return bool(await self.perform(self.repository.list_sessions, query))

    async def _forget(self, newest: str) -> None:
        """Delete the session, but for the newest, that was quiet for longest."""
        while self._quiet:
            last = self._quiet.pop()
            record: SessionRecord | None = await self.perform(self.repository.fetch_session, last.session_id)
            if record is not None and record.metadata.updated_at == last.updated_at:
                await self._delete([last.session_id])
                return
        # Listing all costs so much more than the rest that one serves until each session in it was used or deleted.
        records = await self.perform(self.repository.list_sessions, SessionQuery(limit=codec.MAX_INT))
        self._quiet = [record.metadata for record in records if record.metadata.session_id != newest]
        self._quiet.sort(key=lambda one: one.updated_at, reverse=True)
