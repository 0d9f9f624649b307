"""Windows: the newest units of a conversation that fit a budget, in a form that the provider takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import methodcaller
from typing import Literal

from ..errors import InvalidInputError
from ..formats.links import links
from ..formats.notes import RESPONSES_NOTE, note_of
from ..interfaces.enums import SYSTEM_ROLES, MessageRole
from ..interfaces.message import Message
from .additions import Additions
from .edits import renamed
from .explain import (
    HALF_CUT,
    NEWEST,
    NOT_OF_THE_USER,
    OVERSIZED,
    RENAMED,
    TOO_LARGE,
    TOO_OLD,
    Explained,
    explain_stretch,
)
from .regular import Entry, Unit
from .units import Unanswered, arrange

Provider = Literal["openai", "responses", "anthropic", "gemini"]
"""Whose rules a window keeps: OpenAI's Chat Completions or Responses, Anthropic's Messages, Gemini's contents."""

Oversize = Literal["drop", "keep"]
"""What becomes of a newest unit that exceeds the budget alone."""

USER_BEGINS = ("anthropic", "gemini")
"""Providers that take no conversation which the assistant begins."""

WORTH_KEEPING = 0.5
"""Part of a conversation's tokens that must stay where it is cut once more so that a turn of the user begins it.
Long runs of tools between two turns of the user stay this way, with a turn put in before them."""

_CHOICES = {
    "provider": ("openai", "responses", "anthropic", "gemini"),
    "unanswered": ("result", "drop", "keep"),
    "oversize": ("drop", "keep"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a window keeps to.

    Args:
        provider: Whose rules.
        unanswered: What becomes of tool calls without a result.
        oversize: What becomes of a newest unit that exceeds the budget alone.

    Raises:
        InvalidInputError: A choice that there is not.
    """

    provider: Provider = "openai"
    unanswered: Unanswered = "result"
    oversize: Oversize = "drop"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InvalidInputError(f"{name} must be one of {', '.join(choices)}")


@dataclass(slots=True)
class Window:
    """A window, and what became of each message that was read for it.

    Args:
        messages: What to hand to the model, in order.
        explained: Tells of the messages that were read, in their order, and of what was added, where it belongs.
        complete: Whether it is known to hold the whole history.
        first_seq: Lowest position in it, system messages aside. None: it holds no conversation.
    """

    messages: list[Message]
    explained: Callable[[], Iterator[Explained]]
    complete: bool
    first_seq: int | None


@dataclass(slots=True)
class _Choice:
    """The units from `start` on are the window."""

    start: int
    why: str = NEWEST
    opening: Message | None = None
    cut: dict[int, str] = field(default_factory=dict)

    def begin_at(self, start: int, units: Sequence[Unit], why: str) -> None:
        """Cut the units before `start`."""
        self.cut |= {entry.at: why for unit in units[self.start : start] for entry in unit.entries}
        self.start = start


def undisturbed(stretch: Sequence[Message], budget: int | None, rules: Rules, additions: Additions) -> Window | None:
    """Return the window of messages of which none needs another, without forming units; None: not that simple.

    Most chats are such. The answer is that of :func:`build`, in a fifth of the time.

    Args:
        stretch: As there, and within the budget already, as the store read it.
        budget: As there.
        rules: As there.
        additions: As there.
    """
    if rules.provider != "openai" or not all(map(_stands_alone, stretch)):
        return None
    first = next((message.seq for message in stretch if message.role not in SYSTEM_ROLES), None)
    whole = not stretch or stretch[-1].seq == len(stretch)
    return Window(list(stretch), lambda: build(stretch, budget, rules, additions).explained(), whole, first)


def build(
    stretch: Sequence[Message],
    budget: int | None,
    rules: Rules,
    additions: Additions,
    *,
    notes: Sequence[Message] = (),
) -> Window:
    """Return the window of the newest messages of a session.

    System messages come always and count first. Then come the newest units, without a hole: the first that does not
    fit ends the window. Adding a unit never exceeds the budget, whatever was put into it; only ``oversize="keep"`` lets
    the newest unit do so, and system messages always may.

    Args:
        stretch: The system messages of the session and its newest others, oldest first, as read.
        budget: Tokens that it may hold. None: no bound.
        rules: What it keeps to.
        additions: Makes what has to be added.
        notes: What stands for what is cut: a summary, and what of it was recalled.
    """
    sizes = [message.token_count or 0 for message in stretch]
    systems = [at for at, message in enumerate(stretch) if message.role in SYSTEM_ROLES]
    positions = (
        [at for at, message in enumerate(stretch) if message.role not in SYSTEM_ROLES]
        if systems
        else range(len(stretch))
    )
    # Positions begin at 1, so as many messages as the last position says are all there are.
    whole = not stretch or stretch[-1].seq == len(stretch)
    arranged = arrange(
        [stretch[at] for at in positions],
        positions,
        provider=rules.provider,
        unanswered=rules.unanswered,
        additions=additions,
    )
    fixed = sum(sizes[at] for at in systems) + sum(note.token_count or 0 for note in notes)
    left = None if budget is None else budget - fixed
    choice = _choose(arranged.units, left, whole, rules, additions)
    units = arranged.units[choice.start :]
    if rules.provider == "anthropic":
        units = _distinct(units)
    heads = [head for head in (*notes, choice.opening) if head is not None] if units else []
    kept = [entry for unit in units for entry in unit.entries]
    explained = partial(
        explain_stretch,
        stretch,
        kept,
        heads=heads,
        cut=choice.cut,
        dropped=arranged.dropped,
        whole=whole,
        why=choice.why,
    )
    return Window(
        _in_order(stretch, systems, heads, units),
        explained,
        whole and not choice.cut,
        min((stretch[entry.at].seq or 0 for entry in kept), default=None),
    )


_stands_alone = methodcaller("stands_alone")


def _tokens(units: Iterable[Unit]) -> int:
    return sum(unit.tokens for unit in units)


def _choose(units: Sequence[Unit], left: int | None, whole: bool, rules: Rules, additions: Additions) -> _Choice:
    choice = _Choice(0)
    start, used = len(units), 0
    while start > 0 and (left is None or used + units[start - 1].tokens <= left):
        start -= 1
        used += units[start].tokens
    if units and start == len(units):
        choice.begin_at(start - 1, units, TOO_OLD)
        if rules.oversize == "keep":
            choice.why = OVERSIZED
        else:
            choice.begin_at(start, units, TOO_LARGE)
    else:
        choice.begin_at(start, units, TOO_OLD)
    if rules.provider in USER_BEGINS:
        _let_the_user_begin(choice, units, left, whole, additions)
    if rules.provider == "responses" and not whole and choice.start == 0 and _follows_on(units):
        choice.begin_at(1, units, HALF_CUT)
    return choice


def _let_the_user_begin(
    choice: _Choice, units: Sequence[Unit], left: int | None, whole: bool, additions: Additions
) -> None:
    """Begin with a turn of the user's own where that gives up little, else with one that is put in."""
    at = choice.start
    tokens = _tokens(units[at:])
    own = next((index for index in range(at, len(units)) if units[index].opens()), None)
    if own is not None and (at > 0 or not whole) and _tokens(units[own:]) >= WORTH_KEEPING * tokens:
        choice.begin_at(own, units, NOT_OF_THE_USER)
        return
    while at < len(units) and not units[at].opens():
        opening = additions.opening(units[at].entries[0].message, whole and at == 0)
        if left is None or choice.why == OVERSIZED or tokens + (opening.token_count or 0) <= left:
            choice.opening = opening
            break
        tokens -= units[at].tokens
        at += 1
    choice.begin_at(at, units, NOT_OF_THE_USER)


def _distinct(units: Sequence[Unit]) -> list[Unit]:
    """Give calls whose id an earlier call of the window has another id: Anthropic takes each only once."""
    seen: set[str] = set()
    result: list[Unit] = []
    for unit in units:
        calls = (
            {name for entry in unit.entries for name in links(entry.message).calls} if len(unit.entries) > 1 else set()
        )
        names: dict[str, str] = {}
        for name in sorted(calls & seen):
            names[name] = next(new for n in count(2) if (new := f"{name}_{n}") not in seen | calls)
            seen.add(names[name])
        seen |= calls
        result.append(unit._replace(entries=[_renamed(entry, names) for entry in unit.entries]) if names else unit)
    return result


def _renamed(entry: Entry, names: dict[str, str]) -> Entry:
    message = renamed(entry.message, names)
    return entry if message is entry.message else entry._replace(message=message, why=entry.why or RENAMED)


def _follows_on(units: Sequence[Unit]) -> bool:
    """Return whether reasoning that was cut may belong to the first unit: the API takes neither alone."""
    if not units:
        return False
    first = units[0].entries[0].message
    return first.role == MessageRole.ASSISTANT and note_of(first, RESPONSES_NOTE) is not None


def _in_order(
    stretch: Sequence[Message], systems: Sequence[int], heads: Sequence[Message], units: Sequence[Unit]
) -> list[Message]:
    """Return a window's messages: system messages stand where they are stored, but between units."""
    messages: list[Message] = []
    waiting = list(reversed(systems))
    for index, unit in enumerate(units):
        first = unit.entries[0].at
        while waiting and waiting[-1] < first:
            messages.append(stretch[waiting.pop()])
        if index == 0:
            messages += heads
        messages += [entry.message for entry in unit.entries]
    return messages + [stretch[at] for at in reversed(waiting)]
