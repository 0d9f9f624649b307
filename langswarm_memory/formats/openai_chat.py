"""Messages of OpenAI Chat Completions, and back. Messages are stored in this form by default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import InvalidInputError
from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import (
    OPENAI_NOTE,
    RESPONSES_NOTE,
    Json,
    note_of,
    responses_item,
    role_text,
    set_note,
    take_note,
)
from .parts import Call, Media, Part, Result, Text, family
from .reading import parts_of
from .writing import CallIds, arguments_text, in_own_form, lost, report_extras, texts_only

OPENAI_KEYS = ("role", "content", "name", "function_call", "tool_calls", "tool_call_id")
"""Keys of a Chat Completions message that are fields of ours, in the order we write them."""

AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
"""The sounds that OpenAI takes, by media type."""


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
    metadata = dict(fields.pop("metadata", None) or {})
    message = Message(content=known.pop("content", None), role=known.pop("role"), **known, **fields)
    message.metadata = metadata
    usual = write_openai(message, CallIds())
    note = take_note(data, _plain(message), usual[0] if len(usual) == 1 else None, OPENAI_KEYS)
    set_note(message, OPENAI_NOTE, note)
    return message


def to_openai(message: Message) -> dict[str, Any]:
    """Return the message in OpenAI Chat Completions form.

    A message that came from :func:`from_openai` gives the same JSON again, key order included; fields that
    were changed since give their present values. A message of another provider is converted; one that Chat
    Completions needs several messages for, or none, is given as it is stored: see
    :func:`messages_to_openai_format`.
    """
    found = write_openai(message, CallIds())
    return found[0] if len(found) == 1 else _plain(message)


def messages_from_openai(messages: Iterable[dict[str, Any]]) -> list[Message]:
    """Build the messages of a conversation in Chat Completions form.

    Raises:
        InvalidInputError: A message is no JSON object or has no role.
    """
    return [from_openai(data) for data in messages]


def messages_to_openai_format(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return the messages in OpenAI Chat Completions form.

    Messages of that form come out exactly. Of the others, one message becomes as many as the form needs (a tool
    message per result), and the items of one turn of the Responses API become one message.
    """
    given, ids = list(messages), CallIds()
    return join_openai(given, [write_openai(message, ids) for message in given])


def join_openai(messages: list[Message], written: list[list[Json]], losses: Losses = UNHEARD) -> list[Json]:
    """Put tool calls that the Responses API has as items of their own into the assistant message before them."""
    result: list[Json] = []
    for message, found in zip(messages, written, strict=True):
        note = note_of(message, RESPONSES_NOTE)
        joins = note is not None and "item" in note and len(found) == 1 and bool(found[0].get("tool_calls"))
        if joins and result and result[-1].get("role") == "assistant":
            before = result[-1]
            result[-1] = {**before, "tool_calls": [*(before.get("tool_calls") or ()), *found[0]["tool_calls"]]}
        else:
            result += found
    return result


def create_openai_message(role: str, content: Any = None, **kwargs: Any) -> Message:
    """Build a message from the parts of an OpenAI message, such as ``name``, ``tool_calls`` or ``function_call``."""
    names = set(Message.__dataclass_fields__)
    fields = {key: kwargs.pop(key) for key in list(kwargs) if key in names - set(OPENAI_KEYS)}
    return from_openai({"role": role, "content": content, **kwargs}, **fields)


def write_openai(message: Message, ids: CallIds, losses: Losses = UNHEARD) -> list[Json]:
    """Return the Chat Completions messages that a stored message becomes."""
    own = in_own_form(message, ids, _plain(message), note=OPENAI_NOTE, keys=OPENAI_KEYS, is_own=_is_own(message))
    return [own] if own is not None else _convert(message, ids, losses)


def _plain(message: Message) -> Json:
    data: Json = {"role": role_text(message), "content": message.content}
    for key in OPENAI_KEYS[2:]:
        value = getattr(message, key)
        if value is not None:
            data[key] = value
    return data


def _is_own(message: Message) -> bool:
    content = message.content
    if not isinstance(content, list):
        return True
    return responses_item(message) is None and all(family(block) == OPENAI_NOTE for block in content)


def _convert(message: Message, ids: CallIds, losses: Losses) -> list[Json]:
    parts = parts_of(message)
    rest: list[Part] = [part for part in parts if not isinstance(part, Result | Call)]
    found: list[Json] = []
    for part in parts:
        if isinstance(part, Result):
            found.append(_tool_message(part, ids, losses, rest))
    calls = [_tool_call(part, ids, losses) for part in parts if isinstance(part, Call)]
    role = "user" if message.role in RESULT_ROLES else role_text(message)
    content = _content(rest, role, losses)
    if content is None and not calls and (found or rest):
        return found
    data: Json = {"role": role, "content": content}
    if message.name is not None and not found:
        data["name"] = message.name
    if calls:
        data["tool_calls"] = calls
    return [*found, data]


def _tool_message(part: Result, ids: CallIds, losses: Losses, rest: list[Part]) -> Json:
    report_extras(part.extra, losses)
    if part.is_error:
        losses.add("is_error", "a tool message has no sign of failure besides its text", "detail")
    texts: list[Part] = []
    for inner in part.content:
        if isinstance(inner, Media):
            losses.add(inner.kind, "a tool message holds text only: it follows in a user message", "detail")
            rest.append(inner)
        else:
            texts.append(inner)
    content = _content(list(texts_only(texts, "a tool message", losses)), "tool", losses)
    return {"role": "tool", "content": "" if content is None else content, "tool_call_id": ids.answer(part)}


def _tool_call(part: Call, ids: CallIds, losses: Losses) -> Json:
    report_extras(part.extra, losses)
    if part.custom:
        body = {"name": part.name, "input": part.arguments}
        return {"id": ids.call(part), "type": "custom", "custom": body}
    body = {"name": part.name, "arguments": arguments_text(part)}
    return {"id": ids.call(part), "type": "function", "function": body}


def _content(parts: list[Part], role: str, losses: Losses) -> str | list[Json] | None:
    blocks: list[Json] = []
    for part in parts:
        block = _block(part, role, losses)
        if block is not None:
            blocks.append(block)
    if not blocks:
        return None
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def _block(part: Part, role: str, losses: Losses) -> Json | None:
    if isinstance(part, Text):
        report_extras(part.extra, losses, ("refusal",))
        if part.extra.get("refusal") is True and role == MessageRole.ASSISTANT:
            return {"type": "refusal", "refusal": part.text}
        return {"type": "text", "text": part.text}
    if isinstance(part, Media) and role == MessageRole.USER:
        block = _media(part)
        if block is not None:
            report_extras(part.extra, losses)
            return block
    lost(part, "a user message" if role == MessageRole.USER else f"a message of role {role}", losses)
    return None


def _media(part: Media) -> Json | None:
    address = part.url if part.data is None else f"data:{part.mime or ''};base64,{part.data}"
    if part.kind == "image" and address is not None:
        return {"type": "image_url", "image_url": {"url": address, **({"detail": part.detail} if part.detail else {})}}
    if part.kind == "audio" and part.data is not None and part.mime in AUDIO_FORMATS:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": AUDIO_FORMATS[part.mime]}}
    if part.kind == "file":
        name = {"filename": part.name} if part.name else {}
        if part.file_id is not None and part.owner == OPENAI_NOTE:
            return {"type": "file", "file": {"file_id": part.file_id, **name}}
        if part.data is not None:
            return {"type": "file", "file": {**name, "file_data": address}}
    return None
