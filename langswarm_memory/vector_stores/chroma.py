"""Vectors in Chroma: a server by HTTP, or a folder of this process.

Metadata are the payload, but for lists. Chroma 1.5 has lists, yet those of a deleted collection turn up in points that
are written later; so ``_lists`` keeps them as JSON, and a key for each text in them makes them findable.

Chroma adds new metadata to the old; keys that a point no longer has are therefore removed expressly. Two processes that
write one id at the same moment can leave keys of both, two tasks of one store cannot.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from .._calls import settle
from ..errors import MemoryConfigurationError
from .checking import CheckedPoint, Floats, wrong_dimension
from .protocol import Condition, Range, Scalar, VectorHit, VectorPoint
from .served import (
    LOWEST,
    UNAVAILABLE,
    Conditions,
    Failure,
    ServedVectorStore,
    failure_of_status,
    require_package,
)
from .terms import term

LISTS, HOLDS = "_lists", "_holds_"
PAGE = 1_000
CONFIGURATION = {"hnsw": {"space": "cosine", "ef_search": 100, "ef_construction": 200, "max_neighbors": 16}}

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")


class ChromaVectorStore(ServedVectorStore):
    """Vectors in Chroma.

    Args:
        collection_name: Name of the collection: 3 to 512 letters, digits, and ``.``, ``_``, ``-`` within.
        dimension: Dimension of the vectors.
        host: Server.
        port: Port.
        persist_directory: Folder, used instead of a server; one process at a time.
        ssl: Whether to use TLS. The server's certificate is then verified.
        headers: Sent with every request, for instance ``{"x-chroma-token": "…"}``.
        tenant: Tenant.
        database: Database.
        timeout: Seconds that a call to a server may take.
    """

    name = "chroma"
    most_dimensions: ClassVar[int] = 32_768
    deletes_by_page: ClassVar[bool] = True

    def __init__(
        self,
        collection_name: str = "langswarm_default",
        *,
        dimension: int,
        host: str = "localhost",
        port: int = 8000,
        persist_directory: str | Path | None = None,
        ssl: bool = False,
        headers: Mapping[str, str] | None = None,
        tenant: str = "default_tenant",
        database: str = "default_database",
        timeout: float = 10.0,
    ) -> None:
        require_package("chromadb", extra="chroma")
        super().__init__(collection_name, dimension, timeout)
        if not _NAME.fullmatch(collection_name):
            raise MemoryConfigurationError(
                "the name of a collection must be 3 to 512 letters, digits and . _ -, with a letter or digit at both "
                f"ends; got {collection_name!r}",
                self.name,
            )
        self._host, self._port, self._ssl, self._headers = host, port, ssl, dict(headers or {})
        self._tenant, self._database = tenant, database
        self._folder = None if persist_directory is None else Path(persist_directory).absolute()
        if self._folder is not None:
            self._timeout = None  # a thread cannot be interrupted
        self._client: Any = None
        self._made_with: Any = None
        self._points: Any = None
        self._writing = asyncio.Lock()

    # --- life -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        chromadb = await asyncio.to_thread(importlib.import_module, "chromadb")  # which takes a second or two
        settings = chromadb.config.Settings(
            anonymized_telemetry=False,
            chroma_server_ssl_verify=True if self._ssl else None,  # by default the client verifies nothing
        )
        where = {"tenant": self._tenant, "database": self._database, "settings": settings}
        self._made_with = settings
        if self._folder is not None:
            self._client = await self._call(chromadb.PersistentClient, str(self._folder), **where)
        else:
            self._client = await chromadb.AsyncHttpClient(
                host=self._host, port=self._port, ssl=self._ssl, headers=self._headers, **where
            )
        self._points = await self._collection(chromadb.errors.ChromaError, chromadb.errors.NotFoundError)
        await self._check()

    async def _release(self) -> None:
        client, settings, self._client, self._points, self._made_with = self._client, self._made_with, None, None, None
        if client is not None and self._folder is not None:
            await self._call(client.close)
        elif settings is not None and self._folder is None:
            await _close_connections(settings)

    async def _collection(self, refused: type[Exception], missing: type[Exception]) -> Any:
        # Not get_or_create: it would put our settings into a collection that has others.
        async def get() -> Any:
            return await self._call(self._client.get_collection, self.collection, embedding_function=None)

        try:
            return await get()
        except missing:
            pass
        try:
            return await self._call(
                self._client.create_collection,
                self.collection,
                configuration=dict(CONFIGURATION),
                metadata={"dimension": self.dimension},
                embedding_function=None,  # else the client downloads a model
            )
        except refused:
            return await get()  # another writer was first

    async def _check(self) -> None:
        settings = self._points.configuration_json  # `configuration` warns of what the client itself wrote
        index = settings.get("hnsw") or settings.get("spann") or {}
        if index.get("space") != "cosine":
            raise MemoryConfigurationError(
                f"the collection {self.collection!r} compares by {index.get('space')}, not by cosine", self.name
            )
        found = (self._points.metadata or {}).get("dimension")
        if found is None:  # a collection of somebody else's
            some = await self._call(self._points.get, limit=1, include=["embeddings"])
            found = len(some["embeddings"][0]) if some["ids"] else self.dimension
        if found != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=int(found), wanted=self.dimension)

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of the client's means."""
        import httpx
        from chromadb.errors import ChromaError, NotFoundError

        if isinstance(error, NotFoundError):
            return Failure(False, "the collection, tenant or database is gone; open the store again")
        if isinstance(error, ChromaError):
            return failure_of_status(error.code())
        if isinstance(error, httpx.HTTPError):
            return UNAVAILABLE
        cause = error.__cause__ or error.__context__
        if type(error) is Exception and isinstance(cause, httpx.HTTPStatusError):
            return failure_of_status(cause.response.status_code)  # the client has no class for this answer
        if isinstance(error, ValueError) and self._client is None:
            found = None if cause is None else self.failure(cause)
            return found or Failure(False, "check the tenant and the database")
        return None

    async def _call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call the client: the one for a server is awaited, the one for a folder runs in a thread."""
        if self._folder is None:
            return await function(*arguments, **options)
        return await settle(asyncio.to_thread(function, *arguments, **options))

    # --- points -----------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._call(self._client.heartbeat)

    async def _write(self, points: list[CheckedPoint]) -> None:
        ids = [point.id for point in points]
        async with self._writing:
            there = await self._call(self._points.get, ids=ids, include=["metadatas"])
            old = dict(zip(there["ids"], there["metadatas"], strict=True))
            await self._call(
                self._points.upsert,
                ids=ids,
                embeddings=[list(point.vector) for point in points],
                metadatas=[{**dict.fromkeys(old.get(one.id) or ()), **_metadata(one.payload)} for one in points],
            )

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        found = await self._call(
            self._points.query,
            query_embeddings=[list(vector)],
            n_results=limit,
            where=_where(where),
            include=["metadatas", "documents", "distances"],
        )
        rows = zip(found["ids"][0], found["distances"][0], found["metadatas"][0], found["documents"][0], strict=True)
        return [VectorHit(one, 1.0 - distance, _payload(metadata, text)) for one, distance, metadata, text in rows]

    async def _delete_ids(self, ids: list[str]) -> int:
        there = (await self._call(self._points.get, ids=ids, include=[]))["ids"]
        if there:
            await self._call(self._points.delete, ids=there)
        return len(there)

    async def _delete_where(self, where: Conditions) -> int:
        deleted = 0
        while True:
            async with self.calling("delete"):
                found = await self._call(self._points.get, where=_where(where), limit=PAGE, include=[])
                if not found["ids"]:
                    return deleted
                await self._call(self._points.delete, ids=found["ids"])
            deleted += len(found["ids"])

    async def _count(self) -> int:
        return int(await self._call(self._points.count))

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        found = await self._call(self._points.get, ids=ids, include=["metadatas", "documents", "embeddings"])
        rows = zip(found["ids"], found["embeddings"], found["metadatas"], found["documents"], strict=True)
        return [
            VectorPoint(one, [float(value) for value in vector], _payload(metadata, text))
            for one, vector, metadata, text in rows
        ]

    async def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        start = 0
        while True:
            async with self.calling("list_ids"):
                found = await self._call(self._points.get, where=_where(where), limit=PAGE, offset=start, include=[])
            yield found["ids"]
            start += PAGE
            if len(found["ids"]) < PAGE:
                return

    async def _details(self) -> dict[str, Any]:
        return {}

    async def _drop(self, collection: str) -> bool:
        from chromadb.errors import NotFoundError

        try:
            await self._call(self._client.delete_collection, collection)
        except NotFoundError:
            return False
        return True


async def _close_connections(settings: Any) -> None:
    """Close what a client for a server has opened.

    It has no way to do so itself; and where no server answered, there is not even a client.
    """
    from chromadb.api import AsyncServerAPI
    from chromadb.api.shared_system_client import SharedSystemClient

    systems = SharedSystemClient._identifier_to_system
    for identifier, system in list(systems.items()):
        if system.settings is settings:
            del systems[identifier]
            server: Any = system.instance(AsyncServerAPI)  # type: ignore[type-abstract]
            await server._cleanup()


def _metadata(payload: Mapping[str, Scalar | list[str]]) -> dict[str, Any]:
    lists = {key: value for key, value in payload.items() if isinstance(value, list)}
    metadata: dict[str, Any] = {key: value for key, value in payload.items() if key not in lists}
    metadata |= {HOLDS + term(key, text): True for key, texts in lists.items() for text in texts}
    metadata[LISTS] = json.dumps(lists)  # never without: Chroma takes no metadata without a key
    return metadata


def _payload(metadata: Mapping[str, Any] | None, text: str | None) -> dict[str, Any]:
    given = metadata or {}
    payload = {key: value for key, value in given.items() if not key.startswith("_")}
    payload |= json.loads(given.get(LISTS, "{}"))
    if text is not None:  # of a document that was written with Chroma's own client
        payload.setdefault("content", text)
    return payload


def _where(where: Conditions) -> dict[str, Any] | None:
    """Return conditions in Chroma's form. None: there are none."""
    return _joined("$and", [part for key, condition in where.items() for part in _parts(key, condition)])


def _joined(operator: str, parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {operator: parts} if len(parts) > 1 else next(iter(parts), None)


def _parts(key: str, condition: Condition) -> list[dict[str, Any]]:
    if isinstance(condition, Range):
        low = LOWEST if condition.ge is None else condition.ge
        upper = [] if condition.lt is None else [{key: {"$lt": condition.lt}}]
        return [{key: {"$gte": low}}, *upper]
    if isinstance(condition, frozenset | str):
        texts = sorted(condition) if isinstance(condition, frozenset) else [condition]
        return [{"$or": [{key: {"$in": texts}}, *({HOLDS + term(key, text): True} for text in texts)]}]
    return [{key: {"$eq": condition}}]
