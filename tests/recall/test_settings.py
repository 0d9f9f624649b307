"""How recall by meaning is configured, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.errors import MemoryConfigurationError
from langswarm_memory.vector_stores.memory import InMemoryVectorStore
from tests.recall.memories import Memory, found, memory_of, session_of
from tests.recall.words import Words, vector


def embed(texts: list[str]) -> list[list[float]]:
    return [vector(text) for text in texts]


@pytest.mark.parametrize(
    "options",
    [
        {"embedding": Words()},
        {"embedding": {"provider": embed, "dimension": 64}},
        {"embedding": embed, "embedding_dimension": 64},
        {"embedding": Words(), "vector_store": InMemoryVectorStore(dimension=64)},
    ],
    ids=["provider", "mapping", "function", "vector store"],
)
async def test_settings_make_messages_found_by_meaning(options: Any) -> None:
    async with InMemoryBackend(**options) as backend:
        await session_of(backend, "s", "a kettle", "a boat")
        await backend.semantic_index.bring_up_to_date("s")
        assert await found(backend, "kettle", limit=1) == ["a kettle"]


async def test_settings_may_name_a_store_for_vectors(sqlite: Memory, tmp_path: Any) -> None:
    place = {"store_type": "sqlite", "connection_params": {"db_path": str(tmp_path / "v.db")}}
    async with sqlite.make(embedding=Words(), vector_store=place) as backend:
        await session_of(backend, "s", "a kettle")
        await backend.semantic_index.bring_up_to_date("s")
        assert await found(backend, "kettle") == ["a kettle"]


async def test_first_call_of_a_backend_may_be_recall(sqlite: Memory) -> None:
    async with sqlite.backend() as first:
        await session_of(first, "s", "a kettle")
        await first.semantic_index.bring_up_to_date("s")
    second = sqlite.backend()
    assert await found(second, "kettle") == ["a kettle"]
    await second.disconnect()


async def test_backend_that_was_connected_again_finds_as_before(sqlite: Memory) -> None:
    backend = sqlite.backend()
    await session_of(backend, "s", "a kettle")
    await backend.semantic_index.bring_up_to_date("s")
    await backend.disconnect()
    await backend.connect()
    assert await found(backend, "kettle") == ["a kettle"]
    await backend.disconnect()


def test_dimension_that_the_model_does_not_have_is_refused() -> None:
    backend = InMemoryBackend(embedding=Words(), embedding_dimension=32)
    with pytest.raises(MemoryConfigurationError, match=r"32.*64"):
        _ = backend.semantic_index


def test_vector_store_of_another_dimension_is_refused() -> None:
    backend = InMemoryBackend(embedding=Words(), vector_store=InMemoryVectorStore(dimension=32))
    with pytest.raises(MemoryConfigurationError, match=r"32.*64"):
        _ = backend.semantic_index


@pytest.mark.parametrize(
    ("vector_store", "told"),
    [
        ({"connection_params": {}}, "store_type"),
        ({"store_type": "sqlite", "metric": "dot"}, "cosine"),
        ({"store_type": "sqlite", "colour": "red"}, "colour"),
    ],
    ids=["no type", "metric", "unknown"],
)
def test_wrong_vector_store_is_refused(vector_store: Any, told: str) -> None:
    backend = InMemoryBackend(embedding=Words(), vector_store=vector_store)
    with pytest.raises(MemoryConfigurationError, match=told):
        _ = backend.semantic_index


@pytest.mark.parametrize("name", ["sqlite", "postgres"])
async def test_model_that_gives_another_dimension_now_is_refused(
    name: str, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    """Both numbers are named, and the way out."""
    memory = memory_of(name, request, tmp_path)
    async with memory.backend() as backend:
        await session_of(backend, "s", "a kettle")
        await backend.semantic_index.bring_up_to_date("s")
    async with memory.backend(Words(dimension=32)) as backend:
        with pytest.raises(MemoryConfigurationError, match=r"64 numbers.*32.*reindex"):
            await backend.recall("kettle")


async def test_model_may_give_another_dimension_when_nothing_of_it_is_left(
    request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    memory = memory_of("postgres", request, tmp_path)
    for dimension in (64, 32):
        async with memory.backend(Words(dimension=dimension)) as backend:
            await session_of(backend, "s", "a kettle")
            await backend.semantic_index.bring_up_to_date("s")
            assert await found(backend, "kettle") == ["a kettle"]
            await backend.delete_session("s")


async def test_number_of_a_row_that_is_used_again_does_not_show_what_was_there(sqlite: Memory) -> None:
    """SQLite numbers rows anew from the highest that is left; a search keeps vectors in memory by those numbers."""
    async with sqlite.backend() as backend:
        for name, text in (("a", "a kettle"), ("b", "a boat")):
            await session_of(backend, name, text)
            await backend.semantic_index.bring_up_to_date(name)
            (hit,) = await backend.recall(text, mode="vector")
            assert hit.score == pytest.approx(1.0)
            await backend.delete_session(name)
