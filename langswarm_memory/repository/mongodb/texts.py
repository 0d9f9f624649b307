"""What a search asks of the messages' terms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...search.bm25 import K1, B
from ...search.words import grams, is_unspaced, stem
from ..documents import instant_text
from ..text_search import SearchCursor, SearchFilter, TextQuery, Word

MEAN_LENGTH = 100  # words; to know the real mean, every message would have to be looked at
EXACTNESS = 1_000_000  # scores are whole numbers of this part, so that a page ends exactly where the next begins
SHORTEST_STEM = 3  # characters of a stem that may stand for words a prefix asks for


class Term:
    """One thing to look for.

    Args:
        text: A term, or what terms begin with.
        prefix: Which of the two.
    """

    def __init__(self, text: str, prefix: bool) -> None:
        self.text, self.prefix = text, prefix

    @property
    def condition(self) -> dict[str, Any]:
        """Holds for messages that have it; where it is a prefix, and perhaps for others."""
        if not self.prefix:
            return {"terms": self.text}
        # Stems may be shorter than what the words of a text begin with.
        stems = [self.text[:end] for end in range(SHORTEST_STEM, len(self.text))]
        begins = {"terms": {"$regex": f"^{re.escape(self.text)}"}}
        return {"$or": [begins, {"terms": {"$in": stems}}]} if stems else begins

    @property
    def expression(self) -> dict[str, Any]:
        """Tells, in a pipeline, whether a message has it."""
        if not self.prefix:
            return {"$in": [{"$literal": self.text}, "$terms"]}
        begins = {"$eq": [{"$indexOfCP": ["$$this", {"$literal": self.text}]}, 0]}
        is_stem = {"$and": [{"$gte": [{"$strLenCP": "$$this"}, SHORTEST_STEM]}]}
        is_stem["$and"].append({"$eq": [{"$indexOfCP": [{"$literal": self.text}, "$$this"]}, 0]})
        either = {"$or": [begins, is_stem]}
        return {"$anyElementTrue": [{"$map": {"input": "$terms", "in": either}}]}


def wanted(words: Iterable[Word]) -> list[Term]:
    """Return the terms that words are found by, each once."""
    found: dict[tuple[str, bool], Term] = {}
    for word in words:
        if is_unspaced(word.text):
            parts = [(gram, False) for gram in grams(word.text)]
        else:
            parts = [(word.text, True) if word.prefix else (stem(word.text), False)]
        for part in parts:
            found.setdefault(part, Term(*part))
    return list(found.values())


def candidates(query: TextQuery, where: SearchFilter) -> dict[str, Any]:
    """Return conditions that hold for every message that a search finds, and for few others."""
    every: list[dict[str, Any]] = []
    if query.phrases:
        every += [term.condition for term in wanted(word for phrase in query.phrases for word in phrase)]
    else:
        any_of = wanted(query.words)
        plain = [term.text for term in any_of if not term.prefix]
        others = [term.condition for term in any_of if term.prefix]
        conditions = [{"terms": {"$in": plain}}, *others] if plain else others
        every.append({"$or": conditions} if len(conditions) > 1 else conditions[0])
    excluded = [stem(phrase[0].text) for phrase in query.excluded if _is_one_word(phrase)]
    if excluded:
        every.append({"terms": {"$nin": excluded}})
    if where.roles is not None:
        every.append({"role": {"$in": sorted(where.roles)}})
    if where.since is not None:
        every.append({"at": {"$gte": instant_text(where.since)}})
    if where.until is not None:
        every.append({"at": {"$lt": instant_text(where.until)}})
    return {"$and": every}


def _is_one_word(phrase: Sequence[Word]) -> bool:
    return len(phrase) == 1 and not phrase[0].prefix and not is_unspaced(phrase[0].text)


def needs_look(query: TextQuery) -> bool:
    """Return whether candidates may be none of a query's, so that their texts decide."""
    return (
        bool(query.phrases)
        or any(word.prefix for word in query.words)
        or not all(_is_one_word(phrase) for phrase in query.excluded)
    )


def weight(holding: int, total: int) -> float:
    """Return what it tells that a message has a term that so many of all messages have."""
    return math.log(1 + (max(total, holding) - holding + 0.5) / (holding + 0.5))


def ranked(
    conditions: Mapping[str, Any], weights: Mapping[Term, float], size: int, after: SearchCursor | None
) -> list[dict[str, Any]]:
    """Return the pipeline that yields the best candidates: by BM25, where a term counts once.

    Each is ``{_id, session_id, seq, rank}``.
    """
    norm = {"$add": [1 + K1 * (1 - B), {"$multiply": [K1 * B / MEAN_LENGTH, {"$ifNull": ["$length", 0]}]}]}
    sums = [{"$cond": [term.expression, factor, 0.0]} for term, factor in weights.items()]
    score = {"$divide": [{"$multiply": [(K1 + 1) * EXACTNESS, {"$add": [0.0, *sums]}]}, norm]}
    rank = {"$add": [1, {"$toLong": {"$floor": score}}]}
    behind: list[dict[str, Any]] = []
    if after is not None:
        place = rank_of(after.score)
        same: list[dict[str, Any]] = [
            {"rank": place, "session_id": {"$gt": after.session_id}},
            {"rank": place, "session_id": after.session_id, "seq": {"$lt": after.seq}},
        ]
        behind = [{"$match": {"$or": [{"rank": {"$lt": place}}, *same]}}]
    return [
        {"$match": dict(conditions)},
        {"$project": {"session_id": 1, "seq": 1, "rank": rank}},
        *behind,
        {"$sort": {"rank": -1, "session_id": 1, "seq": -1}},
        {"$limit": size},
    ]


def score_of(rank: int) -> float:
    """Return a rank as a score."""
    return rank / EXACTNESS


def rank_of(score: float) -> int:
    """Reverse :func:`score_of`."""
    return round(score * EXACTNESS)
