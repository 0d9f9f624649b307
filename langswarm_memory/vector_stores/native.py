"""The documented classes of vector stores: one implementation over any store behind the protocol.

A class for each store says how its ``connection_params`` become that store; nothing else differs. Drivers are imported
when an object is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from ..errors import MemoryConfigurationError, UnsupportedOperationError, VectorStoreError
from ..interfaces.timestamps import Timestamp
from .documents import from_payload, to_payload
from .interfaces import (
    IVectorStore,
    VectorConnectionError,
    VectorDocument,
    VectorQuery,
    VectorQueryError,
    VectorResult,
    VectorStoreConfig,
)
from .protocol import Condition, Describes, Drops, Enumerates, VectorPoint, VectorStore


class NativeVectorStore(IVectorStore):
    """Documents in a vector store.

    Args:
        config: Its ``connection_params`` are those in ``defaults``; ``index_params`` are further arguments of the
            store's class.

    Raises:
        MemoryConfigurationError: An unknown or missing option.
        UnsupportedOperationError: Another metric than cosine.
    """

    store_type: ClassVar[str]
    collection_param: ClassVar[str]
    """Which of the options names the collection."""
    defaults: ClassVar[Mapping[str, Any]]
    required: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[tuple[str, ...]] = ()
    """Options that ``get_stats`` tells."""

    def __init__(self, config: VectorStoreConfig) -> None:
        for name in config.connection_params:
            if name not in self.defaults:
                near = get_close_matches(name, self.defaults, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(self.defaults)}"
                raise MemoryConfigurationError(f"unknown option {name!r}", self.store_type, suggestion=hint)
        self.config = config
        self.params: dict[str, Any] = {**self.defaults, **config.connection_params}
        for name in self.required:
            if not self.params[name]:
                raise MemoryConfigurationError(f"the option {name!r} is required", self.store_type)
        self._check_metric(config.metric)
        self._check_namespace(config.namespace)
        self.store = self._made(self.params[self.collection_param], config.embedding_dimension)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        """Return the store of a collection, not open."""
        raise NotImplementedError

    def _made(self, collection: str, dimension: int) -> VectorStore:
        try:
            return self._build(collection, dimension, **(self.config.index_params or {}))
        except TypeError as exc:
            if not self.config.index_params:
                raise
            given = ", ".join(self.config.index_params)
            raise MemoryConfigurationError(f"index_params do not fit: {given}", self.store_type) from exc

    def _check_metric(self, metric: str) -> None:
        if metric != "cosine":
            raise UnsupportedOperationError(
                self.store_type, f"the metric {metric!r}", "use cosine: of vectors of length 1 the order is the same"
            )

    def _check_namespace(self, namespace: str | None) -> None:
        if namespace is not None:
            raise UnsupportedOperationError(
                self.store_type, "namespaces", "use a collection for each, or a key of the metadata"
            )

    def _enumerating(self, feature: str) -> Enumerates:
        if not isinstance(self.store, Enumerates):
            raise UnsupportedOperationError(self.store_type, feature)
        return self.store

    async def connect(self) -> bool:
        """Connect, and make the collection where there is none; True."""
        try:
            await self.store.open()
        except VectorStoreError as exc:
            raise _as(VectorConnectionError, exc) from exc
        return True

    async def disconnect(self) -> bool:
        """Release everything; True."""
        await self.store.close()
        return True

    async def create_index(self, name: str, dimension: int, metric: str = "cosine") -> bool:
        """Make another collection beside this one, if it is not there yet; True."""
        self._check_metric(metric)
        store = self._made(name, dimension)
        try:
            await store.open()
        finally:
            await store.close()
        return True

    async def delete_index(self, name: str) -> bool:
        """Delete a collection with all its documents; False if there was none."""
        if not isinstance(self.store, Drops):
            raise UnsupportedOperationError(self.store_type, "delete_index", "delete the collection with its own tools")
        return await self.store.drop(name)

    async def upsert_documents(self, documents: Sequence[VectorDocument]) -> bool:
        """Store documents, or replace those of their ids; True."""
        await self.store.upsert([_point(document) for document in documents])
        return True

    async def query(self, query: VectorQuery) -> list[VectorResult]:
        """Return the nearest documents, best first."""
        try:
            hits = await self.store.query(query.embedding, limit=query.top_k, where=_conditions(query.filters))
        except VectorStoreError as exc:
            raise _as(VectorQueryError, exc) from exc
        found = []
        for hit in hits:
            if query.min_score is not None and hit.score < query.min_score:
                continue
            parts = from_payload(hit.payload, self.store_type, repr(hit.id))
            found.append(
                VectorResult(
                    hit.id,
                    parts.content if query.include_content else "",
                    parts.metadata if query.include_metadata else {},
                    hit.score,
                )
            )
        return found

    async def get_document(self, doc_id: str) -> VectorDocument | None:
        """Return a document, None if there is none."""
        for point in await self._enumerating("get_document").fetch([doc_id]):
            content, metadata, timestamp = from_payload(point.payload, self.store_type, repr(point.id))
            return VectorDocument(point.id, content, list(point.vector), metadata, timestamp)
        return None

    async def delete_documents(self, doc_ids: Sequence[str]) -> bool:
        """Delete documents; False if none of them was there."""
        return await self.store.delete(ids=doc_ids) > 0

    async def list_documents(self, limit: int = 100, filters: Mapping[str, Any] | None = None) -> list[str]:
        """Return ids in ascending order."""
        return await self._enumerating("list_documents").list_ids(limit=limit, where=_conditions(filters))

    async def get_stats(self) -> dict[str, Any]:
        """Return the number of documents, the type of the store, and its options that are no secret."""
        stats = {"total_vectors": await self.store.count(), "store_type": self.store_type}
        stats.update((name, self.params[name]) for name in self.shown)
        if isinstance(self.store, Describes):
            stats.update(await self.store.details())
        return stats

    async def health_check(self) -> bool:
        """Return whether the store answers."""
        try:
            await self.store.ping()
        except VectorStoreError:
            return False
        return True


class NativeSQLiteStore(NativeVectorStore):
    """Documents in a SQLite file. Files of version 0.2 are taken over when they are opened."""

    store_type = "sqlite"
    collection_param = "table_name"
    defaults: ClassVar[Mapping[str, Any]] = {"db_path": "langswarm_vectors.db", "table_name": "vectors"}
    shown = ("table_name", "db_path")

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .sqlite import SQLiteVectorStore

        return SQLiteVectorStore(self.params["db_path"], table=collection, dimension=dimension, **further)

    async def get_stats(self) -> dict[str, Any]:
        """Return also the dimension, which is that of every document."""
        return {**await super().get_stats(), "average_dimension": float(self.store.dimension)}


class NativePGVectorStore(NativeVectorStore):
    """Documents in PostgreSQL with pgvector."""

    store_type = "pgvector"
    collection_param = "table_name"
    defaults: ClassVar[Mapping[str, Any]] = {
        "dsn": None,
        "host": "localhost",
        "port": 5432,
        "database": "langswarm",
        "user": "postgres",
        "password": "postgres",
        "table_name": "vectors",
        "pool_min_size": 1,
        "pool_max_size": 10,
        "index_method": "hnsw",
    }
    shown = ("table_name",)

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .pgvector import PGVectorStore

        params = self.params
        single = () if params["dsn"] else ("host", "port", "database", "user", "password")
        return PGVectorStore(
            params["dsn"],
            table=collection,
            dimension=dimension,
            min_size=params["pool_min_size"],
            max_size=params["pool_max_size"],
            index_method=params["index_method"],
            **{name: params[name] for name in single},
            **further,
        )


class NativeRedisVectorStore(NativeVectorStore):
    """Documents in Redis with its search."""

    store_type = "redis"
    collection_param = "index_name"
    defaults: ClassVar[Mapping[str, Any]] = {
        "url": "redis://localhost:6379",
        "index_name": "idx:vectors",
        "key_prefix": "vectors:",
    }
    shown = ("index_name",)

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .redis import RedisVectorStore

        own = collection == self.params["index_name"]  # two indexes must not share their keys
        prefix = self.params["key_prefix"] if own else f"{collection}:"
        return RedisVectorStore(collection, dimension=dimension, url=self.params["url"], key_prefix=prefix, **further)


class NativeQdrantStore(NativeVectorStore):
    """Documents in Qdrant."""

    store_type = "qdrant"
    collection_param = "collection_name"
    defaults: ClassVar[Mapping[str, Any]] = {
        "url": "http://localhost:6333",
        "api_key": None,
        "collection_name": "langswarm_default",
        "prefer_grpc": False,
    }
    shown = ("collection_name", "url")

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .qdrant import QdrantVectorStore

        options = {name: self.params[name] for name in ("url", "api_key", "prefer_grpc")}
        return QdrantVectorStore(collection, dimension=dimension, **{**options, **further})

    async def get_stats(self) -> dict[str, Any]:
        """Return also the dimension and the metric."""
        stats = await super().get_stats()
        return {**stats, "vector_dimension": self.store.dimension, "distance_metric": "cosine"}


class NativeChromaStore(NativeVectorStore):
    """Documents in Chroma: a server, or a folder of this machine."""

    store_type = "chroma"
    collection_param = "collection_name"
    defaults: ClassVar[Mapping[str, Any]] = {
        "host": "localhost",
        "port": 8000,
        "collection_name": "langswarm_default",
        "persist_directory": None,
    }
    shown = ("collection_name", "host", "port", "persist_directory")

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .chroma import ChromaVectorStore

        options = {name: self.params[name] for name in ("host", "port", "persist_directory")}
        return ChromaVectorStore(collection, dimension=dimension, **{**options, **further})


class NativePineconeStore(NativeVectorStore):
    """Documents in Pinecone. ``environment`` is of its older service, and not needed any more."""

    store_type = "pinecone"
    collection_param = "index_name"
    defaults: ClassVar[Mapping[str, Any]] = {
        "api_key": None,
        "environment": None,
        "index_name": "langswarm-default",
    }
    required = ("api_key",)
    shown = ("index_name",)

    def _check_namespace(self, namespace: str | None) -> None:
        """Allow any: Pinecone has them."""

    def _build(self, collection: str, dimension: int, **further: Any) -> VectorStore:
        from .pinecone import PineconeVectorStore

        options: dict[str, Any] = {"api_key": self.params["api_key"]}
        if self.config.namespace is not None:
            options["namespace"] = self.config.namespace
        return PineconeVectorStore(collection, dimension=dimension, **{**options, **further})

    async def get_stats(self) -> dict[str, Any]:
        """Return also the dimension and the namespace."""
        stats = await super().get_stats()
        return {**stats, "dimension": self.store.dimension, "namespace": self.config.namespace}


def _point(document: VectorDocument) -> VectorPoint:
    time = None if document.timestamp is None else Timestamp.of(document.timestamp).isoformat()
    return VectorPoint(document.id, document.embedding, to_payload(document.content, document.metadata, time))


def _conditions(filters: Mapping[str, Any] | None) -> dict[str, Condition] | None:
    if filters is None:
        return None
    return {key: frozenset(value) if isinstance(value, list | tuple | set) else value for key, value in filters.items()}


def _as(cls: type[VectorStoreError], error: VectorStoreError) -> VectorStoreError:
    """Return an error of a class that this interface names, saying what the store's error says."""
    found = cls(error.message, backend=error.backend, details=error.details)
    found.operation, found.original_error = error.operation, error.original_error
    found.suggestion, found.retryable = error.suggestion, error.retryable
    return found
