"""What indexes outside have seen of each session: a field of the session's hash for each index."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...errors import CorruptRecordError
from ..optional import IndexState
from ..translate import Translating
from . import scripts
from .commands import Commands
from .indexes import FEWEST, MOST, Indexes
from .layout import STORE, session_of, state_of


class TracksIndexes(Translating):
    """The primitives of ``repository/optional.py`` by that name, for the repository."""

    _commands: Commands
    _indexes: Indexes

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of stale sessions: two round trips per page of ids, until there are enough."""
        found: list[IndexState] = []
        with self.io("stale_sessions"):
            if after is None:
                await self._indexes.complete_ids()
            size = min(max(limit, FEWEST), MOST)
            async for entries in self._indexes.ids(after, size):
                ids = [session_of(entry) for entry in entries]
                gone = []
                for entry, state in zip(entries, await self._states(ids, index), strict=True):
                    if state is None:
                        gone.append((self._indexes.ids_key, entry))
                    elif (state.last_seq, state.edits) != (state.indexed_seq, state.indexed_edits):
                        found.append(state)
                await self._indexes.heal(gone)
                if len(found) >= limit:
                    break
        return found[:limit]

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session: one round trip."""
        with self.io("index_state"):
            [state] = await self._states([session_id], index)
        return state

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen: one round trip."""
        with self.io("mark_indexed"):
            await self._commands.run(
                scripts.MARK, self._indexes.keys(session_id)[:1], _field(index), f"{last_seq} {edits}"
            )

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index; a pass over all sessions."""
        with self.io("forget_index"):
            async for ids in self._all_ids():
                await self._commands.many([("HDEL", self._indexes.keys(one)[0], _field(index)) for one in ids])

    async def _all_ids(self) -> AsyncIterator[list[str]]:
        async for entries in self._indexes.all_entries():
            yield [session_of(entry) for entry in entries]

    async def _states(self, session_ids: list[str], index: str) -> list[IndexState | None]:
        replies = await self._commands.many(
            [("HMGET", self._indexes.keys(one)[0], "state", _field(index)) for one in session_ids]
        )
        return [
            None if state is None else _state_of(session_id, state, seen)
            for session_id, (state, seen) in zip(session_ids, replies, strict=True)
        ]


def _field(index: str) -> bytes:
    return b"index:" + index.encode("utf-8", "surrogatepass")


def _state_of(session_id: str, text: bytes, seen: bytes | None) -> IndexState:
    state = state_of(text)
    try:
        last_seq, edits = map(int, (seen or b"0 0").split(b" "))
    except ValueError as exc:
        raise CorruptRecordError(STORE, "index", exc) from exc
    return IndexState(session_id, state.last_seq, state.edits, last_seq, edits)
