"""What the Redis store leaves in the server, and which servers and indexes it refuses."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.errors import MemoryConfigurationError, VectorStoreError
from langswarm_memory.vector_stores.protocol import Range, VectorPoint
from langswarm_memory.vector_stores.redis import RedisVectorStore
from tests.services.redis import RedisService
from tests.vector_stores.opened import opened
from tests.vector_stores.store_redis import redis

Make = Callable[[int], Any]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return redis(request, tmp_path)


async def test_point_is_one_hash(make: Make, redis_stack_server: RedisService, redis_stack_prefix: str) -> None:
    async with opened(make(2)) as store:
        await store.upsert([VectorPoint("é 1", [3, 4], {"user": "u", "n": 1.0, "tags": ["a", "b"]})])
    with redis_stack_server.client() as client:
        kept: dict[bytes, bytes] = client.hgetall(f"{redis_stack_prefix}é 1")  # type: ignore[assignment]
    assert kept[b"id"].decode() == "é 1"
    assert struct.unpack("<2f", kept[b"embedding"]) == (3, 4)
    assert json.loads(kept[b"payload"]) == {"user": "u", "n": 1.0, "tags": ["a", "b"]}
    assert kept[b"n:n"] == b"1"
    assert len(kept[b"terms"].split()) == 4


async def test_key_that_is_gone_from_a_point_is_gone_from_its_hash(
    make: Make, redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    async with opened(make(2)) as store:
        await store.upsert([VectorPoint("p", [1, 0], {"n": 1})])
        await store.upsert([VectorPoint("p", [1, 0], {"m": 1})])
        assert await store.query([1, 0], limit=1, where={"n": Range(ge=0)}) == []
    with redis_stack_server.client() as client:
        assert b"n:n" not in client.hkeys(f"{redis_stack_prefix}p")  # type: ignore[operator]


async def test_range_finds_numbers_of_a_key_that_another_store_has_brought(make: Make) -> None:
    async with opened(make(2)) as reader, opened(make(2)) as writer:
        await writer.upsert([VectorPoint("p", [1, 0], {"brought": 5})])
        assert [hit.id for hit in await reader.query([1, 0], limit=1, where={"brought": Range(ge=5, lt=6)})] == ["p"]


async def test_points_from_before_the_index_are_found(
    make: Make, redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    async with opened(make(2)) as store:
        await store.upsert([VectorPoint(f"p{n}", [1, n], {"n": n}) for n in range(50)])
    with redis_stack_server.client() as client:
        client.execute_command("FT.DROPINDEX", f"idx:{redis_stack_prefix}")  # which keeps the hashes
    async with opened(make(2)) as store:
        assert await store.count() == 50
        assert len(await store.query([1, 0], limit=100)) == 50


async def test_index_that_somebody_else_has_made_is_refused(
    make: Make, redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    with redis_stack_server.client() as client:
        client.execute_command(
            *("FT.CREATE", f"idx:{redis_stack_prefix}", "ON", "HASH", "PREFIX", 1, redis_stack_prefix),
            *("SCHEMA", "id", "TAG", "content", "TEXT"),
        )
    with pytest.raises(MemoryConfigurationError, match="not made by this version"):
        await make(2).open()


async def test_index_over_other_keys_is_refused(make: Make, redis_stack_server: RedisService) -> None:
    async with opened(make(2)) as store:
        other = RedisVectorStore(store.collection, dimension=2, url=redis_stack_server.url, key_prefix="elsewhere:")
        with pytest.raises(MemoryConfigurationError, match="elsewhere:"):
            await other.open()


async def test_server_without_search_is_named_as_such(redis_server: RedisService) -> None:
    with pytest.raises(VectorStoreError, match="search module") as caught:
        await RedisVectorStore("idx", dimension=2, url=redis_server.url).open()
    assert not caught.value.retryable


async def test_index_can_be_dropped_with_its_points(
    make: Make, redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    async with opened(make(2)) as store:
        await store.upsert([VectorPoint("p", [1, 0])])
        assert await store.drop(store.collection)
        assert not await store.drop(store.collection)
    with redis_stack_server.client() as client:
        assert not client.exists(f"{redis_stack_prefix}p")


async def test_index_of_somebody_else_cannot_be_dropped(
    make: Make, redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    with redis_stack_server.client() as client:
        client.execute_command("FT.CREATE", f"{redis_stack_prefix}theirs", "ON", "HASH", "SCHEMA", "title", "TEXT")
    async with opened(make(2)) as store:
        with pytest.raises(MemoryConfigurationError, match="not made by this version"):
            await store.drop(f"{redis_stack_prefix}theirs")
    with redis_stack_server.client() as client:
        client.execute_command("FT.DROPINDEX", f"{redis_stack_prefix}theirs")


async def test_details_tell_the_memory_of_the_index(make: Make) -> None:
    async with opened(make(2)) as store:
        await store.upsert([VectorPoint(f"p{n}", [1, n]) for n in range(100)])
        assert (await store.details())["memory_used"] > 0


async def test_prefix_is_that_of_the_index_where_none_is_given() -> None:
    assert RedisVectorStore("lessons", dimension=2, key_prefix=None)._key("p") == "lessons:p"
