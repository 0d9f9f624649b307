"""Searching as a backend offers it: by words, in the store's own index or, where it has none, by reading."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import InvalidInputError, UnsupportedOperationError
from .interfaces.enums import MessageRole
from .interfaces.message import Message
from .interfaces.timestamps import Timestamp
from .repository import codec
from .repository.matching import SCORE_DIGITS, message_in_scope, page_of, session_in_scope
from .repository.protocol import MemoryRepository, MessageQuery, SessionQuery, SessionRecord
from .repository.text_search import SearchCursor, SearchFilter, SearchHit, TextQuery, TextSearch
from .windows import check_limit, role_texts

if TYPE_CHECKING:
    from .search import TextIndex

SEARCH_PAGE = 1_000  # hits a store is asked for at once
SCAN_MESSAGES = 50_000
"""Messages that a search reads where the store has no text index: half a second's work. More is refused."""
SCAN_SESSIONS = 500  # sessions per page while looking for those to read

SCALARS = (str, int, float, bool)


class SearchMethods:
    """The methods of a backend that find messages by their words."""

    repository: MemoryRepository
    clock: Callable[[], Timestamp]

    if TYPE_CHECKING:

        async def perform(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
            """Call the repository."""

    @cached_property
    def _indexed(self) -> TextSearch | None:
        """The store, if it has an index of words. Asked once: looking whether it has the methods takes 10 µs."""
        repository = self.repository
        return repository if repository.features.text_search and isinstance(repository, TextSearch) else None

    async def search_messages(
        self, query: str, session_id: str | None = None, limit: int | None = 10, *, user_id: str | None = None
    ) -> list[Message]:
        """Return the messages that match a query best, best first.

        Words match in any case and, in English, inflection; any of them suffices. ``"phrases"`` must be there,
        ``-words`` must not, ``prefix*`` stands for all words that begin so. See :meth:`recall` for scores, highlights,
        filters, pages and meaning.

        Args:
            query: What to look for.
            session_id: Only in this session.
            limit: At most so many. None: all.
            user_id: Only in this user's sessions.

        Raises:
            InvalidInputError: The query has no word, or more than 60.
            UnsupportedOperationError: The store has no text index, and what would have to be read is more than
                50,000 messages.
        """
        sessions = None if session_id is None else [session_id]
        where = self.search_filter(session_ids=sessions, user_id=user_id)
        return [hit.message for hit in await self.text_hits(query, where, limit)]

    async def search(self, query: str, session_id: str | None = None, limit: int | None = 10) -> list[Message]:
        """Return the messages that match a query best; the same as :meth:`search_messages`."""
        return await self.search_messages(query, session_id, limit)

    async def search_fulltext(
        self, query: str, session_ids: Collection[str] | None = None, limit: int | None = 10
    ) -> list[Message]:
        """Return the messages of some sessions that match a query best; see :meth:`search_messages`.

        Args:
            query: What to look for.
            session_ids: Only in these sessions. None: in all.
            limit: At most so many. None: all.
        """
        return [hit.message for hit in await self.text_hits(query, self.search_filter(session_ids=session_ids), limit)]

    # --- for what is built on it -------------------------------------------------------------------------------

    def search_filter(
        self,
        *,
        session_ids: Collection[str] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        roles: Iterable[MessageRole | str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Collection[str] | None = None,
        metadata: Mapping[str, str | int | float | bool] | None = None,
    ) -> SearchFilter:
        """Return the checked conditions of a search; expired sessions are left out of each."""
        if isinstance(session_ids, str) or isinstance(tags, str):
            raise InvalidInputError("session_ids and tags are collections of texts")
        ids = None if session_ids is None else frozenset(codec.check_id(one, "session_id") for one in session_ids)
        conditions = dict(metadata or {})
        for key, value in conditions.items():
            if not isinstance(key, str) or not isinstance(value, SCALARS):
                raise InvalidInputError("a search filters metadata by texts, numbers and booleans under texts")
        return SearchFilter(
            session_ids=ids,
            user_id=codec.check_optional_id(user_id, "user_id"),
            agent_id=codec.check_optional_id(agent_id, "agent_id"),
            live_at=self.clock(),
            tags=frozenset(_tag(tag) for tag in tags or ()),
            roles=role_texts(roles),
            since=None if since is None else Timestamp.of(since),
            until=None if until is None else Timestamp.of(until),
            metadata=conditions,
        )

    async def text_hits(
        self, query: str | TextQuery, where: SearchFilter, limit: int | None, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Return the best hits of a query; the place to search from."""
        from .search import parse  # a tenth of the time that importing the package takes

        wanted = query if isinstance(query, TextQuery) else parse(query)
        count = check_limit(limit)
        if count == 0 or where.session_ids == frozenset():
            return []
        if self._indexed is None:
            return page_of(await self._scanned(wanted, where), codec.MAX_INT if count is None else count, after)
        hits: list[SearchHit] = []
        while count is None or len(hits) < count:
            size = SEARCH_PAGE if count is None else min(SEARCH_PAGE, count - len(hits))
            page: list[SearchHit] = await self.perform(
                self._indexed.search_text, wanted, where, limit=size, after=after
            )
            hits += page
            if len(page) < size:
                break
            after = SearchCursor(page[-1].score, page[-1].session_id, page[-1].message.seq or 0)
        return hits

    async def _scanned(self, query: TextQuery, where: SearchFilter) -> list[SearchHit]:
        """Rank what the conditions leave, by reading it."""
        from .search import TextIndex

        messages: dict[tuple[str, int], Message] = {}
        index: TextIndex[tuple[str, int]] = TextIndex()
        for session_id in await self._scope(where):
            read = MessageQuery(since=where.since, roles=where.roles)
            for message in await self.perform(self.repository.read_messages, session_id, read):
                key = session_id, message.seq or 0
                index.add(key, message.text)
                if message_in_scope(message, where):
                    messages[key] = message
        found = index.search(query, lambda key: messages[key].text if key in messages else "")
        return [SearchHit(key[0], messages[key], round(score, SCORE_DIGITS)) for score, key in found if key in messages]

    async def _scope(self, where: SearchFilter) -> list[str]:
        """Return the sessions that a search must read."""
        records: list[SessionRecord] = []
        if where.session_ids is not None:
            for session_id in sorted(where.session_ids):
                record: SessionRecord | None = await self.perform(self.repository.fetch_session, session_id)
                records += [] if record is None else [record]
        else:
            query = SessionQuery(
                user_id=where.user_id, agent_id=where.agent_id, live_at=where.live_at, limit=SCAN_SESSIONS
            )
            while page := await self.perform(self.repository.list_sessions, query):
                records += page
                self._refuse_large(records)
                last = page[-1].metadata
                query = replace(query, after=(last.created_at, last.session_id))
        inside = [record for record in records if session_in_scope(record.metadata, where)]
        self._refuse_large(inside)
        return [record.metadata.session_id for record in inside]

    def _refuse_large(self, records: list[SessionRecord]) -> None:
        if sum(record.message_count for record in records) > SCAN_MESSAGES:
            raise UnsupportedOperationError(
                self.repository.name,
                f"text search over more than {SCAN_MESSAGES:,} messages",
                "name a user, or the sessions to search in",
            )


def _tag(tag: object) -> str:
    if not isinstance(tag, str):
        raise InvalidInputError(f"a tag is text, got {type(tag).__name__}")
    return tag
