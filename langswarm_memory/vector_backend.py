"""The vector backend, under its earlier module name."""

from .backends.vector import VectorMemoryBackend as VectorMemoryBackend
from .embeddings import IEmbeddingProvider as IEmbeddingProvider
from .embeddings import OpenAIEmbeddingProvider as OpenAIEmbeddingProvider
