"""Vector stores by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .._lazy import installed
from ..errors import MemoryConfigurationError
from .interfaces import IVectorStore, VectorStoreConfig
from .native import (
    NativeChromaStore,
    NativePGVectorStore,
    NativePineconeStore,
    NativeQdrantStore,
    NativeRedisVectorStore,
    NativeSQLiteStore,
    NativeVectorStore,
)

_ALIASES = {"local": "sqlite", "postgres": "pgvector", "postgresql": "pgvector", "chromadb": "chroma"}
_NEEDS: dict[str, tuple[str, str, str]] = {  # type → module, what to install, what it is
    "sqlite": ("", "", "a file of this machine; exact search"),
    "pgvector": ("asyncpg", "langswarm-memory[postgres]", "PostgreSQL with pgvector; HNSW index"),
    "redis": ("redis", "langswarm-memory[redis]", "Redis with its search; HNSW or exact"),
    "qdrant": ("qdrant_client", "langswarm-memory[qdrant]", "Qdrant; HNSW index"),
    "chroma": ("chromadb", "langswarm-memory[chroma]", "Chroma: a server, or a folder of this machine"),
    "pinecone": ("pinecone", "langswarm-memory[pinecone]", "Pinecone, a service"),
}


class VectorStoreFactory:
    """Makes stores by their type; nothing is connected."""

    _classes: ClassVar[dict[str, type[IVectorStore]]] = {
        "sqlite": NativeSQLiteStore,
        "pgvector": NativePGVectorStore,
        "redis": NativeRedisVectorStore,
        "qdrant": NativeQdrantStore,
        "chroma": NativeChromaStore,
        "pinecone": NativePineconeStore,
    }

    @classmethod
    def create_store(
        cls,
        store_type: str,
        embedding_dimension: int,
        connection_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> IVectorStore:
        """Return a store.

        Args:
            store_type: One of :meth:`list_available_stores`, or another name of one.
            embedding_dimension: Of every vector.
            connection_params: Options of the store.
            kwargs: ``index_params``, ``namespace`` and ``metric`` of :class:`VectorStoreConfig`.

        Raises:
            MemoryConfigurationError: An unknown type or option; ``MissingDependencyError``: a package is missing.
        """
        if unknown := set(kwargs) - {"index_params", "namespace", "metric"}:
            raise MemoryConfigurationError(f"unknown argument {min(unknown)!r}", "VectorStoreFactory")
        name = cls._name(store_type)
        config = VectorStoreConfig(name, dict(connection_params or {}), embedding_dimension, **kwargs)
        return cls._classes[name](config)  # type: ignore[call-arg]

    @classmethod
    def create_pinecone_store(
        cls,
        api_key: str,
        environment: str | None = None,
        index_name: str = "langswarm-default",
        embedding_dimension: int = 1536,
        namespace: str | None = None,
        metric: str = "cosine",
    ) -> IVectorStore:
        """Return a store in Pinecone; `environment` is not needed any more."""
        params = {"api_key": api_key, "environment": environment, "index_name": index_name}
        return cls.create_store("pinecone", embedding_dimension, params, namespace=namespace, metric=metric)

    @classmethod
    def create_qdrant_store(
        cls,
        url: str,
        collection_name: str,
        embedding_dimension: int,
        api_key: str | None = None,
        prefer_grpc: bool = False,
        metric: str = "cosine",
    ) -> IVectorStore:
        """Return a store in Qdrant."""
        params = {"url": url, "collection_name": collection_name, "api_key": api_key, "prefer_grpc": prefer_grpc}
        return cls.create_store("qdrant", embedding_dimension, params, metric=metric)

    @classmethod
    def create_chroma_store(
        cls,
        collection_name: str,
        embedding_dimension: int,
        host: str = "localhost",
        port: int = 8000,
        persist_directory: str | None = None,
        metric: str = "cosine",
    ) -> IVectorStore:
        """Return a store in Chroma; with `persist_directory`, in that folder and without a server."""
        params = {"collection_name": collection_name, "host": host, "port": port}
        return cls.create_store(
            "chroma", embedding_dimension, {**params, "persist_directory": persist_directory}, metric=metric
        )

    @classmethod
    def create_sqlite_store(
        cls, db_path: str, embedding_dimension: int, table_name: str = "vectors", metric: str = "cosine"
    ) -> IVectorStore:
        """Return a store in a SQLite file."""
        params = {"db_path": db_path, "table_name": table_name}
        return cls.create_store("sqlite", embedding_dimension, params, metric=metric)

    @classmethod
    def create_pgvector_store(
        cls,
        embedding_dimension: int,
        dsn: str | None = None,
        host: str = "localhost",
        port: int = 5432,
        database: str = "langswarm",
        user: str = "postgres",
        password: str = "postgres",
        table_name: str = "vectors",
        metric: str = "cosine",
    ) -> IVectorStore:
        """Return a store in PostgreSQL; with `dsn`, the other parts of the address are not looked at."""
        params = {"dsn": dsn, "host": host, "port": port, "database": database, "user": user, "password": password}
        return cls.create_store("pgvector", embedding_dimension, {**params, "table_name": table_name}, metric=metric)

    @classmethod
    def create_redis_store(
        cls,
        embedding_dimension: int,
        url: str = "redis://localhost:6379",
        index_name: str = "idx:vectors",
        metric: str = "cosine",
    ) -> IVectorStore:
        """Return a store in Redis."""
        return cls.create_store("redis", embedding_dimension, {"url": url, "index_name": index_name}, metric=metric)

    @classmethod
    def register_store(cls, store_type: str, store_class: type[IVectorStore]) -> None:
        """Make a class known by a name; it is called with a ``VectorStoreConfig``."""
        if not (isinstance(store_class, type) and issubclass(store_class, IVectorStore)):
            raise MemoryConfigurationError("store_class must be a subclass of IVectorStore", "VectorStoreFactory")
        cls._classes = {**cls._classes, store_type.lower(): store_class}

    @classmethod
    def list_available_stores(cls) -> list[str]:
        """Return the types whose packages are installed."""
        return sorted(name for name in cls._classes if installed(_NEEDS.get(name, ("",))[0]))

    @classmethod
    def get_store_requirements(cls, store_type: str) -> dict[str, Any]:
        """Return what a store needs: ``pip_package`` ("" for nothing), its options, and what it is."""
        name = cls._name(store_type)
        store_class = cls._classes[name]
        _, package, description = _NEEDS.get(name, ("", "", store_class.__doc__ or ""))
        options: list[str] = []
        required: list[str] = []
        if issubclass(store_class, NativeVectorStore):
            required = list(store_class.required)
            options = [option for option in store_class.defaults if option not in required]
        return {
            "pip_package": package,
            "required_params": required,
            "optional_params": options,
            "description": description,
        }

    @classmethod
    def _name(cls, store_type: str) -> str:
        name = _ALIASES.get(store_type.lower(), store_type.lower())
        if name not in cls._classes:
            known = ", ".join(sorted(cls._classes))
            raise MemoryConfigurationError(f"unknown vector store {store_type!r}", suggestion=f"known are {known}")
        return name


def create_development_store(embedding_dimension: int) -> IVectorStore:
    """Return a store in the file ``langswarm_dev_vectors.db`` of the current folder."""
    return VectorStoreFactory.create_sqlite_store("langswarm_dev_vectors.db", embedding_dimension)


def create_production_store(store_type: str, embedding_dimension: int, config: Mapping[str, Any]) -> IVectorStore:
    """Return a store; `config` are its connection options, and ``namespace``, ``metric`` and ``index_params``."""
    further = {name: config[name] for name in ("namespace", "metric", "index_params") if name in config}
    params = {name: value for name, value in config.items() if name not in further}
    return VectorStoreFactory.create_store(store_type, embedding_dimension, params, **further)


def create_auto_store(embedding_dimension: int, config: Mapping[str, Any] | None = None) -> IVectorStore:
    """Return the store that the options belong to; no server is asked.

    With ``url`` that is Qdrant, with ``api_key`` Pinecone, with ``host`` or ``persist_directory`` Chroma; SQLite
    otherwise.
    """
    config = dict(config or {})
    if "url" in config:
        return create_production_store("qdrant", embedding_dimension, config)
    if "api_key" in config:
        return create_production_store("pinecone", embedding_dimension, config)
    if "host" in config or "persist_directory" in config:
        return create_production_store("chroma", embedding_dimension, config)
    return create_production_store("sqlite", embedding_dimension, config)
