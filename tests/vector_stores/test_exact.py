"""Exact search: NumPy and plain Python give the same answers, whatever was put and dropped before."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langswarm_memory.testing.vector_samples import VectorPoint, direction, oracle
from langswarm_memory.vector_stores import exact
from langswarm_memory.vector_stores.checking import pack
from langswarm_memory.vector_stores.exact import ExactIndex

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 90), st.integers(0, 50)), max_size=200)


def vector(seed: int) -> array[float]:
    return array("f", direction(seed, 6))


def filled(steps: list[tuple[bool, int, int]]) -> tuple[ExactIndex, dict[str, array[float]]]:
    index, expected = ExactIndex(6), {}
    for put, name, seed in steps:
        if put:
            index.put(f"p{name}", vector(seed))
            expected[f"p{name}"] = vector(seed)
        else:
            index.drop(f"p{name}")
            expected.pop(f"p{name}", None)
    return index, expected


@given(STEPS, st.integers(1, 12))
@pytest.mark.parametrize("numpy", [True, False])
def test_nearest_are_those_of_the_oracle(numpy: bool, steps: list[tuple[bool, int, int]], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not numpy:
            patch.setattr(exact, "np", None)
        index, expected = filled(steps)
        found = index.nearest(vector(-1), limit)
    assert len(index) == len(expected)
    points = [VectorPoint(name, each) for name, each in sorted(expected.items())]
    scores = [score for _, score in oracle(vector(-1), points)[:limit]] if points else []
    assert [score for _, score in found] == pytest.approx(scores, abs=1e-5)
    assert len({name for name, _ in found}) == len(found)


@pytest.mark.parametrize("numpy", [True, False])
def test_index_read_at_once_is_the_index_put_together(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not numpy:
        monkeypatch.setattr(exact, "np", None)
    index = ExactIndex.of(6, [(f"p{seed}", pack(vector(seed))) for seed in range(80)])
    index.put("p80", vector(80))
    index.drop("p3")
    one_by_one, _ = filled([(True, seed, seed) for seed in range(81) if seed != 3])
    assert index.nearest(vector(-1), 80) == one_by_one.nearest(vector(-1), 80)


@pytest.mark.parametrize("numpy", [True, False])
def test_equal_scores_are_in_the_order_of_their_ids(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not numpy:
        monkeypatch.setattr(exact, "np", None)
    index = ExactIndex(6)
    for name in ("c", "a", "d", "b"):
        index.put(name, vector(1))
    assert [name for name, _ in index.nearest(vector(1), 2)] == ["a", "b"]


def test_among_narrows_the_search() -> None:
    index, _ = filled([(True, seed, seed) for seed in range(20)])
    assert {name for name, _ in index.nearest(vector(5), 10, ["p1", "p2", "missing"])} == {"p1", "p2"}
    assert index.nearest(vector(5), 10, []) == []
