"""Appending without transactions: seqs and counters first, then the messages, and a mark in between.

An append is two round trips. The first gives the batch its seqs, counts it, and leaves a *mark* in the session:
``{id, first, count, tokens, batch, at}``. The second inserts. What tears an append (a crash, a cut) leaves a mark whose
messages are not all there, and counters that are too high by them. A mark is taken out

* by the next append of the process that made it, once its messages are stored;
* by the append that repeats the batch, from whatever process, and
* after ``lease`` seconds by any append to the session.

The latter two look which of its messages are missing and correct the counters, in one step with taking out the mark,
so that only one of several does. Ids are unique, so once a repeated batch is stored nothing of the first try can
still arrive; after the lease, nothing does because the driver gave up long before (who is slower counts again).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from ...errors import ConflictError, CorruptRecordError, LangSwarmMemoryError
from ..protocol import Appended
from .batches import REPLAY_FIELDS, Batch, tokens_of
from .connection import Connection, ReturnDocument, errors, is_settled, why_refused
from .forms import numbered
from .rewrites import Rewrites

REMEMBERED = 10_000  # sessions whose finished marks a process remembers; what it forgets, the lease takes out
TRIES = 5  # of a step that others' writes may undo
CLASH_PAUSE = 0.05  # seconds, at most, before an insert that met others is tried again; doubled each time

SIZE_FIELDS = {"_id": 0, "seq": 1, "tokens": 1}
RESERVED_FIELDS = {"born": 1, "last_seq": 1, "message_count": 1, "writing": 1, "rewriting": 1}


class Sum(NamedTuple):
    """So many messages, with so many tokens."""

    messages: int
    tokens: int


class MarkedAppends:
    """Appends by single statements, and the counters they share with other changes.

    Args:
        connection: The collections.
        lease_seconds: After so long, an append that is not complete was torn. Far longer than the driver waits.
    """

    def __init__(self, connection: Connection, lease_seconds: float) -> None:
        self._connection = connection
        self.rewrites = Rewrites(connection)
        self._lease = timedelta(seconds=lease_seconds)
        self._finished: OrderedDict[str, set[str]] = OrderedDict()

    # --- appending -------------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> Appended:
        """Store a batch: two round trips; more only when an id is stored already, or after a torn append."""
        parts = batch.parts
        replayed: dict[str, int] = {}
        digest = hashlib.sha256("\0".join(message.message_id for message in batch.messages).encode()).digest()[:16]
        seqs: dict[str, int] = {}
        for _ in range(TRIES):
            started = time.monotonic()
            session = await self._reserve(batch, parts, digest)
            await self.rewrites.complete(session)  # else an id that it removes would look stored
            mark = session["writing"][-1]
            documents = numbered(parts, session, mark["first"])
            refused = await self._insert(batch, mark, documents)
            seqs |= {d["message_id"]: d["seq"] for i, d in enumerate(documents) if i not in refused}
            fewer = 0
            if refused:
                replayed |= await self._replayed(batch, mark, [documents[i]["message_id"] for i in refused])
                missing = Sum(len(refused), tokens_of(documents[i] for i in refused))
                fewer += await self._take_out(batch.session_id, mark, missing)
            else:
                self._remember(batch.session_id, mark["id"])
            fewer += await self.take_out_torn(batch.session_id, self._torn(session, mark))
            if time.monotonic() - started > self._lease.total_seconds() / 2:
                await self.recount(batch.session_id)  # somebody may have taken us for dead
            inserted = len(seqs)
            stored = replayed | seqs
            if all(message.message_id in stored for message in batch.messages):
                return Appended(
                    tuple(stored[message.message_id] for message in batch.messages),
                    inserted,
                    int(session["message_count"]) - fewer,
                    int(session["last_seq"]),
                )
            # A message was refused for another one that has been deleted since: what is not stored goes again.
            parts = [part for part in batch.parts if part["message_id"] not in stored]
        raise ConflictError(f"session {batch.session_id!r} was changed meanwhile", retryable=True)

    async def _reserve(self, batch: Batch, parts: Sequence[dict[str, Any]], digest: bytes) -> dict[str, Any]:
        finished = sorted(self._finished.get(batch.session_id, ()))
        count, tokens = len(parts), tokens_of(parts)
        mark = {
            "id": {"$literal": uuid4().hex},
            "first": {"$add": ["$last_seq", 1]},
            "count": count,
            "tokens": tokens,
            "batch": {"$literal": digest},
            "at": "$$NOW",  # the server's: no two clocks are compared
        }
        unfinished = {"$filter": {"input": "$writing", "cond": {"$not": [{"$in": ["$$this.id", finished]}]}}}
        change = {
            "last_seq": {"$add": ["$last_seq", count]},
            "message_count": {"$add": ["$message_count", count]},
            "token_count": {"$add": ["$token_count", tokens]},
            "changes": {"$add": ["$changes", 1]},
            "writing": {"$concatArrays": [unfinished if finished else "$writing", [mark]]},
            **{name: {"$literal": value} for name, value in batch.values.items()},
        }
        sessions = self._connection.collections.sessions
        with self._connection.io("append"):
            session: dict[str, Any] | None = await sessions.find_one_and_update(
                batch.open_session,
                [{"$set": change}],
                projection=RESERVED_FIELDS,
                return_document=ReturnDocument.AFTER,
            )
            if session is None:
                raise batch.refusal(await sessions.find_one({"_id": batch.session_id}, {"_id": 1}))
        self.forget(batch.session_id, finished)
        return session

    async def _insert(self, batch: Batch, mark: dict[str, Any], documents: Sequence[dict[str, Any]]) -> set[int]:
        """Insert the messages; return the places of those whose id is taken."""
        messages = self._connection.collections.messages
        taken: set[int] = set()
        left = list(range(len(documents)))
        try:
            with self._connection.io("append"):
                for attempt in range(TRIES):
                    try:
                        await messages.insert_many([documents[place] for place in left], ordered=False)
                        left = []
                    except errors.BulkWriteError as exc:
                        why = why_refused(exc)
                        if why is None or (why.clashed and attempt == TRIES - 1):
                            raise
                        taken |= {left[place] for place in why.taken}
                        left = [left[place] for place in sorted(why.clashed)]
                    if not left:
                        break
                    await asyncio.sleep(random.random() * CLASH_PAUSE * 2**attempt)  # or they all meet again
        except LangSwarmMemoryError as exc:
            if is_settled(exc.__cause__):  # else, as after a lost connection, some of it may still arrive
                await self._take_back(batch.session_id, mark)
            raise
        return taken

    async def _replayed(self, batch: Batch, mark: dict[str, Any], ids: list[str]) -> dict[str, int]:
        with self._connection.io("append"):
            messages = self._connection.collections.messages
            found = await messages.find(batch.stored(ids), REPLAY_FIELDS).to_list(None)
        try:
            return batch.replayed(found)
        except (ConflictError, CorruptRecordError):
            await self._take_back(batch.session_id, mark)
            raise

    async def _take_back(self, session_id: str, mark: dict[str, Any]) -> None:
        """Delete what was stored of a batch that cannot be stored as a whole; its seqs are lost."""
        with self._connection.io("append"):
            await self._connection.collections.messages.delete_many({"session_id": session_id, "seq": range_of(mark)})
        await self._take_out(session_id, mark, Sum(mark["count"], mark["tokens"]))

    # --- marks -----------------------------------------------------------------------------------------------------

    def _remember(self, session_id: str, mark: str) -> None:
        self._finished.setdefault(session_id, set()).add(mark)
        self._finished.move_to_end(session_id)
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)

    def forget(self, session_id: str, marks: Iterable[str]) -> None:
        """Forget marks that are finished: they are taken out."""
        left = self._finished.get(session_id)
        if left is not None:
            left.difference_update(marks)
            if not left:
                del self._finished[session_id]

    def _unfinished(self, session: dict[str, Any]) -> list[dict[str, Any]]:
        finished = self._finished.get(session["_id"], ())
        return [mark for mark in session.get("writing", ()) if mark["id"] not in finished]

    def _torn(self, session: dict[str, Any], own: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the marks to look after once `own` is stored: earlier tries of its batch, those past the lease."""
        return [
            mark
            for mark in self._unfinished(session)
            if mark["id"] != own["id"] and (mark["batch"] == own["batch"] or mark["at"] < own["at"] - self._lease)
        ]

    async def present(self, session_id: str, marks: Sequence[dict[str, Any]]) -> dict[str, Sum]:
        """Return how much of each mark is stored, by its id."""
        ranges = [{"seq": range_of(mark)} for mark in marks]
        with self._connection.io("append"):
            messages = self._connection.collections.messages
            found = await messages.find({"session_id": session_id, "$or": ranges}, SIZE_FIELDS).to_list(None)
        return {mark["id"]: _part(mark, found) for mark in marks}

    async def missing(self, session: dict[str, Any]) -> Sum:
        """Return what a session counts and does not hold: the messages of appends that were torn a lease ago.

        Costs a round trip only if there is a mark that old and not known to be finished.
        """
        limit = datetime.now(UTC) - self._lease
        marks = [mark for mark in self._unfinished(session) if mark["at"] < limit]
        if not marks:
            return Sum(0, 0)
        present = await self.present(session["_id"], marks)
        count = tokens = 0
        for mark in marks:
            there = present[mark["id"]]
            if there.messages == mark["count"]:
                self._remember(session["_id"], mark["id"])
            count, tokens = count + mark["count"] - there.messages, tokens + mark["tokens"] - there.tokens
        return Sum(count, tokens)

    async def take_out_torn(self, session_id: str, marks: Sequence[dict[str, Any]]) -> int:
        """Take out marks of which nothing more can arrive; return by how much the count went down."""
        if not marks:
            return 0
        present, fewer = await self.present(session_id, marks), 0
        for mark in marks:
            there = present[mark["id"]]
            if there.messages == mark["count"]:
                self._remember(session_id, mark["id"])
                continue
            missing = Sum(mark["count"] - there.messages, mark["tokens"] - there.tokens)
            fewer += await self._take_out(session_id, mark, missing)
        return fewer

    async def _take_out(self, session_id: str, mark: dict[str, Any], missing: Sum) -> int:
        """Take out a mark and correct the counters, unless somebody has; return by how much the count went down."""
        with self._connection.io("append"):
            done = await self._connection.collections.sessions.update_one(
                {"_id": session_id, "writing.id": mark["id"]},
                {
                    "$pull": {"writing": {"id": mark["id"]}},
                    "$inc": {"message_count": -missing.messages, "token_count": -missing.tokens, "changes": 1},
                },
            )
        return missing.messages if done.matched_count else 0

    async def recount(self, session_id: str) -> None:
        """Set the counters to what is stored, and what is under way. Given up when others write all the time."""
        sessions, messages, _ = self._connection.collections
        for _ in range(TRIES):
            with self._connection.io("recount"):
                session = await sessions.find_one({"_id": session_id}, {"changes": 1, "writing": 1, "rewriting": 1})
                if session is None:
                    return
                if await self.rewrites.complete(session):
                    continue  # only now is what is counted what is stored
                # One query: a message that arrives between two would be neither stored nor under way, or both.
                found = await messages.find({"session_id": session_id}, SIZE_FIELDS).to_list(None)
                count, tokens = len(found), tokens_of(found)
                for mark in self._unfinished(session):
                    there = _part(mark, found)
                    count, tokens = count + mark["count"] - there.messages, tokens + mark["tokens"] - there.tokens
                done = await sessions.update_one(
                    {"_id": session_id, "changes": session["changes"]},
                    {"$set": {"message_count": count, "token_count": tokens}, "$inc": {"changes": 1, "recounts": 1}},
                )
            if done.matched_count:
                return


def _part(mark: dict[str, Any], found: Iterable[dict[str, Any]]) -> Sum:
    """Return how much of a mark is among messages."""
    first, end = mark["first"], mark["first"] + mark["count"]
    there = [document for document in found if first <= document["seq"] < end]
    return Sum(len(there), tokens_of(there))


def range_of(mark: dict[str, Any]) -> dict[str, int]:
    """Return the conditions on the seqs of a mark."""
    return {"$gte": mark["first"], "$lt": mark["first"] + mark["count"]}
