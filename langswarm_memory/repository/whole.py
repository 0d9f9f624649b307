"""Optional primitive: many short sessions at a time, for moving data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata


class WholeSession(NamedTuple):
    """A session with all that it holds."""

    metadata: SessionMetadata
    messages: Sequence[Message]
    """Oldest first, token counts set."""
    summaries: Sequence[ConversationSummary]


@runtime_checkable
class MovesSessions(Protocol):
    """Optional primitive: read and store whole sessions, many in one round trip."""

    async def insert_whole(self, sessions: Sequence[WholeSession]) -> None:
        """Store new sessions, all of them or none; their messages are numbered from 1.

        Raises:
            SessionExistsError: One of the ids is taken, by whichever session.
            InvalidInputError: Something cannot be stored, or a message id occurs twice in a session.
        """

    async def read_whole(
        self, session_ids: Sequence[str]
    ) -> dict[str, tuple[list[Message], list[ConversationSummary]]]:
        """Return messages and summaries of sessions, oldest first; one that is missing has neither.

        Everything is read at once: for sessions that are known to be short.
        """
