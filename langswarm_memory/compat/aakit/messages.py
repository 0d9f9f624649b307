"""What is saved and loaded, and what is known of a session."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from ...interfaces import message as core
from ...interfaces.message import new_id
from ...interfaces.records import SessionMetadata
from ...interfaces.timestamps import now


class Message(core.Message):
    """A message as AA Kit knows it: the fourth argument is the metadata, and the role is plain text.

    It gets its id here, so saving it again, changed or not, stores it once.

    Args:
        role: Who speaks: "user", "assistant", "system", "tool".
        content: What is said.
        timestamp: When; naive means local time. None: now.
        metadata: JSON object of the caller's.
        message_id: Unique within its session. None: a UUID.
        token_count: Size in model tokens. None: counted when it is saved.
        function_call: Older single-call form of OpenAI.
        tool_calls: Tool calls of an assistant message.
        tool_call_id: On a tool result: which call it answers.
        name: Name of the speaker or tool.

    Raises:
        InvalidInputError: The role is no text, or the timestamp no datetime.
    """

    role: str

    def __init__(
        self,
        role: str,
        content: core.Content,
        timestamp: datetime | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        message_id: str | None = None,
        token_count: int | None = None,
        function_call: dict[str, Any] | None = None,
        tool_calls: list[dict[str, Any]] | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            role,
            content,
            now() if timestamp is None else timestamp,
            new_id() if message_id is None else message_id,
            {} if metadata is None else metadata,
            token_count,
            function_call,
            tool_calls,
            tool_call_id,
            name,
        )
        self.role = _plain(self.role)

    @classmethod
    def of(cls, message: core.Message) -> Message:
        """Return a message of this kind with the same fields, id and position."""
        if isinstance(message, cls):
            return message
        return _rebuild(_values(message), message.seq)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object: role, content, timestamp (ISO), metadata, message_id, and other fields where set."""
        data = super().to_dict()
        data.setdefault("metadata", {})
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Message:
        """Build a message from :meth:`to_dict`'s form; all but ``role`` may be missing.

        Raises:
            InvalidInputError: ``role`` is missing, or a value has the wrong type.
        """
        return cls.of(core.Message.from_dict(data))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (_values(self), self.seq)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session besides its messages."""

    session_id: str
    created_at: datetime
    updated_at: datetime
    message_count: int
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: SessionMetadata, message_count: int) -> SessionInfo:
        """Return what the metadata of a session says."""
        return cls(metadata.session_id, metadata.created_at, metadata.updated_at, message_count, metadata.properties)


_NAMES = tuple(one.name for one in fields(core.Message))


def _plain(role: object) -> str:
    return str(getattr(role, "value", role))


def _values(message: core.Message) -> dict[str, Any]:
    values = {name: getattr(message, name) for name in _NAMES}
    return {**values, "role": _plain(message.role)}


def _rebuild(values: dict[str, Any], seq: int | None) -> Message:
    message = object.__new__(Message)
    message.__dict__.update(values)
    if seq is not None:
        message.__dict__["_seq"] = seq
    return message
