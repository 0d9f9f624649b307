"""What changes a session's document: each change is conditional on the version that was read, and repeated if it lost.

An append is decided by that one write: the document takes the new seqs, the new counters and the messages themselves,
as ``pending``. Only then are they written into the index of messages, and the next append leaves out those that
searches find by now. So a batch is all or nothing, whoever dies in between; the next writer completes what is pending,
and readers add it to what they find.

A message's document carries its seq as its external version. So does its deletion: whoever is late with
writing a message that was deleted meanwhile, or with deleting one whose id was stored anew, is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex

from ...errors import (
    ConflictError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
    StorageUnavailableError,
)
from ...interfaces.message import Message
from ...interfaces.records import SessionMetadata
from .. import codec
from ..protocol import Appended
from .calls import Calls
from .records import (
    COUNTERS,
    Json,
    StoredSession,
    document_id,
    instants,
    message_source,
    microseconds,
    read_message,
    session_source,
)
from .states import FOUND, SessionState, States

CONTENTION_SECONDS = 30.0  # that a write is repeated while others are faster
PAUSE_SECONDS = 0.004  # before the first repetition; doubled up to LONGEST_PAUSE_SECONDS, and at random below that
LONGEST_PAUSE_SECONDS = 0.2
MOST_PENDING = 32  # messages; where more are pending, an append makes searches find them first, and drops them
MOST_PENDING_SIZE = 32_000  # characters, likewise: they are written again with every append until then


class Patience:
    """Pauses between the attempts of one write.

    Args:
        store: Name of the store.
        operation: What is attempted.
    """

    def __init__(self, store: str, operation: str) -> None:
        self._store, self._operation, self._attempts = store, operation, 0
        self._end = asyncio.get_running_loop().time() + CONTENTION_SECONDS

    async def pause(self) -> None:
        """Wait before the next attempt.

        Raises:
            StorageUnavailableError: Others were faster for CONTENTION_SECONDS.
        """
        if asyncio.get_running_loop().time() > self._end:
            suggestion = "other writers were faster; repeat the call"
            raise StorageUnavailableError(self._store, self._operation, None, suggestion)
        self._attempts += 1
        longest = min(PAUSE_SECONDS * 2**self._attempts, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(longest * random.random())  # spreads writers, guards nothing


class Writes:
    """Changes of sessions and their messages."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self.states = calls, States()

    async def read(self, operation: str, session_id: str) -> StoredSession:
        """Return a session as it is now.

        Raises:
            SessionNotFoundError: No such session.
        """
        found = await self._calls.get(operation, "sessions", [session_id])
        if not found:
            raise SessionNotFoundError(session_id)
        return StoredSession.of_hit(found[0])

    def patience(self, operation: str) -> Patience:
        """Return what paces the attempts of a write."""
        return Patience(self._calls.name, operation)

    async def change(self, operation: str, read: StoredSession, source: Json) -> StoredSession | None:
        """Write a session's document over the version read; None: it is no longer that one."""
        action = {"index": read.matches({"_id": read.session_id})}
        (item,) = await self._calls.bulk(operation, "sessions", [(action, source)])
        return None if item.conflicts else StoredSession(source, item.body["_seq_no"], item.body["_primary_term"])

    # --- sessions ----------------------------------------------------------------------------------------------

    async def insert(self, metadata: SessionMetadata) -> StoredSession:
        """Store a new session."""
        codec.encode_metadata(metadata)
        counters = {"session_key": token_hex(16), "revision": 1, "message_count": 0, "token_count": 0, "last_seq": 0}
        source = session_source(metadata, {**counters, "pending": []})
        action = {"create": {"_id": metadata.session_id}}
        (item,) = await self._calls.bulk("insert_session", "sessions", [(action, source)])
        if not item.conflicts:
            stored = StoredSession(source, item.body["_seq_no"], item.body["_primary_term"])
        else:
            found = await self._calls.get("insert_session", "sessions", [metadata.session_id])
            if not found or found[0]["_source"].get("session_key") != source["session_key"]:
                raise SessionExistsError(metadata.session_id)
            stored = StoredSession.of_hit(found[0])  # our own, sent again by the client after its answer was lost
        self.states.of(metadata.session_id).learn(stored)
        return stored

    async def replace(self, metadata: SessionMetadata, *, expected_revision: int) -> StoredSession:
        """Replace metadata; messages that were appended meanwhile are no conflict."""
        codec.encode_metadata(metadata)
        state = self.states.of(metadata.session_id)
        source: Json | None = None
        async with state.lock:
            patience = self.patience("replace_session")
            while True:
                read = await self.read("replace_session", metadata.session_id)
                if source is not None and read.number("revision") == source["revision"] and _same(read.source, source):
                    state.learn(read)  # our own, sent again by the client after its answer was lost
                    return read
                if read.number("revision") != expected_revision:
                    raise ConflictError(f"session {metadata.session_id!r} was changed meanwhile", retryable=True)
                counters = {name: read.source.get(name) for name in COUNTERS} | {"revision": expected_revision + 1}
                source = session_source(metadata, counters)
                stored = await self.change("replace_session", read, source)
                if stored is not None:
                    state.learn(stored)
                    return stored
                await patience.pause()

    # --- appending ---------------------------------------------------------------------------------------------

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
        expires = read.source.get("expires")
        if expires is not None and expires <= microseconds(now):
            raise SessionExpiredError(read.session_id)
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
                new.append({"seq": last, **entry})
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
                action = _versioned(key, entry["message_id"], entry["seq"], "external")
                document = {"session_id": stored.session_id, "session_key": key, **entry}
                actions.append(({"index": action}, document))
            items = await calls.bulk("append", "messages", actions, refresh=refresh)
            # A conflict: the message is there. Elasticsearch waits for changes to be found, not for what was there.
            found = refresh is not False and not items[-1].conflicts
            state.written |= dict.fromkeys(entries, FOUND if found else calls.begun)
        finally:
            state.on_the_way -= entries.keys()


def deletion(key: str, message_id: str, seq: int) -> tuple[Json, None]:
    """Return the bulk item that deletes a message, unless its id was stored anew."""
    return {"delete": _versioned(key, message_id, seq, "external_gte")}, None


def _versioned(key: str, message_id: str, seq: int, kind: str) -> Json:
    return {"_id": document_id(key, message_id), "routing": key, "version": seq, "version_type": kind}


def _many(entries: list[Json]) -> bool:
    return len(entries) > MOST_PENDING or sum(len(e["document"]) for e in entries) > MOST_PENDING_SIZE


def _same(stored: Json, given: Json) -> bool:
    return all(stored.get(name) == value for name, value in given.items() if name not in COUNTERS)


def _holds(read: StoredSession, sent: list[Json]) -> bool:
    there = {(entry["seq"], entry.get("batch")) for entry in read.pending}
    return all((entry["seq"], entry["batch"]) in there for entry in sent)
