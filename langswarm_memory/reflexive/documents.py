"""Where lessons lie: any store of documents, or any vector store, which is then one of documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from ..errors import MemoryConfigurationError, UnsupportedOperationError
from ..vector_stores.documents import from_payload
from ..vector_stores.interfaces import IVectorStore, VectorDocument
from ..vector_stores.native import NativeVectorStore
from ..vector_stores.protocol import Enumerates, VectorStore

PAGE = 500
"""Documents that are read at once."""


class GivenVectorStore(NativeVectorStore):
    """The documents in a vector store that somebody made, and opens and closes.

    Args:
        store: Anything with the methods of ``VectorStore``.
    """

    store_type = "vector store"

    def __init__(self, store: VectorStore) -> None:  # not the parent's, which makes a store of a configuration
        self.store = store
        self.params: dict[str, Any] = {}

    def _made(self, collection: str, dimension: int) -> VectorStore:
        raise UnsupportedOperationError(self.store_type, "create_index", "make another store beside it")


def as_documents(store: Any) -> IVectorStore:
    """Return a store as one of documents.

    Raises:
        MemoryConfigurationError: It is no vector store.
    """
    if _has(store, "upsert_documents", "query", "get_document", "delete_documents", "list_documents"):
        return cast(IVectorStore, store)
    if _has(store, "upsert", "query", "delete"):
        return GivenVectorStore(store)
    raise MemoryConfigurationError(
        f"a vector store has the methods of IVectorStore or of VectorStore, {type(store).__name__} has neither"
    )


async def every_document(
    documents: IVectorStore, limit: int, filters: Mapping[str, Any]
) -> AsyncIterator[VectorDocument]:
    """Yield documents in the order of their ids, those that match."""
    if isinstance(documents, NativeVectorStore) and isinstance(documents.store, Enumerates):
        after: str | None = None
        where = dict(filters)
        while ids := await documents.store.list_ids(limit=PAGE, after=after, where=where):
            after = ids[-1]
            for point in await documents.store.fetch(ids):
                content, metadata, timestamp = from_payload(point.payload, documents.store_type, repr(point.id))
                yield VectorDocument(point.id, content, list(point.vector), metadata, timestamp)
        return
    for name in await documents.list_documents(limit=limit, filters=dict(filters) or None):
        document = await documents.get_document(name)
        if document is not None:  # deleted since
            yield document


def _has(store: Any, *methods: str) -> bool:
    return all(callable(getattr(store, method, None)) for method in methods)


def numbers(vector: Sequence[float] | None) -> list[float] | None:
    """Return a vector as a list; None if there is none."""
    return None if vector is None or len(vector) == 0 else [float(value) for value in vector]
