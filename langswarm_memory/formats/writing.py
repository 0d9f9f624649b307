"""What the writers of all providers share: ids of tool calls, arguments, and what a block carries besides."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import Json, compact, note_of, restore
from .parts import Call, Media, Part, Result, Text
from .reading import parts_of

FORM_KEYS = frozenset(
    [
        "id",
        "type",
        "status",
        "model",
        "stop_reason",
        "stop_sequence",
        "usage",
        "logprobs",
        "object",
        "role",
        "phase",
        "index",
        "created_at",
        "container",
    ]
)
"""Keys that tell of the reply, not of what was said."""


class CallIds:
    """Ids and names of the tool calls of a conversation, in its order.

    Gemini and the older functions of Chat Completions may leave ids out, and only Gemini's results name the function.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._open: list[str] = []
        self._custom: set[str] = set()

    def copy(self) -> CallIds:
        """Return what is known so far, to be gone on with apart."""
        other = CallIds()
        other._names, other._open, other._custom = dict(self._names), list(self._open), set(self._custom)
        return other

    def learn(self, message: Message) -> None:
        """Take note of a message that is written as it is."""
        if isinstance(message.content, str) and message.tool_calls is None and message.tool_call_id is None:
            return
        for part in parts_of(message):
            if isinstance(part, Call) and part.id:
                self.call(part)
            elif isinstance(part, Result) and part.id:
                self.answer(part)

    def call(self, part: Call) -> str:
        """Return the id of a call, a new one if it has none."""
        found = part.id or self._new(part.name)
        self._names[found] = part.name
        self._open.append(found)
        if part.custom:
            self._custom.add(found)
        return found

    def answer(self, part: Result) -> str:
        """Return the id of the call that a result answers: its own, or the first open call of that name."""
        same = (name for name in self._open if part.name is None or self._names[name] == part.name)
        found = part.id or next(same, None) or self._new(part.name or "")
        if found in self._open:
            self._open.remove(found)
        return found

    def name(self, part: Result, call_id: str) -> str:
        """Return the name of the function a result is of; empty if the call is not there."""
        return part.name or self._names.get(call_id, "")

    def is_custom(self, call_id: str) -> bool:
        """Return whether the call is one of a custom tool of OpenAI."""
        return call_id in self._custom

    def _new(self, name: str) -> str:
        number = len(self._names)
        while (found := f"call_{name}_{number}") in self._names:
            number += 1
        return found


def arguments_text(call: Call) -> Any:
    """Return the arguments of a call as the text that OpenAI's forms have."""
    if isinstance(call.arguments, str):
        return call.arguments
    return compact({} if call.arguments is None else call.arguments)


def arguments_object(call: Call, losses: Losses = UNHEARD) -> Json:
    """Return the arguments of a call as the object that Anthropic and Gemini demand.

    Models do emit broken JSON, and custom tools take free text: it is kept under a key of its own.
    """
    value = call.arguments
    if isinstance(value, str) and not call.custom:
        with contextlib.suppress(ValueError):
            value = json.loads(value) if value.strip() else {}
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    losses.add("arguments", "they are no JSON object, so they are put into one", "detail")
    return {"input" if call.custom else "arguments": value}


def report_extras(extra: Json, losses: Losses, keep: Iterable[str] = ()) -> None:
    """Say what a block carries that another provider's form has no place for."""
    for key, value in extra.items():
        if key in keep or value is None or value in ([], {}, ""):
            continue
        if key == "refusal":
            losses.add("refusal", "it becomes plain text", "form")
        elif key == "document":
            losses.add("document", "a document of text becomes plain text", "detail")
        else:
            losses.add(key, "the form has no such key", "form" if key in FORM_KEYS else "detail")


def texts_only(parts: Iterable[Part], what: str, losses: Losses) -> list[Text]:
    """Return the text of parts where nothing else may stand."""
    found = []
    for part in parts:
        if isinstance(part, Text):
            found.append(part)
        else:
            lost(part, what, losses)
    return found


def lost(part: Part, where: str, losses: Losses) -> None:
    """Say that a part cannot be written at all."""
    if isinstance(part, Media):
        losses.add(part.kind, f"{where} cannot hold {_SORT[_sort(part)]} of this kind", "content")
    elif isinstance(part, Text | Call | Result):
        losses.add(type(part).__name__.lower(), f"{where} cannot hold it", "content")
    else:
        losses.add(part.what, "only the provider that made it can read it", "content")


_SORT = {"data": "data", "url": "an address", "file_id": "another provider's file"}


def _sort(part: Media) -> str:
    return "data" if part.data is not None else "url" if part.url is not None else "file_id"


def in_own_form(
    message: Message, ids: CallIds, plain: Json, *, note: str, keys: tuple[str, ...], is_own: bool
) -> Json | None:
    """Return what goes back to the provider that it came from, or is in its form already; None: to be converted.

    Args:
        message: The message.
        ids: Learns the calls that the message makes or answers.
        plain: The fields of the message in the provider's form.
        note: The provider's name in notes.
        keys: Keys of the provider's form that are fields of ours.
        is_own: Whether a message without a note is in the provider's form.
    """
    noted = note_of(message, note)
    if noted is None and not is_own:
        return None
    ids.learn(message)
    return plain if noted is None else restore(noted, plain, keys)
