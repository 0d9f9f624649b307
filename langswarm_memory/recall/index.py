"""An index of embeddings over a store of sessions: brought up to date behind the appends, and asked by meaning.

Nothing is noted when a message is appended. What an index has seen of a session is kept with the session, as the last
seq and the count of edits that it saw; a session whose own differ is stale. So nothing is lost by a crash at any
moment, and an append costs what it costs without an index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..embeddings.provider import IEmbeddingProvider
from ..errors import SessionNotFoundError, UnsupportedOperationError
from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..repository.matching import SCORE_DIGITS, in_scope, page_of, stretches
from ..repository.optional import IndexState, TracksIndexes
from ..repository.protocol import MessageQuery
from ..repository.text_search import SearchFilter, SearchHit
from ..streaming import INTERRUPTED
from .embedded import Embedded, EmbeddingIndex, Near, embedded_text, message_hash, owner

if TYPE_CHECKING:
    from ..backend import BaseMemoryBackend

INDEXED_ROLES = frozenset({"user", "assistant"})
"""Roles whose messages are embedded: what people and agents said to each other. Results of tools are data."""

ANOTHER = -1  # a count of edits that no session has: it is compared
EMBED_PAGE = 100  # messages embedded at a time: what a crash lets be done again
MORE_HITS = 4  # how much further is looked when hits turn out to be out of scope
SEARCH_WIDTH = 2_000  # nearest messages that are looked at, at most


@dataclass(slots=True)
class Touched:
    """What this process changed in a session, so that it need not be looked for."""

    from_edits: int
    to_edits: int
    seqs: set[int] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


class SemanticIndex:
    """The embeddings of one model over one backend.

    Args:
        backend: The sessions.
        provider: Makes the vectors.
        embedded: Keeps them.
        name: Under which the store notes what was indexed. It names the model.
        roles: Whose messages are embedded.
    """

    def __init__(
        self,
        backend: BaseMemoryBackend,
        provider: IEmbeddingProvider,
        embedded: EmbeddingIndex,
        name: str,
        roles: frozenset[str] = INDEXED_ROLES,
    ) -> None:
        self.provider, self.embedded, self.name, self.roles = provider, embedded, name, roles
        self._backend = backend
        self._opened = False
        self._opening = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def backend(self) -> BaseMemoryBackend:
        """The sessions."""
        return self._backend

    @property
    def tracker(self) -> TracksIndexes:
        """The store, as what notes how far an index has come.

        Raises:
            UnsupportedOperationError: It notes nothing.
        """
        repository = self._backend.repository
        if not isinstance(repository, TracksIndexes):
            raise UnsupportedOperationError(
                repository.name, "an index of embeddings", "use a store that tracks indexes"
            )
        return repository

    async def open(self) -> None:
        """Connect; idempotent."""
        async with self._opening:
            if not self._opened:
                await self._backend.ensure_connected()  # the embeddings may be in its database
                await self.embedded.open()
                if not self.embedded.in_store and await self.embedded.count() == 0:
                    # A collection that was lost, or never was more than memory: what is noted of it holds no more.
                    await self._backend.perform(self.tracker.forget_index, self.name)
                self._opened = True

    async def close(self) -> None:
        """Release everything; idempotent."""
        async with self._opening:
            if self._opened:
                self._opened = False
                await self.embedded.close()
            await self.provider.aclose()

    # --- keeping it up to date ---------------------------------------------------------------------------------

    async def stale(self, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of the sessions that must be brought up to date."""
        await self.open()  # which may find that nothing is indexed any more
        return await self._backend.perform(self.tracker.stale_sessions, self.name, limit=limit, after=after)

    async def bring_up_to_date(self, session_id: str, touched: Touched | None = None) -> int:
        """Embed what changed in a session since it was last indexed; return how many messages were embedded.

        Args:
            session_id: The session. One that was deleted loses its embeddings.
            touched: What this process knows to have changed. None, or where others changed something too: the whole
                session is compared.
        """
        await self.open()
        async with self._lock(session_id):  # the worker and a flush; what the first embedded, the second finds done
            return await self._bring_up_to_date(session_id, touched)

    def _lock(self, session_id: str) -> asyncio.Lock:
        lock = self._locks.get(session_id)
        if lock is None:
            lock = self._locks[session_id] = asyncio.Lock()
        return lock

    async def _bring_up_to_date(self, session_id: str, touched: Touched | None) -> int:
        backend = self._backend
        state = await backend.perform(self.tracker.index_state, session_id, self.name)
        record = await backend.perform(backend.repository.fetch_session, session_id)
        if state is None or record is None:
            await self.embedded.drop(session_id)
            return 0
        done = 0
        if (state.last_seq, state.edits) != (state.indexed_seq, state.indexed_edits):
            try:
                done = await self._follow(record.metadata, state, touched)
            except SessionNotFoundError:
                done = 0  # the look at what is there now says the rest
        now = await backend.perform(backend.repository.fetch_session, session_id)
        if now is None or now.metadata.created_at != record.metadata.created_at:
            # It was deleted while it was embedded, and perhaps made anew: then what was noted is not of the new one.
            if now is not None:
                await self._mark(session_id, 0, 0)
            await self.embedded.drop(session_id)
        return done

    async def _follow(self, session: SessionMetadata, state: IndexState, touched: Touched | None) -> int:
        backend, session_id = self._backend, session.session_id
        seen, done = state.indexed_seq, 0
        if state.edits != state.indexed_edits or seen > state.last_seq:
            told = touched is not None and (touched.from_edits, touched.to_edits) == (state.indexed_edits, state.edits)
            if touched is not None and told and 0 < seen <= state.last_seq:
                done += await self._mend(session, touched, seen)
            else:
                done += await self._compare(session, state)
                seen = state.last_seq
            await self._mark(session_id, seen, state.edits)
        while seen < state.last_seq:
            query = MessageQuery(after_seq=seen, before_seq=state.last_seq + 1, newest_first=False, limit=EMBED_PAGE)
            page = await backend.perform(backend.repository.read_messages, session_id, query)
            done += await self._embed(session, page)
            seen = page[-1].seq or state.last_seq if len(page) == EMBED_PAGE else state.last_seq
            await self._mark(session_id, seen, state.edits)
        return done

    async def _mark(self, session_id: str, last_seq: int, edits: int) -> None:
        await self._backend.perform(self.tracker.mark_indexed, session_id, self.name, last_seq=last_seq, edits=edits)

    async def _embed(self, session: SessionMetadata, messages: Iterable[Message]) -> int:
        wanted = [message for message in messages if self._is_indexed(message)]
        if not wanted:
            return 0
        texts = [embedded_text(message) for message in wanted]
        vectors = await self.provider.embed_batch(texts)
        rows = [
            Embedded(message, message_hash(message), vector) for message, vector in zip(wanted, vectors, strict=True)
        ]
        await self.embedded.put(session, rows)
        return len(rows)

    def _is_indexed(self, message: Message) -> bool:
        return (
            message.role in self.roles
            and bool(message.text.strip())
            and message.metadata.get(INTERRUPTED) is not True  # being written; it is seen again when it is finished
        )

    async def _mend(self, session: SessionMetadata, touched: Touched, seen: int) -> int:
        """Follow changes that are known. What is behind the last one seen is embedded in its turn."""
        if touched.removed and not self.embedded.in_store:
            await self.embedded.drop(session.session_id, touched.removed)
        done = 0
        backend = self._backend
        for first, last in stretches(touched.seqs):
            query = MessageQuery(after_seq=first - 1, before_seq=last + 1)
            page = await backend.perform(backend.repository.read_messages, session.session_id, query)
            replaced = [message for message in page if message.seq in touched.seqs]
            gone = [message.message_id for message in replaced if not self._is_indexed(message)]
            if gone:
                await self.embedded.drop(session.session_id, gone)
            here = [m for m in replaced if (m.seq or 0) <= seen and self._is_indexed(m)]
            known = await self.embedded.known(session, [m.message_id for m in here]) if here else None
            done += await self._embed(session, [m for m in here if (known or {}).get(m.message_id) != message_hash(m)])
        return done

    async def _compare(self, session: SessionMetadata, state: IndexState) -> int:
        """Bring a session up to date whose changes are not known: by what the index knows of each message."""
        session_id, backend = session.session_id, self._backend
        known = await self.embedded.known(session)
        if known is None:
            await self.embedded.drop(session_id)
        stale = dict(known or {})
        done, seen = 0, 0
        while True:
            query = MessageQuery(after_seq=seen, before_seq=state.last_seq + 1, newest_first=False, limit=EMBED_PAGE)
            page = await backend.perform(backend.repository.read_messages, session_id, query)
            changed = []
            for message in page:
                if self._is_indexed(message):
                    before = stale.pop(message.message_id, None)
                    if before != message_hash(message):
                        changed.append(message)
            done += await self._embed(session, changed)
            if len(page) < EMBED_PAGE:
                break
            seen = page[-1].seq or state.last_seq
        if stale:
            await self.embedded.drop(session_id, stale)
        return done

    async def owner_changed(self, before: SessionMetadata, after: SessionMetadata) -> None:
        """Have what stands beside a session's vectors for filters brought up to date, if it is not what it was."""
        if self.embedded.in_store or owner(before) == owner(after):
            return
        await self.open()
        async with self._lock(after.session_id):
            state = await self._backend.perform(self.tracker.index_state, after.session_id, self.name)
            if state is not None and state.indexed_seq:
                await self._mark(after.session_id, state.indexed_seq, ANOTHER)

    async def forget(self, session_ids: Sequence[str]) -> None:
        """Delete the embeddings of sessions that are about to be deleted.

        First it is noted that nothing of them is indexed, so that a crash in between leaves sessions that are indexed
        again, and never embeddings of a session that is gone.
        """
        if self.embedded.in_store:
            return
        await self.open()
        for session_id in session_ids:
            await self._mark(session_id, 0, 0)
            await self.embedded.drop(session_id)

    async def forgotten(self, session_ids: Sequence[str]) -> None:
        """Delete what was embedded of sessions while they were being deleted.

        What is embedded later than this is dropped by whoever embeds: it sees that the session is gone.
        """
        if not self.embedded.in_store:
            for session_id in session_ids:
                await self.embedded.drop(session_id)

    # --- asking it ---------------------------------------------------------------------------------------------

    async def hits(
        self, query: str, where: SearchFilter, limit: int, keep: Callable[[Message], bool] | None = None
    ) -> list[SearchHit]:
        """Return the messages nearest in meaning, in the order of ``SearchCursor``; the score is the cosine similarity.

        What changed since it was embedded is left out, so an index that is behind finds less, but nothing wrong.

        Args:
            query: What is asked.
            where: Where to look.
            limit: At most so many, from 1.
            keep: Whether a message may be a hit. None: any.
        """
        await self.open()
        vector = await self.provider.embed_query(query)
        width = limit + 1
        while True:
            near = await self.embedded.nearest(vector, where, width)
            found = [hit for hit in await self._looked_up(near, where) if keep is None or keep(hit.message)]
            # Of those that are as near as the last one, all must be known: their order is not that of the index.
            if len(found) > limit and _rounded(near[-1].score) < found[limit - 1].score:
                break
            if len(near) < width or width >= SEARCH_WIDTH:
                break
            width = min(width * MORE_HITS, SEARCH_WIDTH)
        return page_of(found, limit, None)

    async def _looked_up(self, near: Sequence[Near], where: SearchFilter) -> list[SearchHit]:
        """Join hits to the messages as they are now."""
        backend = self._backend
        missing: dict[str, set[int]] = {}
        for one in near:
            if one.message is None:
                missing.setdefault(one.session_id, set()).add(one.seq)
        messages: dict[tuple[str, int], Message] = {}
        for session_id, seqs in missing.items():
            read = await read_places(backend, session_id, where, seqs)
            if read is None:
                await self.bring_up_to_date(session_id)  # the store let it expire: nobody deleted its embeddings
                continue
            for message in read:
                messages[session_id, message.seq or 0] = message
        found = []
        for one in near:
            here = one.message or messages.get((one.session_id, one.seq))
            if here is not None and message_hash(here) == one.hash:
                found.append(SearchHit(one.session_id, here, _rounded(one.score)))
        return found


def _rounded(score: float) -> float:
    return round(score, SCORE_DIGITS)


async def read_places(
    backend: BaseMemoryBackend, session_id: str, where: SearchFilter, seqs: Iterable[int]
) -> list[Message] | None:
    """Return the messages at some places of a session that are in scope. None: the session is gone."""
    repository = backend.repository
    record = await backend.perform(repository.fetch_session, session_id)
    if record is None:
        return None
    found: list[Message] = []
    wanted = set(seqs)
    for first, last in stretches(wanted):
        query = MessageQuery(after_seq=first - 1, before_seq=last + 1)
        try:
            page = await backend.perform(repository.read_messages, session_id, query)
        except SessionNotFoundError:
            return None
        found += [m for m in page if m.seq in wanted and in_scope(record.metadata, m, where)]
    return found
