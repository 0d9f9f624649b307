"""What both ways of appending share: the batch, the session it goes to, and messages that are stored already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from ...errors import LangSwarmMemoryError, SessionExpiredError, SessionNotFoundError
from ...interfaces.message import Message
from .. import codec
from ..documents import instant_text
from ..protocol import Appended
from .changes import Change
from .forms import expiry_text, message_key, message_parts, unpack

REPLAY_FIELDS = {"_id": 0, "message_id": 1, "seq": 1, "document": 1}


class Batch(NamedTuple):
    """Messages on their way into a session."""

    session_id: str
    messages: tuple[Message, ...]
    parts: list[dict[str, Any]]
    """The messages as documents, without their numbers."""
    at: str
    values: dict[str, str]
    """What an append sets in the session."""

    @classmethod
    def of(
        cls,
        session_id: str,
        messages: Sequence[Message],
        now: datetime,
        expires_at: datetime | None,
        *,
        searchable: bool,
    ) -> Batch:
        """Check and encode messages.

        Raises:
            InvalidInputError: One of them cannot be stored.
        """
        rows = [codec.encode_message(message) for message in messages]
        at = instant_text(now)
        values = {"updated": at} | ({} if expires_at is None else {"expires": expiry_text(expires_at)})
        return cls(session_id, tuple(messages), message_parts(rows, messages, searchable=searchable), at, values)

    @property
    def open_session(self) -> dict[str, Any]:
        """The conditions of a session that takes the batch."""
        return {"_id": self.session_id, "expires": {"$gt": self.at}}

    def stored(self, ids: Iterable[str]) -> dict[str, Any]:
        """Return the conditions of messages with these ids in the session."""
        keys = [message_key(self.session_id, message_id) for message_id in ids]
        return {"session_id": self.session_id, "_id": {"$in": keys}}

    def refusal(self, session: dict[str, Any] | None) -> LangSwarmMemoryError:
        """Return why the session did not take it, by what is stored of the session."""
        if session is None:
            return SessionNotFoundError(self.session_id)
        return SessionExpiredError(self.session_id)

    def replayed(self, found: Iterable[dict[str, Any]]) -> dict[str, int]:
        """Return the seqs of messages that are stored already, by id.

        Raises:
            ConflictError: One of them is stored with other content.
        """
        given = {message.message_id: message for message in self.messages}
        seqs: dict[str, int] = {}
        for document in found:
            name = document["message_id"]
            codec.check_replay(self.session_id, given[name], unpack(document))
            seqs[name] = document["seq"]
        return seqs


def tokens_of(parts: Iterable[dict[str, Any]]) -> int:
    """Return the sum of the token counts of messages as documents."""
    return sum(part["tokens"] for part in parts)


class Writes(Protocol):
    """A way to change a session's messages so that its counters stay right."""

    async def append(self, batch: Batch) -> Appended:
        """Store a batch; as ``MemoryRepository.append``."""

    async def delete(self, session_id: str, conditions: dict[str, Any]) -> int:
        """Delete the messages that fulfil the conditions, of a session that is there; return how many."""

    async def rewrite(self, change: Change) -> dict[str, Any]:
        """Delete and replace messages; as ``MemoryRepository.rewrite``, and return the session's document."""
