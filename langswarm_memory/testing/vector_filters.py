"""Rules for conditions: what matches, that they starve no answer, and that they are values, never statements."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ..errors import InvalidInputError
from ..vector_stores.protocol import Range, VectorPoint, VectorStore
from .samples import SQL
from .vector_samples import direction, ids_of, oracle, order, point, points

PAYLOADS: dict[str, dict[str, Any]] = {
    "text": {"v": "a"},
    "upper": {"v": "A"},
    "padded": {"v": " a "},
    "two words": {"v": "a b"},
    "comma": {"v": "a,b"},
    "empty": {"v": ""},
    "one as text": {"v": "1"},
    "true as text": {"v": "true"},
    "one": {"v": 1},
    "two": {"v": 2},
    "half": {"v": 0.5},
    "minus": {"v": -3},
    "large": {"v": 2**53},
    "next to large": {"v": 2**53 - 1},
    "true": {"v": True},
    "false": {"v": False},
    "tags": {"v": ["a", "x"]},
    "other tags": {"v": ["A", "a b"]},
    "no tags": {"v": []},
    "other key": {"w": "a"},
    "nothing": {},
}
CASES: dict[str, tuple[Any, set[str]]] = {
    "text": ("a", {"text", "tags"}),
    "text in capitals": ("A", {"upper", "other tags"}),
    "text with spaces around": (" a ", {"padded"}),
    "text of two words": ("a b", {"two words", "other tags"}),
    "text with a comma": ("a,b", {"comma"}),
    "empty text": ("", {"empty"}),
    "beginning of a text": ("tru", set()),
    "wildcard": ("*", set()),
    "percent": ("%", set()),
    "number as text": ("1", {"one as text"}),
    "bool as text": ("true", {"true as text"}),
    "integer": (1, {"one"}),
    "integer as a float": (1.0, {"one"}),
    "float": (0.5, {"half"}),
    "negative": (-3, {"minus"}),
    "53 bits": (2**53, {"large"}),
    "zero": (0, set()),
    "true": (True, {"true"}),
    "false": (False, {"false"}),
    "one of": (frozenset({"a", "A", "z"}), {"text", "upper", "tags", "other tags"}),
    "one of one": (frozenset({"x"}), {"tags"}),
    "one of texts with commas": (frozenset({"a,b", "a b", ""}), {"comma", "two words", "other tags", "empty"}),
    "one of none": (frozenset(), set()),
    "one of numbers as text": (frozenset({"1", "2"}), {"one as text"}),
    "from": (Range(ge=1), {"one", "two", "large", "next to large"}),
    "below": (Range(lt=1), {"half", "minus"}),
    "from and below": (Range(ge=0.5, lt=2), {"half", "one"}),
    "below zero": (Range(ge=-3, lt=0), {"minus"}),
    "empty range": (Range(ge=2, lt=2), set()),
    "any number": (Range(), {"one", "two", "half", "minus", "large", "next to large"}),
    "53 bits and on": (Range(ge=2**53), {"large"}),
}
HOSTILE = [
    SQL,
    "'",
    '"',
    "\\",
    "'; DROP TABLE vectors; --",
    '{"$ne": null}',
    '"}] OR 1=1 --',
    "@id:{*}",
    "}|@v:{*",
    "$param",
    "%s %(x)s :x ?1 {0}",
    "a|b",
    "*=>[KNN 1 @vector $q]",
    "日本語 😀",
]


class FilterRules:
    """Conditions in questions and deletions."""

    @pytest.mark.parametrize(("condition", "expected"), CASES.values(), ids=CASES)
    async def test_condition_matches(self, vector_store: VectorStore, condition: Any, expected: set[str]) -> None:
        """Those points, and no other; a point without the key never."""
        await vector_store.upsert(
            [VectorPoint(name, direction(place), payload) for place, (name, payload) in enumerate(PAYLOADS.items())]
        )
        assert await ids_of(vector_store, {"v": condition}) == expected

    async def test_no_condition_matches_all(self, vector_store: VectorStore) -> None:
        """An empty mapping is as none."""
        await vector_store.upsert(points(3))
        assert len(await ids_of(vector_store, {})) == 3
        assert len(await ids_of(vector_store, None)) == 3

    async def test_conditions_hold_together(self, vector_store: VectorStore) -> None:
        """Of different kinds, on different keys."""
        await vector_store.upsert(
            [
                VectorPoint("all", direction(1), {"user": "u", "time": 5, "tags": ["x"], "ok": True}),
                VectorPoint("other user", direction(2), {"user": "w", "time": 5, "tags": ["x"], "ok": True}),
                VectorPoint("too late", direction(3), {"user": "u", "time": 10, "tags": ["x"], "ok": True}),
                VectorPoint("other tag", direction(4), {"user": "u", "time": 5, "tags": ["y"], "ok": True}),
                VectorPoint("not ok", direction(5), {"user": "u", "time": 5, "tags": ["x"], "ok": False}),
                VectorPoint("no user", direction(6), {"time": 5, "tags": ["x"], "ok": True}),
            ]
        )
        where = {"user": "u", "time": Range(ge=5, lt=10), "tags": frozenset({"x", "z"}), "ok": True}
        assert await ids_of(vector_store, where) == {"all"}

    async def test_key_nobody_has_matches_nothing(self, vector_store: VectorStore) -> None:
        """Rather than being ignored, or an error."""
        await vector_store.upsert(points(3))
        for condition in ("a", 1, True, frozenset({"a"}), Range(ge=0)):
            assert await ids_of(vector_store, {"missing": condition}) == set()

    async def test_keys_that_differ_by_case_are_different(self, vector_store: VectorStore) -> None:
        """As in a mapping."""
        await vector_store.upsert([point(1, user="a", User="b")])
        assert await ids_of(vector_store, {"user": "b"}) == set()
        assert await ids_of(vector_store, {"User": "b"}) == {"p00001"}

    @pytest.mark.parametrize("key", ["id", "vector", "payload", "embedding", "select", "score", "n", "content"])
    async def test_key_of_any_name_is_a_key(self, vector_store: VectorStore, key: str) -> None:
        """Also one that a store uses itself."""
        await vector_store.upsert([VectorPoint("p", direction(1), {key: "a"}), point(2)])
        (hit,) = await vector_store.query(direction(1), limit=10, where={key: "a"})
        assert (hit.id, hit.payload) == ("p", {key: "a"})

    async def test_matching_points_come_nearest_first(self, vector_store: VectorStore) -> None:
        """With the scores they have without the condition."""
        stored = [point(number, parity="odd" if number % 2 else "even") for number in range(60)]
        await vector_store.upsert(stored)
        hits = await vector_store.query(direction(-1), limit=10, where={"parity": "odd"})
        expected = oracle(direction(-1), stored[1::2])[:10]
        assert order(hits) == [found for found, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-3)

    async def test_one_user_of_a_thousand_gets_the_whole_answer(self, vector_store: VectorStore) -> None:
        """Also when others' points are nearer: an index that drops them afterwards would leave nothing."""
        users = [point(number, user=f"u{number % 1000}", n=number) for number in range(2_000)]
        far = [VectorPoint(f"far {number}", [-value for value in direction(-1)], {"user": "u7"}) for number in range(9)]
        near = [VectorPoint(f"near {number}", direction(-1), {"user": "u8"}) for number in range(200)]
        await vector_store.upsert([*users, *far, *near])
        assert len(await vector_store.query(direction(-1), limit=10, where={"user": "u7"})) == 10
        assert len(await vector_store.query(direction(-1), limit=20, where={"user": "u7"})) == 11
        assert len(await vector_store.query(direction(-1), limit=10, where={"user": frozenset({"u3", "u4"})})) == 4
        assert len(await vector_store.query(direction(-1), limit=10, where={"n": Range(ge=1995)})) == 5

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_statement_in_a_value_is_a_value(self, vector_store: VectorStore, text: str) -> None:
        """It matches itself, and does nothing."""
        await vector_store.upsert([point(1, v=text), point(2, v="a"), point(3, v=[text])])
        assert await ids_of(vector_store, {"v": text}) == {"p00001", "p00003"}
        assert await ids_of(vector_store, {"v": frozenset({text, "z"})}) == {"p00001", "p00003"}
        assert await vector_store.delete(where={"v": text}) == 2
        assert await ids_of(vector_store) == {"p00002"}

    @pytest.mark.parametrize("key", ["", "v') OR 1=1 --", "v:{*}) | (@w", "$or", "v.w", 'v"', "_id", "v ", 1])
    async def test_statement_in_a_key_is_refused(self, vector_store: VectorStore, key: Any) -> None:
        """In a question as in a deletion."""
        await vector_store.upsert([point(1, v="a")])
        with pytest.raises(InvalidInputError):
            await vector_store.query(direction(1), limit=1, where={key: "a"})
        with pytest.raises(InvalidInputError):
            await vector_store.delete(where={key: "a"})
        assert await vector_store.count() == 1

    @pytest.mark.parametrize("value", [None, ["a"], {"$gt": ""}, math.nan, Range(ge=math.nan), "a\x00", b"a"])
    async def test_condition_that_is_none_is_refused(self, vector_store: VectorStore, value: Any) -> None:
        """Rather than matching everything, or nothing."""
        await vector_store.upsert([point(1, v="a")])
        with pytest.raises(InvalidInputError):
            await vector_store.query(direction(1), limit=1, where={"v": value})
        with pytest.raises(InvalidInputError):
            await vector_store.delete(where={"v": value})
        assert await vector_store.count() == 1

    async def test_delete_by_conditions_counts_those_deleted(self, vector_store: VectorStore) -> None:
        """And leaves the others."""
        await vector_store.upsert([point(number, user=f"u{number % 3}", n=number) for number in range(30)])
        assert await vector_store.delete(where={"user": "u1", "n": Range(lt=15)}) == 5
        assert await vector_store.delete(where={"user": "u1", "n": Range(lt=15)}) == 0
        assert await vector_store.count() == 25
        assert await vector_store.delete(where={"user": frozenset({"u0", "u2"})}) == 20
        assert await vector_store.count() == 5

    async def test_delete_by_conditions_reaches_every_point(self, vector_store: VectorStore) -> None:
        """However many pages a store needs."""
        await vector_store.upsert([point(number, half=number % 2) for number in range(2_400)])
        assert await vector_store.delete(where={"half": 1}) == 1_200
        assert await vector_store.count() == 1_200

    async def test_delete_without_conditions_deletes_all(self, vector_store: VectorStore) -> None:
        """Every point matches an empty mapping, as in a question."""
        await vector_store.upsert(points(5))
        assert await vector_store.delete(where={}) == 5
        assert await vector_store.count() == 0
        await vector_store.upsert(points(2))
        assert await vector_store.count() == 2
