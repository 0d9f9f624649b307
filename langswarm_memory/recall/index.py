"""An index of embeddings over a store of sessions: brought up to date behind the appends, and asked by meaning.

Nothing is noted when a message is appended. What an index has seen of a session is kept with the session, as the last
seq and the count of edits that it saw; a session whose own differ is stale. So nothing is lost by a crash at any
moment, and an append costs what it costs without an index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..embeddings.provider import IEmbeddingProvider
from ..errors import SessionNotFoundError, UnsupportedOperationError
from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..repository.matching import in_scope, stretches
from ..repository.optional import IndexState, TracksIndexes
from ..repository.protocol import MessageQuery
from ..repository.text_search import SearchFilter, SearchHit
from ..streaming import INTERRUPTED
from .embedded import Embedded, EmbeddingIndex, Near, content_hash, embedded_text

if TYPE_CHECKING:
    from ..backend import BaseMemoryBackend

INDEXED_ROLES = frozenset({"user", "assistant"})
"""Roles whose messages are embedded: what people and agents said to each other. Results of tools are data."""

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
                await self.embedded.open()
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
        return await self._backend.perform(self.tracker.stale_sessions, self.name, limit=limit, after=after)

    async def bring_up_to_date(self, session_id: str, touched: Touched | None = None) -> int:
        """Embed what changed in a session since it was last indexed; return how many messages were embedded.

        Args:
            session_id: The session. One that was deleted loses its embeddings.
            touched: What this process knows to have changed. None, or where others changed something too: the whole
                session is compared.
        """
        await self.open()
        backend, tracker = self._backend, self.tracker
        state = await backend.perform(tracker.index_state, session_id, self.name)
        record = None if state is None else await backend.perform(backend.repository.fetch_session, session_id)
        if state is None or record is None:
            await self.embedded.drop(session_id)
            return 0
        seen, metadata = state.indexed_seq, record.metadata
        done = 0
        try:
            if state.edits != state.indexed_edits and seen > 0:
                if touched is not None and (touched.from_edits, touched.to_edits) == (state.indexed_edits, state.edits):
                    done += await self._mend(metadata, touched)
                else:
                    done += await self._compare(metadata, state)
                    seen = state.last_seq
                await self._mark(session_id, seen, state.edits)
            while seen < state.last_seq:
                query = MessageQuery(
                    after_seq=seen, before_seq=state.last_seq + 1, newest_first=False, limit=EMBED_PAGE
                )
                page = await backend.perform(backend.repository.read_messages, session_id, query)
                done += await self._embed(metadata, page)
                seen = page[-1].seq or state.last_seq if len(page) == EMBED_PAGE else state.last_seq
                await self._mark(session_id, seen, state.edits)
        except SessionNotFoundError:
            await self.embedded.drop(session_id)
            return done
        if done and await backend.perform(tracker.index_state, session_id, self.name) is None:
            await self.embedded.drop(session_id)  # it was deleted while it was embedded
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
            Embedded(message, content_hash(text), vector)
            for message, text, vector in zip(wanted, texts, vectors, strict=True)
        ]
        await self.embedded.put(session, rows)
        return len(rows)

    def _is_indexed(self, message: Message) -> bool:
        return (
            message.role in self.roles
            and bool(message.text.strip())
            and message.metadata.get(INTERRUPTED) is not True  # being written; it is seen again when it is finished
        )

    async def _mend(self, session: SessionMetadata, touched: Touched) -> int:
        if touched.removed:
            await self.embedded.drop(session.session_id, touched.removed)
        done = 0
        backend = self._backend
        for seq in sorted(touched.seqs):
            query = MessageQuery(after_seq=seq - 1, before_seq=seq + 1)
            page = await backend.perform(backend.repository.read_messages, session.session_id, query)
            gone = [message.message_id for message in page if not self._is_indexed(message)]
            if gone:
                await self.embedded.drop(session.session_id, gone)
            done += await self._embed(session, page)
        return done

    async def _compare(self, session: SessionMetadata, state: IndexState) -> int:
        """Bring a session up to date whose changes are not known: by what the index knows of each message."""
        session_id, backend = session.session_id, self._backend
        known = await self.embedded.known(session_id)
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
                    if before != content_hash(embedded_text(message)):
                        changed.append(message)
            done += await self._embed(session, changed)
            if len(page) < EMBED_PAGE:
                break
            seen = page[-1].seq or state.last_seq
        if stale:
            await self.embedded.drop(session_id, stale)
        return done

    async def forget(self, session_ids: Sequence[str]) -> None:
        """Delete the embeddings of sessions that are about to be deleted.

        First it is noted that nothing of them is indexed, so that a crash in between leaves sessions that are indexed
        again, and never embeddings of a session that is gone.
        """
        await self.open()
        for session_id in session_ids:
            await self._mark(session_id, 0, 0)
            await self.embedded.drop(session_id)

    # --- asking it ---------------------------------------------------------------------------------------------

    async def hits(self, query: str, where: SearchFilter, limit: int) -> list[SearchHit]:
        """Return the messages nearest in meaning, best first; the score is the cosine similarity.

        What changed since it was embedded is left out, so an index that is behind finds less, but nothing wrong.
        """
        await self.open()
        vector = await self.provider.embed_query(query)
        width = limit
        while True:
            near = await self.embedded.nearest(vector, where, width)
            found = await self._looked_up(near, where)
            if len(found) >= limit or len(near) < width or width >= SEARCH_WIDTH:
                return found[:limit]
            width = min(width * MORE_HITS, SEARCH_WIDTH)

    async def _looked_up(self, near: Sequence[Near], where: SearchFilter) -> list[SearchHit]:
        """Join hits to the messages as they are now."""
        backend = self._backend
        missing: dict[str, set[int]] = {}
        for one in near:
            if one.message is None:
                missing.setdefault(one.session_id, set()).add(one.seq)
        messages: dict[tuple[str, int], Message] = {}
        for session_id, seqs in missing.items():
            for read in await read_places(backend, session_id, where, seqs):
                messages[session_id, read.seq or 0] = read
        found = []
        for one in near:
            message: Message | None = one.message or messages.get((one.session_id, one.seq))
            if message is not None and content_hash(embedded_text(message)) == one.hash:
                found.append(SearchHit(one.session_id, message, one.score))
        return found


async def read_places(
    backend: BaseMemoryBackend, session_id: str, where: SearchFilter, seqs: Iterable[int]
) -> list[Message]:
    """Return the messages at some places of a session that are in scope; none if the session is not, or is gone."""
    repository = backend.repository
    record = await backend.perform(repository.fetch_session, session_id)
    if record is None:
        return []
    found = []
    for first, last in stretches(seqs):
        query = MessageQuery(after_seq=first - 1, before_seq=last + 1)
        try:
            page = await backend.perform(repository.read_messages, session_id, query)
        except SessionNotFoundError:
            return []
        wanted = set(seqs)
        found += [m for m in page if m.seq in wanted and in_scope(record.metadata, m, where)]
    return found
