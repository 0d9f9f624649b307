"""What the memories over our own stores have in common: our backend, under the names and types of AA Kit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...errors import UnsupportedOperationError
from ...interfaces import message as core
from ...interfaces.records import SessionMetadata
from ...plain import PlainMethods
from ...recall.methods import RecallMethods
from ...repository.protocol import SessionRecord
from .messages import Message, SessionInfo

CONTEXT_WINDOW = 20


class StoreMethods(RecallMethods, PlainMethods):
    """The methods of a memory over one of our backends."""

    repository: Any  # each store's own
    settings: Any
    searches: bool = True
    summarizes: bool = False
    context_window: int = CONTEXT_WINDOW

    async def load(self, session_id: str, limit: int | None = None) -> list[Message]:
        """Return the messages of a session, oldest first; with a limit, the newest. Empty: there is none."""
        return _ours(await super().load(session_id, limit))

    async def context(self, session_id: str) -> list[Message]:
        """Return what a model should see of a session: its newest ``context_window`` messages, oldest first."""
        return await self.load(session_id, self.context_window)

    async def search(self, query: str, session_id: str | None = None, limit: int | None = 10) -> list[Any]:
        """Return the messages that match a query best, best first: of one session, or of all.

        Raises:
            UnsupportedOperationError: Searching was switched off.
        """
        return _ours(await self.search_messages(query, session_id, limit))

    async def search_messages(
        self, query: str, session_id: str | None = None, limit: int | None = 10, *, user_id: str | None = None
    ) -> list[core.Message]:
        """Return the messages that match a query best; what a manager calls."""
        self._require_search()
        return await super().search_messages(query, session_id, limit, user_id=user_id)

    async def search_fulltext(
        self, query: str, session_ids: Collection[str] | None = None, limit: int | None = 10
    ) -> list[Any]:
        """Return the messages of some sessions that match a query best. None: of all.

        Raises:
            UnsupportedOperationError: Searching was switched off.
        """
        self._require_search()
        return _ours(await super().search_fulltext(query, session_ids, limit))

    async def session_info(self, session_id: str) -> SessionInfo | None:
        """Return what is known of a session; None when there is none, or it has expired."""
        if await self.get_session(session_id) is None:
            return None
        record: SessionRecord | None = await self.perform(self.repository.fetch_session, session_id)
        return None if record is None else SessionInfo.of(record.metadata, record.message_count)

    def plain_metadata(self, session_id: str) -> SessionMetadata:
        """Return the metadata of a session that ``save`` makes."""
        metadata = super().plain_metadata(session_id)
        metadata.auto_summarize = self.summarizes
        return metadata

    def _require_search(self) -> None:
        if not self.searches:
            raise UnsupportedOperationError(self.repository.name, "search here", "pass enable_search=True")


def _ours(messages: Collection[core.Message]) -> list[Message]:
    return [Message.of(message) for message in messages]
