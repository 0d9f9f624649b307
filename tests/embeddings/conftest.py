"""A server of embeddings, and providers that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from langswarm_memory.embeddings import OpenAIEmbeddingProvider, RetryPolicy
from tests.embeddings.server import EmbeddingServer, running

AT_ONCE = RetryPolicy(attempts=4, wait_initial=0.001, wait_max=0.05, wait_jitter=0)


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with running() as made:
        yield made


@pytest.fixture
async def openai(server: EmbeddingServer) -> AsyncIterator[Callable[..., OpenAIEmbeddingProvider]]:
    """Make providers that ask the stand-in with the real client."""
    made: list[OpenAIEmbeddingProvider] = []

    def make(model: str = "text-embedding-3-small", **options: Any) -> OpenAIEmbeddingProvider:
        provider = OpenAIEmbeddingProvider("key", model, **{"base_url": server.url, "retry": AT_ONCE, **options})
        made.append(provider)
        return provider

    yield make
    for provider in made:
        await provider.aclose()
