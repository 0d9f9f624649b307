"""What the Qdrant store leaves in a collection, which collections of others it reads and refuses, and whom it tells."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from langswarm_memory.errors import MemoryConfigurationError, VectorStoreError
from langswarm_memory.vector_stores.checking import point_uuid
from langswarm_memory.vector_stores.protocol import VectorPoint
from langswarm_memory.vector_stores.qdrant import PAYLOAD_INDEXES, QdrantVectorStore
from tests.vector_stores.opened import opened
from tests.vector_stores.store_qdrant import gateway

UUID = "6f1c1a52-6c1e-4ad5-9f0a-0f3f5b1d2c3e"


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    """Qdrant's own client, on a store in memory."""
    made = AsyncQdrantClient(location=":memory:")
    yield made
    await made.close()


def store_of(client: AsyncQdrantClient, **options: Any) -> QdrantVectorStore:
    return QdrantVectorStore("tests", dimension=2, client=client, **options)


async def make(client: AsyncQdrantClient, distance: models.Distance = models.Distance.COSINE) -> None:
    await client.create_collection("tests", vectors_config=models.VectorParams(size=2, distance=distance))


async def test_payload_is_the_callers_with_the_id_beside_it(client: AsyncQdrantClient) -> None:
    async with opened(store_of(client)) as store:
        await store.upsert([VectorPoint("any id", [3, 4], {"user": "u", "tags": ["a"]})])
    ((point,), _) = await client.scroll("tests", with_vectors=True)
    assert point.id == point_uuid("any id")
    assert point.payload == {"user": "u", "tags": ["a"], "_id": "any id"}
    assert point.vector == pytest.approx([0.6, 0.8])


async def test_id_that_is_a_uuid_is_kept(client: AsyncQdrantClient) -> None:
    async with opened(store_of(client)) as store:
        await store.upsert([VectorPoint(UUID, [1, 0])])
    assert [point.id for point in await client.retrieve("tests", [UUID])] == [UUID]


async def test_points_of_others_are_read(client: AsyncQdrantClient) -> None:
    await make(client)
    await client.upsert("tests", [models.PointStruct(id=UUID, vector=[1, 0], payload={"content": "text"})])
    async with opened(store_of(client)) as store:
        (hit,) = await store.query([1, 0], limit=1)
        assert (hit.id, hit.payload) == (UUID, {"content": "text"})
        assert await store.delete(ids=[UUID]) == 1


async def test_collection_that_does_not_compare_by_cosine_is_refused(client: AsyncQdrantClient) -> None:
    await make(client, models.Distance.EUCLID)
    with pytest.raises(MemoryConfigurationError, match="Euclid"):
        await store_of(client).open()


async def test_collection_of_named_vectors_is_refused(client: AsyncQdrantClient) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    await client.create_collection("tests", vectors_config={"text": params})
    with pytest.raises(MemoryConfigurationError, match="named vectors"):
        await store_of(client).open()


async def test_client_of_the_caller_stays_open(client: AsyncQdrantClient) -> None:
    async with opened(store_of(client)):
        pass
    assert await client.collection_exists("tests")


async def test_collection_can_be_dropped(client: AsyncQdrantClient) -> None:
    async with opened(store_of(client)) as store:
        assert await store.drop("tests")
        assert not await store.drop("tests")


async def test_details_tell_the_state_of_the_collection(client: AsyncQdrantClient) -> None:
    async with opened(store_of(client)) as store:
        assert await store.details() == {"indexed_vectors": 0, "status": "green"}


async def test_two_stores_share_a_folder(tmp_path: Path) -> None:
    stores = [QdrantVectorStore(name, dimension=2, path=tmp_path) for name in ("turns", "lessons")]
    async with opened(stores[0]) as turns, opened(stores[1]) as lessons:
        await turns.upsert([VectorPoint("p", [1, 0])])
        assert (await turns.count(), await lessons.count()) == (1, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves its lock open
async def test_folder_that_is_in_use_is_told(tmp_path: Path) -> None:
    other = AsyncQdrantClient(path=str(tmp_path))
    store = QdrantVectorStore("tests", dimension=2, path=tmp_path)
    with pytest.raises(VectorStoreError, match="another process") as caught:
        await store.open()
    assert caught.value.retryable
    del caught
    gc.collect()  # with the error goes the file that the client has left open
    await other.close()
    async with opened(store):
        assert await store.count() == 0


async def test_keys_are_indexed_on_a_server(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = gateway(request, tmp_path)
    indexes = {**PAYLOAD_INDEXES, "n": "integer"}
    async with opened(QdrantVectorStore("tests", dimension=2, url=url, payload_indexes=indexes)):
        client = AsyncQdrantClient(url=url, check_compatibility=False)
        schema = (await client.get_collection("tests")).payload_schema
        await client.close()
    assert {key: found.data_type.value for key, found in schema.items()} == indexes


async def test_status_of_a_server_says_whether_to_try_again(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = gateway(request, tmp_path)
    store = QdrantVectorStore("tests", dimension=2, url=url)
    async with opened(store):
        client = AsyncQdrantClient(url=url, check_compatibility=False)
        await client.delete_collection("tests")
        await client.close()
        with pytest.raises(VectorStoreError) as caught:
            await store.count()
    assert not caught.value.retryable


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_wrong_key_is_told_and_not_shown(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = QdrantVectorStore("tests", dimension=2, url=gateway(request, tmp_path), api_key="wrong-key")
    with pytest.raises(VectorStoreError, match="credentials") as caught:
        await store.open()
    assert not caught.value.retryable
    assert "wrong-key" not in f"{caught.value} {store!r}"
