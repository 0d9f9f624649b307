"""Rules for stores that keep their points, and for those that can list them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..errors import InvalidInputError, MemoryConfigurationError
from ..vector_stores.protocol import Enumerates, Range, VectorPoint, VectorStore, Where
from .vector_samples import DIMENSION, TOLERANCE, direction, ids_of, oracle, point, points

MakeVectorStore = Callable[[int], VectorStore]


class PersistenceRules:
    """Closing, and opening again."""

    async def test_closed_store_keeps_its_points(
        self, vector_store: VectorStore, make_vector_store: MakeVectorStore
    ) -> None:
        """Another store on the same collection finds them."""
        await vector_store.upsert([point(1, user="u", tags=["a"]), point(2)])
        await vector_store.close()
        again = make_vector_store(DIMENSION)
        await again.open()
        try:
            assert await again.count() == 2
            (hit,) = await again.query(direction(1), limit=10, where={"user": "u"})
            assert (hit.id, hit.payload) == ("p00001", {"user": "u", "tags": ["a"]})
        finally:
            await again.close()

    async def test_store_opens_again_after_close(self, vector_store: VectorStore) -> None:
        """Closing twice is once."""
        await vector_store.upsert([point(1)])
        await vector_store.close()
        await vector_store.close()
        await vector_store.open()
        assert await vector_store.count() == 1

    async def test_two_stores_on_one_collection_agree(
        self, vector_store: VectorStore, make_vector_store: MakeVectorStore
    ) -> None:
        """Each sees what the other has written, replaced and deleted."""
        other = make_vector_store(DIMENSION)
        await other.open()
        try:
            await vector_store.upsert([point(1, n=1), point(2, n=2)])
            assert await ids_of(other) == {"p00001", "p00002"}
            await other.upsert([VectorPoint("p00001", direction(3), {"n": 3})])
            (hit,) = await vector_store.query(direction(3), limit=1)
            assert (hit.id, hit.payload) == ("p00001", {"n": 3})
            assert hit.score == pytest.approx(1, abs=TOLERANCE)
            await other.delete(ids=["p00001"])
            assert await ids_of(vector_store) == {"p00002"}
        finally:
            await other.close()

    async def test_collection_of_another_dimension_is_refused(
        self, vector_store: VectorStore, make_vector_store: MakeVectorStore
    ) -> None:
        """When it is opened; the message names both numbers, and nothing is changed."""
        await vector_store.upsert([point(1)])
        other = make_vector_store(DIMENSION + 8)
        with pytest.raises(MemoryConfigurationError, match=rf"\b{DIMENSION}\b.*\b{DIMENSION + 8}\b"):
            await other.open()
        await other.close()
        assert await vector_store.count() == 1

    async def test_empty_collection_keeps_its_dimension(
        self, vector_store: VectorStore, make_vector_store: MakeVectorStore
    ) -> None:
        """Also one that holds nothing yet."""
        other = make_vector_store(DIMENSION + 8)
        with pytest.raises(MemoryConfigurationError, match=rf"\b{DIMENSION}\b.*\b{DIMENSION + 8}\b"):
            await other.open()
        await other.close()


def enumerating(store: VectorStore) -> Enumerates:
    """Return the store as one that enumerates."""
    assert isinstance(store, Enumerates), "the suite is for stores that have the optional Enumerates"
    return store


class EnumerationRules:
    """Reading points without a question."""

    async def test_fetch_returns_points_in_the_order_of_the_ids(self, vector_store: VectorStore) -> None:
        """Those that exist, with their payload."""
        await vector_store.upsert(points(5, tags=["a"]))
        found = await enumerating(vector_store).fetch(["p00003", "missing", "p00001"])
        assert [(each.id, each.payload) for each in found] == [
            ("p00003", {"n": 3, "tags": ["a"]}),
            ("p00001", {"n": 1, "tags": ["a"]}),
        ]
        assert await enumerating(vector_store).fetch([]) == []

    async def test_fetched_vector_has_the_direction_of_that_stored(self, vector_store: VectorStore) -> None:
        """Some stores normalise what they store."""
        await vector_store.upsert([point(1)])
        (found,) = await enumerating(vector_store).fetch(["p00001"])
        ((_, score),) = oracle(direction(1), [found])
        assert len(found.vector) == DIMENSION
        assert score == pytest.approx(1, abs=TOLERANCE)

    async def test_ids_are_listed_page_by_page(self, vector_store: VectorStore) -> None:
        """Ascending, each once, from after the last of the page before."""
        await vector_store.upsert(points(25)[::-1])
        listed: list[str] = []
        while page := await enumerating(vector_store).list_ids(limit=10, after=listed[-1] if listed else None):
            listed += page
        assert listed == [f"p{number:05}" for number in range(25)]

    async def test_ids_are_listed_by_code_points(self, vector_store: VectorStore) -> None:
        """The same order everywhere, whatever a server's language."""
        ids = ["a", "B", "é", "Z", "_", "ä", "😀", "語", "1", "~", "\uffff"]
        await vector_store.upsert([VectorPoint(name, direction(place)) for place, name in enumerate(ids)])
        assert await enumerating(vector_store).list_ids(limit=100) == sorted(ids)
        assert await enumerating(vector_store).list_ids(limit=100, after="é") == ["語", "\uffff", "😀"]

    async def test_ids_of_matching_points_are_listed(self, vector_store: VectorStore) -> None:
        """With the conditions of a question."""
        await vector_store.upsert([point(number, user=f"u{number % 3}", n=number) for number in range(30)])
        where: Where = {"user": "u1", "n": Range(lt=15)}
        assert await enumerating(vector_store).list_ids(limit=3, where=where) == ["p00001", "p00004", "p00007"]
        assert await enumerating(vector_store).list_ids(limit=3, after="p00007", where=where) == ["p00010", "p00013"]

    async def test_limit_of_a_list_is_checked(self, vector_store: VectorStore) -> None:
        """Zero is nothing, less is an error."""
        await vector_store.upsert([point(1)])
        assert await enumerating(vector_store).list_ids(limit=0) == []
        with pytest.raises(InvalidInputError):
            await enumerating(vector_store).list_ids(limit=-1)
