"""Reading messages: what a search finds, and what is pending beside it.

The session's document is read first. Every message up to its ``last_seq`` is then either pending in it or found by
searches, so the two together are the session as it was at that moment, whatever is appended meanwhile. Where messages
are deleted or replaced meanwhile, searches find the fence of that change (``sessions.fence``), and all is read again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ...errors import CorruptRecordError
from ...interfaces.message import Message
from ..protocol import MessageQuery
from .calls import Calls
from .records import STORE, Changes, Json, StoredSession, microseconds, read_message
from .sessions import Patience

PAGE = 2_000  # messages in one answer; index.max_result_window is 10,000
BUDGET_PAGE = 128  # messages in one answer while a token budget is spent
HIT_FIELDS = ["seq", "role", "tokens", "at", "message_id", "document", "edit"]


class Moved(Exception):  # not an error: it ends an attempt
    """Messages were deleted or replaced since the session's document was read."""


async def read_session(
    calls: Calls, query: MessageQuery, read: Callable[[], Awaitable[StoredSession | None]], patience: Patience
) -> tuple[StoredSession, list[Message]] | None:
    """Return a session and the messages that a query asks for, of one moment.

    Args:
        calls: The client.
        query: Which messages.
        read: Reads the session's document; None: no such session.
        patience: Paces the attempts; one is enough, but for sessions whose messages are changed at the same time.
    """
    while (stored := await read()) is not None:
        try:
            return stored, await _read_window(calls, stored, query)
        except Moved:
            await patience.pause()
    return None


async def _read_window(calls: Calls, stored: StoredSession, query: MessageQuery) -> list[Message]:
    window = _Window(stored, query)
    if window.is_empty:
        return []
    kept, first = await window.first_pages(calls)
    others = await window.others(calls, first, sum(entry["tokens"] for entry in kept))
    return [read_message(entry) for entry in sorted(kept + others, key=_seq)]


async def pages(
    calls: Calls, operation: str, name: str, *, sort: list[Json], size: int = PAGE, **body: Any
) -> AsyncIterator[list[Json]]:
    """Yield the hits of a search, page after page; the sort must have no ties."""
    after: dict[str, Any] = {}
    while True:
        hits = (await calls.search(operation, name, sort=sort, size=size, **body, **after))["hits"]["hits"]
        if hits:
            yield hits
        if len(hits) < size:
            return
        after = {"search_after": hits[-1]["sort"]}


def in_session(key: str, *conditions: Json) -> list[Json]:
    """Return filters for the messages of a session."""
    return [{"term": {"session_key": key}}, *conditions]


class _Window:
    def __init__(self, stored: StoredSession, query: MessageQuery) -> None:
        self._key, self._edits, self._query = stored.key, stored.edits, query
        low = 0 if query.after_seq is None else query.after_seq
        high = stored.number("last_seq") if query.before_seq is None else query.before_seq - 1
        self._low, self._high = low, min(high, stored.number("last_seq"))  # above it is what came later
        self._since = None if query.since is None else microseconds(query.since)
        changes = stored.changes or Changes({}, {})
        self._hidden = changes.gone.keys() | changes.instead.keys()
        self._pending = [entry for entry in (*stored.pending, *changes.instead.values()) if self._holds(entry)]
        # Roles of which all messages come; None: every role that is not excluded.
        self._kept_roles = query.keep_roles - query.exclude_roles
        if query.roles is not None:
            self._kept_roles &= query.roles

    @property
    def is_empty(self) -> bool:
        return self._high <= self._low or self._query.roles == frozenset()

    def _holds(self, entry: Json) -> bool:
        query, role = self._query, entry["role"]
        return (
            self._low < entry["seq"] <= self._high
            and (self._since is None or entry["at"] >= self._since)
            and (query.roles is None or role in query.roles)
            and role not in query.exclude_roles
        )

    # --- searches ----------------------------------------------------------------------------------------------

    def _filters(self, **seq: int) -> list[Json]:
        found = in_session(self._key, {"range": {"seq": {"gt": self._low, "lte": self._high, **seq}}})
        if self._since is not None:
            found.append({"range": {"at": {"gte": self._since}}})
        return found

    def _search_kept(self, after: int) -> Json:
        roles = {"terms": {"role": sorted(self._kept_roles)}}
        filters = [*self._filters(gt=max(after, self._low)), roles]
        return self._search({"filter": filters}, ascending=True, size=PAGE)

    def _search_others(self, bound: int | None) -> Json:
        query = self._query
        ascending = not query.newest_first
        seq = {} if bound is None else ({"gt": bound} if ascending else {"lte": bound - 1})
        conditions: Json = {"filter": self._filters(**seq)}
        if query.roles is not None:
            conditions["filter"].append({"terms": {"role": sorted(query.roles)}})
        excluded = query.exclude_roles | query.keep_roles
        if excluded:
            conditions["must_not"] = [{"terms": {"role": sorted(excluded)}}]
        return self._search(conditions, ascending=ascending, size=self._page_size)

    def _search(self, conditions: Json, *, ascending: bool, size: int) -> Json:
        """Return a search for messages, and for the fence, which comes before all of them."""
        return {
            "query": {"bool": {"should": [{"ids": {"values": [self._key]}}, {"bool": conditions}]}},
            "sort": [{"seq": "asc" if ascending else "desc"}],
            "size": size + 1,
            "_source": HIT_FIELDS,
            "track_total_hits": False,
        }

    async def _ask(self, calls: Calls, searches: list[Json]) -> list[list[Json]]:
        """Return what searches find: each at most as much as it may.

        Raises:
            Moved: What they find is of a later moment.
        """
        found = []
        answers = await calls.searches("read_messages", "messages", self._key, searches)
        for search, answer in zip(searches, answers, strict=True):
            hits = answer["hits"]["hits"]
            fences = [hits.pop(0)] if hits and hits[0]["_id"] == self._key else []
            if any(each["_source"]["edit"] > self._edits for each in fences):
                raise Moved
            found.append(entries(hits[: search["size"] - 1]))
        return found

    @property
    def _page_size(self) -> int:
        most = PAGE if self._query.max_tokens is None else BUDGET_PAGE
        return most if self._query.limit is None else min(self._query.limit, most)

    async def first_pages(self, calls: Calls) -> tuple[list[Json], list[Json]]:
        """Return all messages of kept roles, and the first page of the others, in one request as a rule."""
        searches = [] if self._query.limit == 0 else [self._search_others(None)]
        if self._kept_roles:
            searches.append(self._search_kept(self._low))
        if not searches:
            return [], []
        hits = await self._ask(calls, searches)
        page = hits.pop() if self._kept_roles else []
        kept = {entry["seq"]: entry for entry in page}
        while len(page) == PAGE:
            (page,) = await self._ask(calls, [self._search_kept(page[-1]["seq"])])
            kept |= {entry["seq"]: entry for entry in page}
        kept = {seq: entry for seq, entry in kept.items() if seq not in self._hidden}
        kept |= {entry["seq"]: entry for entry in self._pending if entry["role"] in self._kept_roles}
        return list(kept.values()), hits[0] if hits else []

    async def others(self, calls: Calls, page: list[Json], spent: int) -> list[Json]:
        """Return the messages that are not kept anyway: as many as limit and budget let through."""
        query = self._query
        if query.limit == 0:
            return []
        newest = query.newest_first
        budget = None if query.max_tokens is None else query.max_tokens - spent
        pending = [entry for entry in self._pending if entry["role"] not in query.keep_roles]
        found: dict[int, Json] = {}
        while True:
            found |= {entry["seq"]: entry for entry in page if entry["seq"] not in self._hidden}
            more = len(page) == self._page_size
            bound = page[-1]["seq"] if more else None
            # A pending message beyond the page has its place behind messages that were not read yet.
            found |= {
                entry["seq"]: entry
                for entry in pending
                if bound is None or (entry["seq"] >= bound if newest else entry["seq"] <= bound)
            }
            ordered = sorted(found.values(), key=_seq, reverse=newest)
            if query.limit is not None:
                ordered = ordered[: query.limit]
            fitting = _within(ordered, budget) if newest else ordered
            if not more or len(fitting) < len(ordered) or len(ordered) == query.limit:
                return fitting if newest else _within(ordered[::-1], budget)
            (page,) = await self._ask(calls, [self._search_others(bound)])


def entries(hits: list[Json]) -> list[Json]:
    """Return the messages' documents that were found.

    Raises:
        CorruptRecordError: One is none.
    """
    found = [hit["_source"] for hit in hits]
    for entry, hit in zip(found, hits, strict=True):
        if type(entry.get("tokens")) is not int or type(entry.get("seq")) is not int:
            raise CorruptRecordError(STORE, f"message {hit['_id']}")
    return found


def _within(entries: list[Json], budget: int | None) -> list[Json]:
    """Return the first messages that fit a budget, the newest coming first."""
    if budget is None:
        return entries
    for index, entry in enumerate(entries):
        budget -= entry["tokens"]
        if budget < 0:
            return entries[:index]
    return entries


def _seq(entry: Json) -> int:
    return int(entry["seq"])
