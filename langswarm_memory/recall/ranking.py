"""What happens to a ranking behind its fusion: recency, near-duplicates, a reranker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from ..embeddings.calling import call, numbers
from ..errors import InvalidInputError
from ..search.words import tokenize
from .hits import RecallHit

Reranker = Callable[[str, list[str]], "Sequence[float] | Awaitable[Sequence[float]]"]
"""Gives one score per text, higher is better, of how well it answers a question."""

SAME = 0.9  # share of words that two texts have in common from which they are one and the same
RERANKED = 50  # hits that a reranker is shown
DAY_SECONDS = 86_400


def decayed(hits: Sequence[RecallHit], now: datetime, half_life_days: float) -> list[RecallHit]:
    """Halve scores for every so many days of age, and sort anew. A score below 0 falls as well."""
    aged = []
    for hit in hits:
        days = max(0.0, (now - hit.message.timestamp).total_seconds() / DAY_SECONDS)
        share = 0.5 ** (days / half_life_days)
        aged.append(_scored(hit, hit.score * (share if hit.score > 0 else 2 - share)))
    return sorted(aged, key=_place)


def without_near_duplicates(hits: Sequence[RecallHit]) -> list[RecallHit]:
    """Drop hits whose words are, but for a tenth, those of a better one; of texts without words, those that equal."""
    kept: list[RecallHit] = []
    words: list[frozenset[str]] = []
    for hit in hits:
        text = hit.message.text
        mine = frozenset(tokenize(text)) or frozenset([text])
        if not any(len(mine & other) >= SAME * len(mine | other) for other in words):
            kept.append(hit)
            words.append(mine)
    return kept


async def reranked(hits: Sequence[RecallHit], query: str, reranker: Reranker) -> list[RecallHit]:
    """Sort the best hits by what a reranker says of them. The others stay behind them, in their order.

    Raises:
        InvalidInputError: It did not give one number per text.
    """
    best, rest = hits[:RERANKED], hits[RERANKED:]
    if not best:
        return []
    answer: Any = await call(reranker, query, [hit.message.text for hit in best])
    scores = numbers(answer)
    if scores is None or len(scores) != len(best):
        raise InvalidInputError(f"the reranker must give {len(best)} numbers, one per text")
    fresh = sorted((_scored(hit, score) for hit, score in zip(best, scores, strict=True)), key=_place)
    # Their scores are of another kind; theirs must not end above those of the ones in front of them.
    least, top = fresh[-1].score, max((hit.score for hit in rest), default=0.0)
    return fresh + [_scored(hit, least + hit.score - top) for hit in rest]


def _scored(hit: RecallHit, score: float) -> RecallHit:
    return RecallHit(hit.session_id, hit.message, score, hit.found_by, hit.query, hit.before, hit.after)


def _place(hit: RecallHit) -> tuple[float, str, int]:
    return -hit.score, hit.session_id, -(hit.message.seq or 0)
