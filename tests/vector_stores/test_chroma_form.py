"""What the Chroma store leaves in a collection, and which collections of others it reads and refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.config import Settings

from langswarm_memory.errors import MemoryConfigurationError
from langswarm_memory.vector_stores.chroma import ChromaVectorStore
from langswarm_memory.vector_stores.protocol import VectorPoint
from tests.services.chroma import ChromaService
from tests.vector_stores.opened import opened

COSINE: Any = {"hnsw": {"space": "cosine"}}


@pytest.fixture
async def client(chroma_server: ChromaService) -> AsyncIterator[Any]:
    """Chroma's own client."""
    settings = Settings(anonymized_telemetry=False)
    made = await chromadb.AsyncHttpClient(chroma_server.host, chroma_server.port, settings=settings)
    yield made
    await made._server._cleanup()  # type: ignore[attr-defined]


def store_of(server: ChromaService, name: str, dimension: int = 2) -> ChromaVectorStore:
    return ChromaVectorStore(name, dimension=dimension, host=server.host, port=server.port)


async def test_payload_is_metadata(chroma_server: ChromaService, chroma_collection: str, client: Any) -> None:
    async with opened(store_of(chroma_server, chroma_collection)) as store:
        await store.upsert([VectorPoint("p", [3, 4], {"user": "u", "n": 1, "ok": True, "tags": ["a"]})])
    points = await client.get_collection(chroma_collection, embedding_function=None)
    kept = await points.get(include=["metadatas", "embeddings"])
    (metadata,) = kept["metadatas"]
    assert {key: metadata[key] for key in ("user", "n", "ok")} == {"user": "u", "n": 1, "ok": True}
    assert json.loads(metadata["_lists"]) == {"tags": ["a"]}
    assert list(kept["embeddings"][0]) == [3, 4]


async def test_documents_of_others_are_read_with_their_text(
    chroma_server: ChromaService, chroma_collection: str, client: Any
) -> None:
    points = await client.create_collection(chroma_collection, configuration=COSINE, embedding_function=None)
    await points.add(ids=["d"], embeddings=[[1.0, 0.0]], documents=["the text"], metadatas=[{"role": "user"}])
    async with opened(store_of(chroma_server, chroma_collection)) as store:
        (hit,) = await store.query([1, 0], limit=1, where={"role": "user"})
    assert (hit.id, hit.payload) == ("d", {"role": "user", "content": "the text"})


async def test_lists_of_a_deleted_collection_do_not_turn_up_in_another(
    chroma_server: ChromaService, chroma_collection: str, client: Any
) -> None:
    async with opened(store_of(chroma_server, chroma_collection)) as store:
        await store.upsert([VectorPoint("p", [1, 0], {"tags": ["secret"]})])
    await client.delete_collection(chroma_collection)
    async with opened(store_of(chroma_server, chroma_collection)) as store:
        await store.upsert([VectorPoint("q", [1, 0], {"n": 1})])
        (hit,) = await store.query([1, 0], limit=1)
    assert hit.payload == {"n": 1}


async def test_collection_that_does_not_compare_by_cosine_is_refused(
    chroma_server: ChromaService, chroma_collection: str, client: Any
) -> None:
    await client.create_collection(chroma_collection, embedding_function=None)
    with pytest.raises(MemoryConfigurationError, match="l2"):
        await store_of(chroma_server, chroma_collection).open()


async def test_dimension_of_a_collection_of_others_is_that_of_its_vectors(
    chroma_server: ChromaService, chroma_collection: str, client: Any
) -> None:
    points = await client.create_collection(chroma_collection, configuration=COSINE, embedding_function=None)
    await points.add(ids=["d"], embeddings=[[1.0, 0.0, 0.0]], documents=["x"])
    with pytest.raises(MemoryConfigurationError, match=r"3.*2"):
        await store_of(chroma_server, chroma_collection).open()


async def test_collection_can_be_dropped(chroma_server: ChromaService, chroma_collection: str) -> None:
    async with opened(store_of(chroma_server, chroma_collection)) as store:
        assert await store.drop(chroma_collection)
        assert not await store.drop(chroma_collection)


async def test_two_stores_share_a_folder(tmp_path: Path) -> None:
    stores = [ChromaVectorStore(name, dimension=2, persist_directory=tmp_path) for name in ("turns", "lessons")]
    async with opened(stores[0]) as turns, opened(stores[1]) as lessons:
        await turns.upsert([VectorPoint("p", [1, 0])])
        assert (await turns.count(), await lessons.count()) == (1, 0)


@pytest.mark.parametrize("name", ["ab", "-abc", "a b c", "a/b/c"])
def test_name_that_chroma_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(MemoryConfigurationError, match="name of a collection"):
        ChromaVectorStore(name, dimension=2)
