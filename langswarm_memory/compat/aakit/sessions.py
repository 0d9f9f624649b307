"""Sessions over a memory that saves and loads, and knows nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError, UnsupportedOperationError
from ...incoming import counted
from ...interfaces import message as core
from ...interfaces.contracts import IMemorySession
from ...interfaces.enums import SYSTEM_ROLES, SessionStatus
from ...interfaces.records import METADATA_FIELDS, ConversationSummary, SessionMetadata, coerce_status
from ...interfaces.timestamps import Timestamp, now
from ...tokens import estimate_tokens
from ...windows import check_limit
from .messages import Message

if TYPE_CHECKING:
    from .memory import MemoryBackend

CONTEXT = 10  # messages of a context without a limit


class PlainSession(IMemorySession):
    """A session of a :class:`MemoryBackend`.

    Args:
        metadata: What the memory's object knows of it.
        backend: The memory.
    """

    def __init__(self, metadata: SessionMetadata, backend: MemoryBackend) -> None:
        self._metadata, self._backend = metadata, backend

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session_id!r}>"

    @property
    def session_id(self) -> str:
        """Id of the session."""
        return self._metadata.session_id

    @property
    def metadata(self) -> SessionMetadata:
        """Metadata, as long as the memory's object lives."""
        return self._metadata

    async def add_message(self, message: core.Message) -> bool:
        """Save a message and return True."""
        await self.add_messages([message])
        return True

    async def add_messages(self, messages: Iterable[core.Message]) -> None:
        """Save messages."""
        new = [Message.of(counted(message, estimate_tokens)) for message in messages]
        if self._backend.save_replaces:
            new = [*(await self._backend.load(self.session_id)), *new]
        await self._backend.save(self.session_id, new)
        self._metadata.updated_at = now()

    async def get_messages(
        self, limit: int | None = None, include_system: bool = True, since: datetime | None = None
    ) -> list[core.Message]:
        """Return messages, oldest first: system messages, and the newest ``metadata.max_messages`` others."""
        count, bound = check_limit(limit), self._metadata.max_messages
        messages = list(await self._backend.load(self.session_id))
        if since is not None:
            start = Timestamp.of(since)
            messages = [message for message in messages if message.timestamp >= start]
        others = [message for message in messages if message.role not in SYSTEM_ROLES]
        inside = others if bound is None else others[max(0, len(others) - bound) :]
        kept = {id(message) for message in inside}
        found = [
            message for message in messages if id(message) in kept or (include_system and message.role in SYSTEM_ROLES)
        ]
        return found if count is None else found[max(0, len(found) - count) :]

    async def get_recent_context(self, max_tokens: int | None = None) -> list[core.Message]:
        """Return the newest messages that fit a token budget; without one, the last ten."""
        messages = await self.get_messages()
        if max_tokens is None:
            return messages[-CONTEXT:]
        room, first = max_tokens, len(messages)
        while first and (room := room - (messages[first - 1].token_count or 0)) >= 0:
            first -= 1
        return messages[first:]

    async def clear_messages(self, keep_system: bool = True) -> bool:
        """Clear the session and return True; system messages are saved again."""
        system = [one for one in await self._backend.load(self.session_id) if one.role in SYSTEM_ROLES]
        await self._backend.clear(self.session_id)
        if keep_system and system:
            await self._backend.save(self.session_id, system)
        return True

    async def get_summary(self) -> ConversationSummary | None:
        """Return None: such a memory keeps no summaries."""
        return None

    async def create_summary(self, force: bool = False) -> ConversationSummary | None:
        """Refuse, if forced; else return None."""
        if force:
            raise UnsupportedOperationError(type(self._backend).__name__, "summaries")
        return None

    async def update_metadata(self, updates: dict[str, Any] | None = None, **kwargs: Any) -> bool:
        """Change metadata and return True; names that are no field go into ``properties``."""
        for name, value in {**(updates or {}), **kwargs}.items():
            if name in ("session_id", "created_at", "updated_at"):
                raise InvalidInputError(f"{name} cannot be changed")
            if name not in METADATA_FIELDS:
                self._metadata.properties[name] = value
            else:
                setattr(self._metadata, name, coerce_status(value) if name == "status" else value)
        self._metadata.updated_at = now()
        return True

    async def close(self) -> bool:
        """Mark the session as completed and return True."""
        return await self.update_metadata(status=SessionStatus.COMPLETED)
