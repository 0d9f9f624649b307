"""What a conversion cannot carry: one record per fact, collected while a converter runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

Severity = Literal["form", "detail", "content"]
"""``form``: spelling, ids of items, borders of messages; the model reads the same. ``detail``: names, hints,
annotations. ``content``: something the model would have read or seen, and now does not."""

SEVERITIES: tuple[Severity, ...] = ("form", "detail", "content")


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that does not survive a conversion.

    Args:
        index: Position of the message in the list that was asked about.
        message_id: Its id.
        what: What is lost: a key, a type of block, or ``"borders"``, ``"order"``, ``"spelling"``.
        why: Why, in a sentence without any of the message's text.
        severity: How much it matters.
    """

    index: int
    message_id: str
    what: str
    why: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class LossReport(Sequence[Loss]):
    """What a list of messages loses on its way to a provider. Empty, and so false, if nothing is lost.

    Args:
        provider: The provider asked about.
        losses: In the order of the messages.
    """

    provider: str
    losses: tuple[Loss, ...] = ()

    def __len__(self) -> int:
        return len(self.losses)

    def __iter__(self) -> Iterator[Loss]:
        return iter(self.losses)

    @overload
    def __getitem__(self, index: int) -> Loss: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Loss, ...]: ...
    def __getitem__(self, index: int | slice) -> Loss | tuple[Loss, ...]:
        return self.losses[index]

    @property
    def worst(self) -> Severity | None:
        """The highest severity in the report, or None if nothing is lost."""
        return max((loss.severity for loss in self.losses), key=SEVERITIES.index, default=None)

    def at_least(self, severity: Severity) -> LossReport:
        """Return the report without what matters less than `severity`."""
        floor = SEVERITIES.index(severity)
        kept = tuple(loss for loss in self.losses if SEVERITIES.index(loss.severity) >= floor)
        return LossReport(self.provider, kept)


class Losses:
    """Where converters say what they cannot carry. By default nobody listens."""

    def __init__(self) -> None:
        self.found: list[Loss] = []
        self._index, self._message_id = 0, ""

    def at(self, index: int, message_id: str) -> None:
        """Say which message the next losses are of."""
        self._index, self._message_id = index, message_id

    def add(self, what: str, why: str, severity: Severity) -> None:
        """Note a loss; the same one of the same message counts once."""
        loss = Loss(self._index, self._message_id, what, why, severity)
        if loss not in self.found[-8:]:
            self.found.append(loss)


class Unheard(Losses):
    """Converters run with this when nobody asked for a report."""

    def add(self, what: str, why: str, severity: Severity) -> None:
        """Do nothing."""


UNHEARD = Unheard()
