"""Appending: decided by one conditional write of the session's document.

The document takes the new seqs, the new counters and the messages themselves, as ``pending``. Only then are they
written into the index of messages, and the next append leaves out those that searches find by now. So a batch is all or
nothing, whoever dies in between; the next writer completes what is pending, and readers add it to what they find.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex

from ...errors import ConflictError, SessionExpiredError
from ...interfaces.message import Message
from .. import codec
from ..protocol import Appended
from .records import (
    Json,
    StoredSession,
    document_id,
    instants,
    message_document,
    message_source,
    read_message,
)
from .sessions import Sessions, versioned
from .states import FOUND, SessionState

MOST_PENDING = 32  # messages; where more are pending, an append makes searches find them first, and drops them
MOST_PENDING_SIZE = 32_000  # characters, likewise: they are written again with every append until then


class Writes(Sessions):
    """Changes of sessions and appends of messages."""

    async def append(
        self, session_id: str, messages: Sequence[Message], *, now: datetime, expires_at: datetime | None
    ) -> Appended:
        """Append a batch.

        Round trips, where this process wrote the session last: ids that are stored already, the session's
        document, the messages' documents. One more for a session that it does not know.
        """
        rows = [codec.encode_message(message) for message in messages]
        batch = token_hex(8)
        prepared = [message_source(row, message, batch) for row, message in zip(rows, messages, strict=True)]
        state = self.states.of(session_id)
        async with state.lock:
            stored, appended = await self._commit(state, session_id, messages, prepared, now, expires_at)
        await self.complete(state, stored, self._calls.refresh)
        return appended

    async def _commit(
        self,
        state: SessionState,
        session_id: str,
        messages: Sequence[Message],
        prepared: list[Json],
        now: datetime,
        expires_at: datetime | None,
    ) -> tuple[StoredSession, Appended]:
        sent: list[Json] = []
        patience = self.patience("append")
        while True:
            remembered = state.known
            read = remembered or await self.read("append", session_id)
            if read.changes is not None:
                state.known = await self.settle("append", state, read)
                continue
            # Where an answer was lost, the client sends again, and is refused because the first time was a success.
            stored_before = len(sent) if _holds(read, sent) else 0
            try:
                seqs, new = await self._numbered(read, messages, prepared, now)
            except (SessionExpiredError, ConflictError):
                if remembered is None:
                    raise
                state.known = None  # what is remembered may have changed elsewhere
                continue
            if _many(state.unfound(read, self._calls.refreshed)):
                await self._complete_now(state, session_id)
            carried = state.unfound(read, self._calls.refreshed)
            source = self._appended(read, carried, new, now, expires_at)
            stored = await self.change("append", read, source)
            if stored is not None:
                state.learn(stored)
                inserted = len(new) + stored_before
                return stored, Appended(tuple(seqs), inserted, source["message_count"], source["last_seq"])
            state.known, sent = None, new
            await patience.pause()

    async def _numbered(
        self, read: StoredSession, messages: Sequence[Message], prepared: list[Json], now: datetime
    ) -> tuple[list[int], list[Json]]:
        """Return a seq for each message, and the entries of those that are new."""
        read.check_expiry(now)
        known = {entry["message_id"]: entry for entry in read.pending}
        # After the session was read: what was committed until then is pending, or was stored before it was left out.
        asked = [document_id(read.key, name) for entry in prepared if (name := entry["message_id"]) not in known]
        for hit in await self._calls.get("append", "messages", asked, routing=read.key):
            known[hit["_source"]["message_id"]] = hit["_source"]
        seqs: list[int] = []
        new: list[Json] = []
        last = read.number("last_seq")
        for message, entry in zip(messages, prepared, strict=True):
            old = known.get(entry["message_id"])
            if old is None:
                last += 1
                new.append({"seq": last, "edit": read.edits, **entry})
                seqs.append(last)
            else:
                codec.check_replay(read.session_id, message, read_message(old))
                seqs.append(old["seq"])
        return seqs, new

    @staticmethod
    def _appended(
        read: StoredSession, carried: list[Json], new: list[Json], now: datetime, expires_at: datetime | None
    ) -> Json:
        changed = instants(now, expires_at)
        if expires_at is None:
            del changed["expires"], changed["expires_at"]
        return {
            **read.source,
            **changed,
            "message_count": read.number("message_count") + len(new),
            "token_count": read.number("token_count") + sum(entry["tokens"] for entry in new),
            "last_seq": read.number("last_seq") + len(new),
            "pending": carried + new,
            "fresh": [] if new else read.source.get("fresh", []),
        }

    async def _complete_now(self, state: SessionState, session_id: str) -> None:
        """Make searches find what is pending, here and in all other sessions that this process writes to."""
        # Read anew: what is remembered may be pending no longer, and deleted for so long that it could come back.
        await self.complete(state, await self.read("append", session_id), False)
        await self._calls.make_searchable("append", "messages")

    async def complete(self, state: SessionState, stored: StoredSession, refresh: bool | str) -> None:
        """Write pending messages into their index, but for those that this process has written or is writing."""
        calls, key = self._calls, stored.key
        entries = {(key, entry["seq"]): entry for entry in stored.pending}
        for name in state.on_the_way | state.written.keys():
            entries.pop(name, None)
        if not entries:
            return
        state.on_the_way |= entries.keys()
        try:
            actions: list[tuple[Json, Json | None]] = []
            for entry in entries.values():
                action = versioned(key, entry["message_id"], entry["seq"], entry.get("edit") or 0, "external")
                actions.append(({"index": action}, message_document(key, stored.session_id, entry)))
            items = await calls.bulk("append", "messages", actions, refresh=refresh)
            # A conflict: the message is there. Elasticsearch waits for changes to be found, not for what was there.
            found = refresh is not False and not items[-1].conflicts
            state.written |= dict.fromkeys(entries, FOUND if found else calls.begun)
        finally:
            state.on_the_way -= entries.keys()


def _many(entries: list[Json]) -> bool:
    return len(entries) > MOST_PENDING or sum(len(e["document"]) for e in entries) > MOST_PENDING_SIZE


def _holds(read: StoredSession, sent: list[Json]) -> bool:
    there = {(entry["seq"], entry.get("batch")) for entry in read.pending}
    return all((entry["seq"], entry["batch"]) in there for entry in sent)
