"""The documented interface of vector stores: documents with text, metadata and an embedding.

``IVectorStore`` is what applications call; ``protocol.VectorStore`` is what a store implements. The classes of
``native`` are the one over the other.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .. import errors
from ..errors import MemoryConnectionError, VectorStoreError
from ..interfaces.timestamps import now


class VectorConnectionError(VectorStoreError, MemoryConnectionError):
    """A vector store could not be opened; see ``retryable``. The store's own error is the cause."""


class VectorQueryError(VectorStoreError, errors.QueryError):
    """A vector store did not answer a question; see ``retryable``. The store's own error is the cause."""


ConnectionError = VectorConnectionError
QueryError = VectorQueryError


@dataclass
class VectorDocument:
    """A text with its embedding."""

    id: str
    """Any text of 1 to 512 characters. Empty: a new UUID."""
    content: str
    embedding: Sequence[float]
    metadata: dict[str, Any] = field(default_factory=dict)
    """Any JSON. By scalars and lists of text under keys that are identifiers, documents can be found."""
    timestamp: datetime | None = None
    """None: now. Naive: local time."""

    def __post_init__(self) -> None:
        if not self.id:
            self.id = str(uuid.uuid4())
        if self.timestamp is None:
            self.timestamp = now()


@dataclass
class VectorQuery:
    """A question."""

    embedding: Sequence[float]
    top_k: int = 10
    filters: Mapping[str, Any] | None = None
    """Conditions by metadata key, all together: equal to a scalar, one of several texts (a list or a set), a
    ``Range`` of numbers. On a list of texts: it holds the text, or one of them."""
    include_metadata: bool = True
    include_content: bool = True
    min_score: float | None = None
    """The least score of an answer, itself included."""


@dataclass
class VectorResult:
    """A document near to the question."""

    id: str
    content: str
    metadata: dict[str, Any]
    score: float
    """Cosine similarity, -1 to 1; higher is closer."""
    embedding: list[float] | None = None


@dataclass
class VectorStoreConfig:
    """Which store, where, and for what vectors."""

    store_type: str
    connection_params: dict[str, Any] = field(repr=False)  # it may hold a password
    embedding_dimension: int
    index_params: dict[str, Any] | None = None
    """Further arguments of the store's class."""
    namespace: str | None = None
    metric: str = "cosine"

    def __post_init__(self) -> None:
        if self.index_params is None:
            self.index_params = {}


class IVectorStore(ABC):
    """Documents and their embeddings. Failures raise; False and None say that there was nothing."""

    @abstractmethod
    async def connect(self) -> bool:
        """Connect, and make the collection where there is none; True.

        Raises:
            VectorConnectionError: The store cannot be reached, or refuses.
            MemoryConfigurationError: The collection has another dimension.
        """

    @abstractmethod
    async def disconnect(self) -> bool:
        """Release everything; True."""

    @abstractmethod
    async def create_index(self, name: str, dimension: int, metric: str = "cosine") -> bool:
        """Make another collection beside this one, if it is not there yet; True."""

    @abstractmethod
    async def delete_index(self, name: str) -> bool:
        """Delete a collection with all its documents; False if there was none."""

    @abstractmethod
    async def upsert_documents(self, documents: Sequence[VectorDocument]) -> bool:
        """Store documents, or replace those of their ids; True."""

    @abstractmethod
    async def query(self, query: VectorQuery) -> list[VectorResult]:
        """Return the nearest documents, best first.

        Raises:
            VectorQueryError: The store did not answer.
        """

    @abstractmethod
    async def get_document(self, doc_id: str) -> VectorDocument | None:
        """Return a document, None if there is none."""

    @abstractmethod
    async def delete_documents(self, doc_ids: Sequence[str]) -> bool:
        """Delete documents; False if none of them was there."""

    @abstractmethod
    async def list_documents(self, limit: int = 100, filters: Mapping[str, Any] | None = None) -> list[str]:
        """Return ids in ascending order."""

    @abstractmethod
    async def get_stats(self) -> dict[str, Any]:
        """Return ``total_vectors``, ``store_type`` and what else the store tells."""

    @abstractmethod
    async def health_check(self) -> bool:
        """Return whether the store answers."""
