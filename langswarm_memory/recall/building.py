"""An index of embeddings, as settings describe it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..embeddings import get_embedding_provider
from ..embeddings.provider import IEmbeddingProvider
from ..errors import MemoryConfigurationError
from .embedded import EmbeddingIndex, InVectorStore
from .index import SemanticIndex

if TYPE_CHECKING:
    from ..backend import BaseMemoryBackend

DEFAULT_FILE = "langswarm_vectors.db"  # of the documents


def semantic_index_of(backend: BaseMemoryBackend) -> SemanticIndex:
    """Return the index that a backend's settings describe; not connected.

    Raises:
        MemoryConfigurationError: They describe no provider or no store that there is.
    """
    settings = backend.settings
    given: Any = settings.embedding
    if settings.embedding_dimension is not None and inspect.isroutine(given):
        given = {"provider": "callable", "function": given, "dimension": settings.embedding_dimension}
    provider = get_embedding_provider(given)
    dimension = settings.embedding_dimension or provider.get_dimension()
    if settings.embedding_dimension is not None and provider.get_dimension() != dimension:
        raise MemoryConfigurationError(
            f"embedding_dimension is {dimension}, and {provider.model} gives vectors of {provider.get_dimension()}",
            suggestion="leave embedding_dimension out",
        )
    return index_for(backend, provider, dimension)


def index_for(backend: BaseMemoryBackend, provider: IEmbeddingProvider, dimension: int) -> SemanticIndex:
    """Return the index of a provider's embeddings over a backend."""
    return SemanticIndex(backend, provider, _embedded(backend, provider.model, dimension), provider.model)


def _embedded(backend: BaseMemoryBackend, model: str, dimension: int) -> EmbeddingIndex:
    given: Any = backend.settings.vector_store
    if given is None:
        driver = getattr(backend.repository, "driver", None)
        if driver is not None:
            found: EmbeddingIndex = driver.embeddings(model, dimension)
            return found
        if not backend.features.persistent:
            from ..vector_stores.memory import InMemoryVectorStore

            return InVectorStore(InMemoryVectorStore(dimension=dimension))
        raise MemoryConfigurationError(
            f"{backend.repository.name} keeps no vectors by itself",
            suggestion='name a store for them: vector_store="sqlite", "pgvector", "qdrant", …',
        )
    if isinstance(given, str):
        given = {"store_type": given}
    if isinstance(given, Mapping):
        return InVectorStore(_made(given, dimension))
    if getattr(given, "dimension", None) != dimension:
        raise MemoryConfigurationError(
            f"the vector store takes vectors of {getattr(given, 'dimension', 'no')} numbers, {model} gives {dimension}",
            suggestion="make the store for the model's dimension",
        )
    return InVectorStore(given)


def _made(config: Mapping[str, Any], dimension: int) -> Any:
    from ..vector_stores.factory import VectorStoreFactory

    unknown = set(config) - {"store_type", "type", "connection_params", "index_params", "namespace", "metric"}
    if unknown:
        raise MemoryConfigurationError(f"vector_store has no option {min(unknown)!r}")
    name = config.get("store_type", config.get("type"))
    if not isinstance(name, str):
        raise MemoryConfigurationError("vector_store needs a store_type", suggestion='such as "sqlite" or "qdrant"')
    extra = {key: config[key] for key in ("index_params", "namespace") if config.get(key) is not None}
    if config.get("metric", "cosine") != "cosine":
        raise MemoryConfigurationError("recall compares by cosine", suggestion="leave metric out")
    native: Any = VectorStoreFactory.create_store(name, dimension, config.get("connection_params") or {}, **extra)
    return native.store
