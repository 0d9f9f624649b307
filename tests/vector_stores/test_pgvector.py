"""The pgvector store: its table and indexes, answers that conditions do not starve, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import numpy as np
import pytest

from langswarm_memory.errors import (
    CorruptRecordError,
    MemoryConfigurationError,
    NotConnectedError,
    VectorStoreError,
)
from langswarm_memory.testing.vector_samples import direction, oracle
from langswarm_memory.vector_stores.pgvector import PGVectorStore
from langswarm_memory.vector_stores.protocol import Range, VectorPoint
from tests.services.postgres import PostgresServer, PostgresService, execute

pytestmark = pytest.mark.store("postgres")


@pytest.fixture
def table() -> str:
    return f"t{uuid4().hex}"


@pytest.fixture
async def store(vectors_database: str, table: str) -> AsyncIterator[PGVectorStore]:
    store = PGVectorStore(vectors_database, dimension=2, table=table)
    await store.open()
    yield store
    await store.close()


async def test_stored_row(store: PGVectorStore, vectors_database: str, table: str) -> None:
    payload = {"content": "täxt", "n": 1.5, "tags": ["a"]}
    await store.upsert([VectorPoint("id", [1.5, -2.0], payload)])
    assert execute(vectors_database, f"SELECT id FROM {table}") == "id"
    assert execute(vectors_database, f"SELECT embedding::text FROM {table}") == "[1.5,-2]"
    assert json.loads(execute(vectors_database, f"SELECT payload::text FROM {table}")) == payload


async def definition(url: str, index: str) -> str:
    return str(execute(url, f"SELECT indexdef FROM pg_indexes WHERE indexname = '{index}'"))


@pytest.mark.parametrize(
    ("dimension", "wanted"),
    [
        (2_000, "USING hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='32')"),
        (2_001, "USING hnsw (((embedding)::halfvec(2001)) halfvec_cosine_ops) WITH (m='8', ef_construction='32')"),
        (4_000, "USING hnsw (((embedding)::halfvec(4000)) halfvec_cosine_ops) WITH (m='8', ef_construction='32')"),
        (4_001, "None"),
    ],
)
async def test_index_suits_the_dimension(vectors_database: str, table: str, dimension: int, wanted: str) -> None:
    store = PGVectorStore(vectors_database, dimension=dimension, table=table, m=8, ef_construction=32)
    await store.open()
    await store.close()
    assert (await definition(vectors_database, f"idx_{table}_embedding_hnsw")).endswith(wanted)


@pytest.mark.parametrize("dimension", [2_500, 4_500])
async def test_large_vectors_are_found(vectors_database: str, table: str, dimension: int) -> None:
    stored = [VectorPoint(f"p{seed}", [1e5 * value for value in direction(seed, dimension)]) for seed in range(30)]
    store = PGVectorStore(vectors_database, dimension=dimension, table=table)
    await store.open()
    await store.upsert(stored)
    hits = await store.query(direction(-1, dimension), limit=5)
    expected = oracle(direction(-1, dimension), stored)[:5]
    await store.close()
    assert [hit.id for hit in hits] == [found for found, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-3)


async def test_question_is_answered_by_the_index(store: PGVectorStore, vectors_database: str, table: str) -> None:
    await store.upsert([VectorPoint(f"p{seed}", direction(seed, 2)) for seed in range(3_000)])
    execute(vectors_database, f"ANALYZE {table}")
    await store.query([1, 0], limit=10)
    scans = f"SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'idx_{table}_embedding_hnsw'"
    await store.close()  # a server process tells what it did at the latest when it ends
    for _ in range(200):
        if execute(vectors_database, scans):
            break
    assert execute(vectors_database, scans) > 0


@pytest.fixture
async def crowded(vectors_database: str, table: str) -> AsyncIterator[PGVectorStore]:
    """3,000 points of one group near to the question, and 1,500 of another far from it."""
    store = PGVectorStore(vectors_database, dimension=8, table=table, ef_search=10)
    await store.open()
    source = random.Random(7)
    near = [[1.0, *(source.gauss(0, 0.1) for _ in range(7))] for _ in range(3_000)]
    far = [[-1.0, *(source.gauss(0, 0.1) for _ in range(7))] for _ in range(1_500)]
    points = [VectorPoint(f"near {place}", vector, {"g": "near", "n": 0}) for place, vector in enumerate(near)]
    points += [VectorPoint(f"far {place}", vector, {"g": "far", "n": place}) for place, vector in enumerate(far)]
    await store.upsert(points)
    execute(vectors_database, f"ANALYZE {table}")
    yield store
    await store.close()


QUESTION = [1.0, *[0.0] * 7]


async def test_many_matching_points_that_are_far_are_all_found(crowded: PGVectorStore) -> None:
    hits = await crowded.query(QUESTION, limit=20, where={"g": "far"})
    assert len(hits) == 20
    assert {hit.payload["g"] for hit in hits} == {"far"}


async def test_limit_beyond_the_candidates_of_the_index_is_reached(crowded: PGVectorStore) -> None:
    assert len(await crowded.query(QUESTION, limit=2_000)) == 2_000
    assert len(await crowded.query(QUESTION, limit=1_400, where={"g": "far"})) == 1_400


async def test_index_that_stops_early_is_made_up_for(crowded: PGVectorStore, vectors_database: str, table: str) -> None:
    pool = await asyncpg.create_pool(vectors_database, min_size=1, server_settings={"enable_seqscan": "off"})
    store = PGVectorStore(dimension=8, table=table, pool=pool)  # its connections do not scan iteratively
    await store.open()
    assert len(await store.query(QUESTION, limit=100)) == 100
    assert len(await store.query(QUESTION, limit=20, where={"n": Range(ge=100)})) == 20
    await store.close()
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()


async def test_pool_that_reads_json_by_itself_may_be_given(vectors_database: str, table: str) -> None:
    async def decode(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)

    pool = await asyncpg.create_pool(vectors_database, min_size=1, init=decode)
    store = PGVectorStore(dimension=2, table=table, pool=pool)
    await store.open()
    await store.upsert([VectorPoint("a", [1, 0], {"user": "u"})])
    (hit,) = await store.query([1, 0], limit=1, where={"user": "u"})
    assert hit.payload == {"user": "u"}
    await store.close()
    await pool.close()


async def test_few_matching_points_are_sorted_exactly(crowded: PGVectorStore) -> None:
    where = {"g": "far", "n": Range(ge=1_450)}
    hits = await crowded.query(QUESTION, limit=10, where=where)
    points = await crowded.fetch(await crowded.list_ids(limit=100, where=where))
    assert [hit.id for hit in hits] == [found for found, _ in oracle(QUESTION, points)[:10]]


async def test_recall_of_grouped_vectors(vectors_database: str, table: str) -> None:
    source = np.random.default_rng(3)
    middles = source.standard_normal((40, 48))
    matrix = middles[source.integers(40, size=3_000)] + 0.6 * source.standard_normal((3_000, 48))
    store = PGVectorStore(vectors_database, dimension=48, table=table)
    await store.open()
    await store.upsert([VectorPoint(str(place), row.tolist()) for place, row in enumerate(matrix)])
    execute(vectors_database, f"ANALYZE {table}")
    matrix /= np.linalg.norm(matrix, axis=1)[:, None]
    found = 0
    for place in range(0, 3_000, 100):
        expected = set(np.argsort(-(matrix @ matrix[place]))[:10])
        found += sum(int(hit.id) in expected for hit in await store.query(matrix[place], limit=10))
    await store.close()
    assert found >= 0.95 * 300


async def test_row_that_cannot_be_read_is_corrupt(store: PGVectorStore, vectors_database: str, table: str) -> None:
    await store.upsert([VectorPoint("the id", [1, 0])])
    execute(vectors_database, f"UPDATE {table} SET payload = '1'")
    with pytest.raises(CorruptRecordError, match="the id"):
        await store.query([1, 0], limit=1)


async def test_table_of_somebody_else_is_left_alone(vectors_database: str, table: str, store: PGVectorStore) -> None:
    execute(vectors_database, f"CREATE TABLE o{table} (id text)")
    with pytest.raises(MemoryConfigurationError, match="not one of ours"):
        await PGVectorStore(vectors_database, dimension=2, table=f"o{table}").open()
    with pytest.raises(MemoryConfigurationError, match="not one of ours"):
        await store.drop(f"o{table}")
    assert execute(vectors_database, f"SELECT count(*) FROM o{table}") == 0


async def test_dropped_table_is_gone(store: PGVectorStore, vectors_database: str, table: str) -> None:
    assert await store.drop(table)
    assert not await store.drop(table)
    assert execute(vectors_database, f"SELECT to_regclass('{table}')") is None


async def test_stores_opened_at_once_make_one_table(vectors_database: str, table: str) -> None:
    stores = [PGVectorStore(vectors_database, dimension=2, table=table, schema=f"S{table[:20]}") for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].upsert([VectorPoint("a", [1, 0])])
    assert [await store.count() for store in stores] == [1] * 6
    for store in stores:
        await store.close()


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_user(postgres_url: str, postgres_server: PostgresService) -> Iterator[str]:
    """URL of a user who may make tables, and no extension; the password is told to nobody."""
    name = f"u{uuid4().hex}"
    execute(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'secret-word'")
    execute(postgres_url, f"GRANT CREATE ON SCHEMA public TO {name}")
    parts = urlsplit(postgres_url)
    yield parts._replace(netloc=f"{name}:secret-word@{parts.hostname}:{parts.port}").geturl()
    execute(postgres_url, f"DROP OWNED BY {name} CASCADE")
    execute(postgres_url, f"DROP ROLE {name}")


async def test_extension_that_may_not_be_added_is_told_with_the_command(plain_user: str) -> None:
    with pytest.raises(MemoryConfigurationError, match="CREATE EXTENSION vector") as caught:
        await PGVectorStore(plain_user, dimension=2).open()
    assert "secret-word" not in str(caught.value) + repr(caught.value)


async def test_extension_that_is_there_needs_no_superuser(plain_user: str, postgres_url: str) -> None:
    execute(postgres_url, "CREATE EXTENSION vector")
    store = PGVectorStore(plain_user, dimension=2)
    await store.open()
    await store.upsert([VectorPoint("a", [1, 0])])
    assert await store.count() == 1
    await store.close()


async def test_password_is_shown_nowhere() -> None:
    store = PGVectorStore("postgresql://u:secret-word@127.0.0.1:1/d", dimension=2, timeout=5)
    with pytest.raises(VectorStoreError) as caught:
        await store.open()
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, OSError)
    assert "secret-word" not in repr(store) + str(caught.value) + repr(caught.value)


async def test_address_that_is_none_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError) as caught:
        await PGVectorStore("mysql://u:secret-word@localhost/d", dimension=2).open()
    assert "secret-word" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_server_that_stops_is_worth_another_try(postgres_to_break: PostgresServer) -> None:
    store = PGVectorStore(postgres_to_break.url, dimension=2, timeout=20)
    await store.open()
    await store.upsert([VectorPoint("a", [1, 0])])
    postgres_to_break.stop("immediate")
    try:
        for call in (
            store.upsert([VectorPoint("b", [1, 0])]),
            store.query([1, 0], limit=1),
            store.delete(ids=["a"]),
            store.count(),
            store.ping(),
        ):
            with pytest.raises(VectorStoreError) as caught:
                await call
            assert caught.value.retryable
            assert caught.value.__cause__ is not None
    finally:
        postgres_to_break.start()
    assert await store.count() == 1
    await store.close()


async def test_store_that_is_not_open_says_so(vectors_database: str) -> None:
    with pytest.raises(NotConnectedError):
        await PGVectorStore(vectors_database, dimension=2).count()


@pytest.mark.parametrize(
    "options",
    [
        {"table": 'v"; --'},
        {"table": "t" * 45},
        {"schema": "a.b"},
        {"dimension": 16_001},
        {"index_method": "ivfflat"},
        {"iterative_scan": "off"},
        {"m": 1},
        {"ef_construction": 31},
        {"ef_search": 0},
        {"min_size": 3, "max_size": 2},
    ],
)
def test_option_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        PGVectorStore("postgresql://localhost/d", **{"dimension": 2, **options})
