"""Breaks of a history: calls without results, results without calls, reasoning without what it led to."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..formats.links import NONE, links
from ..interfaces.enums import SYSTEM_ROLES, MessageRole
from ..interfaces.message import Message
from .additions import Additions
from .ties import ORPHAN, Knot, Ties, knot, tie

Kind = Literal["unanswered", "orphan", "duplicate", "dangling"]
"""A call without a result, a result without a call, a further result of one call, reasoning without a follower."""


UNTIED = Knot(NONE)


class Break(NamedTuple):
    """A place where no provider takes the history as it is stored.

    Args:
        kind: ``unanswered``, ``orphan``, ``duplicate`` or ``dangling``.
        message: The message that makes the call, holds the result or is the reasoning.
        seq: Its position in the session.
        call_id: The call. None: reasoning.
    """

    kind: Kind
    message: Message
    seq: int | None
    call_id: str | None


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Args:
        added: The results that were stored, each for one interrupted call.
        left: Breaks that need nothing stored, or that nothing stored can mend: windows leave these parts out.
    """

    added: tuple[Message, ...]
    left: tuple[Break, ...]


async def breaks_of(history: AsyncIterable[Message]) -> list[Break]:
    """Return the breaks of a history, in its order. Messages without calls and results are not held meanwhile."""
    knots: list[Knot] = []
    tied: dict[int, Message] = {}
    dangling: dict[int, Message] = {}
    waiting: dict[int, Message] = {}  # reasoning that the next message decides on
    async for message in history:
        if message.role in SYSTEM_ROLES:
            continue
        index, found = len(knots), links(message)
        knots.append(UNTIED if found == NONE else knot(message, found))
        if found != NONE:
            tied[index] = message
        if message.role != MessageRole.ASSISTANT:
            dangling |= waiting
            waiting = {}
        waiting = {**waiting, index: message} if found.needs_next else {}
    return _breaks(tie(knots), tied, dangling | waiting)


def _breaks(ties: Ties, tied: dict[int, Message], dangling: dict[int, Message]) -> list[Break]:
    breaks: list[tuple[int, Break]] = []
    for index, name in ties.open:
        breaks.append((index, Break("unanswered", tied[index], tied[index].seq, name)))
    for index, strays in ties.stray.items():
        for name, why in strays.items():
            kind: Kind = "orphan" if why == ORPHAN else "duplicate"
            breaks.append((index, Break(kind, tied[index], tied[index].seq, name)))
    for index, message in dangling.items():
        breaks.append((index, Break("dangling", message, message.seq, None)))
    return [one for _, one in sorted(breaks, key=lambda pair: pair[0])]


def mend(breaks: Sequence[Break], additions: Additions) -> RepairReport:
    """Return what has to be stored: a result for each interrupted call that can have one."""
    added: list[Message] = []
    left: list[Break] = []
    for found in breaks:
        made = None
        if found.kind == "unanswered" and found.call_id is not None:
            made = additions.result(found.message, found.call_id)
        if made is None:
            left.append(found)
        else:
            added.append(made)
    return RepairReport(tuple(added), tuple(left))
