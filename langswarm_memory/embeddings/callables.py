"""Embeddings by a function of the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..errors import MemoryConfigurationError
from ..tokens import estimate_text
from .calling import call, numbers
from .dimension import Dimension
from .failures import bad_answer, client_errors, failure
from .provider import IEmbeddingProvider
from .texts import portions, readable

EmbeddingFunction = Callable[[list[str]], "Sequence[Sequence[float]] | Awaitable[Sequence[Sequence[float]]]"]


class CallableEmbeddingProvider(IEmbeddingProvider):
    """Vectors by any function of a list of texts, async or blocking (which then runs in a thread).

    Failures of a connection or of a known client become :class:`EmbeddingError`; others of the function's are raised
    as they are. Nothing is repeated: how the function fails, only its author knows.

    Args:
        function: Takes a list of texts, returns as many vectors: lists, tuples or a NumPy array.
        dimension: Length of the vectors. None: learnt from the first.
        model: Names the vectors' kind. None: the name of the function.
        batch_size: Texts per call at most.
    """

    def __init__(
        self,
        function: EmbeddingFunction,
        dimension: int | None = None,
        model: str | None = None,
        *,
        batch_size: int = 256,
    ) -> None:
        if not callable(function):
            raise MemoryConfigurationError(f"an embedding function is callable, {type(function).__name__} is not")
        if batch_size < 1:
            raise MemoryConfigurationError("batch_size is from 1")
        self.model = model or str(getattr(function, "__qualname__", type(function).__qualname__))
        self._function = function
        self._dimension = Dimension(self.model, dimension)
        self._batch_size = batch_size

    async def embed_text(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in their order."""
        inputs = readable(texts)
        self.usage.texts += len(inputs)
        vectors: list[list[float]] = []
        for portion in portions([1] * len(inputs), number=self._batch_size, total=len(inputs)):
            vectors += await self._ask(inputs[portion])
        return vectors

    def get_dimension(self) -> int:
        """Return the length of every vector.

        Raises:
            MemoryConfigurationError: None was given, and there was no vector yet.
        """
        return self._dimension.promise()

    async def measure_dimension(self) -> int:
        """Return the length of every vector; where none was given, the function is asked for one."""
        if self._dimension.learnt is None:
            await self.embed_text("dimension")
        return self._dimension.promise()

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        self.usage.requests += 1
        try:
            answer: Any = await call(self._function, texts)
        except client_errors() as exc:
            raise failure("embed", self.model, exc) from exc
        rows = answer.tolist() if hasattr(answer, "tolist") else answer
        vectors = [numbers(row) for row in rows] if isinstance(rows, list | tuple) else []
        whole = [vector for vector in vectors if vector is not None]
        if len(vectors) != len(texts):
            raise bad_answer("embed", self.model, f"{len(vectors)} vectors for {len(texts)} texts")
        if len(whole) != len(vectors):
            raise bad_answer("embed", self.model, "a vector is not a list of numbers")
        self._dimension.check(whole)
        self.usage.tokens += sum(map(estimate_text, texts))
        return whole
