"""A provider that notes what it was asked for."""

from __future__ import annotations

import asyncio

from langswarm_memory.embeddings import IEmbeddingProvider


class Counting(IEmbeddingProvider):
    """Vectors of a text's length; waits at `gate` if there is one, fails with `error` if there is one."""

    model = "counting"

    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension
        self.asked: list[list[str]] = []
        self.begun = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.closed = 0

    async def embed_text(self, text: str) -> list[float]:
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(texts)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.usage.requests += 1
        self.usage.tokens += len(texts)
        return [[float(len(text)), 0.1] for text in texts]

    def get_dimension(self) -> int:
        return self.dimension

    async def aclose(self) -> None:
        self.closed += 1


class Asking(Counting):
    """One that embeds questions in another way."""

    async def embed_query(self, text: str) -> list[float]:
        self.asked.append(["query: " + text])
        return [-1.0, 0.1]
