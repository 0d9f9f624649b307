"""A rewrite on its way into a session: what both ways of carrying it out share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...errors import ConflictError, LangSwarmMemoryError, SessionExpiredError, SessionNotFoundError
from ...interfaces.message import Message
from .. import codec
from ..documents import instant_text
from ..protocol import Rewrite
from .forms import message_key, message_parts

KEYS_AT_ONCE = 5_000  # of one statement; a key takes 1 kB at most, a statement 16 MB
STATE_FIELDS = dict.fromkeys(("expires", "edits", "last_seq", "recounts", "writing", "rewriting"), 1)


class Change(NamedTuple):
    """Messages to delete and to replace, in a session as it was read."""

    session_id: str
    given: Rewrite
    replacing: list[tuple[Message, dict[str, Any]]]
    """Messages as read, and the fields that change."""
    at: str

    @classmethod
    def of(cls, session_id: str, given: Rewrite, now: datetime, *, searchable: bool) -> Change:
        """Check and encode a rewrite.

        Raises:
            InvalidInputError: One of its messages cannot be stored.
        """
        new = [message for _, message in given.replaced]
        parts = message_parts([codec.encode_message(message) for message in new], new, searchable=searchable)
        for part in parts:
            del part["message_id"]  # it stays
            if not searchable:
                part["terms"] = None  # those of the old text must not stay; None: to be told when search is wanted
        replacing = list(zip((old for old, _ in given.replaced), parts, strict=True))
        return cls(session_id, given, replacing, instant_text(now))

    @property
    def session(self) -> dict[str, Any]:
        """The conditions of a session that takes it."""
        # A session stored before there were edits has no count of them.
        conditions: dict[str, Any] = {"edits": self.given.edits if self.given.edits else {"$in": [0, None]}}
        if self.given.last_seq is not None:
            conditions["last_seq"] = self.given.last_seq
        return {"_id": self.session_id, "expires": {"$gt": self.at}, **conditions}

    @property
    def of_session(self) -> dict[str, Any]:
        """What becomes of the session, as an update."""
        tokens = sum(old.token_count or 0 for old in self.given.removed)
        tokens += sum((old.token_count or 0) - part["tokens"] for old, part in self.replacing)
        increase = {"message_count": -self.given.count, "token_count": -tokens, "edits": 1, "changes": 1}
        return {"$inc": increase, "$set": {"updated": self.at}}

    @property
    def seqs(self) -> list[int]:
        """The seqs of the messages that it changes, in no order."""
        return [message.seq or 0 for message in (*self.given.removed, *(old for old, _ in self.replacing))]

    def removed_keys(self) -> Iterator[dict[str, Any]]:
        """Yield conditions that hold for the messages to delete, some thousand at a time."""
        keys = [message_key(self.session_id, message.message_id) for message in self.given.removed]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            yield {"session_id": self.session_id, "_id": {"$in": keys[start : start + KEYS_AT_ONCE]}}

    def replaced_keys(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield, for each message to replace, conditions that hold for it and the fields that change."""
        for old, part in self.replacing:
            yield {"session_id": self.session_id, "_id": message_key(self.session_id, old.message_id)}, part

    def refusal(self, session: Mapping[str, Any] | None) -> LangSwarmMemoryError:
        """Return why the session did not take it, by what is stored of the session."""
        if session is None:
            return SessionNotFoundError(self.session_id)
        if session["expires"] <= self.at:
            return SessionExpiredError(self.session_id)
        return changed_meanwhile(self.session_id)

    def refused(self, session: Mapping[str, Any]) -> bool:
        """Return whether a session does not take it."""
        return (
            session["expires"] <= self.at
            or (session.get("edits") or 0) != self.given.edits
            or self.given.last_seq not in (None, session["last_seq"])
        )


def changed_meanwhile(session_id: str) -> ConflictError:
    """Return the error of a change that came too late."""
    return ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)


def in_ranges(seqs: Sequence[int], ranges: Sequence[dict[str, int]]) -> bool:
    """Return whether a seq is in one of the ranges."""
    return any(span["$gte"] <= seq < span["$lt"] for span in ranges for seq in seqs)
