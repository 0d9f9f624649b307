"""Messages in the forms of the model providers, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .errors import InvalidInputError
from .interfaces.enums import MessageRole
from .interfaces.message import Message, coerce_role

OPENAI_KEYS = ("role", "content", "name", "function_call", "tool_calls", "tool_call_id")
"""Keys of a Chat Completions message that are fields of ours, in the order we write them."""

OPENAI_NOTE = "openai"
"""Metadata key under which keys, key order and spellings that our fields cannot carry are kept."""


def from_openai(data: dict[str, Any], **fields: Any) -> Message:
    """Build a message from OpenAI Chat Completions form.

    Keys this package has no field for, the order of the keys and explicit nulls are noted in
    ``metadata["openai"]``, so that :func:`to_openai` gives back exactly `data`. Messages in the usual form
    carry no note.

    Args:
        data: The provider's message.
        **fields: Fields the form lacks: timestamp, message_id, metadata, token_count.

    Raises:
        InvalidInputError: `data` is no JSON object or has no role.
    """
    if not isinstance(data, dict) or "role" not in data:
        raise InvalidInputError("an OpenAI message is a JSON object with at least 'role'")
    known = {key: data[key] for key in OPENAI_KEYS if key in data}
    extra = {key: value for key, value in data.items() if key not in OPENAI_KEYS}
    if coerce_role(data["role"]) != data["role"]:
        extra["role"] = data["role"]
    metadata = dict(fields.pop("metadata", None) or {})
    message = Message(content=known.pop("content", None), role=known.pop("role"), **known, **fields)
    note: dict[str, Any] = {}
    if list(data) != list(_plain_openai(message)):
        note["keys"] = list(data)
    if extra:
        note["extra"] = extra
    if note:
        metadata[OPENAI_NOTE] = note
    message.metadata = metadata
    return message


def to_openai(message: Message) -> dict[str, Any]:
    """Return the message in OpenAI Chat Completions form.

    A message that came from :func:`from_openai` gives the same JSON again, key order included; fields that
    were changed since give their present values.
    """
    plain = _plain_openai(message)
    note = message.metadata.get(OPENAI_NOTE) if message.metadata else None
    if not isinstance(note, dict):
        return plain
    extra = note.get("extra") or {}
    if not isinstance(extra, dict):
        return plain
    keys = note.get("keys") or [*plain, *extra]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        return plain
    data: dict[str, Any] = {}
    for key in keys:
        if key in extra:
            data[key] = extra[key]
        elif key in OPENAI_KEYS:
            data[key] = plain.get(key)
    for key, value in plain.items():
        if key not in data and value is not None:
            data[key] = value
    return data


def _plain_openai(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = {"role": _role_text(message), "content": message.content}
    for key in OPENAI_KEYS[2:]:
        value = getattr(message, key)
        if value is not None:
            data[key] = value
    return data


def _role_text(message: Message) -> str:
    role = message.role
    return role.value if isinstance(role, MessageRole) else role


def to_anthropic(message: Message) -> dict[str, Any]:
    """Return one message in Anthropic Messages form.

    Tool calls become ``tool_use`` blocks of an assistant turn and tool results ``tool_result`` blocks of a
    user turn. That form has no system role: system text belongs beside the list, see
    :func:`messages_to_anthropic_format`.
    """
    if message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
        return {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content or ""}],
        }
    role = "user" if message.role == MessageRole.USER else "assistant"
    if not message.tool_calls:
        return {"role": role, "content": message.content if message.content is not None else ""}
    blocks: list[Any] = []
    if isinstance(message.content, list):
        blocks += message.content
    elif message.content:
        blocks.append({"type": "text", "text": message.content})
    for call in message.tool_calls:
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": _arguments(function.get("arguments")),
            }
        )
    return {"role": role, "content": blocks}


def _arguments(text: object) -> Any:
    if not isinstance(text, str):
        return text if text is not None else {}
    try:
        return json.loads(text)
    except ValueError:
        # Models do emit broken JSON. The text is kept under a key of its own rather than dropped.
        return {"arguments": text}


class AnthropicMessages(list[dict[str, Any]]):
    """A list for ``messages=``, with the system text, for ``system=``, in ``.system`` (None: there is none)."""

    system: str | None = None


def messages_to_openai_format(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return the messages in OpenAI Chat Completions form."""
    return [to_openai(message) for message in messages]


def messages_to_anthropic_format(messages: Iterable[Message]) -> AnthropicMessages:
    """Return the messages in Anthropic Messages form, system text beside the list."""
    result = AnthropicMessages()
    system: list[str] = []
    for message in messages:
        if message.role in (MessageRole.SYSTEM, MessageRole.DEVELOPER):
            system.append(message.text)
        else:
            result.append(to_anthropic(message))
    result.system = "\n\n".join(system) or None
    return result


def create_openai_message(role: str, content: Any = None, **kwargs: Any) -> Message:
    """Build a message from the parts of an OpenAI message, such as ``name``, ``tool_calls`` or ``function_call``."""
    names = set(Message.__dataclass_fields__)
    fields = {key: kwargs.pop(key) for key in list(kwargs) if key in names - set(OPENAI_KEYS)}
    return from_openai({"role": role, "content": content, **kwargs}, **fields)


def create_anthropic_message(role: str, content: Any, **kwargs: Any) -> Message:
    """Build a message from an Anthropic role and content (text or blocks). ``human`` is user, ``ai`` assistant."""
    return Message(role=role, content=content, **kwargs)
