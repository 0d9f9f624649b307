"""Vector stores behind one small protocol, and the documented classes over it.

Importing this package loads no driver: every name is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .chroma import ChromaVectorStore as ChromaVectorStore
    from .factory import VectorStoreFactory as VectorStoreFactory
    from .factory import create_auto_store as create_auto_store
    from .factory import create_development_store as create_development_store
    from .factory import create_production_store as create_production_store
    from .interfaces import ConnectionError as ConnectionError
    from .interfaces import IVectorStore as IVectorStore
    from .interfaces import QueryError as QueryError
    from .interfaces import VectorConnectionError as VectorConnectionError
    from .interfaces import VectorDocument as VectorDocument
    from .interfaces import VectorQuery as VectorQuery
    from .interfaces import VectorQueryError as VectorQueryError
    from .interfaces import VectorResult as VectorResult
    from .interfaces import VectorStoreConfig as VectorStoreConfig
    from .memory import InMemoryVectorStore as InMemoryVectorStore
    from .native import NativeChromaStore as NativeChromaStore
    from .native import NativePGVectorStore as NativePGVectorStore
    from .native import NativePineconeStore as NativePineconeStore
    from .native import NativeQdrantStore as NativeQdrantStore
    from .native import NativeRedisVectorStore as NativeRedisVectorStore
    from .native import NativeSQLiteStore as NativeSQLiteStore
    from .native import NativeVectorStore as NativeVectorStore
    from .pgvector import PGVectorStore as PGVectorStore
    from .pinecone import PineconeVectorStore as PineconeVectorStore
    from .protocol import Describes as Describes
    from .protocol import Drops as Drops
    from .protocol import Enumerates as Enumerates
    from .protocol import Range as Range
    from .protocol import VectorHit as VectorHit
    from .protocol import VectorPoint as VectorPoint
    from .protocol import VectorStore as VectorStore
    from .qdrant import QdrantVectorStore as QdrantVectorStore
    from .redis import RedisVectorStore as RedisVectorStore
    from .sqlite import SQLiteVectorStore as SQLiteVectorStore

_MODULES = {
    "chroma": ("ChromaVectorStore",),
    "factory": ("VectorStoreFactory", "create_auto_store", "create_development_store", "create_production_store"),
    "interfaces": (
        "ConnectionError",
        "IVectorStore",
        "QueryError",
        "VectorConnectionError",
        "VectorDocument",
        "VectorQuery",
        "VectorQueryError",
        "VectorResult",
        "VectorStoreConfig",
    ),
    "memory": ("InMemoryVectorStore",),
    "native": (
        "NativeChromaStore",
        "NativePGVectorStore",
        "NativePineconeStore",
        "NativeQdrantStore",
        "NativeRedisVectorStore",
        "NativeSQLiteStore",
        "NativeVectorStore",
    ),
    "pgvector": ("PGVectorStore",),
    "pinecone": ("PineconeVectorStore",),
    "protocol": ("Describes", "Drops", "Enumerates", "Range", "VectorHit", "VectorPoint", "VectorStore"),
    "qdrant": ("QdrantVectorStore",),
    "redis": ("RedisVectorStore",),
    "sqlite": ("SQLiteVectorStore",),
}
_NAMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)

__getattr__ = attach(__name__, _NAMES)
