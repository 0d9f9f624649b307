"""The pgvector store behind PgBouncer in transaction mode: each statement may meet another server process."""

from __future__ import annotations

import asyncio

import pytest

from langswarm_memory.vector_stores.pgvector import PGVectorStore
from langswarm_memory.vector_stores.protocol import VectorPoint
from tests.faults.test_pgbouncer import pooled_url  # noqa: F401 - a fixture

pytestmark = pytest.mark.store("postgres")

WRITERS, ROUNDS = 16, 10


async def test_stores_share_few_server_connections(pooled_url: str) -> None:  # noqa: F811
    stores = [PGVectorStore(pooled_url, dimension=2, statement_cache_size=0, max_size=8) for _ in range(2)]
    for store in stores:
        await store.open()

    async def write(writer: int) -> None:
        store, where = stores[writer % 2], {"writer": writer}
        for number in range(1, ROUNDS + 1):
            await store.upsert([VectorPoint(f"{writer}/{number}", [1, number], {"writer": writer})])
            assert len(await store.query([1, 0], limit=number, where=where)) == number

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    assert await stores[0].count() == WRITERS * ROUNDS
    assert await stores[1].delete(where={"writer": 3}) == ROUNDS
    for store in stores:
        await store.close()
