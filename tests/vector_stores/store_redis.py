"""Redis with search for the shared suites, by both versions of its protocol."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores.redis import RedisVectorStore
from tests.services.redis import RedisService


def redis(request: pytest.FixtureRequest, folder: Path, *, query: str = "", algorithm: str = "hnsw") -> MakeVectorStore:
    server: RedisService = request.getfixturevalue("redis_stack_server")
    prefix = request.getfixturevalue("redis_stack_prefix")

    def drop() -> None:
        with server.client() as client, suppress(ResponseError):  # where the test made no index
            client.execute_command("FT.DROPINDEX", f"idx:{prefix}")

    request.addfinalizer(drop)
    return lambda dimension: RedisVectorStore(
        f"idx:{prefix}", dimension=dimension, url=server.url + query, key_prefix=prefix, algorithm=algorithm
    )


def redis_resp2_flat(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return redis(request, folder, query="?protocol=2", algorithm="flat")


STORES = {"redis_vectors": redis, "redis_vectors_resp2": redis_resp2_flat}
