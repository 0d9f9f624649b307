"""What became of each message of a history in a window, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from .additions import OPENING, RECALLED, SYNTHETIC
from .regular import Entry
from .ties import ORPHAN

Decision = Literal["kept", "moved", "added", "cut", "summarised", "dropped"]
"""``moved``: kept, but directly after its call. ``added``: not stored. ``cut``: older than what the window holds.
``summarised``: cut, and covered by the summary in the window. ``dropped``: in no window, whatever its size."""

SYSTEM = "system messages always come"
NEWEST = "among the newest that fit"
OVERSIZED = "the newest, which comes although it exceeds the budget"
LATE = "a result stands directly after its call"
RENAMED = "with another call id, as an earlier call in the window has its own"
SUMMARY = "the newest summary, in place of what is cut"
FITTING = "what of it fits the question that was asked"
USER_BEGINS = "the provider demands that the user begins"
TOO_OLD = "newer messages take the room"
TOO_LARGE = "the newest message, with what belongs to it, exceeds the room that system messages leave"
NOT_OF_THE_USER = "the window would begin with it, and begins with the user instead"
HALF_CUT = "what was cut before it may belong to it"
NO_CALL = "its call is not in the window"
COVERED = "the summary in the window covers it"


_WHY_ADDED = {OPENING: USER_BEGINS, RECALLED: FITTING}


class Explained(NamedTuple):
    """What became of a message, and why.

    Args:
        message: The message; as the window holds it, if it does.
        seq: Its position in the session. None: it is not stored.
        decision: ``kept``, ``moved``, ``added``, ``cut``, ``summarised`` or ``dropped``.
        why: The reason, in words.
        tokens: Its size. Those of messages kept, moved and added are together the size of the window.
    """

    message: Message
    seq: int | None
    decision: Decision
    why: str
    tokens: int


IN_WINDOW: frozenset[Decision] = frozenset(["kept", "moved", "added"])
"""Decisions on messages that the window holds."""


def decided(message: Message, decision: Decision, why: str) -> Explained:
    """Return what became of a message."""
    return Explained(message, None if decision == "added" else message.seq, decision, why, message.token_count or 0)


def explain_stretch(
    stretch: Sequence[Message],
    kept: Sequence[Entry],
    *,
    heads: Sequence[Message],
    cut: Mapping[int, str],
    dropped: Mapping[int, str],
    whole: bool,
    why: str,
) -> Iterator[Explained]:
    """Yield what became of the messages that were read, in their order; what was added comes where it belongs.

    Args:
        stretch: The messages.
        kept: The entries of the window, in its order.
        heads: What was put before them.
        cut: Index of each message that was cut → why.
        dropped: Index of each that is in no window → why.
        whole: Whether the stretch is the whole history.
        why: What to say of messages that were kept.
    """
    stored = {entry.at: entry for entry in kept if not entry.added}
    moved = _moved([entry for entry in kept if not entry.added])
    added: dict[int, list[Entry]] = {}
    for entry in kept:
        if entry.added:
            added.setdefault(entry.at, []).append(entry)
    begins = min(stored, default=None)
    for at, message in enumerate(stretch):
        if at == begins:
            for head in heads:
                yield decided(head, "added", _WHY_ADDED.get(head.metadata.get(SYNTHETIC, ""), SUMMARY))
        if message.role in SYSTEM_ROLES:
            yield decided(message, "kept", SYSTEM)
        elif at in stored:
            entry = stored[at]
            if at in moved:
                yield decided(entry.message, "moved", entry.why or LATE)
            else:
                yield decided(entry.message, "kept", entry.why or why)
        elif at in cut:
            yield decided(message, "cut", cut[at])
        elif dropped[at] == ORPHAN and not whole:
            yield decided(message, "cut", NO_CALL)
        else:
            yield decided(message, "dropped", dropped[at])
        for entry in added.get(at, ()):
            yield decided(entry.message, "added", entry.why)


def _moved(entries: Sequence[Entry]) -> set[int]:
    """Return the indexes of messages that come before one that is stored before them."""
    moved: set[int] = set()
    lowest: int | None = None
    for entry in reversed(entries):
        if lowest is not None and entry.at > lowest:
            moved.add(entry.at)
        else:
            lowest = entry.at
    return moved
