"""What the fields of a message cannot carry of a provider's form, kept under one metadata key per provider.

A note holds ``keys`` (the order of the keys, where it is not the usual one) and ``extra`` (keys without a field of
ours, and values that a field holds in another spelling). A message in its provider's usual form has no note. A note
also says where the message came from: what its provider gave goes back to it untouched, whatever it looks like.
"""

from __future__ import annotations

import json
from typing import Any

from ..interfaces.enums import MessageRole
from ..interfaces.message import Message

OPENAI_NOTE = "openai"
RESPONSES_NOTE = "openai_responses"
ANTHROPIC_NOTE = "anthropic"
GEMINI_NOTE = "gemini"

Json = dict[str, Any]
"""A JSON object."""


def role_text(message: Message) -> str:
    """Return the role as text."""
    role = message.role
    return role.value if isinstance(role, MessageRole) else role


def note_of(message: Message, provider: str) -> Json | None:
    """Return the note of a provider, or None: no note, or metadata of the caller's that only looks like one."""
    note = message.metadata.get(provider) if isinstance(message.metadata, dict) else None
    if not isinstance(note, dict):
        return None
    extra, *lists = note.get("extra") or {}, note.get("keys") or [], note.get("absent") or []
    if not isinstance(extra, dict) or not all(_is_texts(value) for value in lists):
        return None
    return note


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def set_note(message: Message, provider: str, note: Json) -> None:
    """Put a note on a message, without touching the metadata that the caller gave. An empty note is none."""
    if note:
        message.metadata = {**message.metadata, provider: note}


def take_note(data: Json, plain: Json, usual: object, fields: tuple[str, ...]) -> Json:
    """Return what has to be noted of `data`, so that :func:`restore` gives it again.

    Args:
        data: What the provider gave.
        plain: The fields of the message in the provider's form.
        usual: What goes out if there is no note.
        fields: Keys of the provider's form that are fields of ours. An explicit null of one is in the order of keys.
    """
    extra = {
        key: value
        for key, value in data.items()
        if (not same_json(plain[key], value) if key in plain else key not in fields or value is not None)
    }
    note: Json = {}
    if list(data) != list(plain):
        note["keys"] = list(data)
    if extra:
        note["extra"] = extra
    absent = [key for key, value in plain.items() if key not in data and value is not None]
    if absent:
        note["absent"] = absent
    if not note and not same_json(data, usual):
        note["keys"] = list(data)
    return note


def restore(note: Json, plain: Json, fields: tuple[str, ...]) -> Json:
    """Return the provider's form again: noted keys as they were, fields with their present values."""
    extra = note.get("extra") or {}
    keys = note.get("keys") or [*plain, *extra]
    absent = note.get("absent") or ()
    data: Json = {}
    for key in keys:
        if key in extra:
            data[key] = extra[key]
        elif key in fields:
            data[key] = plain.get(key)
    for key, value in plain.items():
        if key not in data and value is not None and key not in absent:
            data[key] = value
    return data


def compact(value: Any) -> str:
    """Return JSON text as model providers spell it: no spaces, no escapes that are not needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def same_json(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON text: key order and number forms included."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):  # mostly of the very same values, which need no writing out
        return list(one) == list(other) and all(
            value is other[key] or json.dumps(value) == json.dumps(other[key]) for key, value in one.items()
        )
    return json.dumps(one) == json.dumps(other)


def mark_given(messages: list[Message], roles: list[Any], provider: str, assistant: str) -> None:
    """Note which turns came in where the converter would set the conversation right: they go out as they came."""
    before: object = None
    for message, role in zip(messages, roles, strict=True):
        regular = role == "user" or (role == assistant and before is not None)
        if not regular or role == before or not message.content:
            set_note(message, provider, {**(note_of(message, provider) or {}), "given": True})
        before = role


def is_given(message: Message, provider: str) -> bool:
    """Return whether the message goes out as a turn of its own, however the conversation looks around it."""
    note = note_of(message, provider)
    return note is not None and note.get("given") is True


def responses_item(message: Message) -> Json | None:
    """Return the item of the Responses API that is the whole content of a message, if it is such a message."""
    note = note_of(message, RESPONSES_NOTE)
    content = message.content
    if note is None or not isinstance(content, list) or len(content) != 1:
        return None
    item = content[0]
    if isinstance(item, dict) and "item" in note and item.get("type") == note["item"]:
        return item
    return None
