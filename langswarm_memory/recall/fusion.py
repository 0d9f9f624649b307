"""One ranking out of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidInputError

Key = tuple[str, int]
"""Session id and seq of a message."""

NEIGHBOUR_SHARES = (0.5, 0.25)
"""What a message gets of the score of one that is one, or two, away. A question and its answer stand side by side, and
the words of the question are often in one of them only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """How the rankings by words and by meaning become one.

    Args:
        method: ``"convex"``: the scores of each ranking, stretched from 0 to 1, are added with the weights.
            ``"rrf"``: reciprocal rank fusion, which looks at the places only: weight / (k + place).
        text: Weight of the ranking by words.
        vector: Weight of the ranking by meaning.
        k: Constant of ``rrf``: the larger, the less the first places count.
        candidates: How many of each ranking take part.
        spread: Whether messages beside found ones gain from them.

    Source of the figures: docs/search.md, "Measured".

    Raises:
        InvalidInputError: A value out of range.
    """

    method: Literal["convex", "rrf"] = "convex"
    text: float = 0.6
    vector: float = 0.4
    k: int = 10
    candidates: int = 50
    spread: bool = True

    def __post_init__(self) -> None:
        if self.method not in ("convex", "rrf"):
            raise InvalidInputError("fusion is 'convex' or 'rrf'")
        weights = (self.text, self.vector)
        if any(isinstance(one, bool) or not isinstance(one, int | float) or not one >= 0 for one in weights):
            raise InvalidInputError("weights are numbers from 0")
        if sum(weights) <= 0:
            raise InvalidInputError("one of the weights must be above 0")
        if not isinstance(self.spread, bool):
            raise InvalidInputError("spread is True or False")
        for name, low, high in (("k", 0, 10_000), ("candidates", 1, 1_000)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidInputError(f"{name} is an int from {low} to {high:,}")

    def fuse(self, text: Sequence[tuple[Key, float]], vector: Sequence[tuple[Key, float]]) -> dict[Key, float]:
        """Return one score per message, from rankings that are best first."""
        fused: dict[Key, float] = {}
        for weight, ranking in ((self.text, text), (self.vector, vector)):
            for key, share in self._shares(ranking[: self.candidates]):
                fused[key] = fused.get(key, 0.0) + weight * share
        return spread(fused) if self.spread else fused

    def _shares(self, ranking: Sequence[tuple[Key, float]]) -> list[tuple[Key, float]]:
        if self.method == "rrf":
            return [(key, 1 / (self.k + place)) for place, (key, _) in enumerate(ranking, 1)]
        if not ranking:
            return []
        best, least = ranking[0][1], ranking[-1][1]
        width = best - least
        # The last one is found, too; at 0 it would be as if it were not.
        floor = 1 / (len(ranking) + 1)
        return [(key, floor + (1 - floor) * ((score - least) / width if width else 1.0)) for key, score in ranking]


def spread(scores: Mapping[Key, float]) -> dict[Key, float]:
    """Let messages gain from those beside them."""
    gained = dict(scores)
    for (session_id, seq), score in scores.items():
        for distance, share in enumerate(NEIGHBOUR_SHARES, 1):
            for place in (seq - distance, seq + distance):
                if place > 0:
                    key = session_id, place
                    gained[key] = gained.get(key, 0.0) + share * score
    return gained
