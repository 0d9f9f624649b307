"""Lessons in every kind of vector store, and a model that answers what it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from langswarm_memory.reflexive import LessonStore
from langswarm_memory.vector_stores import InMemoryVectorStore, IVectorStore, VectorStoreFactory
from tests.reflexive.model_server import ModelServer, running
from tests.reflexive.stores import DIMENSION, Angles, PlainStore
from tests.services.postgres import PostgresService
from tests.vector_stores.stores import STORES

RAW = ("in_memory", "sqlite", "qdrant-memory", "pgvector")
DOCUMENTED = ("sqlite-documents", "own-class")


@pytest.fixture(scope="module")
def vectors_database(postgres_server: PostgresService) -> Iterator[str]:
    """What the pgvector store of the shared suites asks for."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(params=[*RAW, *DOCUMENTED])
async def vector_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """An open vector store of each kind, with nothing in it."""
    if request.param in RAW:
        raw = STORES[request.param](request, tmp_path)(DIMENSION)
        await raw.open()
        try:
            yield raw
        finally:
            await raw.close()
        return
    made: IVectorStore = PlainStore()
    if request.param == "sqlite-documents":
        made = VectorStoreFactory.create_sqlite_store(str(tmp_path / "documents.db"), DIMENSION)
    await made.connect()
    try:
        yield made
    finally:
        await made.disconnect()


@pytest.fixture
def store(vector_store: Any) -> LessonStore:
    """An empty store of lessons over each kind of vector store."""
    return LessonStore(vector_store, Angles())


@pytest.fixture
async def lessons() -> AsyncIterator[LessonStore]:
    """An empty store of lessons in memory."""
    vectors = InMemoryVectorStore(dimension=DIMENSION)
    await vectors.open()
    yield LessonStore(vectors, Angles())
    await vectors.close()


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
async def client(model: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    """The real client, which asks the stand-in."""
    async with AsyncOpenAI(api_key="key", base_url=model.url, max_retries=0) as made:
        yield made
