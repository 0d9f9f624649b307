"""The message: one turn of a conversation, in the form every store and provider format starts from."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

from ..errors import InvalidInputError
from .enums import RESULT_ROLES, ROLES, MessageRole
from .timestamps import Timestamp, now

Content = str | list[Any] | None
"""What a message says: text, provider content blocks, or nothing (a bare tool call)."""


def new_id() -> str:
    """Return a fresh id: a random UUID as text."""
    return str(uuid.uuid4())


def coerce_role(role: object) -> MessageRole | str:
    """Return the role as an enum member, or as the text it came in when the enum does not know it.

    Raises:
        InvalidInputError: Not text, or empty.
    """
    if isinstance(role, MessageRole):
        return role
    if not isinstance(role, str) or not role:
        raise InvalidInputError(
            f"a role is a MessageRole or a non-empty str, got {type(role).__name__}",
            suggestion="use one of " + ", ".join(member.value for member in MessageRole),
        )
    return ROLES.get(role, role)


@dataclass(eq=False)
class Message:
    """One message, as providers know it, plus identity, time and free metadata.

    Everything given comes back: unknown roles, content blocks, tool calls and metadata survive every store
    unchanged. ``timestamp`` is data; the order of a session is its ``seq``.

    Args:
        role: Who speaks. ``"human"`` is stored as user, ``"ai"`` and ``"model"`` as assistant; other unknown
            text is kept.
        content: Text, a list of provider blocks (JSON values), or None.
        timestamp: When. Naive means local time; kept as UTC. Default: now.
        message_id: Unique within its session; storing the same id twice stores it once. Default: a UUID.
        metadata: JSON object of the caller's.
        token_count: Size in model tokens. None: counted when the message is stored.
        function_call: Older single-call form of OpenAI.
        tool_calls: Tool calls of an assistant message.
        tool_call_id: On a tool result: which call it answers. Default: ``metadata["tool_call_id"]``.
        name: Name of the speaker or tool. Default: ``metadata["tool_name"]``.

    Raises:
        InvalidInputError: The role is no text or the timestamp no datetime. Everything else is checked when
            the message is stored.
    """

    role: MessageRole | str
    content: Content
    timestamp: datetime = field(default_factory=now)
    message_id: str = field(default_factory=new_id)
    metadata: dict[str, Any] = field(default_factory=dict)
    token_count: int | None = None
    function_call: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    _seq: ClassVar[int | None] = None  # set on instances that were read from a store

    def __post_init__(self) -> None:
        if type(self.role) is not MessageRole:
            self.role = coerce_role(self.role)
        if type(self.timestamp) is not Timestamp:
            self.timestamp = Timestamp.of(self.timestamp)
        if isinstance(self.token_count, dict) and isinstance(self.metadata, int):
            # The other documented positional order: (..., message_id, token_count, metadata).
            self.metadata, self.token_count = self.token_count, self.metadata
        if self.metadata is None:
            self.metadata = {}
        if isinstance(self.metadata, dict) and self.metadata:
            if self.tool_call_id is None:
                self.tool_call_id = _text_or_none(self.metadata.get("tool_call_id"))
            if self.name is None:
                self.name = _text_or_none(self.metadata.get("tool_name"))

    @property
    def seq(self) -> int | None:
        """Position in the session, from 1, without gaps on SQL and Redis. None until read from a store."""
        return self._seq

    def stands_alone(self) -> bool:
        """Whether it is plain text without tool calls and no tool's result: such a message needs no other."""
        return (
            isinstance(self.content, str)
            and not self.tool_calls
            and not self.function_call
            and self.role not in RESULT_ROLES
        )

    def numbered(self, seq: int) -> Message:
        """Return the message as a store of one's own hands it out: with its position in the session."""
        return _rebuild({f.name: getattr(self, f.name) for f in _FIELDS}, seq)

    @property
    def id(self) -> str:
        """The same as ``message_id``."""
        return self.message_id

    @property
    def text(self) -> str:
        """The plain text of the content: the text itself, or the text blocks joined by newlines."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(text for text in map(_block_text, self.content) if text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in _FIELDS)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        # Rows read from a store decode themselves on first use; what is pickled or copied is the plain message.
        return _rebuild, ({f.name: getattr(self, f.name) for f in _FIELDS}, self.seq)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object: role, content, timestamp (ISO), message_id, and the other fields where set."""
        data: dict[str, Any] = {
            "role": str(getattr(self.role, "value", self.role)),
            "content": self.content,
            "timestamp": self.timestamp.isoformat(),
            "message_id": self.message_id,
        }
        for key in _OPTIONAL:
            value = getattr(self, key)
            if value is not None and value != {}:
                data[key] = value
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Message:
        """Build a message from :meth:`to_dict`'s form.

        ``timestamp`` and ``message_id`` may be missing; keys this class does not know are kept in ``metadata``.

        Raises:
            InvalidInputError: ``role`` is missing, or a value has the wrong type.
        """
        if not isinstance(data, dict) or "role" not in data:
            raise InvalidInputError("a message needs a JSON object with at least 'role'")
        known = {f.name for f in _FIELDS}
        given = {key: value for key, value in data.items() if key in known and value is not None}
        given.setdefault("content", None)
        if isinstance(given.get("timestamp"), str):
            given["timestamp"] = Timestamp.parse(given["timestamp"])
        extra = {key: value for key, value in data.items() if key not in known}
        if not isinstance(given.get("metadata", {}), dict):
            raise InvalidInputError("the metadata of a message is a JSON object")
        if extra:
            given["metadata"] = {**extra, **given.get("metadata", {})}
        return cls(**given)

    def to_openai_format(self) -> dict[str, Any]:
        """Return the message in OpenAI Chat Completions form; exactly what :meth:`from_openai` was given."""
        from ..formats import to_openai

        return to_openai(self)

    @classmethod
    def from_openai(cls, data: dict[str, Any], **fields: Any) -> Message:
        """Build a message from OpenAI Chat Completions form, keeping keys this class does not know.

        Args:
            data: The provider's message.
            **fields: Fields OpenAI's form lacks: timestamp, message_id, metadata, token_count.
        """
        from ..formats import from_openai

        return from_openai(data, **fields)

    def to_responses_format(self) -> list[dict[str, Any]]:
        """Return the items of the OpenAI Responses API that the message becomes."""
        from ..formats import to_responses

        return to_responses(self)

    @classmethod
    def from_responses(cls, item: dict[str, Any], **fields: Any) -> Message:
        """Build a message from an item of the OpenAI Responses API, keeping what this class does not know.

        Args:
            item: The provider's item.
            **fields: Fields that form lacks: timestamp, message_id, metadata, token_count.
        """
        from ..formats import from_responses

        return from_responses(item, **fields)

    def to_anthropic_format(self) -> dict[str, Any]:
        """Return the message in Anthropic Messages form: role user or assistant, content text or blocks."""
        from ..formats import to_anthropic

        return to_anthropic(self)

    @classmethod
    def from_anthropic(cls, data: dict[str, Any], **fields: Any) -> Message:
        """Build a message from Anthropic Messages form, keeping keys and blocks this class does not know.

        Args:
            data: The provider's message.
            **fields: Fields Anthropic's form lacks: timestamp, message_id, metadata, token_count.
        """
        from ..formats import from_anthropic

        return from_anthropic(data, **fields)

    def to_gemini_format(self) -> dict[str, Any]:
        """Return the message as a Gemini content: role user or model, and parts."""
        from ..formats import to_gemini

        return to_gemini(self)

    @classmethod
    def from_gemini(cls, data: dict[str, Any], **fields: Any) -> Message:
        """Build a message from a Gemini content, keeping parts and signatures as they are.

        Args:
            data: The provider's content.
            **fields: Fields Gemini's form lacks: timestamp, message_id, metadata, token_count.
        """
        from ..formats import from_gemini

        return from_gemini(data, **fields)


_FIELDS = fields(Message)
_OPTIONAL = ("metadata", "token_count", "function_call", "tool_calls", "tool_call_id", "name")


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _block_text(block: object) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, dict):
        text = block.get("text")
        if isinstance(text, str):
            return text
    return ""


def _rebuild(values: dict[str, Any], seq: int | None) -> Message:
    message = object.__new__(Message)
    message.__dict__.update(values)
    if seq is not None:
        message.__dict__["_seq"] = seq
    return message
