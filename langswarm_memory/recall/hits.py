"""What recall finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..interfaces.message import Message
from ..search.highlight import Highlight

FoundBy = Literal["text", "vector", "neighbour"]
"""By its words, by its meaning, or because what was said beside it was found."""


@dataclass(frozen=True, slots=True)
class RecallHit:
    """A message that was found, how well it fits, and what was said around it."""

    session_id: str
    message: Message
    score: float
    """Higher is better; comparable within one search only."""
    found_by: frozenset[FoundBy]
    highlight: Highlight
    """The piece of the text that has the most of the query's words; the beginning where it has none."""
    before: list[Message] = field(default_factory=list)
    """What was said in front of it, oldest first: as many as `neighbours` asked for."""
    after: list[Message] = field(default_factory=list)
    """What was said behind it, oldest first."""
