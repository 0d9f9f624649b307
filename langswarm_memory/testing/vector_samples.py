"""Points to test vector stores with, and what NumPy says is near to what."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import MissingDependencyError
from ..vector_stores.protocol import VectorHit, VectorPoint, VectorStore

try:
    import numpy as np
except ModuleNotFoundError as exc:
    raise MissingDependencyError("numpy", extra="vectors") from exc

DIMENSION = 24
"""Of every collection that the suites ask for."""
TOLERANCE = 1e-3
"""How far a score may be from NumPy's: stores may index 16-bit floats."""


def direction(seed: int, dimension: int = DIMENSION) -> list[float]:
    """Return a vector of normally distributed numbers, the same for the same seed."""
    source = random.Random(seed)
    return [source.gauss(0, 1) for _ in range(dimension)]


def axis(number: int, dimension: int = DIMENSION) -> list[float]:
    """Return the unit vector along one axis."""
    return [1.0 if place == number else 0.0 for place in range(dimension)]


def point(number: int, /, **payload: Any) -> VectorPoint:
    """Return point ``p<number>``, its vector that of the number."""
    return VectorPoint(f"p{number:05}", direction(number), payload)


def points(count: int, /, **payload: Any) -> list[VectorPoint]:
    """Return points ``p00000`` and on, each with its number as payload ``n``."""
    return [point(number, n=number, **payload) for number in range(count)]


def oracle(question: Sequence[float], stored: Sequence[VectorPoint]) -> list[tuple[str, float]]:
    """Return every id with its cosine similarity to the question, best first."""
    matrix = np.asarray([each.vector for each in stored], dtype=np.float64)
    asked = np.asarray(question, dtype=np.float64)
    scores = matrix @ asked / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(asked))
    return [(stored[place].id, float(scores[place])) for place in np.argsort(-scores, kind="stable")]


async def ids_of(store: VectorStore, where: Mapping[str, Any] | None = None, limit: int = 100) -> set[str]:
    """Return the ids of the points that match."""
    return {hit.id for hit in await store.query(direction(0), limit=limit, where=where)}


def order(hits: Iterable[VectorHit]) -> list[str]:
    """Return the ids of hits, in their order."""
    return [hit.id for hit in hits]
