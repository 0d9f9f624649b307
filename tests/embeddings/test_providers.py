"""Functions as providers, providers by configuration, and what a provider of the caller's own inherits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.embeddings import (
    CachedEmbeddingProvider,
    CallableEmbeddingProvider,
    EmbeddingUsage,
    IEmbeddingProvider,
    LocalEmbeddingProvider,
    OpenAIEmbeddingProvider,
    get_embedding_provider,
)
from langswarm_memory.embeddings.texts import portions
from langswarm_memory.errors import EmbeddingError, MemoryConfigurationError
from tests.embeddings.counting import Counting


def lengths(texts: list[str]) -> list[tuple[int, int]]:
    return [(len(text), 1) for text in texts]


async def lengths_later(texts: list[str]) -> list[tuple[int, int]]:
    return lengths(texts)


class Later:
    async def __call__(self, texts: list[str]) -> list[tuple[int, int]]:
        return lengths(texts)


@pytest.mark.parametrize("function", [lengths, lengths_later, Later(), lambda texts: lengths_later(texts)])
async def test_a_function_of_any_kind_makes_vectors(function: Any) -> None:
    assert await CallableEmbeddingProvider(function, 2).embed_batch(["a", "bb"]) == [[1.0, 1.0], [2.0, 1.0]]


async def test_numpy_arrays_are_vectors() -> None:
    numpy = pytest.importorskip("numpy")
    provider = CallableEmbeddingProvider(lambda texts: numpy.ones((len(texts), 3), "float32"))
    assert await provider.embed_text("a") == [1.0, 1.0, 1.0]


async def test_a_function_is_called_with_so_many_texts_at_most() -> None:
    asked: list[int] = []

    def note(texts: list[str]) -> list[tuple[int, int]]:
        asked.append(len(texts))
        return lengths(texts)

    provider = CallableEmbeddingProvider(note, batch_size=2)
    assert len(await provider.embed_batch(["a"] * 5)) == 5
    assert asked == [2, 2, 1]
    assert (provider.usage.texts, provider.usage.requests) == (5, 3)


async def test_the_dimension_of_a_function_is_learnt() -> None:
    provider = CallableEmbeddingProvider(lengths)
    with pytest.raises(MemoryConfigurationError, match="measure_dimension"):
        provider.get_dimension()
    assert await provider.measure_dimension() == provider.get_dimension() == 2


async def test_another_dimension_than_promised_names_both() -> None:
    with pytest.raises(MemoryConfigurationError, match=r"2.*384"):
        await CallableEmbeddingProvider(lengths, 384).embed_text("a")


@pytest.mark.parametrize(
    ("answer", "issue"),
    [([], "0 vectors"), ([[1, 2], [3]], "2 vectors"), ([["x"]], "numbers"), ([[float("nan")]], "numbers"), (7, "0 ve")],
)
async def test_what_is_no_vector_is_an_error(answer: Any, issue: str) -> None:
    with pytest.raises(EmbeddingError, match=issue):
        await CallableEmbeddingProvider(lambda _: answer).embed_text("a")


async def test_a_lost_connection_is_retryable() -> None:
    def fail(_: list[str]) -> list[list[float]]:
        raise ConnectionResetError("SECRET")

    with pytest.raises(EmbeddingError) as caught:
        await CallableEmbeddingProvider(fail).embed_text("a")
    assert caught.value.retryable
    assert "SECRET" not in str(caught.value)


async def test_a_mistake_in_the_function_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await CallableEmbeddingProvider(lambda _: 1 / 0).embed_text("a")  # type: ignore[arg-type]


def test_portions_keep_order_and_bounds() -> None:
    cut = portions([1, 1, 9, 1, 1, 1], number=2, total=3)
    assert [(part.start, part.stop) for part in cut] == [(0, 2), (2, 3), (3, 5), (5, 6)]


def test_a_provider_of_ones_own_needs_three_methods() -> None:
    class Mine(IEmbeddingProvider):
        async def embed_text(self, text: str) -> list[float]:
            return [1.0]

        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            return [[1.0]] * len(texts)

        def get_dimension(self) -> int:
            return 1

    provider = Mine()
    assert provider.model == "Mine"
    assert provider.usage == EmbeddingUsage()
    assert provider.usage is provider.usage


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({"provider": "openai", "api_key": "k", "model": "text-embedding-3-large"}, "text-embedding-3-large"),
        ({"api_key": "k"}, "text-embedding-3-small"),
        ({"provider": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "nomic"}, "nomic"),
    ],
)
async def test_openai_by_configuration(config: dict[str, Any], model: str) -> None:
    provider = get_embedding_provider(config)
    assert isinstance(provider, OpenAIEmbeddingProvider)
    assert provider.model == model
    await provider.aclose()


async def test_openai_by_name_takes_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    provider = get_embedding_provider("openai:text-embedding-3-large")
    assert provider.model == "text-embedding-3-large"
    await provider.aclose()


@pytest.mark.parametrize("config", ["local", "local:all-MiniLM-L6-v2", {"provider": "local"}])
def test_the_local_model_by_configuration(config: Any) -> None:
    pytest.importorskip("tokenizers")
    assert isinstance(get_embedding_provider(config), LocalEmbeddingProvider)


@pytest.mark.parametrize(
    "config",
    [
        lengths,
        {"provider": lengths, "dimension": 2},
        {"provider": "callable", "function": lengths, "model": "lengths"},
    ],
)
async def test_a_function_by_configuration(config: Any) -> None:
    provider = get_embedding_provider(config)
    assert provider.model == "lengths"
    assert await provider.embed_text("abc") == [3.0, 1.0]


def test_a_provider_is_returned_as_it_is() -> None:
    provider = Counting()
    assert get_embedding_provider(provider) is get_embedding_provider({"provider": provider}) is provider


async def test_an_object_with_the_three_methods_will_do() -> None:
    class Foreign:
        model = "foreign"

        async def embed_text(self, text: str) -> list[float]:
            return [1.0]

        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            return [[1.0]] * len(texts)

        def get_dimension(self) -> int:
            return 1

    provider = get_embedding_provider(Foreign())
    assert (provider.model, provider.get_dimension(), await provider.embed_text("a")) == ("foreign", 1, [1.0])


async def test_a_cache_by_configuration(tmp_path: Path) -> None:
    for cache in (True, tmp_path / "a.db", {"path": str(tmp_path / "b.db"), "max_entries": 5}):
        provider = get_embedding_provider({"provider": Counting(), "cache": cache})
        assert isinstance(provider, CachedEmbeddingProvider)
        await provider.embed_text("a")
    assert sorted(os.listdir(tmp_path)) == ["a.db", "b.db"]


@pytest.mark.parametrize(
    ("config", "issue"),
    [
        ("cohere", "no embedding provider is named 'cohere'"),
        ({"provider": "openai", "apikey": "SECRET"}, "did you mean 'api_key'"),
        ({"provider": "local", "model": "bge"}, "has no option 'model'"),
        ({"provider": "callable"}, "needs the option 'function'"),
        ({"provider": Counting(), "api_key": "SECRET"}, "takes no options"),
        ({"provider": Counting(), "cache": {"size": 5}}, "has no option 'size'"),
        (7, "got int"),
        (Counting, "got ABCMeta"),
    ],
)
def test_what_is_not_known_is_refused(config: Any, issue: str) -> None:
    with pytest.raises(MemoryConfigurationError, match=issue) as caught:
        get_embedding_provider(config)
    assert "SECRET" not in str(caught.value)
