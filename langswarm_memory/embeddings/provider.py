"""What every embedding provider does, and what it counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(slots=True)
class EmbeddingUsage:
    """What a provider has done since it was made.

    Args:
        texts: Texts asked for, those of the cache included.
        tokens: Tokens paid for, as the server counted them; estimated where it does not say.
        requests: Calls of the model, repetitions included.
        retries: Calls that repeated a failed one.
        cache_hits: Texts that needed no model.
        truncated: Texts that were longer than the model reads, and were cut.
    """

    texts: int = 0
    tokens: int = 0
    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    truncated: int = 0


class IEmbeddingProvider(ABC):
    """Makes vectors of texts. A provider of your own implements the three abstract methods."""

    model: str
    """Names the vectors' kind: an index holds vectors of one. Unless set, the name of the class."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "model" not in cls.__dict__:
            cls.model = cls.__name__

    @abstractmethod
    async def embed_text(self, text: str) -> list[float]:
        """Return the vector of a text.

        Raises:
            EmbeddingError: The model failed; ``retryable`` says whether asking again may help.
            MemoryConfigurationError: Its vectors have another dimension than was promised.
        """

    @abstractmethod
    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in their order. Raises as :meth:`embed_text` does."""

    @abstractmethod
    def get_dimension(self) -> int:
        """Return the length of every vector."""

    async def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question. The same as :meth:`embed_text`, but for models that tell them apart."""
        return await self.embed_text(text)

    async def measure_dimension(self) -> int:
        """Return the length of every vector, for which an unknown model is asked."""
        return self.get_dimension()

    @property
    def usage(self) -> EmbeddingUsage:
        """What was done so far."""
        usage: EmbeddingUsage = self.__dict__.setdefault("_usage", EmbeddingUsage())
        return usage

    async def aclose(self) -> None:  # noqa: B027 - most providers hold nothing
        """Release what the provider holds; idempotent."""
