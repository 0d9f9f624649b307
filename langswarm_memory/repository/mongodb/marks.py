"""Deleting and rewriting without transactions, among appends that are under way; see ``appends`` on their marks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ...errors import SessionNotFoundError
from .appends import TRIES, MarkedAppends, range_of
from .batches import tokens_of
from .changes import KEYS_AT_ONCE, STATE_FIELDS, Change, changed_meanwhile, in_ranges
from .connection import ReturnDocument


class MarkedWrites(MarkedAppends):
    """Changes of messages by single statements."""

    async def delete(self, session_id: str, conditions: dict[str, Any]) -> int:
        """Delete messages and correct the counters; a repeated call corrects what a torn one left.

        Appends that are under way count as later ones: their messages stay.
        """
        for _ in range(TRIES):
            session = await self._without_marks(session_id)
            found = await self._to_delete(session, conditions)
            if not found:
                deleted, counted = 0, False
                break
            edits = await self._count_edit(session_id)
            if edits is not None:
                untouched = edits == (session.get("edits") or 0) + 1
                deleted, counted = await self._delete(session, found, edits if untouched else None)
                break
            # A rewrite came between; or the session has gone, which the next turn tells.
        else:
            raise changed_meanwhile(session_id)
        if not counted:
            await self.recount(session_id)  # another one changes messages as well, or an earlier call was torn
        return deleted

    async def _to_delete(self, session: dict[str, Any], conditions: dict[str, Any]) -> list[dict[str, Any]]:
        # Up to what was given when the marks were read: the mark of a later message was not among them.
        bounds: list[dict[str, Any]] = [conditions, {"seq": {"$lte": session["last_seq"]}}]
        under_way = [{"seq": range_of(mark)} for mark in session["writing"]]
        if under_way:
            bounds.append({"$nor": under_way})
        with self._connection.io("delete_messages"):
            return list(await self._connection.collections.messages.find({"$and": bounds}, {"tokens": 1}).to_list(None))

    async def _count_edit(self, session_id: str) -> int | None:
        # Before anything goes: an edit that is counted and was not made does no harm, the reverse is not seen.
        with self._connection.io("delete_messages"):
            session = await self._connection.collections.sessions.find_one_and_update(
                {"_id": session_id, "rewriting": None},
                {"$inc": {"edits": 1, "changes": 1}},
                projection={"edits": 1},
                return_document=ReturnDocument.AFTER,
            )
        return None if session is None else int(session["edits"])

    async def _delete(
        self, session: dict[str, Any], found: list[dict[str, Any]], edits: int | None
    ) -> tuple[int, bool]:
        """Delete messages; return how many there were, and whether the session's counters are right now."""
        sessions, messages, _ = self._connection.collections
        session_id, deleted = session["_id"], 0
        with self._connection.io("delete_messages"):
            for start in range(0, len(found), KEYS_AT_ONCE):
                ids = [document["_id"] for document in found[start : start + KEYS_AT_ONCE]]
                deleted += (await messages.delete_many({"session_id": session_id, "_id": {"$in": ids}})).deleted_count
            if edits is None or deleted < len(found):
                return deleted, False
            done = await sessions.update_one(
                {"_id": session_id, "recounts": session["recounts"], "edits": edits},
                {"$inc": {"message_count": -deleted, "token_count": -tokens_of(found), "changes": 1}},
            )
        return deleted, bool(done.matched_count)

    async def rewrite(self, change: Change) -> dict[str, Any]:
        """Delete and replace messages; as ``MemoryRepository.rewrite``, of a document."""
        session = await self._without_marks(change.session_id)
        if change.refused(session):
            raise change.refusal(session)
        if self._is_under_way(change, session):
            await self.settle(change.session_id)
            if self._is_under_way(change, await self._without_marks(change.session_id)):
                # Part of a batch that is not complete: it is counted as a whole.
                raise changed_meanwhile(change.session_id)
        return await self.rewrites.rewrite(change)

    def _is_under_way(self, change: Change, session: dict[str, Any]) -> bool:
        return in_ranges(change.seqs, [range_of(mark) for mark in session["writing"]])

    # --- marks -----------------------------------------------------------------------------------------------------

    async def settle(self, session_id: str) -> None:
        """Take out what marks are finished, and what are older than the lease."""
        session = await self._without_marks(session_id)
        limit = datetime.now(UTC) - self._lease
        await self.take_out_torn(session_id, [mark for mark in session["writing"] if mark["at"] < limit])

    async def _without_marks(self, session_id: str) -> dict[str, Any]:
        """Take out the marks that are finished, and return the session: messages that have one must not be deleted.

        Without them their mark would look torn.
        """
        finished = sorted(self._finished.get(session_id, ()))
        session = await self._without(session_id, finished)
        if session["writing"]:
            present = await self.present(session_id, session["writing"])
            finished = [mark["id"] for mark in session["writing"] if present[mark["id"]].messages == mark["count"]]
            if finished:
                session = await self._without(session_id, finished)
        return session

    async def _without(self, session_id: str, marks: Sequence[str]) -> dict[str, Any]:
        with self._connection.io("delete_messages"):
            session: dict[str, Any] | None = await self._connection.collections.sessions.find_one_and_update(
                {"_id": session_id},
                {"$pull": {"writing": {"id": {"$in": marks}}}, "$inc": {"changes": 1}},
                projection=STATE_FIELDS,
                return_document=ReturnDocument.AFTER,
            )
        if session is None:
            raise SessionNotFoundError(session_id)
        self.forget(session_id, marks)
        await self.rewrites.complete(session)
        return session
