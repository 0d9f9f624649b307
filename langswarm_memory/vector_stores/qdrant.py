"""Vectors in Qdrant: a server, by REST or gRPC, or the client's own local mode.

A point's payload is the caller's, with ``_id`` beside it: Qdrant's own ids are UUIDs and numbers. An id that is a UUID
is kept as it is, any other is mapped to one. Vectors are stored with length 1: Qdrant does so itself, except for very
short ones, whose scores would be near 0.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import MemoryConfigurationError
from .checking import CheckedPoint, Floats, point_uuid, wrong_dimension
from .protocol import Condition, Range, VectorHit, VectorPoint
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
    from qdrant_client import AsyncQdrantClient, models

MEMORY = ":memory:"
ID = "_id"
PAGE = 1_000
PAYLOAD_INDEXES: Mapping[str, str] = {
    "session_id": "keyword",
    "user_id": "keyword",
    "agent_id": "keyword",
    "role": "keyword",
    "tags": "keyword",
    "timestamp": "float",
}
"""Keys that are indexed by default. Conditions on other keys work too, at the price of looking at every candidate."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_GRPC_RETRYABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")
_GRPC_STATUS = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}

_folders: dict[Path, tuple[AsyncQdrantClient, int]] = {}
"""Clients of folders that are open, and by how many stores: Qdrant lets one client at a time into a folder."""


class QdrantVectorStore(ServedVectorStore):
    """Vectors in Qdrant.

    Args:
        collection_name: Name of the collection.
        dimension: Dimension of the vectors.
        url: ``http://host:6333``, ``https://…``, or ``":memory:"`` for the client's local mode.
        api_key: Key of the server.
        path: Folder of the client's local mode, used instead of `url`: for up to some 20,000 points and one process.
        prefer_grpc: Whether points go by gRPC, at port `grpc_port`, rather than REST.
        grpc_port: Port of gRPC.
        payload_indexes: Key → type of Qdrant's index (``"keyword"``, ``"float"``, ``"integer"``, ``"bool"``, …) that
            is made where it is missing.
        exact: Whether to compare with every point rather than use the approximate index.
        client: An ``AsyncQdrantClient`` of the caller's, used instead of all above and not closed.
        timeout: Seconds that a call may take.
    """

    name = "qdrant"
    most_dimensions: ClassVar[int] = 65_535

    def __init__(
        self,
        collection_name: str = "langswarm_default",
        *,
        dimension: int,
        url: str = "http://localhost:6333",
        api_key: str | None = None,
        path: str | Path | None = None,
        prefer_grpc: bool = False,
        grpc_port: int = 6334,
        payload_indexes: Mapping[str, str] = PAYLOAD_INDEXES,
        exact: bool = False,
        client: Any = None,
        timeout: float = 10.0,
    ) -> None:
        require_package("qdrant_client", extra="qdrant")
        super().__init__(collection_name, dimension, timeout)
        if client is None and path is None and url != MEMORY and not str(url).startswith(("http://", "https://")):
            raise MemoryConfigurationError("url must begin with http:// or https://, or be ':memory:'", self.name)
        self._url, self._api_key, self._grpc, self._grpc_port = url, api_key, prefer_grpc, grpc_port
        self._folder = None if path is None or client is not None else Path(path).absolute()
        self._given = client
        self._indexes = dict(payload_indexes)
        self._exact = exact
        self._client: AsyncQdrantClient | None = None
        if url == MEMORY and client is None and path is None:
            self._given = self._make()  # kept over close() and open(), as the points are

    @property
    def _qdrant(self) -> AsyncQdrantClient:
        assert self._client is not None  # made by _connect, before any call
        return self._client

    # --- life -------------------------------------------------------------------------------------------------------

    def _make(self) -> AsyncQdrantClient:
        from qdrant_client import AsyncQdrantClient

        if self._folder is not None:
            return AsyncQdrantClient(path=str(self._folder))
        if self._url == MEMORY:
            return AsyncQdrantClient(location=MEMORY)
        return AsyncQdrantClient(
            url=self._url,
            api_key=self._api_key,
            prefer_grpc=self._grpc,
            grpc_port=self._grpc_port,
            timeout=math.ceil(self._timeout or 0),
            check_compatibility=False,  # it asks the server while it is made, and so blocks the event loop
        )

    async def _connect(self) -> None:
        if self._given is not None:
            self._client = self._given
        elif self._folder is not None:
            client, users = _folders.get(self._folder) or (self._make(), 0)
            _folders[self._folder] = client, users + 1
            self._client = client
        else:
            self._client = self._make()
        if not await self._qdrant.collection_exists(self.collection):
            await self._create()
        await self._check()

    async def _release(self) -> None:
        client, self._client = self._client, None
        if client is None or self._given is not None:
            return
        if self._folder is not None:
            users = _folders[self._folder][1] - 1
            if users:
                _folders[self._folder] = client, users
                return
            del _folders[self._folder]
        await client.close()

    async def _create(self) -> None:
        from qdrant_client import models
        from qdrant_client.http.exceptions import ApiException

        params = models.VectorParams(size=self.dimension, distance=models.Distance.COSINE)
        try:
            await self._qdrant.create_collection(self.collection, vectors_config=params)
        except (ApiException, _grpc_error(), ValueError):
            # Another writer may have been first; what it made is checked as any other.
            if not await self._qdrant.collection_exists(self.collection):
                raise

    async def _check(self) -> None:
        from qdrant_client import models

        info = await self._qdrant.get_collection(self.collection)
        params = info.config.params.vectors
        if not isinstance(params, models.VectorParams):
            raise MemoryConfigurationError(f"the collection {self.collection!r} holds named vectors", self.name)
        if params.size != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=params.size, wanted=self.dimension)
        if params.distance != models.Distance.COSINE:
            raise MemoryConfigurationError(
                f"the collection {self.collection!r} compares by {params.distance.value}, not by cosine", self.name
            )
        if self._is_local():
            return  # which has no such indexes, and warns of that
        for key, kind in self._indexes.items():
            if key not in info.payload_schema:
                await self._qdrant.create_payload_index(self.collection, key, models.PayloadSchemaType(kind), wait=True)

    def _is_local(self) -> bool:
        options = self._qdrant.init_options
        return options["path"] is not None or options["location"] == MEMORY

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of the client's means."""
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http import exceptions as driver

        if isinstance(error, driver.UnexpectedResponse):
            return failure_of_status(error.status_code)
        if isinstance(error, driver.ApiException | QdrantException):  # no answer; too many requests
            return UNAVAILABLE
        if isinstance(error, _grpc_error()):
            code = error.code().name
            return UNAVAILABLE if code in _GRPC_RETRYABLE else failure_of_status(_GRPC_STATUS.get(code, 400))
        if isinstance(error, sqlite3.Error):
            return UNAVAILABLE
        if isinstance(error, RuntimeError) and self._folder is not None and self._client is None:
            return Failure(True, "another process has the folder open; use a server")
        return REFUSED if isinstance(error, ValueError) and self._client is not None and self._is_local() else None

    # --- points -----------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._qdrant.collection_exists(self.collection)

    async def _write(self, points: list[CheckedPoint]) -> None:
        from qdrant_client import models

        structs = [
            models.PointStruct(
                id=_point_id(point.id), vector=_normal(point.vector), payload={**point.payload, ID: point.id}
            )
            for point in points
        ]
        await self._qdrant.upsert(self.collection, structs, wait=True)

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        from qdrant_client import models

        found = await self._qdrant.query_points(
            self.collection,
            query=_normal(vector),
            query_filter=_filter(where),
            search_params=models.SearchParams(exact=self._exact),
            limit=limit,
            with_payload=True,
        )
        return [VectorHit(_id_of(point), point.score, _payload_of(point)) for point in found.points]

    async def _delete_ids(self, ids: list[str]) -> int:
        from qdrant_client import models

        known = [_point_id(one) for one in ids]
        there = await self._qdrant.retrieve(self.collection, known, with_payload=False)
        if there:
            selector = models.PointIdsList(points=[point.id for point in there])
            await self._qdrant.delete(self.collection, selector, wait=True)
        return len(there)

    async def _delete_where(self, where: Conditions) -> int:
        from qdrant_client import models

        condition = _filter(where) or models.Filter(must=[])
        count = await self._qdrant.count(self.collection, condition, exact=True)
        if count.count:
            await self._qdrant.delete(self.collection, models.FilterSelector(filter=condition), wait=True)
        return count.count

    async def _count(self) -> int:
        return (await self._qdrant.count(self.collection, exact=True)).count

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        known = [_point_id(one) for one in ids]
        found = await self._qdrant.retrieve(self.collection, known, with_payload=True, with_vectors=True)
        return [VectorPoint(_id_of(point), _vector_of(point), _payload_of(point)) for point in found]

    async def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        place: Any = None
        while True:
            async with self.calling("list_ids"):
                points, place = await self._qdrant.scroll(
                    self.collection, _filter(where), limit=PAGE, offset=place, with_payload=[ID]
                )
            yield [_id_of(point) for point in points]
            if place is None:
                return

    async def _details(self) -> dict[str, Any]:
        info = await self._qdrant.get_collection(self.collection)
        return {"indexed_vectors": info.indexed_vectors_count or 0, "status": info.status.value}

    async def _drop(self, collection: str) -> bool:
        there = await self._qdrant.collection_exists(collection)
        return there and await self._qdrant.delete_collection(collection)


def _grpc_error() -> type[Any]:
    from grpc.aio import AioRpcError  # type: ignore[import-untyped]

    found: type[Any] = AioRpcError
    return found


def _point_id(point_id: str) -> str:
    return point_id if _UUID.fullmatch(point_id) else point_uuid(point_id)


def _id_of(point: Any) -> str:
    """Return the id of a point; what others have written has no ``_id``."""
    return str((point.payload or {}).get(ID, point.id))


def _payload_of(point: Any) -> dict[str, Any]:
    return {key: value for key, value in (point.payload or {}).items() if key != ID}


def _vector_of(point: Any) -> Sequence[float]:
    return [float(value) for value in point.vector]


def _normal(vector: Floats) -> list[float]:
    norm = math.hypot(*vector)
    return [value / norm for value in vector]


def _filter(where: Conditions) -> models.Filter | None:
    """Return conditions in Qdrant's form. None: there are none."""
    from qdrant_client import models

    if not where:
        return None
    return models.Filter(must=[_condition(key, condition) for key, condition in where.items()])


def _condition(key: str, condition: Condition) -> models.FieldCondition:
    from qdrant_client import models

    if isinstance(condition, Range):
        low = LOWEST if condition.ge is None else condition.ge
        return models.FieldCondition(key=key, range=models.Range(gte=low, lt=condition.lt))
    if isinstance(condition, frozenset):
        return models.FieldCondition(key=key, match=models.MatchAny(any=sorted(condition)))
    if isinstance(condition, str | bool):
        return models.FieldCondition(key=key, match=models.MatchValue(value=condition))
    # A match tells 1 from 1.0; a range does not.
    return models.FieldCondition(key=key, range=models.Range(gte=condition, lte=condition))
