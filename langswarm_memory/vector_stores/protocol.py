"""The second seam: what a vector store must do. Scores mean the same everywhere: cosine similarity, -1 to 1.

    open close ping · upsert query delete count

Rules that the signatures do not say are in ``langswarm_memory.testing.VectorStoreConformance``, which every store
passes; NumPy's cosine is the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

Scalar: TypeAlias = str | int | float | bool
Payload: TypeAlias = Mapping[str, "Scalar | Sequence[str]"]
"""What is stored beside a vector: scalars, and lists of text (tags).

A key is a letter followed by letters, digits and underscores, 63 at most; an integer has 53 bits, a float is finite, a
text holds neither NUL nor lone surrogates. Anything else is an ``InvalidInputError``.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `ge` (inclusive) up to `lt` (exclusive); None: no bound."""

    ge: float | None = None
    lt: float | None = None


Condition: TypeAlias = "Scalar | frozenset[str] | Range"
"""Equal to a scalar, one of a set of texts, or within a range. On a list of texts: it holds the text, or one of the
set. Text differs by case and by spaces; 1 equals 1.0, and True equals neither."""

Where: TypeAlias = Mapping[str, Condition]
"""Conditions by payload key; all hold together, and none at all holds for every point. A point without the key does not
match."""


@dataclass(frozen=True, slots=True)
class VectorPoint:
    """A vector under an id. Writing an id again replaces the point whole."""

    id: str
    """Any text of 1 to 512 characters; adapters map it where their store wants another form."""
    vector: Sequence[float]
    payload: Payload = field(default_factory=dict)


class VectorHit(NamedTuple):
    """A point near to a question."""

    id: str
    score: float
    """Cosine similarity, -1 to 1; higher is closer."""
    payload: dict[str, Scalar | list[str]]


class VectorStore(Protocol):
    """A collection of vectors of one dimension. Raises ``VectorStoreError`` and ``MemoryConfigurationError`` only."""

    name: str
    dimension: int

    async def open(self) -> None:
        """Connect, and make the collection where there is none; idempotent.

        Raises:
            MemoryConfigurationError: The collection has another dimension; the message names both numbers.
            VectorStoreError: It cannot be reached (``retryable``), or refuses.
        """

    async def close(self) -> None:
        """Release everything; idempotent."""

    async def ping(self) -> None:
        """Make one round trip, or raise."""

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Store points, or replace those of their ids. What was acknowledged, the next query sees."""

    async def query(self, vector: Sequence[float], *, limit: int, where: Where | None = None) -> list[VectorHit]:
        """Return the nearest points that match, best first; as many as match, up to `limit`."""

    async def delete(self, *, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by conditions (exactly one is given); return how many there were."""

    async def count(self) -> int:
        """Return how many points there are."""


@runtime_checkable
class Enumerates(Protocol):
    """Optional: reading points without a question, for inspection, copying and checks."""

    async def fetch(self, ids: Sequence[str]) -> list[VectorPoint]:
        """Return the points of these ids that exist, in the order of the ids."""

    async def list_ids(self, *, limit: int, after: str | None = None, where: Where | None = None) -> list[str]:
        """Return a page of ids in ascending order (of the text), those above `after`."""


@runtime_checkable
class Drops(Protocol):
    """Optional: removing a collection, where deleting its points would leave something behind."""

    async def drop(self, collection: str) -> bool:
        """Remove a collection with all its points; return whether there was one."""


@runtime_checkable
class Describes(Protocol):
    """Optional: what a store tells of itself besides the number of points."""

    async def details(self) -> dict[str, Any]:
        """Return facts by name; see ``NativeVectorStore.get_stats``."""
