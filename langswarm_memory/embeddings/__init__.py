"""Vectors of texts: by OpenAI and its like, on this machine, or by a function of the caller's.

Every provider is an :class:`IEmbeddingProvider`; :func:`get_embedding_provider` makes one of a configuration. Nothing
is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .cached import CachedEmbeddingProvider
    from .callables import CallableEmbeddingProvider
    from .choose import get_embedding_provider
    from .local import LocalEmbeddingProvider
    from .openai_api import OpenAIEmbeddingProvider
    from .provider import EmbeddingUsage, IEmbeddingProvider
    from .retrying import RetryPolicy

__all__ = [
    "CachedEmbeddingProvider",
    "CallableEmbeddingProvider",
    "EmbeddingUsage",
    "IEmbeddingProvider",
    "LocalEmbeddingProvider",
    "OpenAIEmbeddingProvider",
    "RetryPolicy",
    "get_embedding_provider",
]

__getattr__ = attach(
    __name__,
    {
        "CachedEmbeddingProvider": f"{__name__}.cached",
        "CallableEmbeddingProvider": f"{__name__}.callables",
        "EmbeddingUsage": f"{__name__}.provider",
        "IEmbeddingProvider": f"{__name__}.provider",
        "LocalEmbeddingProvider": f"{__name__}.local",
        "OpenAIEmbeddingProvider": f"{__name__}.openai_api",
        "RetryPolicy": f"{__name__}.retrying",
        "get_embedding_provider": f"{__name__}.choose",
    },
)
