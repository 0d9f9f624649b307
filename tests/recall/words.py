"""Embeddings without a model: each word has a direction of its own, and a text that of its words."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from langswarm_memory.embeddings import IEmbeddingProvider
from langswarm_memory.search.words import tokenize

DIMENSION = 64


def vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """Return the sum of the directions of a text's words; of a text without any, that of the text."""
    total = [0.0] * dimension
    for word in tokenize(text) or [text]:
        digest = sha256(word.encode("utf-8", "surrogatepass")).digest() * (dimension // 32 + 1)
        for place in range(dimension):
            total[place] += digest[place] - 127.5
    return total


class Words(IEmbeddingProvider):
    """Notes what it embeds; waits at `gate` and fails with `error` where there is one."""

    def __init__(self, model: str = "words", dimension: int = DIMENSION) -> None:
        self.model, self.dimension = model, dimension
        self.embedded: list[str] = []
        self.calls = 0
        self.begun = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.error: BaseException | None = None
        self.poison: str | None = None

    async def embed_text(self, text: str) -> list[float]:
        return vector(text, self.dimension)

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        self.calls += 1
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.poison is not None and any(self.poison in text for text in texts):
            raise ValueError("this text cannot be embedded")
        self.embedded += texts
        return [vector(text, self.dimension) for text in texts]

    def get_dimension(self) -> int:
        return self.dimension
