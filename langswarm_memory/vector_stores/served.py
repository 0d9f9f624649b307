"""What stores on a server share: checks, life, time-outs, errors and paging; what is left to each is its translation.

A store says in ``failure`` what an error of its driver's means. Nothing else of a driver gets out of here.
"""

from __future__ import annotations

import asyncio
import heapq
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, TypeVar

from .._calls import Heeding
from .._lazy import installed
from ..errors import (
    LangSwarmMemoryError,
    MemoryConfigurationError,
    MissingDependencyError,
    NotConnectedError,
    VectorStoreError,
)
from .batches import in_batches, point_bytes
from .checking import (
    CheckedPoint,
    Floats,
    check_dimension,
    check_id,
    check_ids,
    check_limit,
    check_points,
    check_selection,
    check_vector,
    check_where,
)
from .protocol import Condition, VectorHit, VectorPoint, Where

T = TypeVar("T")
Conditions = Mapping[str, Condition]

LOWEST = -1.7976931348623157e308
"""The lowest finite number: where a range has no lower bound, a number is still asked for."""


class Failure(NamedTuple):
    """What an error of a driver means."""

    retryable: bool
    suggestion: str | None = None


UNAVAILABLE = Failure(True, "check that the server runs and is reachable")
REFUSED = Failure(False)
NO_ACCESS = Failure(False, "check the credentials, and what they may do")

_NO_ACCESS_STATUS = (401, 403, 407)
_RETRYABLE_STATUS = (408, 425, 429)


def failure_of_status(status: int | None) -> Failure:
    """Return what a status of HTTP means. None: there was no answer."""
    if status is None or status in _RETRYABLE_STATUS or status >= 500:
        return UNAVAILABLE
    return NO_ACCESS if status in _NO_ACCESS_STATUS else REFUSED


def require_package(package: str, extra: str) -> None:
    """Raise ``MissingDependencyError`` unless a package is installed."""
    if not installed(package):
        raise MissingDependencyError(package, extra=extra)


class ServedVectorStore(ABC):
    """A vector store behind a client.

    Args:
        collection: Where the points lie, as messages name it.
        dimension: Dimension of the vectors.
        timeout: Seconds that a call may take.
    """

    name: str
    most_dimensions: ClassVar[int] = 65_535
    most_points: ClassVar[int] = 500
    most_bytes: ClassVar[int] = 16_000_000
    most_ids: ClassVar[int] = 1_000
    deletes_by_page: ClassVar[bool] = False
    """Whether ``_delete_where`` makes many calls, each within ``calling``: the time-out is for one, not for all."""

    def __init__(self, collection: str, dimension: int, timeout: float) -> None:
        if not isinstance(collection, str) or not collection:
            raise MemoryConfigurationError("the name of the collection must be text", self.name)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise MemoryConfigurationError("timeout must be seconds above 0", self.name)
        self.collection = collection
        self.dimension = check_dimension(dimension, self.name, most=self.most_dimensions)
        self._timeout: float | None = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(collection={self.collection!r}, dimension={self.dimension})"

    # --- what each store is asked for -------------------------------------------------------------------------------

    @abstractmethod
    async def _connect(self) -> None:
        """Make the client, and the collection where there is none; check the dimension."""

    @abstractmethod
    async def _release(self) -> None:
        """Let go of the client, if there is one."""

    @abstractmethod
    async def _ping(self) -> None: ...

    @abstractmethod
    async def _write(self, points: list[CheckedPoint]) -> None: ...

    async def _await_visible(self, points: list[CheckedPoint]) -> None:  # noqa: B027  # most stores show them at once
        """Return once the next query sees the points, which have been written."""

    @abstractmethod
    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]: ...

    @abstractmethod
    async def _delete_ids(self, ids: list[str]) -> int: ...

    @abstractmethod
    async def _delete_where(self, where: Conditions) -> int: ...

    @abstractmethod
    async def _count(self) -> int: ...

    @abstractmethod
    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        """Return the points there are, in any order."""

    @abstractmethod
    def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        """Yield the ids of all points that match, in any order; each call within ``calling``."""

    async def _details(self) -> dict[str, Any]:
        raise NotImplementedError

    async def _drop(self, collection: str) -> bool:
        raise NotImplementedError

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of the driver's means. None: it is not the driver's."""
        raise NotImplementedError

    # --- calls ------------------------------------------------------------------------------------------------------

    def calling(self, operation: str) -> _Call:
        """Return a block in which the driver may be called; only our errors get out of it."""
        return _Call(self, operation, self._timeout)

    def translate(self, operation: str, error: BaseException) -> VectorStoreError | None:
        """Return our error for one of the driver's, or of the network's. None: it is neither."""
        found = UNAVAILABLE if isinstance(error, OSError) else self.failure(error)
        return None if found is None else self.failed(operation, error, found)

    def failed(self, operation: str, error: BaseException | None, failure: Failure) -> VectorStoreError:
        """Return our error."""
        ours = VectorStoreError(self.name, operation, error, failure.suggestion)
        ours.retryable = failure.retryable
        return ours

    def _ready(self) -> None:
        if self._loop is None:
            raise NotConnectedError(f"{self.name}: the store is not open", suggestion="await store.open()")
        if self._loop is not asyncio.get_running_loop():
            raise NotConnectedError(
                f"{self.name}: the connections belong to another event loop", suggestion="use one store per event loop"
            )

    # --- VectorStore ------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and make the collection where there is none; idempotent."""
        async with self._opening:
            if self._loop is not None:
                return self._ready()
            try:
                async with self.calling("open"):
                    await self._connect()
                self._loop = asyncio.get_running_loop()
            finally:
                if self._loop is None:
                    await self._release()

    async def close(self) -> None:
        """Release everything; idempotent."""
        async with self._opening:
            self._loop = None
            await self._release()

    async def ping(self) -> None:
        """Make one round trip, or raise."""
        self._ready()
        async with self.calling("ping"):
            await self._ping()

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Store points, or replace those of their ids; in several requests where they are many."""
        checked = check_points(points, self.dimension, self.name)
        self._ready()
        for batch in in_batches(checked, self.most_points, point_bytes, self.most_bytes):
            async with self.calling("upsert"):
                await self._write(batch)
        if checked:
            async with self.calling("upsert"):
                await self._await_visible(checked)

    async def query(self, vector: Sequence[float], *, limit: int, where: Where | None = None) -> list[VectorHit]:
        """Return the nearest points that match, best first."""
        question = check_vector(vector, self.dimension, self.name)
        most, conditions = check_limit(limit), check_where(where)
        self._ready()
        if most == 0 or _is_impossible(conditions):
            return []
        async with self.calling("query"):
            hits = await self._nearest(question, most, conditions)
        # 32-bit arithmetic leaves scores a little beyond 1.
        return [hit._replace(score=max(-1.0, min(1.0, hit.score))) for hit in hits]

    async def delete(self, *, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by conditions; return how many there were."""
        chosen, conditions = check_selection(ids, where)
        self._ready()
        if conditions is not None:
            if _is_impossible(conditions):
                return 0
            if self.deletes_by_page:
                return await self._delete_where(conditions)
            async with self.calling("delete"):
                return await self._delete_where(conditions)
        deleted = 0
        for batch in _sliced(chosen or [], self.most_ids):
            async with self.calling("delete"):
                deleted += await self._delete_ids(batch)
        return deleted

    async def count(self) -> int:
        """Return how many points there are."""
        self._ready()
        async with self.calling("count"):
            return await self._count()

    # --- Enumerates -------------------------------------------------------------------------------------------------

    async def fetch(self, ids: Sequence[str]) -> list[VectorPoint]:
        """Return the points of these ids that exist, in the order of the ids."""
        wanted = check_ids(ids)
        self._ready()
        found: dict[str, VectorPoint] = {}
        for batch in _sliced(wanted, self.most_ids):
            async with self.calling("fetch"):
                found.update((point.id, point) for point in await self._fetch(batch))
        return [found[one] for one in wanted if one in found]

    async def list_ids(self, *, limit: int, after: str | None = None, where: Where | None = None) -> list[str]:
        """Return a page of ids in ascending order, those above `after`.

        Such a store has no order of its ids: each page reads all that match.
        """
        most, conditions = check_limit(limit), check_where(where)
        if after is not None:
            check_id(after)
        self._ready()
        kept: list[str] = []
        if most == 0 or _is_impossible(conditions):
            return kept
        async for page in self._pages(conditions):
            kept = heapq.nsmallest(most, chain(kept, (one for one in page if after is None or one > after)))
        return kept

    # --- Describes, Drops -------------------------------------------------------------------------------------------

    async def details(self) -> dict[str, Any]:
        """Return what the store tells of itself besides the number of points."""
        self._ready()
        async with self.calling("details"):
            return await self._details()

    async def drop(self, collection: str) -> bool:
        """Remove a collection with all its points; return whether there was one."""
        self._ready()
        async with self.calling("drop"):
            return await self._drop(collection)


class _Call:
    """A time-out, and the translation of what goes wrong within."""

    __slots__ = ("_heeding", "_operation", "_store", "_timer")

    def __init__(self, store: ServedVectorStore, operation: str, timeout: float | None) -> None:
        self._store, self._operation = store, operation
        self._heeding, self._timer = Heeding(), asyncio.timeout(timeout)

    async def __aenter__(self) -> None:
        self._heeding.__enter__()
        await self._timer.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise self._store.failed(self._operation, late, UNAVAILABLE) from late
        self._heeding.__exit__(kind, error, trace)
        if error is None or isinstance(error, LangSwarmMemoryError):
            return
        ours = self._store.translate(self._operation, error)
        if ours is not None:
            raise ours from error


def _is_impossible(where: Conditions) -> bool:
    return any(isinstance(condition, frozenset) and not condition for condition in where.values())


def _sliced(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))
