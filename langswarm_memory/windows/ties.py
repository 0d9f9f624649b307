"""Which result of a conversation belongs to which call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..formats.links import Links
from ..interfaces.message import Message
from .additions import answered_message

ORPHAN = "it answers no call before it"
DUPLICATE = "the call has another result"


class Ties(NamedTuple):
    """Which result belongs to which call, over a stretch of conversation."""

    answered: dict[tuple[int, str], int]
    """(index of the calling message, call id) → index of the message with its result."""
    open: list[tuple[int, str]]
    """Calls without a result."""
    stray: dict[int, dict[str, str]]
    """Index of a message → ids of results in it that belong to no call, and why."""


class Knot(NamedTuple):
    """What of a message is needed to match results and calls."""

    links: Links
    message_id: str = ""
    answers: str | None = None
    """Of a result that was put in: the id of the message that made the call."""


def knot(message: Message, found: Links) -> Knot:
    """Return what is needed to match the results and calls of a message."""
    if not found.answers:
        return Knot(found, message.message_id if found.calls else "")
    return Knot(found, message.message_id, answered_message(message))


def tie(knots: Sequence[Knot]) -> Ties:
    """Match results and calls: a result belongs to the last message before it that calls its id.

    One that was put in belongs to the message it names: it may stand behind a later call of the same id. Of several
    results the first counts, but one that a tool gave before one that was put in for it.

    Args:
        knots: One for each message.
    """
    calling: dict[str, int] = {}
    made: dict[tuple[str, str], int] = {}
    answered: dict[tuple[int, str], int] = {}
    stray: dict[int, dict[str, str]] = {}
    for at, (found, message_id, answers) in enumerate(knots):
        for name in found.answers:
            caller = calling.get(name) if answers is None else made.get((answers, name))
            if caller is None:
                stray.setdefault(at, {})[name] = ORPHAN
                continue
            known = answered.setdefault((caller, name), at)
            if known == at:
                continue
            if knots[known].answers is not None and answers is None:
                answered[caller, name] = at
                stray.setdefault(known, {})[name] = DUPLICATE
            else:
                stray.setdefault(at, {})[name] = DUPLICATE
        for name in found.calls:
            calling[name] = made[message_id, name] = at
    unanswered = [(at, name) for at, (found, _, _) in enumerate(knots) for name in found.calls]
    return Ties(answered, [call for call in unanswered if call not in answered], stray)
