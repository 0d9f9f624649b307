"""Conversations of turns, as Anthropic and Gemini have them: the user begins, and then the two alternate.

What the provider itself gave goes out as it came. The rest is set right here: neighbours of one role become one turn
(so all results of parallel calls stand in the turn after the calls), empty messages are left out, and a conversation
that its assistant begins gets a turn of the user before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import OPENAI_NOTE, Json, is_given
from .parts import form_of

FIRST_TURN = "(The assistant begins.)"
"""Text of the user's turn that is put before a conversation which its assistant begins."""

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class TurnForm:
    """How a provider spells its turns.

    Args:
        provider: Its name in notes.
        key: The key of the turn's content.
        assistant: The role of the model.
        results: Keys or types that mark a block as a tool result.
    """

    provider: str
    key: str
    assistant: str
    results: tuple[str, ...]

    def text(self, text: str) -> Json:
        """Return a block of text."""
        return {"text": text} if self.key == "parts" else {"type": "text", "text": text}

    def blocks(self, content: Any) -> list[Any]:
        """Return the content of a turn as blocks."""
        if isinstance(content, str):
            return [self.text(content)] if content else []
        if content is None or isinstance(content, list):
            return list(content or ())
        return [content]  # broken, and still what was given

    def is_result(self, block: object) -> bool:
        """Return whether a block is the result of a tool."""
        if not isinstance(block, dict):
            return False
        return block.get("type") in self.results or any(key in block for key in self.results)


def assemble(
    form: TurnForm, messages: Sequence[Message], written: Sequence[list[Json]], losses: Losses = UNHEARD
) -> tuple[list[Json], list[tuple[Message, Json]]]:
    """Return the turns of a conversation, and its system messages, which stand beside them.

    Args:
        form: The provider's spelling.
        messages: The messages.
        written: What each of them became.
        losses: Told what the order and the borders of messages lose.
    """
    turns: list[Json] = []
    systems: list[tuple[Message, Json]] = []
    for index, (message, found) in enumerate(zip(messages, written, strict=True)):
        losses.at(index, message.message_id)
        given = is_given(message, form.provider)
        for turn in found:
            if turn.get("role") == SYSTEM and message.role in SYSTEM_ROLES and not given:
                if turns:
                    losses.add("order", "system text stands before the conversation, not inside it", "detail")
                systems.append((message, turn))
            elif given:
                turns.append(turn)
            else:
                _add(form, turns, turn, message, losses)
    if len(systems) > 1:
        second = systems[1][0]
        losses.at(messages.index(second), second.message_id)
        losses.add("borders", "all system messages become one", "form")
    return turns, systems


def _add(form: TurnForm, turns: list[Json], turn: Json, message: Message, losses: Losses) -> None:
    blocks = form.blocks(turn.get(form.key))
    if not blocks:
        if not message.content:  # otherwise it is told why nothing of it is left
            losses.add("empty message", "a turn must say something", "form")
        return
    role = turn.get("role", "user")  # Gemini lets it out
    if not turns and role != "user":
        turns.append({"role": "user", form.key: form.blocks(FIRST_TURN) if form.key == "parts" else FIRST_TURN})
        losses.add("first turn", "the user begins, so a turn of the user is put before", "form")
    if not turns or turns[-1].get("role", "user") != role:
        turns.append(turn)
        return
    before = form.blocks(turns[-1].get(form.key))
    if not _tells_apart(form, before, blocks, message):
        losses.add("borders", "neighbours of one role become one turn", "form")
    turns[-1] = {**turns[-1], form.key: [*before, *blocks]}


def _tells_apart(form: TurnForm, before: list[Any], blocks: list[Any], message: Message) -> bool:
    """Return whether reading the joined turn finds the border again: results first, then what the user says."""
    if form_of(message) != OPENAI_NOTE or not all(map(form.is_result, before)):
        return False
    if all(map(form.is_result, blocks)):
        return True
    return isinstance(message.content, str) or len(blocks) > 1
