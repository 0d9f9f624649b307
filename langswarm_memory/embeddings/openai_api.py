"""Embeddings of OpenAI, and of every server that speaks its API."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from .._lazy import installed
from ..errors import MemoryConfigurationError, MissingDependencyError
from ..tokens import estimate_text
from .calling import call, field, numbers
from .dimension import Dimension
from .failures import bad_answer, client_errors, failure
from .provider import IEmbeddingProvider
from .retrying import RetryPolicy, repeated
from .texts import cut, portions, readable

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
OTHER_DIMENSION = 1536
"""What is said of a model that nobody knows, until its first vector."""

MAX_TEXT_TOKENS = 8191
"""OpenAI refuses a longer text, and with it the whole request."""
MAX_BATCH_TOKENS = 100_000
"""Far below OpenAI's 300,000, because tokens are estimated: the estimate may be a third low."""


class OpenAIEmbeddingProvider(IEmbeddingProvider):
    """Vectors by the embeddings endpoint of OpenAI, or of a server that speaks its API (``base_url``).

    Failures that may pass (too many requests, timeouts, lost connections, the server's own errors) are repeated with
    growing pauses; others are raised at once.

    Args:
        api_key: The key. None: the environment's ``OPENAI_API_KEY``, which is never sent to a `base_url`.
        model: The model, as the server names it.
        base_url: Where another server listens, for example ``http://localhost:11434/v1``.
        dimensions: Length of the vectors, for models that can shorten theirs; for an unknown model its length.
        client: A client of the caller's: ``AsyncOpenAI``, or anything with ``embeddings.create``, async or not. It
            stays the caller's to close. Where it has ``with_options``, its own repetitions are switched off.
        batch_size: Texts per request at most.
        max_batch_tokens: Estimated tokens per request at most.
        max_text_tokens: Estimated tokens of a text that are sent; the rest of it is not read. None: all.
        timeout: Seconds to wait for an answer.
        retry: When and how often a request is sent again.
        encoding_format: How vectors travel. None: as the client likes it, and ``"float"`` to another server than
            OpenAI's, because not all of them know another.

    Raises:
        MemoryConfigurationError: There is no key, or a number is out of range.
        MissingDependencyError: The extra ``embeddings`` is not installed.
    """

    def __init__(
        self,
        api_key: str | None = None,
        model: str = "text-embedding-3-small",
        *,
        base_url: str | None = None,
        dimensions: int | None = None,
        client: Any = None,
        batch_size: int = 256,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        max_text_tokens: int | None = MAX_TEXT_TOKENS,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        encoding_format: Literal["float", "base64"] | None = None,
    ) -> None:
        if min(batch_size, max_batch_tokens, max_text_tokens or 1) < 1:
            raise MemoryConfigurationError("batch_size, max_batch_tokens and max_text_tokens are from 1")
        native = DIMENSIONS.get(model)
        # A shortened vector is of another kind: an index must not hold both under one name.
        self.model = model if dimensions in (None, native) or native is None else f"{model}@{dimensions}"
        self._dimension = Dimension(self.model, dimensions or native, OTHER_DIMENSION)
        self._owns_client = client is None
        self.client = _client(api_key, base_url, timeout) if client is None else _without_retries(client)
        self._batch_size, self._max_batch_tokens = batch_size, max_batch_tokens
        self._max_text_tokens = max_text_tokens
        self._retry = retry or RetryPolicy()
        self._request: dict[str, Any] = {"model": model}
        if dimensions is not None and (native is None or dimensions != native):
            self._request["dimensions"] = dimensions
        if encoding_format or base_url:
            self._request["encoding_format"] = encoding_format or "float"

    async def embed_text(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in their order; as many requests as the limits ask for, one after the other."""
        inputs = [self._cut(text) for text in readable(texts)]
        self.usage.texts += len(inputs)
        vectors: list[list[float]] = []
        sizes = [estimate_text(text) for text in inputs]
        for portion in portions(sizes, number=self._batch_size, total=self._max_batch_tokens):
            vectors += await repeated(partial(self._ask, inputs[portion], sum(sizes[portion])), self._retry, self.usage)
        return vectors

    def get_dimension(self) -> int:
        """Return the length of every vector; 1536 for a model that nobody knows and that was not asked yet."""
        return self._dimension.promise()

    async def measure_dimension(self) -> int:
        """Return the length of every vector; a model that nobody knows is asked for one."""
        if self._dimension.learnt is None:
            await self.embed_text("dimension")
        return self._dimension.promise()

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
        if self._owns_client:
            await self.client.close()

    def _cut(self, text: str) -> str:
        if self._max_text_tokens is None:
            return text
        short = cut(text, self._max_text_tokens, estimate_text)
        self.usage.truncated += len(short) < len(text)
        return short

    async def _ask(self, texts: list[str], estimated: int) -> list[list[float]]:
        try:
            answer = await call(self.client.embeddings.create, input=texts, **self._request)
        except client_errors() as exc:
            raise failure("embed", "openai", exc) from exc
        vectors = _vectors(answer, len(texts))
        self._dimension.check(vectors)
        counted = field(field(answer, "usage"), "total_tokens")
        self.usage.tokens += counted if isinstance(counted, int) and counted > 0 else estimated
        return vectors


def _vectors(answer: Any, count: int) -> list[list[float]]:
    """Return the vectors of an answer in the order of the texts, which is not promised to be its own."""
    data = field(answer, "data")
    if not isinstance(data, Sequence) or len(data) != count:
        found = len(data) if isinstance(data, Sequence) else "no"
        raise bad_answer("embed", "openai", f"{found} vectors for {count} texts")
    placed: dict[int, list[float]] = {}
    for place, item in enumerate(data):
        vector, index = numbers(field(item, "embedding")), field(item, "index")
        if vector is None:
            raise bad_answer("embed", "openai", "a vector is not a list of numbers")
        placed[index if isinstance(index, int) else place] = vector
    if sorted(placed) != list(range(count)):
        raise bad_answer("embed", "openai", "the vectors are not numbered as the texts are")
    return [placed[index] for index in range(count)]


def _client(api_key: str | None, base_url: str | None, timeout: float) -> Any:
    if not installed("openai"):
        raise MissingDependencyError("openai", extra="embeddings")
    from openai import AsyncOpenAI

    # A key of OpenAI's is nobody else's business; servers that want none ignore the word that the client insists on.
    key = api_key or ("none" if base_url else os.environ.get("OPENAI_API_KEY"))
    if not key:
        raise MemoryConfigurationError(
            "OpenAI's embeddings need an API key", suggestion="pass api_key, or set OPENAI_API_KEY"
        )
    return AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout, max_retries=0)


def _without_retries(client: Any) -> Any:
    if not callable(getattr(getattr(client, "embeddings", None), "create", None)):
        raise MemoryConfigurationError(f"a client has embeddings.create, {type(client).__name__} has not")
    return client.with_options(max_retries=0) if callable(getattr(client, "with_options", None)) else client
