"""Messages on their way in: counted, checked, each id once."""

from __future__ import annotations

import copy
from collections.abc import Callable

from .errors import InvalidInputError
from .interfaces.message import Message
from .repository import codec


def counted(message: Message, count: Callable[[Message], int]) -> Message:
    """Return the message with its token count; the caller's own object is left as it is."""
    if not isinstance(message, Message):
        raise InvalidInputError(
            f"a Message is needed, got {type(message).__name__}",
            suggestion="use Message(role=..., content=...)",
        )
    if message.token_count is not None:
        return message
    if type(message.content) is not str or message.tool_calls or message.function_call or message.name:
        codec.check_content(message)
    if type(message) is not Message:
        message = copy.copy(message)  # a plain one: what was read from a store decodes its row only as it is used
    values = message.__dict__.copy()
    values["token_count"] = count(message)
    twin = object.__new__(Message)
    twin.__dict__ = values
    return twin


def distinct(session_id: str, messages: list[Message]) -> list[Message]:
    """Drop repeated ids; the same list when there are none."""
    seen: dict[str, Message] = {}
    for message in messages:
        if not isinstance(message, Message):
            raise InvalidInputError(f"a Message is needed, got {type(message).__name__}")
        key = codec.check_id(message.message_id, "message_id")
        if key in seen:
            codec.check_replay(session_id, message, seen[key])
        else:
            seen[key] = message
    return messages if len(seen) == len(messages) else list(seen.values())
