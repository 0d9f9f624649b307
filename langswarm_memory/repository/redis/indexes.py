"""The indexes: how sessions are listed without a search through the keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from ...interfaces.records import SessionMetadata
from ..documents import instant_text
from ..protocol import SessionQuery, SessionRecord
from .commands import Command, Commands
from .layout import Pair, ids_key, index_for, pairs_of, quoted, record_of, session_of

FEWEST, MOST = 20, 1_000  # entries looked at in one round trip


class Indexes:
    """Sorted sets of the sessions, newest first.

    Args:
        commands: How to reach the server.
        prefix: Begins every key.
    """

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands, self._prefix = commands, prefix

    def keys(self, session_id: str) -> list[str]:
        """Return the keys of a session, in the order in which the scripts take them."""
        slot = f"{{{quoted(session_id)}}}"
        base = f"{self._prefix}session:{slot}"
        parts = (":messages", ":ids", ":system", ":summaries")
        return [base, *(base + part for part in parts), f"{self._prefix}text:{slot}:"]

    def additions(self, metadata: SessionMetadata) -> list[Command]:
        """Return the commands that list a session; those of a session that is listed change nothing."""
        return [("ZADD", index, 0, entry) for index, entry in pairs_of(self._prefix, metadata)]

    async def pages(self, query: SessionQuery, wanted: int) -> AsyncIterator[list[SessionRecord]]:
        """Yield sessions that may belong to a listing, in its order; entries of sessions that are gone are removed."""
        index = index_for(self._prefix, query)
        high = "+" if query.after is None else f"({instant_text(query.after[0])} {query.after[1]}"
        size = min(max(wanted, FEWEST), MOST)
        async for entries in self.entries(index, high, size):
            records = await self._sessions([session_of(entry) for entry in entries])
            found, gone = [], []
            for entry, record in zip(entries, records, strict=True):
                if record is not None and (index, entry) in pairs_of(self._prefix, record.metadata):
                    found.append(record)
                else:
                    gone.append((index, entry))
            await self.heal(gone)
            yield found

    async def entries(self, index: str, high: str = "+", size: int = MOST) -> AsyncIterator[list[str]]:
        """Yield the entries of an index, newest first, in pages that grow."""
        while found := await self._commands.call("ZREVRANGEBYLEX", index, high, "-", "LIMIT", 0, size):
            yield [entry.decode() for entry in found]
            if len(found) < size:
                return
            high, size = "(" + found[-1].decode(), min(size * 2, MOST)

    async def all_entries(self) -> AsyncIterator[list[str]]:
        """Yield the entries of all sessions."""
        async for entries in self.entries(f"{self._prefix}index:all"):
            yield entries

    @property
    def ids_key(self) -> str:
        """The key of the index by session id."""
        return ids_key(self._prefix)

    async def ids(self, after: str | None, size: int) -> AsyncIterator[list[str]]:
        """Yield the entries of the index by session id, ascending, those above an id."""
        low = "-" if after is None else f"( {after}"
        while found := await self._commands.call("ZRANGEBYLEX", self.ids_key, low, "+", "LIMIT", 0, size):
            yield [entry.decode() for entry in found]
            if len(found) < size:
                return
            low, size = "(" + found[-1].decode(), min(size * 2, MOST)

    async def complete_ids(self) -> None:
        """List by id what is listed by time only: sessions made before there was an index by id."""
        everything = f"{self._prefix}index:all"
        counts = await self._commands.many([("ZCARD", key) for key in (everything, self.ids_key)])
        if counts[0] <= counts[1]:
            return
        async for entries in self.all_entries():
            records = await self._sessions([session_of(entry) for entry in entries])
            alive, gone = [], []
            for entry, record in zip(entries, records, strict=True):
                if record is not None and (everything, entry) in pairs_of(self._prefix, record.metadata):
                    alive.append(("ZADD", self.ids_key, 0, " " + record.metadata.session_id))
                else:
                    gone.append((everything, entry))
            await self._commands.many(alive)
            await self.heal(gone)

    async def _sessions(self, session_ids: Sequence[str]) -> list[SessionRecord | None]:
        replies = await self._commands.many([("HMGET", self.keys(one)[0], "document", "state") for one in session_ids])
        return [None if state is None else record_of(document, state) for document, state in replies]

    async def heal(self, gone: Iterable[Pair]) -> None:
        """Remove entries that name no session; put back those whose session has come into being meanwhile."""
        by_index: dict[str, list[str]] = defaultdict(list)
        for index, entry in gone:
            by_index[index].append(entry)
        if not by_index:
            return
        await self._commands.many([("ZREM", index, *entries) for index, entries in by_index.items()])
        ids = list({session_of(entry) for entries in by_index.values() for entry in entries})
        alive = {record.metadata.session_id: record.metadata for record in await self._sessions(ids) if record}
        back = [
            ("ZADD", index, 0, entry)
            for index, entries in by_index.items()
            for entry in entries
            if session_of(entry) in alive and (index, entry) in pairs_of(self._prefix, alive[session_of(entry)])
        ]
        await self._commands.many(back)
