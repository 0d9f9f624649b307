"""What the Pinecone client is asked for: the index, waiting until a write shows, ids, numbers and limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langswarm_memory.errors import InvalidInputError, MemoryConfigurationError, VectorStoreError
from langswarm_memory.vector_stores.pinecone import DEFAULT_NAMESPACE, PineconeVectorStore
from langswarm_memory.vector_stores.protocol import Range, VectorPoint
from tests.vector_stores.opened import opened
from tests.vector_stores.pinecone_stub import KEY, PineconeStub


@pytest.fixture
def stub() -> Iterator[PineconeStub]:
    with PineconeStub(2) as server:
        yield server


def store_of(stub: PineconeStub, dimension: int = 2, **options: object) -> PineconeVectorStore:
    given = {"api_key": KEY, "host": stub.url, **options}
    return PineconeVectorStore("tests", dimension=dimension, **given)  # type: ignore[arg-type]


async def test_index_that_is_missing_is_made() -> None:
    with PineconeStub() as stub:
        async with opened(PineconeVectorStore("new", dimension=8, api_key=KEY, control_host=stub.url)) as store:
            assert await store.count() == 0
        assert (stub.name, stub.dimension, stub.metric) == ("new", 8, "cosine")


async def test_index_that_is_there_is_found_by_its_name(stub: PineconeStub) -> None:
    async with opened(PineconeVectorStore("tests", dimension=2, api_key=KEY, control_host=stub.url)) as store:
        await store.upsert([VectorPoint("p", [1, 0])])
    assert ("POST", "/indexes") not in stub.requests


async def test_index_that_does_not_compare_by_cosine_is_refused(stub: PineconeStub) -> None:
    stub.metric = "dotproduct"
    with pytest.raises(MemoryConfigurationError, match="dotproduct"):
        await store_of(stub).open()


@pytest.mark.parametrize("positions", [True, False])
async def test_write_returns_once_queries_see_it(stub: PineconeStub, positions: bool) -> None:
    stub.lag, stub.positions = 4, positions
    async with opened(store_of(stub)) as store:
        await store.upsert([VectorPoint("p", [1, 0]), VectorPoint("q", [0, 1])])
        assert [hit.id for hit in await store.query([1, 0], limit=1)] == ["p"]
        await store.delete(ids=["p"])
        assert [hit.id for hit in await store.query([1, 0], limit=1)] == ["q"]


async def test_write_that_does_not_show_in_time_is_told(stub: PineconeStub) -> None:
    stub.lag = 10**6
    async with opened(store_of(stub, wait=0.1)) as store:
        with pytest.raises(VectorStoreError, match="cannot be seen yet") as caught:
            await store.upsert([VectorPoint("p", [1, 0])])
    assert caught.value.retryable


async def test_write_need_not_wait(stub: PineconeStub) -> None:
    stub.lag = 10**6
    async with opened(store_of(stub, wait=0)) as store:
        await store.upsert([VectorPoint("p", [1, 0])])
    assert ("POST", "/query") not in stub.requests


async def test_id_that_is_not_ascii_is_mapped(stub: PineconeStub) -> None:
    async with opened(store_of(stub)) as store:
        await store.upsert([VectorPoint("日本", [1, 0]), VectorPoint("plain", [0, 1]), VectorPoint("uuid:x", [1, 1])])
        assert await store.list_ids(limit=10) == ["plain", "uuid:x", "日本"]
    kept = set(stub.namespaces[DEFAULT_NAMESPACE])
    assert "plain" in kept
    assert len(kept) == 3
    assert not kept & {"日本", "uuid:x"}


async def test_integers_come_back_as_integers(stub: PineconeStub) -> None:
    async with opened(store_of(stub)) as store:
        await store.upsert([VectorPoint("p", [1, 0], {"i": 2, "f": 2.0, "b": True, "empty": []})])
        (hit,) = await store.query([1, 0], limit=1, where={"i": Range(ge=2)})
    assert {key: (value, type(value)) for key, value in hit.payload.items()} == {
        "i": (2, int),
        "f": (2.0, float),
        "b": (True, bool),
        "empty": ([], list),
    }


async def test_points_of_others_are_read(stub: PineconeStub) -> None:
    stub.namespaces[DEFAULT_NAMESPACE] = {"theirs": {"id": "theirs", "values": [1.0, 0.0], "metadata": {"n": 1.0}}}
    async with opened(store_of(stub)) as store:
        (hit,) = await store.query([1, 0], limit=1)
        assert (hit.id, hit.payload) == ("theirs", {"n": 1.0})
        assert await store.delete(where={"n": 1}) == 1


async def test_requests_stay_below_two_megabytes() -> None:
    with PineconeStub(1536) as stub:
        async with opened(store_of(stub, 1536)) as store:
            points = [VectorPoint(f"p{n}", [0.1 + n / 7] * 1536, {"text": "é" * 15_000}) for n in range(60)]
            await store.upsert(points)
            assert await store.count() == 60
            assert len(await store.fetch([point.id for point in points])) == 60


async def test_ids_to_fetch_do_not_make_the_url_too_long(stub: PineconeStub) -> None:
    async with opened(store_of(stub)) as store:
        await store.upsert([VectorPoint("&" * 500 + str(n), [1, n]) for n in range(20)])
        assert await store.delete(ids=["&" * 500 + str(n) for n in range(20)]) == 20


async def test_namespace_is_all_that_is_emptied(stub: PineconeStub) -> None:
    async with opened(store_of(stub, namespace="a")) as one, opened(store_of(stub, namespace="b")) as other:
        await one.upsert([VectorPoint("p", [1, 0])])
        await other.upsert([VectorPoint("p", [1, 0])])
        assert await one.delete(where={}) == 1
        assert (await one.count(), await other.count()) == (0, 1)


async def test_more_hits_than_pinecone_gives_are_refused(stub: PineconeStub) -> None:
    async with opened(store_of(stub)) as store:
        with pytest.raises(InvalidInputError, match="10000"):
            await store.query([1, 0], limit=10_001)


async def test_details_are_those_of_the_index(stub: PineconeStub) -> None:
    async with opened(store_of(stub, namespace="a")) as store:
        await store.upsert([VectorPoint("p", [1, 0])])
        assert await store.details() == {"index_fullness": 0.0, "namespaces": {"a": 1}}


async def test_index_can_be_dropped(stub: PineconeStub) -> None:
    async with opened(PineconeVectorStore("tests", dimension=2, api_key=KEY, control_host=stub.url)) as store:
        assert await store.drop("tests")
        assert not await store.drop("tests")
    assert stub.dimension is None


async def test_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(MemoryConfigurationError, match="PINECONE_API_KEY"):
        PineconeVectorStore("tests", dimension=2)
