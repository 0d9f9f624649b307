"""Units, and how those of a conversation are found in which nothing has to be mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..formats.links import NONE, Links, links
from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message
from .additions import answered_message
from .edits import says_something
from .ties import ORPHAN


class Entry(NamedTuple):
    """A message of a unit."""

    message: Message
    """As it goes out."""
    at: int
    """Index of the stored message that it is, or that it was added for."""
    added: bool = False
    why: str = ""
    """What was changed, if anything was."""


class Unit(NamedTuple):
    """Messages that are kept or cut together."""

    entries: list[Entry]
    tokens: int

    def opens(self) -> bool:
        """Return whether a conversation may begin here everywhere: with something that the user says."""
        first = self.entries[0].message
        return first.role == MessageRole.USER and not links(first).answers and says_something(first.content)


class Units(NamedTuple):
    """A stretch of conversation, arranged."""

    units: list[Unit]
    """Oldest first."""
    dropped: dict[int, str]
    """Position of each message that cannot be part of any window → why."""


def regular_units(messages: Sequence[Message], positions: Sequence[int], found: Sequence[Links]) -> Units | None:
    """Return the units of a stretch with nothing to mend, as nearly all are; None if it is another.

    It gives what ``units.Arrangement`` gives, in a third of the time. The stretch may begin with results whose calls
    lie before it.
    """
    units: list[Unit] = []
    dropped: dict[int, str] = {}
    waiting: set[str] = set()
    for message, at, ties in zip(messages, positions, found, strict=True):
        tokens = message.token_count or 0
        if ties is NONE or ties == NONE:
            if waiting:
                return None
            units.append(Unit([Entry(message, at)], tokens))
        elif ties.answers:
            if not units and not ties.calls and message.role in RESULT_ROLES:
                dropped[at] = ORPHAN
                continue
            if ties.calls or not waiting.issuperset(ties.answers) or answered_message(message) is not None:
                return None
            waiting.difference_update(ties.answers)
            if waiting and message.role not in RESULT_ROLES:
                return None  # it may say more than results, and all results come first
            entries, before = units[-1]
            units[-1] = Unit([*entries, Entry(message, at)], before + tokens)
        elif waiting or ties.needs_next:
            return None
        else:
            waiting.update(ties.calls)
            units.append(Unit([Entry(message, at)], tokens))
    return None if waiting else Units(units, dropped)
