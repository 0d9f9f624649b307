"""Rewriting without transactions: all of a change lies beside its messages before one step makes it hold.

1. *Stage*: each message that changes gets a note ``{id, edits, next}``, with its new fields, or None where it goes.
2. *Commit*: one compare-and-set of the session's document counts the edit, corrects the counters, and leaves there
   ``rewriting``: ``{id, first, last, …}``. From here on the change holds, whoever dies.
3. *Carry out*: messages get their new fields, or go.
4. *Finish*: ``rewriting`` is taken out.

Whoever meets ``rewriting`` does 3 and 4, which may be done by several and more than once. Until 3 reaches a message,
its note tells whoever reads it to look at the session. Notes of a change that was not committed mean nothing; once
the session's edits are past theirs, they never will.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ...errors import InvalidInputError, LangSwarmMemoryError
from ..documents import pack_message
from .changes import Change, changed_meanwhile
from .connection import Connection, ReturnDocument, UpdateMany, UpdateOne, is_settled
from .forms import MAX_DOCUMENT
from .terms import TERMS_BYTES

STAGED: dict[str, Any] = {"rewriting.0": {"$exists": True}}
"""Holds for messages with notes."""
PAGE = 500  # messages whose new fields are read at once when a change is carried out
TRIES = 5  # of a step that others' writes may undo


class Rewrites:
    """The steps of rewriting.

    Args:
        connection: The collections.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rewrite(self, change: Change) -> dict[str, Any]:
        """Carry out a change in a session that has no ``rewriting``, and return the session's document.

        Raises:
            ConflictError: The session or its messages are not as they were read; nothing was changed.
            InvalidInputError: A message and its new form do not fit into one document.
        """
        mark = _mark(change)
        if mark is not None:
            await self._stage(change, mark)
        session = await self._commit(change, mark)
        if session is None:
            if mark is not None:
                await self._take_back(change.session_id, mark)
            sessions = self._connection.collections.sessions
            with self._connection.io("rewrite"):
                raise change.refusal(await sessions.find_one({"_id": change.session_id}, {"expires": 1}))
        await self.complete(session)
        return session

    async def _stage(self, change: Change, mark: dict[str, Any]) -> None:
        note = {"id": mark["id"], "edits": change.given.edits}
        requests: list[Any] = [
            UpdateMany(where, {"$push": {"rewriting": {**note, "next": None}}}) for where in change.removed_keys()
        ]
        for (old, part), (where, _) in zip(change.replacing, change.replaced_keys(), strict=True):
            if len(pack_message(old)) + len(part["document"]) > MAX_DOCUMENT - 2 * TERMS_BYTES:
                raise InvalidInputError(
                    "a message and what replaces it do not fit into one document of MongoDB's",
                    suggestion="use a server with transactions, or delete the message and add another",
                )
            requests.append(UpdateOne(where, {"$push": {"rewriting": {**note, "next": part}}}))
        messages = self._connection.collections.messages
        try:
            with self._connection.io("rewrite"):
                staged = await messages.bulk_write(requests, ordered=False)
            if staged.matched_count != len(change.seqs):
                raise changed_meanwhile(change.session_id)
        except LangSwarmMemoryError as exc:
            if exc.__cause__ is None or is_settled(exc.__cause__):  # else some of it may still arrive
                await self._take_back(change.session_id, mark)
            raise

    async def _commit(self, change: Change, mark: dict[str, Any] | None) -> dict[str, Any] | None:
        update = change.of_session
        if mark is not None:
            update["$set"]["rewriting"] = mark
        sessions = self._connection.collections.sessions
        with self._connection.io("rewrite"):
            found: dict[str, Any] | None = await sessions.find_one_and_update(
                {**change.session, "rewriting": None}, update, return_document=ReturnDocument.AFTER
            )
        return found

    async def _take_back(self, session_id: str, mark: dict[str, Any]) -> None:
        with self._connection.io("rewrite"):
            messages = self._connection.collections.messages
            await messages.update_many(_noted(session_id, mark), {"$pull": {"rewriting": {"id": mark["id"]}}})

    # --- a change that holds ---------------------------------------------------------------------------------------

    async def complete(self, session: Mapping[str, Any]) -> bool:
        """Carry out what a session's document says to be under way; return whether there was anything."""
        mark = session.get("rewriting")
        if not mark:
            return False
        session_id: str = session["_id"]
        sessions, messages, _ = self._connection.collections
        noted = _noted(session_id, mark)
        with self._connection.io("rewrite"):
            if mark["roles"]:
                await self._in_both_roles(noted)
            if mark["removed"]:
                gone = {**noted, "rewriting": {"$elemMatch": {"id": mark["id"], "next": None}}}
                del gone["rewriting.id"]
                await messages.delete_many(gone)
            more = mark["replaced"] > 0
            while more:
                page = await messages.find(noted, {"rewriting": 1}).limit(PAGE).to_list(None)
                requests = [UpdateOne({**noted, "_id": one["_id"]}, _carried_out(one, mark["id"])) for one in page]
                if requests:
                    await messages.bulk_write(requests, ordered=False)
                more = len(page) == PAGE
            await sessions.update_one(
                {"_id": session_id, "rewriting.id": mark["id"]}, {"$unset": {"rewriting": ""}, "$inc": {"changes": 1}}
            )
        return True

    async def _in_both_roles(self, noted: dict[str, Any]) -> None:
        # A reader who asks for one of them finds the message with its note, whichever it is; before anything is
        # carried out, so that nobody sees other messages changed and misses this one.
        messages = self._connection.collections.messages
        requests = []
        async for one in messages.find(noted, {"role": 1, "rewriting.id": 1, "rewriting.next.role": 1}):
            role = next(_new(note, one["role"]) for note in one["rewriting"] if note["id"] == noted["rewriting.id"])
            if one["role"] != role and not isinstance(one["role"], list):
                requests.append(UpdateOne({**noted, "_id": one["_id"]}, {"$set": {"role": [one["role"], role]}}))
        if requests:
            await messages.bulk_write(requests, ordered=False)

    # --- readers ---------------------------------------------------------------------------------------------------

    async def settled(self, session_id: str) -> int | None:
        """Carry out what is under way in a session, and return its edits; None: no such session."""
        sessions, messages, _ = self._connection.collections
        for _ in range(TRIES):
            with self._connection.io("read_messages"):
                session = await sessions.find_one({"_id": session_id}, {"edits": 1, "rewriting": 1})
            if session is None:
                return None
            if await self.complete(session):
                continue
            edits = int(session.get("edits") or 0)
            dead = {"edits": {"$lt": edits}}
            with self._connection.io("read_messages"):  # or every reader would stop at them
                await messages.update_many(
                    {"session_id": session_id, "rewriting.edits": {"$lt": edits}}, {"$pull": {"rewriting": dead}}
                )
            return edits
        raise changed_meanwhile(session_id)

    async def is_at(self, session_id: str, edits: int) -> bool:
        """Return whether a session's messages are those of a number of edits."""
        sessions = self._connection.collections.sessions
        with self._connection.io("read_messages"):
            session = await sessions.find_one({"_id": session_id}, {"edits": 1})
        return session is not None and int(session.get("edits") or 0) == edits


def _mark(change: Change) -> dict[str, Any] | None:
    seqs = change.seqs
    if not seqs:
        return None
    return {
        "id": uuid4().hex,
        "first": min(seqs),
        "last": max(seqs),
        "removed": change.given.count,
        "replaced": len(change.replacing),
        "roles": any(old.role != part["role"] for old, part in change.replacing),
    }


def _noted(session_id: str, mark: Mapping[str, Any]) -> dict[str, Any]:
    span = {"$gte": mark["first"], "$lte": mark["last"]}
    return {"session_id": session_id, "seq": span, "rewriting.id": mark["id"]}


def _new(note: Mapping[str, Any], role: Any) -> Any:
    return role if note.get("next") is None else note["next"]["role"]


def _carried_out(message: Mapping[str, Any], change: str) -> dict[str, Any]:
    fields = next(note["next"] for note in message["rewriting"] if note["id"] == change)
    # With the notes of others: they were made at the same edits, and come too late.
    return {"$set": fields, "$unset": {"rewriting": ""}}
