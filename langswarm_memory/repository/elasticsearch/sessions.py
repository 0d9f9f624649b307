"""What changes a session's document: each change is conditional on the version that was read, and repeated if it lost.

Messages that a change deletes or replaces are decided by that one write as well: it takes them out of the counters and
notes them under ``rewrite``. Readers leave them out, or show what is in their place, until the index of messages has
been brought up to date and the note is dropped (``Sessions.settle``). Whoever finds a note that another left does that
first.

A message's document carries the session's ``edits`` and its own seq as its external version. So does its deletion:
whoever is late with writing a message that was deleted or replaced meanwhile, or with deleting one whose id was stored
anew, is refused.
"""

from __future__ import annotations

import asyncio
import random
from secrets import token_hex

from ...errors import ConflictError, SessionExistsError, SessionNotFoundError, StorageUnavailableError
from ...interfaces.records import SessionMetadata
from .. import codec
from .calls import Calls
from .records import COUNTERS, Changes, Json, StoredSession, document_id, message_document, session_source
from .states import SessionState, States

CONTENTION_SECONDS = 30.0  # that a write is repeated while others are faster
PAUSE_SECONDS = 0.004  # before the first repetition; doubled up to LONGEST_PAUSE_SECONDS, and at random below that
LONGEST_PAUSE_SECONDS = 0.2
SEQ_BITS = 36  # of a message's version; above them are the edits, which have room for 134 million
FENCE = [-1, 2**62]  # below and above every seq


class Patience:
    """Pauses between the attempts of one call.

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


class Sessions:
    """Changes of sessions."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self.states = calls, States()

    async def read(self, operation: str, session_id: str) -> StoredSession:
        """Return a session as it is now.

        Raises:
            SessionNotFoundError: No such session.
        """
        found = await self.find(operation, session_id)
        if found is None:
            raise SessionNotFoundError(session_id)
        return found

    async def find(self, operation: str, session_id: str) -> StoredSession | None:
        """Return a session as it is now, or None."""
        found = await self._calls.get(operation, "sessions", [session_id])
        return StoredSession.of_hit(found[0]) if found else None

    def patience(self, operation: str) -> Patience:
        """Return what paces the attempts of a call."""
        return Patience(self._calls.name, operation)

    async def change(self, operation: str, read: StoredSession, source: Json) -> StoredSession | None:
        """Write a session's document over the version read; None: it is no longer that one."""
        action = {"index": read.matches({"_id": read.session_id})}
        (item,) = await self._calls.bulk(operation, "sessions", [(action, source)])
        return None if item.conflicts else StoredSession(source, item.body["_seq_no"], item.body["_primary_term"])

    async def insert(self, metadata: SessionMetadata) -> StoredSession:
        """Store a new session."""
        codec.encode_metadata(metadata)
        numbers = {"revision": 1, "message_count": 0, "token_count": 0, "last_seq": 0, "edits": 0}
        source = session_source(metadata, {"session_key": token_hex(16), **numbers, "pending": []})
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
        """Replace metadata; messages that were appended or changed meanwhile are no conflict."""
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
                counters = {name: read.source[name] for name in COUNTERS if name in read.source}
                source = session_source(metadata, counters | {"revision": expected_revision + 1})
                stored = await self.change("replace_session", read, source)
                if stored is not None:
                    state.learn(stored)
                    return stored
                await patience.pause()

    async def settle(self, operation: str, state: SessionState, stored: StoredSession) -> StoredSession:
        """Bring the index of messages up to date with what was deleted and replaced; return the session after it.

        No request where there is nothing to do. The caller holds the session's lock.
        """
        patience = self.patience(operation)
        while (changes := stored.changes) is not None:
            await self._carry_out(operation, stored, changes)
            settled = await self.change(operation, stored, {**stored.source, "rewrite": None})
            if settled is not None:
                state.learn(settled)
                return settled
            await patience.pause()
            stored = await self.read(operation, stored.session_id)
        return stored

    async def _carry_out(self, operation: str, stored: StoredSession, changes: Changes) -> None:
        key, edits = stored.key, stored.edits
        actions = [fence(key, edits)]
        actions += [deletion(key, message_id, seq, edits) for seq, message_id in changes.gone.items()]
        for entry in changes.instead.values():
            action = versioned(key, entry["message_id"], entry["seq"], edits, "external")
            actions.append(({"index": action}, message_document(key, stored.session_id, entry)))
        items = await self._calls.bulk(operation, "messages", actions, refresh=True)
        if any(item.conflicts for item in items):  # another did it at the same time: it may not be found yet
            await self._calls.make_searchable(operation, "messages")


def deletion(key: str, message_id: str, seq: int, edits: int) -> tuple[Json, Json | None]:
    """Return the bulk item that deletes a message as it was until the edits, unless its id was stored anew."""
    return {"delete": versioned(key, message_id, seq, edits, "external_gte")}, None


def fence(key: str, edits: int) -> tuple[Json, Json | None]:
    """Return the bulk item that goes before changes of messages.

    Searches that see any of these changes see the fence as well, for it was written to the same shard before. So they
    know whether they have found the session as it was when its document was read.
    """
    action = {"_id": key, "routing": key, "version": edits, "version_type": "external_gte"}
    return {"index": action}, {"seq": FENCE, "edit": edits}


def fence_deletion(key: str, edits: int) -> tuple[Json, Json | None]:
    """Return the bulk item that deletes the fence of a session that is gone."""
    return {"delete": {"_id": key, "routing": key, "version": edits + 1, "version_type": "external_gte"}}, None


def versioned(key: str, message_id: str, seq: int, edits: int, kind: str) -> Json:
    """Return the header of a bulk item for a message's document."""
    version = (edits << SEQ_BITS) + seq
    return {"_id": document_id(key, message_id), "routing": key, "version": version, "version_type": kind}


def _same(stored: Json, given: Json) -> bool:
    return all(stored.get(name) == value for name, value in given.items() if name not in COUNTERS)
