"""Vectors in Pinecone, serverless.

Pinecone shows a write some time after it has acknowledged it. It says with each write at which position of its log the
write stands, and with each query up to which position the query saw: a write here returns once a query has seen it.

A point's metadata are its payload, with keys of our own beside it, which no payload can have: the id, for Pinecone's
are ASCII; which keys hold integers, for all its numbers are floats; and which hold empty lists.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from ..errors import InvalidInputError, MemoryConfigurationError
from .batches import in_batches
from .checking import CheckedPoint, Floats, point_uuid, wrong_dimension
from .protocol import Condition, Range, Scalar, VectorHit, VectorPoint
from .served import (
    LOWEST,
    REFUSED,
    UNAVAILABLE,
    Conditions,
    Failure,
    ServedVectorStore,
    failure_of_status,
    require_package,
)

if TYPE_CHECKING:
    from pinecone import AsyncIndex, AsyncPinecone

ID, INTEGERS, EMPTY = "langswarm-id", "langswarm-integers", "langswarm-empty"
MAPPED = "uuid:"
"""Begins the ids that stand for others."""
KEY_VARIABLE = "PINECONE_API_KEY"
DEFAULT_NAMESPACE = "__default__"
VECTOR_FIELD = "_values"
"""The reserved name: an index with this one field is one of vectors, an index with any other one of documents."""
MOST_HITS = 10_000
PAGE = 100
MOST_QUERY_BYTES = 6_000
"""Ids to fetch stand in the URL."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
NOT_VISIBLE = Failure(True, "the write is done, and cannot be seen yet; wait longer, or write it again")


class PineconeVectorStore(ServedVectorStore):
    """Vectors in Pinecone.

    Args:
        index_name: Name of the index, made where it is missing: serverless, in `cloud` and `region`.
        dimension: Dimension of the vectors.
        api_key: Key of the project. None: the environment's ``PINECONE_API_KEY``.
        namespace: Part of the index. Empty: the default one.
        host: Host of the index, where it is known: the index must exist, and the control plane is not asked.
        control_host: URL of the control plane, where it is not Pinecone's own.
        cloud: Where a new index is made.
        region: Where a new index is made.
        wait: Seconds that a write waits until queries see it. 0: it does not wait, and the next query may miss it.
        timeout: Seconds that a request may take.
    """

    name = "pinecone"
    most_dimensions: ClassVar[int] = 20_000
    most_points: ClassVar[int] = 100
    most_bytes: ClassVar[int] = 1_900_000  # of 2 MB that a request may have

    def __init__(
        self,
        index_name: str = "langswarm-default",
        *,
        dimension: int,
        api_key: str | None = None,
        namespace: str | None = None,
        host: str | None = None,
        control_host: str | None = None,
        cloud: str = "aws",
        region: str = "us-east-1",
        wait: float = 30.0,
        timeout: float = 10.0,
    ) -> None:
        require_package("pinecone", extra="pinecone")
        super().__init__(index_name, dimension, timeout)
        self._key = api_key or os.environ.get(KEY_VARIABLE, "")
        if not self._key:
            raise MemoryConfigurationError(f"api_key, or {KEY_VARIABLE} in the environment, is needed", self.name)
        if isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
            raise MemoryConfigurationError("wait must be seconds, 0 or more", self.name)
        self._namespace = namespace or DEFAULT_NAMESPACE
        self._host, self._control_host = host, control_host
        self._cloud, self._region = cloud, region
        self._wait, self._request = wait, timeout
        self._timeout = timeout + wait
        self._client: AsyncPinecone | None = None
        self._opened: AsyncIndex | None = None
        self._written: int | None = None  # position of the last write

    @property
    def _index(self) -> AsyncIndex:
        assert self._opened is not None  # made by _connect, before any call
        return self._opened

    # --- life -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        from pinecone import AsyncPinecone

        self._client = AsyncPinecone(api_key=self._key, host=self._control_host, timeout=self._request)
        host = self._host or await self._find(self._client)
        self._opened = await self._client.index(host=host)
        stats = await self._index.describe_index_stats()
        if stats.dimension != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=stats.dimension or 0, wanted=self.dimension)
        if stats.metric not in (None, "cosine"):
            raise MemoryConfigurationError(
                f"the index {self.collection!r} compares by {stats.metric}, not by cosine", self.name
            )

    async def _find(self, client: AsyncPinecone) -> str:
        """Return the host of the index, made if it is missing."""
        from pinecone.errors import ConflictError, NotFoundError

        try:
            index = await client.indexes.describe(self.collection)
        except NotFoundError:
            with suppress(ConflictError):  # another process is making it
                await client.indexes.create(
                    name=self.collection,
                    schema={
                        "fields": {
                            VECTOR_FIELD: {"type": "dense_vector", "dimension": self.dimension, "metric": "cosine"}
                        }
                    },
                    deployment={"deployment_type": "managed", "cloud": self._cloud, "region": self._region},
                )
            index = await client.indexes.describe(self.collection)
        if index.host is None:
            raise self.failed("open", None, Failure(True, "the index is being made; try again in a minute"))
        return index.host

    async def _release(self) -> None:
        client, index, self._client, self._opened = self._client, self._opened, None, None
        if index is not None:
            await index.close()
        if client is not None:
            await client.close()

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of the client's means."""
        import httpx
        from pinecone import errors as driver

        if isinstance(error, driver.ApiError):
            return failure_of_status(error.status_code)
        if isinstance(error, driver.PineconeConnectionError | httpx.HTTPError):
            return UNAVAILABLE
        return REFUSED if isinstance(error, driver.PineconeError) else None

    # --- points -----------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._index.describe_index_stats()

    async def _write(self, points: list[CheckedPoint]) -> None:
        vectors = [
            {"id": _pinecone_id(one.id), "values": list(one.vector), "metadata": _metadata(one)} for one in points
        ]
        reply = await self._index.upsert(vectors=vectors, namespace=self._namespace)
        position = None if reply.response_info is None else reply.response_info.lsn_committed
        if position is not None:
            self._written = max(position, self._written or 0)

    async def _await_visible(self, points: list[CheckedPoint]) -> None:
        if self._written is not None:
            await self._until(self._reaches, self._written)
            return
        # Without positions: whether they are there at all. That an old point was replaced cannot be seen so.
        for start in range(0, len(points), self.most_ids):
            some = [point.id for point in points[start : start + self.most_ids]]
            await self._until(self._sees, some, len(some))

    async def _until(self, holds: Any, *arguments: Any) -> None:
        """Return once something holds, asked again and again.

        Raises:
            VectorStoreError: It does not within the time to wait.
        """
        if not self._wait:
            return
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._wait, FIRST_PAUSE
        while not await holds(*arguments):
            if loop.time() > end:
                raise self.failed("upsert or delete", None, NOT_VISIBLE)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _reaches(self, position: int) -> bool:
        reply = await self._index.query(vector=self._any(), top_k=1, namespace=self._namespace)
        # None: this index does not say; then there is nothing to wait for.
        seen = None if reply.response_info is None else reply.response_info.lsn_reconciled
        return seen is None or seen >= position

    async def _sees(self, ids: list[str] | None, count: int) -> bool:
        reply = await self._index.query(
            vector=self._any(),
            top_k=len(ids) if ids else 1,
            namespace=self._namespace,
            filter=None if ids is None else {ID: {"$in": ids}},
        )
        return len(reply.matches) == count

    def _any(self) -> list[float]:
        return [1.0] + [0.0] * (self.dimension - 1)

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        if limit > MOST_HITS:
            raise InvalidInputError(f"Pinecone returns {MOST_HITS} points at most, not {limit}")
        reply = await self._index.query(
            vector=list(vector), top_k=limit, namespace=self._namespace, filter=_filter(where), include_metadata=True
        )
        return [VectorHit(_id_of(one), one.score, _payload(one.metadata)) for one in reply.matches]

    async def _delete_ids(self, ids: list[str]) -> int:
        there = [point.id for point in await self._fetch(ids)]
        if there:
            await self._index.delete(ids=[_pinecone_id(one) for one in there], namespace=self._namespace)
            await self._until(self._sees, there, 0)
        return len(there)

    async def _delete_where(self, where: Conditions) -> int:
        if where:
            ids = [one async for page in self._pages(where) for one in page]
            batches = (ids[start : start + self.most_ids] for start in range(0, len(ids), self.most_ids))
            return sum([await self._delete_ids(batch) for batch in batches])
        count = await self._count()
        if count:
            await self._index.delete(delete_all=True, namespace=self._namespace)
            await self._until(self._sees, None, 0)
        return count

    async def _count(self) -> int:
        stats = await self._index.describe_index_stats()
        names = (self._namespace, "") if self._namespace == DEFAULT_NAMESPACE else (self._namespace,)
        return sum(stats.namespaces[name].vector_count for name in names if name in stats.namespaces)

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        found: list[VectorPoint] = []
        wanted = [_pinecone_id(one) for one in ids]
        for some in in_batches(wanted, PAGE, lambda one: len(quote(one)) + len("&ids="), MOST_QUERY_BYTES):
            reply = await self._index.fetch(ids=some, namespace=self._namespace)
            found += [VectorPoint(_id_of(one), one.values, _payload(one.metadata)) for one in reply.vectors.values()]
        return found

    async def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        token: str | None = None
        while True:
            async with self.calling("list_ids"):
                page, token = await (self._matching(where, token) if where else self._all(token))
            yield page
            if not token:
                return

    async def _matching(self, where: Conditions, token: str | None) -> tuple[list[str], str | None]:
        reply = await self._index.fetch_by_metadata(
            filter=_filter(where) or {}, namespace=self._namespace, limit=PAGE, pagination_token=token
        )
        return [_id_of(one) for one in reply.vectors.values()], reply.pagination.next if reply.pagination else None

    async def _all(self, token: str | None) -> tuple[list[str], str | None]:
        reply = await self._index.list_paginated(namespace=self._namespace, limit=PAGE, pagination_token=token)
        ids = [one.id for one in reply.vectors if one.id is not None]
        mapped = [one for one in ids if one.startswith(MAPPED)]
        if mapped:
            there = await self._index.fetch(ids=mapped, namespace=self._namespace)
            ids = [one for one in ids if not one.startswith(MAPPED)] + [_id_of(one) for one in there.vectors.values()]
        return ids, reply.pagination.next if reply.pagination else None

    async def _details(self) -> dict[str, Any]:
        stats = await self._index.describe_index_stats()
        counts = {name: found.vector_count for name, found in stats.namespaces.items()}
        return {"index_fullness": stats.index_fullness, "namespaces": counts}

    async def _drop(self, collection: str) -> bool:
        from pinecone.errors import NotFoundError

        assert self._client is not None  # made by _connect, before any call
        try:
            await self._client.indexes.delete(collection)
        except NotFoundError:
            return False
        return True


def _pinecone_id(point_id: str) -> str:
    return point_id if point_id.isascii() and not point_id.startswith(MAPPED) else MAPPED + point_uuid(point_id)


def _id_of(vector: Any) -> str:
    """Return the id of a point; what others have written says none."""
    return str((vector.metadata or {}).get(ID, vector.id))


def _metadata(point: CheckedPoint) -> dict[str, Any]:
    own = {
        INTEGERS: [key for key, value in point.payload.items() if type(value) is int],
        EMPTY: [key for key, value in point.payload.items() if value == []],
    }
    payload = {key: value for key, value in point.payload.items() if value != []}
    return {**payload, ID: point.id, **{key: keys for key, keys in own.items() if keys}}


def _payload(metadata: Mapping[str, Any] | None) -> dict[str, Scalar | list[str]]:
    given = metadata or {}
    payload = {key: value for key, value in given.items() if key not in (ID, INTEGERS, EMPTY)}
    payload |= {key: int(given[key]) for key in given.get(INTEGERS, ())}
    return payload | {key: [] for key in given.get(EMPTY, ())}


def _filter(where: Conditions) -> dict[str, Any] | None:
    """Return conditions in Pinecone's form. None: there are none."""
    parts = [part for key, condition in where.items() for part in _parts(key, condition)]
    return {"$and": parts} if len(parts) > 1 else next(iter(parts), None)


def _parts(key: str, condition: Condition) -> list[dict[str, Any]]:
    if isinstance(condition, Range):
        upper = [] if condition.lt is None else [{key: {"$lt": condition.lt}}]
        return [{key: {"$gte": LOWEST if condition.ge is None else condition.ge}}, *upper]
    if isinstance(condition, frozenset):
        return [{key: {"$in": sorted(condition)}}]
    return [{key: {"$eq": condition}}]  # of a list: one of its texts is equal
