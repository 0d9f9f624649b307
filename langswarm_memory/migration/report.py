"""What a transfer did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ConflictError, LangSwarmMemoryError


@dataclass(frozen=True, slots=True)
class TransferFailure:
    """A session that was not copied."""

    session_id: str
    error: LangSwarmMemoryError

    @property
    def is_conflict(self) -> bool:
        """Whether the target holds something else under that id."""
        return isinstance(self.error, ConflictError)


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a transfer did, or with `dry_run` would do. Each session counts in exactly one way."""

    source: str
    """Name of the source."""
    dry_run: bool = False
    sessions: int = 0
    """How many the source has, of those asked for."""
    copied: int = 0
    """Not in the target before."""
    continued: int = 0
    """In the target in part, by an interrupted transfer or an earlier one; the rest was added."""
    unchanged: int = 0
    """In the target already, equal."""
    ahead: int = 0
    """In the target with all that the source has, and used since; left as they are."""
    expired: int = 0
    """Expired, and left out because the target removes expired sessions by itself."""
    messages: int = 0
    """Messages written."""
    summaries: int = 0
    """Summaries written."""
    failures: tuple[TransferFailure, ...] = ()
    """Sessions that were not copied: conflicts, and what cannot be read or stored."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """By reason: how many records the source itself cannot give unchanged."""

    @property
    def conflicts(self) -> tuple[TransferFailure, ...]:
        """The failures that are conflicts."""
        return tuple(failure for failure in self.failures if failure.is_conflict)

    def raise_for_failures(self) -> None:
        """Raise the error of the first session that was not copied, if there is one."""
        if self.failures:
            raise self.failures[0].error
