"""Recall as a backend offers it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import InvalidInputError, SessionNotFoundError, UnsupportedOperationError
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from ..interfaces.timestamps import Timestamp
from ..repository.matching import page_of
from ..repository.protocol import MemoryRepository, MessageQuery
from ..repository.text_search import SearchCursor, SearchFilter, SearchHit, TextQuery
from ..searching import SearchMethods
from ..windows import check_limit
from .fusion import Fusion, Key
from .hits import FoundBy, RecallHit

if TYPE_CHECKING:
    from ..settings import BackendSettings
    from .index import SemanticIndex
    from .ranking import Reranker
    from .worker import EmbeddingWorker

T = TypeVar("T")
Mode = Literal["auto", "text", "vector", "hybrid"]
MODES = ("auto", "text", "vector", "hybrid")
MAX_RECALL = 1_000  # hits of one call
MAX_NEIGHBOURS = 50  # messages on either side of a hit
SORTED = 200
"""Hits that are sorted anew by age, by a reranker or for duplicates, at least: the same ones for every page."""
EXTRA = 3  # times as many as asked for are sorted, where that is more

_EXCLUDED = re.compile(r'(?<!\S)-(?:"[^"]*"?|[^\s"]+)')


class RecallMethods(SearchMethods):
    """The methods of a backend that find messages by words and by meaning."""

    settings: BackendSettings
    repository: MemoryRepository
    clock: Callable[[], Timestamp]
    _semantic: SemanticIndex | None = None
    embedding_worker: EmbeddingWorker | None = None  # a started manager's

    if TYPE_CHECKING:

        async def perform(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
            """Call the repository."""

    @property
    def is_semantic(self) -> bool:
        """Whether messages are embedded, so that they are found by meaning."""
        return bool(self.settings.enable_semantic_search)

    @property
    def semantic_index(self) -> SemanticIndex:
        """The index of embeddings that the settings describe; made, but not connected, when first asked for.

        Raises:
            UnsupportedOperationError: The settings name no ``embedding``.
            MemoryConfigurationError: They describe no provider or no store that there is.
        """
        if not self.is_semantic:
            raise UnsupportedOperationError(
                self.repository.name, "recall by meaning", 'configure it: embedding="local", or a provider of yours'
            )
        if self._semantic is None:
            from .building import semantic_index_of

            backend: Any = self
            self._semantic = semantic_index_of(backend)
        return self._semantic

    async def recall(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: Mode = "auto",
        session_ids: Collection[str] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        roles: Iterable[MessageRole | str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Collection[str] | None = None,
        metadata: Mapping[str, str | int | float | bool] | None = None,
        neighbours: int = 0,
        after: RecallHit | None = None,
        fusion: Fusion | None = None,
        half_life_days: float | None = None,
        deduplicate: bool = False,
        reranker: Reranker | None = None,
    ) -> list[RecallHit]:
        """Return what was said that fits a query best, best first.

        Args:
            query: Words or a question; "phrases", -words and prefix* as in :meth:`search_messages`.
            limit: At most so many, 0 to 1,000.
            mode: ``text``: by words. ``vector``: by meaning. ``hybrid``: by both. ``auto``: by both where messages are
                embedded, by words elsewhere.
            session_ids: Only in these sessions.
            user_id: Only in this user's sessions.
            agent_id: Only in this agent's sessions.
            roles: Only messages of these roles.
            since: Only messages with this timestamp or a later one. Naive means local time.
            until: Only messages with an earlier timestamp.
            tags: Only in sessions that have all of these tags.
            metadata: Only messages whose metadata has these values under these keys.
            neighbours: How many messages on either side come with each hit.
            after: The last hit of the page before.
            fusion: How both rankings become one. None: as measured best, see :class:`Fusion`.
            half_life_days: Days of age that halve a score. None: age does not matter.
            deduplicate: Whether hits that say what a better one says are left out.
            reranker: Sorts the best 50 anew: a function (run in a thread), or an async one, of the query and a list of
                texts, that gives a score per text. The others follow behind those.

        `half_life_days`, `deduplicate` and `reranker` sort the best 200 hits, or three times `limit`; pages end there.

        Raises:
            InvalidInputError: The query has no word, or an argument is out of range.
            UnsupportedOperationError: By meaning, and messages are not embedded; or by words in a store without an
                index, and more than 50,000 messages would have to be read.
            EmbeddingError: The query could not be embedded.
        """
        count = self._checked(limit, mode, neighbours, half_life_days, after)
        where = self.search_filter(
            session_ids=session_ids,
            user_id=user_id,
            agent_id=agent_id,
            roles=roles,
            since=since,
            until=until,
            tags=tags,
            metadata=metadata,
        )
        from ..search import parse

        parsed = parse(query)
        if count == 0 or where.session_ids == frozenset():
            return []
        hybrid = mode == "hybrid" or (mode == "auto" and self.is_semantic)
        sorted_anew = deduplicate or reranker is not None or half_life_days is not None
        cursor = None if after is None else SearchCursor(after.score, after.session_id, after.message.seq or 0)
        wanted = max(SORTED, count * EXTRA) if sorted_anew else count
        if hybrid:
            hits = await self._fused(query, parsed, where, fusion or Fusion(), wanted, None if sorted_anew else cursor)
        elif mode == "vector":
            hits = await self._by_meaning(query, parsed, where, wanted, None if sorted_anew else cursor)
        else:
            found = await self.text_hits(parsed, where, wanted, None if sorted_anew else cursor)
            hits = [_recalled(hit, parsed, {"text"}) for hit in found]
        if sorted_anew:
            hits = await self._sorted(hits, query, half_life_days, deduplicate, reranker)
            hits = _behind(hits, after)
        return await self._surrounded(hits[:count], neighbours)

    def _checked(self, limit: object, mode: object, neighbours: object, half_life: object, after: object) -> int:
        count = check_limit(limit)
        if count is None or count > MAX_RECALL:
            raise InvalidInputError(f"limit is an int from 0 to {MAX_RECALL:,}")
        if mode not in MODES:
            raise InvalidInputError(f"mode is one of {', '.join(MODES)}")
        if type(neighbours) is not int or not 0 <= neighbours <= MAX_NEIGHBOURS:
            raise InvalidInputError(f"neighbours is an int from 0 to {MAX_NEIGHBOURS}")
        if half_life is not None and not (type(half_life) in (int, float) and half_life > 0):  # type: ignore[operator]
            raise InvalidInputError("half_life_days is a number above 0")
        if after is not None and not isinstance(after, RecallHit):
            raise InvalidInputError("after is the last hit of the page before")
        return count

    async def _by_meaning(
        self, query: str, parsed: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None
    ) -> list[RecallHit]:
        wanted = limit if after is None else MAX_RECALL
        found = await self.semantic_index.hits(_asked(query), where, wanted, _keeping(parsed))
        return [_recalled(hit, parsed, {"vector"}) for hit in page_of(found, limit, after)]

    async def _fused(
        self, query: str, parsed: TextQuery, where: SearchFilter, fusion: Fusion, limit: int, after: SearchCursor | None
    ) -> list[RecallHit]:
        keep, index = _keeping(parsed), self.semantic_index
        text, vector = await _both(
            self.text_hits(parsed, where, fusion.candidates),
            index.hits(_asked(query), where, fusion.candidates, keep),
        )
        words, meaning = _ranking(text), _ranking(vector)
        scores = fusion.fuse(words, meaning)
        known = {(hit.session_id, hit.message.seq or 0): hit.message for hit in (*text, *vector)}
        found_by: dict[Key, set[FoundBy]] = {}
        for key, _ in words:
            found_by.setdefault(key, set()).add("text")
        for key, _ in meaning:
            found_by.setdefault(key, set()).add("vector")
        order = sorted(scores, key=lambda key: (-scores[key], key[0], -key[1]))
        if after is not None:
            order = [key for key in order if (-scores[key], key[0], -key[1]) > (-after[0], after[1], -after[2])]
        hits: list[RecallHit] = []
        # What was said beside a candidate may be out of scope, or be gone: a few more are looked up.
        for start in range(0, len(order), limit):
            chunk = order[start : start + limit]
            known |= await self._messages(where, [key for key in chunk if key not in known])
            for key in chunk:
                if key in known and len(hits) < limit and (keep is None or keep(known[key])):
                    by = found_by.get(key) or {"neighbour"}
                    hits.append(_recalled(SearchHit(key[0], known[key], scores[key]), parsed, by))
            if len(hits) >= limit:
                break
        return hits

    async def _messages(self, where: SearchFilter, keys: Collection[Key]) -> dict[Key, Message]:
        from .index import read_places

        places: dict[str, set[int]] = {}
        for session_id, seq in keys:
            places.setdefault(session_id, set()).add(seq)
        backend: Any = self
        found: dict[Key, Message] = {}
        for session_id, seqs in places.items():
            for message in await read_places(backend, session_id, where, seqs) or ():
                found[session_id, message.seq or 0] = message
        return found

    async def _sorted(
        self,
        hits: list[RecallHit],
        query: str,
        half_life_days: float | None,
        deduplicate: bool,
        reranker: Reranker | None,
    ) -> list[RecallHit]:
        from . import ranking

        if half_life_days is not None:
            hits = ranking.decayed(hits, self.clock(), half_life_days)
        if reranker is not None:
            hits = await ranking.reranked(hits, query, reranker)
        return ranking.without_near_duplicates(hits) if deduplicate else hits

    async def _surrounded(self, hits: list[RecallHit], neighbours: int) -> list[RecallHit]:
        if neighbours == 0:
            return hits
        surrounded = []
        for hit in hits:
            seq = hit.message.seq or 0
            try:
                before, after = [
                    await self.perform(self.repository.read_messages, hit.session_id, query)
                    for query in (
                        MessageQuery(before_seq=seq, limit=neighbours),
                        MessageQuery(after_seq=seq, limit=neighbours, newest_first=False),
                    )
                ]
            except SessionNotFoundError:
                continue  # deleted meanwhile: its messages are no hits any more
            surrounded.append(RecallHit(hit.session_id, hit.message, hit.score, hit.found_by, hit.query, before, after))
        return surrounded


def _ranking(hits: Collection[SearchHit]) -> list[tuple[Key, float]]:
    return [((hit.session_id, hit.message.seq or 0), hit.score) for hit in hits]


async def _both(text: Coroutine[Any, Any, T], vector: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """Await both at once. Where one fails, the other has ended before that is told."""
    tasks = [asyncio.ensure_future(text), asyncio.ensure_future(vector)]
    try:
        return await tasks[0], await tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _asked(query: str) -> str:
    """Return what a query asks for in words alone: what must not be there would be near to it."""
    return _EXCLUDED.sub(" ", query).replace('"', " ").replace("* ", " ").removesuffix("*").strip()


def _keeping(query: TextQuery) -> Callable[[Message], bool] | None:
    """Return whether a message that was not found by its words has what must, and nothing that must not, be there."""
    if not query.phrases and not query.excluded:
        return None
    from ..search.bm25 import matches

    musts = TextQuery(phrases=query.phrases)
    nots = [TextQuery(phrases=(phrase,)) for phrase in query.excluded]

    def keep(message: Message) -> bool:
        text = message.text
        return (not query.phrases or matches(musts, text)) and not any(matches(one, text) for one in nots)

    return keep


def _recalled(hit: SearchHit, query: TextQuery, found_by: Collection[FoundBy]) -> RecallHit:
    return RecallHit(hit.session_id, hit.message, hit.score, frozenset(found_by), query)


def _behind(hits: list[RecallHit], after: RecallHit | None) -> list[RecallHit]:
    """Return the hits behind the last one of the page before."""
    if after is None:
        return hits
    last = (after.session_id, after.message.seq)
    for place, hit in enumerate(hits, 1):
        if (hit.session_id, hit.message.seq) == last:
            return hits[place:]
    return [hit for hit in hits if hit.score < after.score]
