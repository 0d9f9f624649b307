"""What indexes outside of the store have seen of each session: kept in the session's document, by ``TracksIndexes``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..optional import IndexState
from .connection import ASCENDING, Connection


class IndexNotes(Connection):
    """``indexed`` of a session: ``{index, last_seq, edits}`` each. A name may be any text, so it cannot be a key."""

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of stale sessions: a walk over the sessions in the order of their ids, until it is full."""
        state = {"last_seq": 1, "edits": {"$ifNull": ["$edits", 0]}, "indexed": _noted("$eq", index)}
        seen = {name: {"$ifNull": [{"$arrayElemAt": [f"$indexed.{name}", 0]}, 0]} for name in ("last_seq", "edits")}
        differs = {"$or": [{"$ne": [f"${name}", value]} for name, value in seen.items()]}
        pipeline: list[dict[str, Any]] = [
            {"$sort": {"_id": ASCENDING}},
            {"$project": state},
            {"$match": {"$expr": differs}},
            {"$limit": limit},
        ]
        if after is not None:
            pipeline.insert(0, {"$match": {"_id": {"$gt": after}}})
        sessions = self.collections.sessions
        with self.io("stale_sessions"):
            return [_state(session, index) async for session in sessions.aggregate(pipeline)]

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session."""
        sessions = self.collections.sessions
        with self.io("index_state"):
            found = await sessions.find_one({"_id": session_id}, {"last_seq": 1, "edits": 1, "indexed": 1})
        return None if found is None else _state(found, index)

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen, in one step."""
        note = {"index": {"$literal": index}, "last_seq": last_seq, "edits": edits}
        sessions = self.collections.sessions
        with self.io("mark_indexed"):
            await sessions.update_one(
                {"_id": session_id}, [{"$set": {"indexed": {"$concatArrays": [_noted("$ne", index), [note]]}}}]
            )

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index."""
        sessions = self.collections.sessions
        with self.io("forget_index"):
            await sessions.update_many({"indexed.index": index}, {"$pull": {"indexed": {"index": index}}})


def _noted(comparison: str, index: str) -> dict[str, Any]:
    notes = {"$ifNull": ["$indexed", []]}
    return {"$filter": {"input": notes, "cond": {comparison: ["$$this.index", {"$literal": index}]}}}


def _state(session: Mapping[str, Any], index: str) -> IndexState:
    note = next((note for note in session.get("indexed", ()) if note["index"] == index), {"last_seq": 0, "edits": 0})
    edits = int(session.get("edits", 0))
    return IndexState(session["_id"], int(session["last_seq"]), edits, int(note["last_seq"]), int(note["edits"]))
