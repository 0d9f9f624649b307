"""Changing messages on a server that has transactions: each change is one, so nothing is ever torn."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from ...errors import SessionNotFoundError
from ..protocol import Appended
from .batches import REPLAY_FIELDS, Batch, tokens_of
from .changes import Change, changed_meanwhile
from .connection import Connection, ReturnDocument, UpdateOne, errors, why_refused
from .forms import numbered

FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.1  # seconds before a transaction that met another is tried again

T = TypeVar("T")


class _TakenError(Exception):
    """Ends a transaction in which an id turned out to be stored already."""


class _MarkedError(Exception):
    """Ends a change of a session that was written without transactions before, and has marks of that time."""


class TransactionalWrites:
    """Appends, deletions and rewrites as transactions.

    The session's document is changed first: it is the lock under which seqs are given in the order of commits.

    Args:
        connection: The collections.
        seconds: How long a transaction that meets others is tried again.
        settle: Takes finished marks out of a session, and completes a rewrite; see ``marks``.
    """

    def __init__(self, connection: Connection, seconds: float, settle: Callable[[str], Awaitable[None]]) -> None:
        self._connection, self._seconds, self._settle = connection, seconds, settle

    async def append(self, batch: Batch) -> Appended:
        """Store a batch of new messages; if some are not new, look first."""
        try:
            return await self._past_marks("append", batch.session_id, partial(self._append, batch, {}))
        except _TakenError:
            return await self._past_marks("append", batch.session_id, partial(self._append_rest, batch))

    async def _append(self, batch: Batch, replayed: dict[str, int], session: Any, *, settled: bool) -> Appended:
        sessions, messages, _ = self._connection.collections
        new = [part for part in batch.parts if part["message_id"] not in replayed]
        increase = {"last_seq": len(new), "message_count": len(new), "token_count": tokens_of(new), "changes": 1}
        found = await sessions.find_one_and_update(
            batch.open_session,
            {"$inc": increase, "$set": batch.values},
            projection={"born": 1, "last_seq": 1, "message_count": 1, "rewriting": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if found is None:
            raise batch.refusal(await sessions.find_one({"_id": batch.session_id}, {"_id": 1}, session=session))
        if found.get("rewriting") and not settled:
            raise _MarkedError  # else an id that the rewrite removes would look stored
        documents = numbered(new, found, found["last_seq"] - len(new) + 1)
        if documents:
            try:
                await messages.insert_many(documents, session=session)
            except errors.BulkWriteError as exc:
                why = why_refused(exc)
                if why is not None and why.taken:
                    raise _TakenError from exc
                raise
        seqs = replayed | {document["message_id"]: document["seq"] for document in documents}
        return Appended(
            tuple(seqs[message.message_id] for message in batch.messages),
            len(documents),
            int(found["message_count"]),
            int(found["last_seq"]),
        )

    async def _append_rest(self, batch: Batch, session: Any, *, settled: bool) -> Appended:
        ids = [message.message_id for message in batch.messages]
        messages = self._connection.collections.messages
        found = await messages.find(batch.stored(ids), REPLAY_FIELDS, session=session).to_list(None)
        return await self._append(batch, batch.replayed(found), session, settled=settled)

    async def delete(self, session_id: str, conditions: dict[str, Any]) -> int:
        """Delete messages and correct the counters."""
        return await self._past_marks("delete_messages", session_id, partial(self._delete, session_id, conditions))

    async def _delete(self, session_id: str, conditions: dict[str, Any], session: Any, *, settled: bool) -> int:
        sessions, messages, _ = self._connection.collections
        found = await sessions.find_one_and_update(
            {"_id": session_id}, {"$inc": {"changes": 1}}, projection={"writing": 1, "rewriting": 1}, session=session
        )
        if found is None:
            raise SessionNotFoundError(session_id)
        if _marked(found) and not settled:
            raise _MarkedError
        group = {"_id": None, "tokens": {"$sum": "$tokens"}}
        sums = await messages.aggregate([{"$match": conditions}, {"$group": group}], session=session).to_list(None)
        deleted = int((await messages.delete_many(conditions, session=session)).deleted_count)
        if deleted:
            change = {"message_count": -deleted, "token_count": -int(sums[0]["tokens"]), "edits": 1}
            await sessions.update_one({"_id": session_id}, {"$inc": change}, session=session)
        return deleted

    async def rewrite(self, change: Change) -> dict[str, Any]:
        """Delete and replace messages; return the session's document."""
        return await self._past_marks("rewrite", change.session_id, partial(self._rewrite, change))

    async def _rewrite(self, change: Change, session: Any, *, settled: bool) -> dict[str, Any]:
        sessions, messages, _ = self._connection.collections
        found: dict[str, Any] | None = await sessions.find_one_and_update(
            change.session, change.of_session, return_document=ReturnDocument.AFTER, session=session
        )
        if found is None:
            raise change.refusal(await sessions.find_one({"_id": change.session_id}, {"expires": 1}, session=session))
        if _marked(found) and not settled:
            raise _MarkedError
        done = 0
        for where in change.removed_keys():
            done += int((await messages.delete_many(where, session=session)).deleted_count)
        requests = [UpdateOne(where, {"$set": part}) for where, part in change.replaced_keys()]
        if requests:
            done += (await messages.bulk_write(requests, session=session)).matched_count
        if done != len(change.seqs):
            raise changed_meanwhile(change.session_id)
        return found

    async def _past_marks(self, operation: str, session_id: str, work: Callable[..., Awaitable[T]]) -> T:
        """Do work in a transaction; in a session that has marks, once they are settled.

        A mark whose messages are gone would look torn.
        """
        try:
            return await self._run(operation, partial(work, settled=False))
        except _MarkedError:
            await self._settle(session_id)
            return await self._run(operation, partial(work, settled=True))

    async def _run(self, operation: str, work: Callable[[Any], Awaitable[T]]) -> T:
        connection = self._connection
        end, pause = time.monotonic() + self._seconds, FIRST_PAUSE
        with connection.io(operation):
            async with await connection.client.start_session() as session:
                while True:
                    try:
                        async with session.start_transaction():
                            return await work(session)
                    except errors.PyMongoError as exc:
                        if not exc.has_error_label("TransientTransactionError") or time.monotonic() > end:
                            raise
                    await asyncio.sleep(pause * random.random())
                    pause = min(2 * pause, LONGEST_PAUSE)


def _marked(session: dict[str, Any]) -> bool:
    return bool(session["writing"] or session.get("rewriting"))
