"""Vectors in this process: for tests, for trying out, and as the shortest complete example of a vector store."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotConnectedError
from .checking import (
    CheckedPoint,
    check_dimension,
    check_id,
    check_ids,
    check_limit,
    check_points,
    check_selection,
    check_vector,
    check_where,
    matches,
)
from .exact import ExactIndex
from .protocol import Scalar, VectorHit, VectorPoint, Where

MAX_DIMENSION = 65_536


class InMemoryVectorStore:
    """Vectors in memory, searched exactly. They live as long as the object, closed or open.

    Args:
        dimension: Of every vector.
    """

    name = "in_memory"

    def __init__(self, *, dimension: int) -> None:
        self.dimension = check_dimension(dimension, self.name, most=MAX_DIMENSION)
        self._points: dict[str, CheckedPoint] = {}
        self._index = ExactIndex(dimension)
        self._open = False

    async def open(self) -> None:
        """Make the store usable; idempotent."""
        self._open = True

    async def close(self) -> None:
        """Refuse calls from now on; idempotent."""
        self._open = False

    async def ping(self) -> None:
        """Raise unless the store is open."""
        if not self._open:
            raise NotConnectedError("the vector store is not open", suggestion="call open() first")

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Store points, or replace those of their ids."""
        await self.ping()
        for point in check_points(points, self.dimension, self.name):
            self._points[point.id] = point
            self._index.put(point.id, point.vector)

    async def query(self, vector: Sequence[float], *, limit: int, where: Where | None = None) -> list[VectorHit]:
        """Return the nearest points that match, best first."""
        await self.ping()
        question, limit = check_vector(vector, self.dimension, self.name), check_limit(limit)
        among = self._matching(where) if where else None
        return [
            VectorHit(point_id, score, _copy(self._points[point_id]))
            for point_id, score in self._index.nearest(question, limit, among)
        ]

    async def delete(self, *, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by conditions; return how many there were."""
        await self.ping()
        chosen, conditions = check_selection(ids, where)
        found = [name for name in chosen if name in self._points] if chosen is not None else self._matching(conditions)
        for point_id in found:
            del self._points[point_id]
            self._index.drop(point_id)
        return len(found)

    async def count(self) -> int:
        """Return how many points there are."""
        await self.ping()
        return len(self._points)

    async def fetch(self, ids: Sequence[str]) -> list[VectorPoint]:
        """Return the points of these ids that exist, in the order of the ids."""
        await self.ping()
        found = (self._points[point_id] for point_id in check_ids(ids) if point_id in self._points)
        return [VectorPoint(point.id, list(point.vector), _copy(point)) for point in found]

    async def list_ids(self, *, limit: int, after: str | None = None, where: Where | None = None) -> list[str]:
        """Return a page of ids in ascending order, those above `after`."""
        await self.ping()
        limit, bound = check_limit(limit), "" if after is None else check_id(after)
        return sorted(point_id for point_id in self._matching(where) if point_id > bound)[:limit]

    def _matching(self, where: Where | None) -> list[str]:
        conditions = check_where(where)
        return [point.id for point in self._points.values() if matches(point.payload, conditions)]


def _copy(point: CheckedPoint) -> dict[str, Scalar | list[str]]:
    return {key: list(value) if isinstance(value, list) else value for key, value in point.payload.items()}
