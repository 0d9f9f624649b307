"""Fusion of two rankings, and what happens behind it: known numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from langswarm_memory.errors import InvalidInputError
from langswarm_memory.interfaces.timestamps import Timestamp
from langswarm_memory.recall import Fusion, RecallHit
from langswarm_memory.recall.fusion import spread
from langswarm_memory.recall.ranking import RERANKED, decayed, reranked, without_near_duplicates
from langswarm_memory.search import parse
from tests.recall.memories import START, message

A, B, C = ("s", 10), ("s", 20), ("s", 30)
NOW = Timestamp.of(START)


def hit(text: str, score: float, days: float = 0.0) -> RecallHit:
    told = message(text)
    told.timestamp = NOW - timedelta(days=days)
    return RecallHit("s", told, score, frozenset({"text"}), parse("tea"))


def texts(hits: list[RecallHit]) -> list[Any]:
    return [one.message.content for one in hits]


def test_rrf_adds_reciprocals_of_places() -> None:
    fusion = Fusion(method="rrf", k=10, text=1.5, vector=1.0, spread=False)
    assert fusion.fuse([(A, 9.0), (B, 1.0)], [(B, 0.9)]) == pytest.approx({A: 1.5 / 11, B: 1.5 / 12 + 1 / 11})


def test_convex_stretches_each_ranking() -> None:
    """Of three: the first has 1, the last 1/4, which is above what is not in the ranking."""
    fusion = Fusion(text=0.6, vector=0.4, spread=False)
    fused = fusion.fuse([(A, 8.0), (B, 6.0), (C, 4.0)], [(C, 0.5)])
    assert fused == pytest.approx({A: 0.6, B: 0.6 * 0.625, C: 0.6 * 0.25 + 0.4})


def test_equal_scores_are_all_best() -> None:
    fused = Fusion(text=1.0, vector=0.0, spread=False).fuse([(A, 2.0), (B, 2.0)], [])
    assert fused == {A: 1.0, B: 1.0}


def test_candidates_bound_each_ranking() -> None:
    fused = Fusion(candidates=1, spread=False).fuse([(A, 2.0), (B, 1.0)], [(C, 0.1), (B, 0.0)])
    assert set(fused) == {A, C}


def test_what_stands_beside_gains_a_half_and_a_quarter() -> None:
    gained = spread({("s", 2): 1.0})
    assert gained == {("s", 1): 0.5, ("s", 2): 1.0, ("s", 3): 0.5, ("s", 4): 0.25}


def test_two_beside_each_other_gain_from_each_other() -> None:
    gained = spread({("s", 5): 1.0, ("s", 6): 0.4})
    assert (gained["s", 5], gained["s", 6]) == pytest.approx((1.2, 0.9))


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "best"},
        {"text": -1.0},
        {"text": 0, "vector": 0},
        {"text": float("nan")},
        {"vector": True},
        {"vector": "1"},
        {"k": -1},
        {"k": 1.5},
        {"candidates": 0},
        {"candidates": 1_001},
        {"spread": 1},
    ],
    ids=str,
)
def test_wrong_fusion_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        Fusion(**wrong)


def test_half_life_halves() -> None:
    assert [one.score for one in decayed([hit("a", 1.0, days=14)], NOW, 7)] == [0.25]


def test_half_life_sorts_anew() -> None:
    assert texts(decayed([hit("old", 1.0, days=10), hit("new", 0.9)], NOW, 5)) == ["new", "old"]


def test_age_makes_a_score_below_zero_worse() -> None:
    assert texts(decayed([hit("old", -0.5, days=10), hit("new", -0.5)], NOW, 5)) == ["new", "old"]


def test_message_of_the_future_is_as_good_as_new() -> None:
    assert [one.score for one in decayed([hit("a", 1.0, days=-3)], NOW, 7)] == [1.0]


def test_near_duplicates_of_better_hits_are_left_out() -> None:
    ten = "one two three four five six seven eight nine ten"
    hits = [hit(ten, 3), hit(ten + " eleven", 2), hit("one two", 1)]
    assert texts(without_near_duplicates(hits)) == [ten, "one two"]


def test_texts_without_words_are_told_apart() -> None:
    assert texts(without_near_duplicates([hit("👍", 3), hit("👎", 2), hit("👍", 1)])) == ["👍", "👎"]


async def test_reranker_sorts_anew() -> None:
    hits = [hit("a", 3), hit("bbb", 2), hit("cc", 1)]
    assert texts(await reranked(hits, "tea", lambda _, told: [len(text) for text in told])) == ["bbb", "cc", "a"]


async def test_reranker_may_be_async() -> None:
    async def rerank(query: str, told: list[str]) -> list[float]:
        return [float(text == query) for text in told]

    assert texts(await reranked([hit("a", 3), hit("tea", 2)], "tea", rerank)) == ["tea", "a"]


async def test_reranker_may_answer_with_an_array() -> None:
    def rerank(_query: str, told: list[str]) -> Any:
        return np.arange(len(told), dtype=np.float32)

    assert texts(await reranked([hit("a", 3), hit("b", 2)], "tea", rerank)) == ["b", "a"]


async def test_what_the_reranker_is_not_shown_follows_in_its_order() -> None:
    hits = [hit(f"{number}", 100.0 - number) for number in range(RERANKED + 5)]
    answer = await reranked(hits, "tea", lambda _, told: [-float(place) for place in range(len(told))][::-1])
    assert texts(answer)[-5:] == texts(hits)[-5:]
    scores = [one.score for one in answer]
    assert scores == sorted(scores, reverse=True)
