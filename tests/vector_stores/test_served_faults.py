"""Servers that stop, hang, refuse: what callers of the stores on a server get, and what they never get to read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from langswarm_memory.errors import (
    MemoryConfigurationError,
    MissingDependencyError,
    NotConnectedError,
    VectorStoreError,
)
from langswarm_memory.vector_stores import served
from langswarm_memory.vector_stores.chroma import ChromaVectorStore
from langswarm_memory.vector_stores.pinecone import PineconeVectorStore
from langswarm_memory.vector_stores.protocol import VectorPoint
from langswarm_memory.vector_stores.qdrant import QdrantVectorStore
from langswarm_memory.vector_stores.redis import RedisVectorStore
from langswarm_memory.vector_stores.served import ServedVectorStore
from tests.services import recipes, stores
from tests.services.chroma import ChromaServer
from tests.services.host import free_port
from tests.services.redis import RedisServer
from tests.vector_stores.opened import opened
from tests.vector_stores.pinecone_stub import KEY, PineconeStub

TEXT = "what the user has said"
POINT = VectorPoint("p", [1, 0], {"content": TEXT})


@pytest.fixture(scope="module")
def redis_search_to_break(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """A Redis with search for this module's tests alone. Leave it running."""
    remedy = recipes.missing("redis-stack")
    if remedy is not None:
        stores.missing_server(pytestconfig, "redis-stack", remedy)
    with RedisServer(search=True) as server:
        yield server


@pytest.fixture
def stub() -> Iterator[PineconeStub]:
    with PineconeStub(2) as server:
        yield server


def of_chroma(server: ChromaServer, name: str, timeout: float = 10.0) -> ChromaVectorStore:
    return ChromaVectorStore(name, dimension=2, host="127.0.0.1", port=server.port, timeout=timeout)


def of_pinecone(server: PineconeStub, timeout: float = 1.0, key: str = KEY) -> PineconeVectorStore:
    return PineconeVectorStore("tests", dimension=2, api_key=key, host=server.url, wait=0, timeout=timeout)


async def assert_unavailable(store: ServedVectorStore) -> None:
    """Every call raises our error, worth another try, with the driver's as its cause and nothing quoted."""
    calls = {
        "ping": store.ping,
        "upsert": lambda: store.upsert([POINT]),
        "query": lambda: store.query([1, 0], limit=1, where={"content": TEXT}),
        "delete": lambda: store.delete(where={"content": TEXT}),
        "count": store.count,
        "fetch": lambda: store.fetch(["p"]),
        "list_ids": lambda: store.list_ids(limit=1),
    }
    for name, call in calls.items():
        with pytest.raises(VectorStoreError) as caught:
            await call()
        assert caught.value.retryable, name
        assert caught.value.__cause__ is not None, name
        assert TEXT not in str(caught.value)


async def test_stopped_redis_is_unavailable(redis_search_to_break: RedisServer) -> None:
    store = RedisVectorStore("stopped", dimension=2, url=redis_search_to_break.url, timeout=1)
    async with opened(store):
        redis_search_to_break.stop()
        try:
            await assert_unavailable(store)
        finally:
            redis_search_to_break.start()


async def test_redis_that_hangs_is_unavailable_in_time(redis_search_to_break: RedisServer) -> None:
    async with opened(RedisVectorStore("hangs", dimension=2, url=redis_search_to_break.url, timeout=0.2)) as store:
        redis_search_to_break.pause()
        try:
            with pytest.raises(VectorStoreError) as caught:
                await store.query([1, 0], limit=1)
        finally:
            redis_search_to_break.resume()
    assert caught.value.retryable


async def test_redis_index_that_is_dropped_meanwhile_is_told(redis_search_to_break: RedisServer) -> None:
    async with opened(RedisVectorStore("dropped", dimension=2, url=redis_search_to_break.url)) as store:
        with redis_search_to_break.service.client() as client:
            client.execute_command("FT.DROPINDEX", "dropped")
        with pytest.raises(VectorStoreError) as caught:
            await store.query([1, 0], limit=1)
    assert not caught.value.retryable


async def test_stopped_chroma_is_unavailable_and_back_after_its_start(chroma_to_break: ChromaServer) -> None:
    async with opened(of_chroma(chroma_to_break, "stopped")) as store:
        await store.upsert([POINT])
        chroma_to_break.stop()
        try:
            await assert_unavailable(store)
        finally:
            chroma_to_break.start()
        assert [hit.id for hit in await store.query([1, 0], limit=1)] == ["p"]


async def test_chroma_that_hangs_is_unavailable_in_time(chroma_to_break: ChromaServer) -> None:
    async with opened(of_chroma(chroma_to_break, "hangs", timeout=1)) as store:
        chroma_to_break.pause()
        try:
            with pytest.raises(VectorStoreError) as caught:
                await store.count()
        finally:
            chroma_to_break.resume()
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_chroma_collection_that_is_deleted_meanwhile_is_told(chroma_to_break: ChromaServer) -> None:
    with chroma_to_break.service.fresh_collection() as name:
        store = of_chroma(chroma_to_break, name)
        await store.open()
    with pytest.raises(VectorStoreError, match="is gone") as caught:
        await store.count()
    await store.close()
    assert not caught.value.retryable


async def test_chroma_without_the_database_is_told(chroma_to_break: ChromaServer) -> None:
    store = ChromaVectorStore("tests", dimension=2, host="127.0.0.1", port=chroma_to_break.port, database="missing")
    with pytest.raises(VectorStoreError) as caught:
        await store.open()
    assert not caught.value.retryable


async def test_stopped_pinecone_is_unavailable(stub: PineconeStub) -> None:
    async with opened(of_pinecone(stub, timeout=0.3)) as store:
        stub.stop()
        await assert_unavailable(store)


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (503, True), (400, False), (403, False)])
async def test_status_says_whether_to_try_again(stub: PineconeStub, status: int, retryable: bool) -> None:
    async with opened(of_pinecone(stub)) as store:
        stub.failing = status
        with pytest.raises(VectorStoreError) as caught:
            await store.upsert([POINT])
    assert caught.value.retryable is retryable


async def test_wrong_key_is_told_and_not_shown(stub: PineconeStub) -> None:
    store = of_pinecone(stub, key="pcsk_wrong")
    with pytest.raises(VectorStoreError, match="credentials") as caught:
        await store.open()
    assert not caught.value.retryable
    assert "pcsk_wrong" not in f"{caught.value} {store!r}"


@pytest.mark.parametrize(
    "store",
    [
        RedisVectorStore("x", dimension=2, url=f"redis://u:hidden@127.0.0.1:{free_port()}", timeout=0.5),
        ChromaVectorStore("xxx", dimension=2, host="127.0.0.1", port=free_port(), headers={"x-chroma-token": "hidden"}),
        QdrantVectorStore("x", dimension=2, url=f"http://127.0.0.1:{free_port()}"),
        PineconeVectorStore("x", dimension=2, api_key="hidden", host=f"http://127.0.0.1:{free_port()}", wait=0),
    ],
    ids=lambda store: store.name,
)
async def test_server_that_is_not_there_is_unavailable(store: ServedVectorStore) -> None:
    with pytest.raises(VectorStoreError, match="reachable") as caught:
        await store.open()
    await store.close()
    assert caught.value.retryable
    assert "hidden" not in f"{caught.value} {store!r}"


async def test_store_that_is_not_open_says_so() -> None:
    store = QdrantVectorStore("x", dimension=2, url=":memory:")
    with pytest.raises(NotConnectedError):
        await store.count()
    await store.open()
    await store.close()
    with pytest.raises(NotConnectedError):
        await store.query([1, 0], limit=1)


async def test_store_of_another_event_loop_is_refused() -> None:
    async with opened(QdrantVectorStore("x", dimension=2, url=":memory:")) as store:
        with pytest.raises(NotConnectedError, match="event loop"):
            await asyncio.to_thread(asyncio.run, store.count())


async def test_collection_can_be_opened_by_many_at_once(stub: PineconeStub, tmp_path: Path) -> None:
    store = QdrantVectorStore("x", dimension=2, path=tmp_path)
    await asyncio.gather(*(store.open() for _ in range(5)))
    assert await store.count() == 0
    await store.close()


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        (RedisVectorStore, "redis"),
        (ChromaVectorStore, "chroma"),
        (QdrantVectorStore, "qdrant"),
        (PineconeVectorStore, "pinecone"),
    ],
)
def test_missing_package_is_told_with_the_command(
    kind: type[ServedVectorStore], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=rf"langswarm-memory\[{extra}\]"):
        kind(dimension=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "options",
    [
        {"dimension": 0},
        {"dimension": "2"},
        {"dimension": 2, "timeout": 0},
        {"dimension": 2, "timeout": True},
        {"dimension": 2, "url": "localhost:6333"},
        {"dimension": 2, "collection_name": ""},
    ],
)
def test_option_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(MemoryConfigurationError):
        QdrantVectorStore(**options)  # type: ignore[arg-type]
