"""Rules for points: what is near, what is stored, what is replaced and deleted, and what is refused."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from ..errors import InvalidInputError, MemoryConfigurationError
from ..vector_stores.protocol import VectorHit, VectorPoint, VectorStore
from .samples import SQL
from .vector_samples import DIMENSION, TOLERANCE, axis, direction, ids_of, oracle, order, point, points

ODD_IDS = {
    "one character": "a",
    "512 characters": "x" * 512,
    "512 characters of three bytes": "語" * 512,
    "unicode": "日本語 😀 é e\u0301 \u202eשלום",
    "quotes": "'\"`\\ {}[]|,;:$%?*@-~^()<>=&#!",
    "spaces": " a  b ",
    "line break": "a\nb\tc",
    "uuid": "7b0a3b5e-6f3e-5d0c-9b57-2f2f0f6f3c11",
    "number": "42",
    "sql": SQL,
    "path": "../../a/b?c=d#e",
}
NO_DIRECTION = {
    "zero": [0.0] * DIMENSION,
    "nan": [math.nan, *axis(1)[1:]],
    "infinity": [math.inf, *axis(1)[1:]],
    "minus infinity": [-math.inf, *axis(1)[1:]],
    "beyond 32 bits": [1e300, *axis(1)[1:]],
    "text": ["1"] * DIMENSION,
}
VALUES: dict[str, Any] = {
    "text": "hello",
    "empty text": "",
    "unicode": "日本語 😀 e\u0301",
    "quotes": "'\"`\\ {}[]|,;:$%?*@-~^()<>=&#!",
    "spaces": " a  b ",
    "line break": "a\nb",
    "sql": SQL,
    "json as text": '{"a": [1, null]}',
    "number as text": "1.0",
    "long": "0123456789 äß€😀" * 400,
    "integer": 42,
    "negative": -7,
    "53 bits": 2**53,
    "float": 0.1,
    "true": True,
    "false": False,
    "tags": ["b", "a", "日本, 語", ""],
    "no tags": [],
}
SHORT = DIMENSION - 1


class PointRules:
    """Writing, asking and deleting, without conditions."""

    async def test_nearest_are_those_of_numpy(self, vector_store: VectorStore) -> None:
        """In its order."""
        stored = points(60)
        await vector_store.upsert(stored)
        for question in (direction(-1), direction(-2), stored[5].vector):
            hits = await vector_store.query(question, limit=10)
            assert order(hits) == [found for found, _ in oracle(question, stored)[:10]]

    async def test_scores_are_cosine_similarities(self, vector_store: VectorStore) -> None:
        """Of every point, down to those that point the other way."""
        stored = points(40)
        await vector_store.upsert(stored)
        expected = oracle(direction(-1), stored)
        hits = await vector_store.query(direction(-1), limit=40)
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=TOLERANCE)

    async def test_scores_reach_from_1_to_minus_1(self, vector_store: VectorStore) -> None:
        """The same direction, at a right angle, and opposite; none beyond the ends."""
        opposite = [-value for value in axis(0)]
        await vector_store.upsert([VectorPoint("same", axis(0)), VectorPoint("right", axis(1))])
        await vector_store.upsert([VectorPoint("opposite", opposite)])
        hits = await vector_store.query(axis(0), limit=3)
        assert order(hits) == ["same", "right", "opposite"]
        assert [hit.score for hit in hits] == pytest.approx([1, 0, -1], abs=TOLERANCE)
        assert all(-1 <= hit.score <= 1 for hit in hits)

    @pytest.mark.parametrize("length", [1e-6, 1e6])
    async def test_length_of_a_vector_does_not_matter(self, vector_store: VectorStore, length: float) -> None:
        """Only its direction counts."""
        await vector_store.upsert([VectorPoint("p", [length * value for value in direction(1)]), point(2)])
        (hit,) = await vector_store.query([value / length for value in direction(1)], limit=1)
        assert hit.id == "p"
        assert hit.score == pytest.approx(1, abs=TOLERANCE)

    async def test_hit_is_a_value(self, vector_store: VectorStore) -> None:
        """With id, score and payload."""
        await vector_store.upsert([point(1, n=1)])
        (hit,) = await vector_store.query(direction(1), limit=1)
        assert isinstance(hit, VectorHit)
        assert (hit.id, hit.payload) == ("p00001", {"n": 1})

    async def test_empty_collection_answers_nothing(self, vector_store: VectorStore) -> None:
        """Neither a hit nor an error."""
        assert await vector_store.query(direction(0), limit=10) == []
        assert await vector_store.count() == 0

    @pytest.mark.parametrize(("limit", "found"), [(0, 0), (1, 1), (3, 3), (5, 5), (50, 5)])
    async def test_limit_bounds_the_hits(self, vector_store: VectorStore, limit: int, found: int) -> None:
        """As many as there are, up to it."""
        await vector_store.upsert(points(5))
        assert len(await vector_store.query(direction(-1), limit=limit)) == found

    async def test_negative_limit_is_refused(self, vector_store: VectorStore) -> None:
        """It is no way to say "all"."""
        with pytest.raises(InvalidInputError):
            await vector_store.query(direction(-1), limit=-1)

    @pytest.mark.parametrize("point_id", ODD_IDS.values(), ids=ODD_IDS)
    async def test_id_is_any_text(self, vector_store: VectorStore, point_id: str) -> None:
        """It comes back exactly, and deletes its point alone."""
        await vector_store.upsert([VectorPoint(point_id, direction(1)), point(2)])
        assert await ids_of(vector_store) == {point_id, "p00002"}
        assert await vector_store.delete(ids=[point_id]) == 1
        assert await ids_of(vector_store) == {"p00002"}

    async def test_ids_that_differ_little_are_different(self, vector_store: VectorStore) -> None:
        """By case, by spaces, by form of a character."""
        ids = {"a", "A", "a ", " a", "é", "e\u0301", "a\u200b", "1", "01"}
        await vector_store.upsert([VectorPoint(name, direction(place)) for place, name in enumerate(sorted(ids))])
        assert await ids_of(vector_store) == ids

    @pytest.mark.parametrize("point_id", ["", "x" * 513, "a\x00b", "a\ud800b", 7])
    async def test_id_that_no_store_holds_is_refused(self, vector_store: VectorStore, point_id: Any) -> None:
        """With all of its batch."""
        with pytest.raises(InvalidInputError):
            await vector_store.upsert([point(1), VectorPoint(point_id, direction(2))])
        assert await vector_store.count() == 0

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    async def test_payload_comes_back_as_given(self, vector_store: VectorStore, value: Any) -> None:
        """Value by value, and a bool as a bool."""
        await vector_store.upsert([point(1, key=value)])
        (hit,) = await vector_store.query(direction(1), limit=1)
        assert hit.payload == {"key": value}
        assert isinstance(hit.payload["key"], bool) == isinstance(value, bool)

    async def test_payload_of_many_keys_comes_back(self, vector_store: VectorStore) -> None:
        """Those of one point are not those of another."""
        first: dict[str, Any] = {"user_id": "u", "n": 1, "f": 0.5, "ok": True, "tags": ["a"], "Case": "x", "case": "y"}
        await vector_store.upsert([VectorPoint("a", direction(1), first), VectorPoint("b", direction(2))])
        payloads = {hit.id: hit.payload for hit in await vector_store.query(direction(1), limit=2)}
        assert payloads == {"a": first, "b": {}}

    @pytest.mark.parametrize("value", [None, {"a": 1}, [1], b"x", math.nan, math.inf, 2**53 + 1, "a\x00", "\ud800"])
    async def test_payload_that_no_store_holds_is_refused(self, vector_store: VectorStore, value: Any) -> None:
        """Rather than changed."""
        with pytest.raises(InvalidInputError):
            await vector_store.upsert([point(1, key=value)])
        assert await vector_store.count() == 0

    @pytest.mark.parametrize("key", ["", "_key", "1key", "a.b", "a-b", "a b", "é", "$where", 'a"; --', "k" * 64])
    async def test_payload_key_that_is_no_name_is_refused(self, vector_store: VectorStore, key: str) -> None:
        """A key may stand in a statement."""
        with pytest.raises(InvalidInputError):
            await vector_store.upsert([VectorPoint("p", direction(1), {key: 1})])

    async def test_upsert_replaces_the_point_whole(self, vector_store: VectorStore) -> None:
        """Vector and payload, of which no old key stays."""
        await vector_store.upsert([VectorPoint("p", axis(0), {"old": "x", "both": "x"})])
        await vector_store.upsert([VectorPoint("p", axis(1), {"both": "y"})])
        (hit,) = await vector_store.query(axis(1), limit=10)
        assert (hit.id, hit.payload) == ("p", {"both": "y"})
        assert hit.score == pytest.approx(1, abs=TOLERANCE)

    async def test_replaced_payload_no_longer_matches(self, vector_store: VectorStore) -> None:
        """Its old values are gone from every index."""
        await vector_store.upsert([point(1, user="a", n=1, tags=["x"])])
        await vector_store.upsert([point(1, user="b", n=2)])
        assert await ids_of(vector_store, {"user": "a"}) == set()
        assert await ids_of(vector_store, {"tags": "x"}) == set()
        assert await ids_of(vector_store, {"n": 1}) == set()
        assert await ids_of(vector_store, {"user": "b"}) == {"p00001"}

    async def test_last_of_an_id_in_a_batch_stays(self, vector_store: VectorStore) -> None:
        """As if they had come one after the other."""
        await vector_store.upsert([VectorPoint("p", axis(0), {"n": 1}), VectorPoint("p", axis(1), {"n": 2})])
        assert await vector_store.count() == 1
        (hit,) = await vector_store.query(axis(1), limit=1)
        assert hit.payload == {"n": 2}
        assert hit.score == pytest.approx(1, abs=TOLERANCE)

    async def test_values_given_are_not_kept(self, vector_store: VectorStore) -> None:
        """What the caller changes afterwards changes nothing stored."""
        vector, payload = axis(0), {"tags": ["a"]}
        await vector_store.upsert([VectorPoint("p", vector, payload)])
        vector[0], vector[1] = 0.0, 1.0
        payload["tags"].append("b")
        (hit,) = await vector_store.query(axis(0), limit=1)
        assert hit.payload == {"tags": ["a"]}
        assert hit.score == pytest.approx(1, abs=TOLERANCE)

    async def test_values_returned_are_not_those_stored(self, vector_store: VectorStore) -> None:
        """What the caller does to a hit changes nothing stored."""
        await vector_store.upsert([point(1, tags=["a"])])
        (hit,) = await vector_store.query(direction(1), limit=1)
        hit.payload["tags"].append("b")  # type: ignore[union-attr]
        hit.payload["more"] = 1
        (hit,) = await vector_store.query(direction(1), limit=1)
        assert hit.payload == {"tags": ["a"]}

    @pytest.mark.parametrize("size", [1, SHORT, DIMENSION + 1])
    async def test_point_of_another_dimension_is_refused(self, vector_store: VectorStore, size: int) -> None:
        """With all of its batch; the message names both numbers."""
        with pytest.raises(MemoryConfigurationError, match=rf"\b{size}\b.*\b{DIMENSION}\b"):
            await vector_store.upsert([point(1), VectorPoint("p", direction(2, size))])
        assert await vector_store.count() == 0

    async def test_question_of_another_dimension_is_refused(self, vector_store: VectorStore) -> None:
        """Also where there is nothing to find."""
        with pytest.raises(MemoryConfigurationError, match=rf"\b{SHORT}\b.*\b{DIMENSION}\b"):
            await vector_store.query(direction(1, SHORT), limit=1)

    @pytest.mark.parametrize("vector", NO_DIRECTION.values(), ids=NO_DIRECTION)
    async def test_point_without_a_direction_is_refused(self, vector_store: VectorStore, vector: Any) -> None:
        """With all of its batch: it is near to nothing."""
        with pytest.raises(InvalidInputError):
            await vector_store.upsert([point(1), VectorPoint("p", vector)])
        assert await vector_store.count() == 0

    @pytest.mark.parametrize("vector", NO_DIRECTION.values(), ids=NO_DIRECTION)
    async def test_question_without_a_direction_is_refused(self, vector_store: VectorStore, vector: Any) -> None:
        """Nothing is near to it."""
        await vector_store.upsert([point(1)])
        with pytest.raises(InvalidInputError):
            await vector_store.query(vector, limit=1)

    async def test_delete_by_ids_counts_those_there_were(self, vector_store: VectorStore) -> None:
        """Each once; unknown ids are nothing."""
        await vector_store.upsert(points(5))
        assert await vector_store.delete(ids=["p00001", "p00003", "p00003", "missing"]) == 2
        assert await vector_store.delete(ids=["p00001"]) == 0
        assert await vector_store.count() == 3
        assert await ids_of(vector_store) == {"p00000", "p00002", "p00004"}

    async def test_delete_takes_ids_or_conditions(self, vector_store: VectorStore) -> None:
        """Neither both nor none, which could mean everything."""
        await vector_store.upsert(points(2))
        with pytest.raises(InvalidInputError):
            await vector_store.delete()
        with pytest.raises(InvalidInputError):
            await vector_store.delete(ids=["p00001"], where={"n": 1})
        assert await vector_store.count() == 2

    async def test_empty_batches_do_nothing(self, vector_store: VectorStore) -> None:
        """And are no error."""
        await vector_store.upsert([])
        assert await vector_store.delete(ids=[]) == 0
        await vector_store.upsert([point(1)])
        assert await vector_store.delete(ids=[]) == 0
        assert await vector_store.count() == 1

    async def test_two_thousand_points_in_one_batch(self, vector_store: VectorStore) -> None:
        """All stored; the nearest found, but for one in ten of what an approximate index may miss."""
        stored = points(2_000)
        await vector_store.upsert(stored)
        assert await vector_store.count() == 2_000
        found = 0
        for seed in range(-10, 0):
            expected = dict(oracle(direction(seed), stored)[:10])
            hits = await vector_store.query(direction(seed), limit=10)
            assert len(hits) == 10
            assert order(hits) == order(sorted(hits, key=lambda hit: -hit.score))
            found += sum(hit.id in expected for hit in hits)
        assert found >= 90

    async def test_acknowledged_write_is_seen_at_once(self, vector_store: VectorStore) -> None:
        """By query, count and delete."""
        for number in range(10):
            await vector_store.upsert([point(number)])
            (hit,) = await vector_store.query(direction(number), limit=1)
            assert hit.id == f"p{number:05}"
            assert await vector_store.count() == number + 1
        assert await vector_store.delete(ids=["p00003"]) == 1
        assert "p00003" not in await ids_of(vector_store)

    async def test_overlapping_upserts_lose_nothing(self, vector_store: VectorStore) -> None:
        """Writers of points of their own."""
        batches = [[point(10 * writer + place, writer=writer) for place in range(10)] for writer in range(16)]
        await asyncio.gather(*(vector_store.upsert(batch) for batch in batches))
        assert await vector_store.count() == 160
        assert len(await ids_of(vector_store, {"writer": 7})) == 10

    async def test_overlapping_upserts_of_one_id_leave_one_point(self, vector_store: VectorStore) -> None:
        """Its vector and its payload are of the same writer."""
        await asyncio.gather(
            *(vector_store.upsert([VectorPoint("p", axis(writer), {"n": writer})]) for writer in range(16))
        )
        assert await vector_store.count() == 1
        (hit,) = await vector_store.query(direction(0), limit=10)
        (again,) = await vector_store.query(axis(int(str(hit.payload["n"]))), limit=1)
        assert again.score == pytest.approx(1, abs=TOLERANCE)

    async def test_ping_answers(self, vector_store: VectorStore) -> None:
        """An open store is reachable."""
        await vector_store.ping()

    async def test_open_again_changes_nothing(self, vector_store: VectorStore) -> None:
        """It is idempotent."""
        await vector_store.upsert([point(1)])
        await vector_store.open()
        assert await vector_store.count() == 1
