"""What recall finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..interfaces.message import Message
from ..repository.text_search import TextQuery
from ..search.highlight import Highlight, highlight

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
    query: TextQuery = field(repr=False)
    """What was looked for."""
    before: list[Message] = field(default_factory=list)
    """What was said in front of it, oldest first: as many as `neighbours` asked for."""
    after: list[Message] = field(default_factory=list)
    """What was said behind it, oldest first."""

    @property
    def highlight(self) -> Highlight:
        """The piece of the text that has the most of the query's words; the beginning where it has none.

        Cost: the text is read, each time it is asked for.
        """
        return highlight(self.query, self.message.text)
