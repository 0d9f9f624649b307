"""Vectors in Redis with its search module: Redis Stack, Redis 8, or a service that has ``FT.SEARCH``.

    {key_prefix}{id}    hash: id, embedding (float32, little-endian), payload (JSON), terms, and n:<key> for each number

Conditions on any key work without declaring keys beforehand: ``terms`` is a TAG field of one token for each key and
value, a digest, so that nothing of a caller's ever stands in a query. Ranges need a NUMERIC field: that of a key is
added to the index before the first point that has a number there is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import MemoryConfigurationError
from ..settings import RedisSettings
from .checking import CheckedPoint, Floats, pack, unpack, wrong_dimension
from .protocol import Range, Scalar, VectorHit, VectorPoint
from .redis_replies import Rows, is_unknown_index, mapping, rows, total
from .served import NO_ACCESS, REFUSED, UNAVAILABLE, Conditions, Failure, ServedVectorStore, require_package
from .terms import number_text, term, values_of

if TYPE_CHECKING:
    from ..repository.redis.commands import Commands

ALGORITHMS: Mapping[str, tuple[Any, ...]] = {
    "hnsw": ("M", 16, "EF_CONSTRUCTION", 200, "EF_RUNTIME", 100),
    "flat": (),
}
PAGE = 1_000
EVERYTHING = "*"
NUMBER = "n:"
"""Begins the names of the fields that hold numbers."""
INDEXING_POLL_SECONDS = 0.05

_UNAVAILABLE_CODES = ("BUSY", "LOADING", "MASTERDOWN", "TRYAGAIN", "OOM", "MISCONF")
_NO_ACCESS_CODES = ("NOAUTH", "WRONGPASS", "NOPERM")


class RedisVectorStore(ServedVectorStore):
    """Vectors in Redis.

    Args:
        index_name: Name of the index.
        dimension: Dimension of the vectors.
        url: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://path``.
        key_prefix: Begins the key of every point. An index covers all keys that begin with it: give each
            collection a prefix of its own. None: the name of the index and a colon.
        client: A ``redis.asyncio.Redis`` of the caller's, used instead of `url`.
        algorithm: ``"hnsw"``, approximate and quick, or ``"flat"``, exact.
        timeout: Seconds that a call may take.
    """

    name = "redis"
    most_dimensions: ClassVar[int] = 32_768
    deletes_by_page: ClassVar[bool] = True

    def __init__(
        self,
        index_name: str = "idx:vectors",
        *,
        dimension: int,
        url: str = "redis://localhost:6379",
        key_prefix: str | None = "vectors:",
        client: Any = None,
        algorithm: str = "hnsw",
        timeout: float = 10.0,
    ) -> None:
        require_package("redis", extra="redis")
        super().__init__(index_name, dimension, timeout)
        if algorithm not in ALGORITHMS:
            raise MemoryConfigurationError(f"algorithm must be one of {', '.join(ALGORITHMS)}", self.name)
        if key_prefix is not None and (not isinstance(key_prefix, str) or not key_prefix):
            raise MemoryConfigurationError("key_prefix must be text, or None", self.name)
        self._prefix = f"{index_name}:" if key_prefix is None else key_prefix
        self._algorithm = algorithm
        self._settings = RedisSettings(url=url, client=client, timeout=timeout)
        self._commands: Commands | None = None
        self._numeric: set[str] = set()

    @property
    def _redis(self) -> Commands:
        assert self._commands is not None  # made by _connect, before any call
        return self._commands

    # --- life -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        from ..repository.redis.client import connect

        self._commands = connect(self._settings)
        if self._redis.clustered:
            raise MemoryConfigurationError("a Cluster has no index over all its nodes", self.name)
        info = await self._info()
        if info is None:
            info = await self._create()
        self._check(info)
        while int(info[b"indexing"]):  # of points that were there before the index
            await asyncio.sleep(INDEXING_POLL_SECONDS)
            info = await self._info() or info

    async def _release(self) -> None:
        commands, self._commands = self._commands, None
        if commands is not None:
            await commands.close()

    async def _info_of(self, index: str) -> dict[bytes, Any] | None:
        """Return what the server says of an index. None: there is no such index."""
        from redis.exceptions import ResponseError

        try:
            return mapping(await self._redis.call("FT.INFO", index))
        except ResponseError as exc:
            if not is_unknown_index(exc):
                raise
            return None

    async def _info(self) -> dict[bytes, Any] | None:
        """Return what the server says of the index, and note of which keys it has the numbers."""
        info = await self._info_of(self.collection)
        if info is None:
            return None
        self._numeric = {
            field[b"identifier"].decode().removeprefix(NUMBER)
            for field in map(mapping, info[b"attributes"])
            if field[b"type"] == b"NUMERIC"
        }
        return info

    async def _create(self) -> dict[bytes, Any]:
        from redis.exceptions import ResponseError

        vector = ("TYPE", "FLOAT32", "DIM", self.dimension, "DISTANCE_METRIC", "COSINE", *ALGORITHMS[self._algorithm])
        schema = (
            *("terms", "TAG", "SEPARATOR", " ", "CASESENSITIVE"),
            *("embedding", "VECTOR", self._algorithm.upper(), len(vector), *vector),
        )
        try:
            await self._redis.call(
                "FT.CREATE", self.collection, "ON", "HASH", "PREFIX", 1, self._prefix, "SCHEMA", *schema
            )
        except ResponseError:
            # Another process may have been first; what it made is checked as any other.
            if (info := await self._info()) is not None:
                return info
            raise
        info = await self._info()
        if info is None:
            raise self.failed("open", None, UNAVAILABLE)
        return info

    def _vector_field(self, index: str, info: Mapping[bytes, Any]) -> dict[bytes, Any]:
        """Return what the server says of the field of the vectors; an index of somebody else's is refused."""
        fields = {field[b"identifier"]: field for field in map(mapping, info[b"attributes"])}
        if b"embedding" not in fields or b"terms" not in fields:
            raise MemoryConfigurationError(
                f"the index {index!r} was not made by this version",
                self.name,
                suggestion="use another index_name and key_prefix",
            )
        return fields[b"embedding"]

    def _check(self, info: Mapping[bytes, Any]) -> None:
        vector = self._vector_field(self.collection, info)
        found = int(vector[b"dim"])
        if found != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=found, wanted=self.dimension)
        if vector[b"distance_metric"] != b"COSINE":
            raise MemoryConfigurationError(f"the index {self.collection!r} does not compare by cosine", self.name)
        prefixes = [prefix.decode() for prefix in mapping(info[b"index_definition"])[b"prefixes"]]
        if prefixes != [self._prefix]:
            raise MemoryConfigurationError(
                f"the index {self.collection!r} covers keys that begin with {prefixes}, not {self._prefix!r}", self.name
            )

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of redis-py's means."""
        from redis import exceptions as driver

        if not isinstance(error, driver.RedisError):
            return None
        # What Redis calls the code of an error is the first word of its text, unless redis-py has a class for it.
        code = str(error).partition(" ")[0]
        no_access = (driver.AuthenticationError, driver.AuthorizationError, driver.NoPermissionError)
        if isinstance(error, no_access) or code in _NO_ACCESS_CODES:
            return NO_ACCESS
        unavailable = (driver.ConnectionError, driver.TimeoutError, driver.OutOfMemoryError)
        if isinstance(error, unavailable) or code in _UNAVAILABLE_CODES:
            return UNAVAILABLE
        if "unknown command" in str(error):
            return Failure(False, "the server needs the search module: Redis 8, or Redis Stack")
        return REFUSED

    # --- points -----------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._redis.call("PING")

    async def _write(self, points: list[CheckedPoint]) -> None:
        commands: list[tuple[Any, ...]] = []
        for point in points:
            key, fields = self._key(point.id), _fields(point)
            for name in fields[::2]:
                if name.startswith(NUMBER):
                    await self._declare(name.removeprefix(NUMBER))
            commands += [("DEL", key), ("HSET", key, *fields)]
        await self._redis.many(commands, whole=True)

    async def _declare(self, key: str) -> None:
        """Add the field for the numbers of a key to the index, if it is not there."""
        from redis.exceptions import ResponseError

        if key in self._numeric:
            return
        try:
            await self._redis.call(
                "FT.ALTER", self.collection, "SCHEMA", "ADD", NUMBER + key, "AS", _alias(key), "NUMERIC"
            )
        except ResponseError:
            await self._info()  # another writer may have been first
            if key not in self._numeric:
                raise
        self._numeric.add(key)

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        question = await self._question(where)
        if question is None:
            return []
        condition = question if question == EVERYTHING else f"({question})"
        found = await self._search(
            *(f"{condition}=>[KNN {limit} @embedding $vector AS distance]", "PARAMS", 2, "vector", pack(vector)),
            *("SORTBY", "distance", "ASC", "RETURN", 3, "id", "payload", "distance", "LIMIT", 0, limit),
        )
        return [
            VectorHit(fields[b"id"].decode(), 1.0 - float(fields[b"distance"]), json.loads(fields[b"payload"]))
            for _, fields in found
        ]

    async def _delete_ids(self, ids: list[str]) -> int:
        return int(await self._redis.call("UNLINK", *map(self._key, ids)))

    async def _delete_where(self, where: Conditions) -> int:
        deleted = 0
        while True:
            async with self.calling("delete"):
                question = await self._question(where)
                found = [] if question is None else await self._search(question, "NOCONTENT", "LIMIT", 0, PAGE)
                if not found:
                    return deleted
                deleted += int(await self._redis.call("UNLINK", *(key for key, _ in found)))

    async def _count(self) -> int:
        return total(await self._redis.call("FT.SEARCH", self.collection, EVERYTHING, "LIMIT", 0, 0, "DIALECT", 2))

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        rows = await self._redis.many([("HMGET", self._key(one), "id", "embedding", "payload") for one in ids])
        return [
            VectorPoint(one.decode(), unpack(vector), json.loads(payload)) for one, vector, payload in rows if vector
        ]

    async def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        async with self.calling("list_ids"):
            question = await self._question(where)
            if question is None:
                return
            reply, cursor = await self._redis.call(
                *("FT.AGGREGATE", self.collection, question, "LOAD", 1, "id", *self._options()),
                *("WITHCURSOR", "COUNT", PAGE),
            )
        while True:
            yield [fields[b"id"].decode() for _, fields in self._complete(rows(reply, aggregated=True))]
            if not cursor:
                return
            async with self.calling("list_ids"):
                reply, cursor = await self._redis.call("FT.CURSOR", "READ", self.collection, cursor, "COUNT", PAGE)

    async def _details(self) -> dict[str, Any]:
        info = await self._info_of(self.collection) or {}
        return {"memory_used": round(float(info.get(b"total_index_memory_sz_mb", 0)) * 1024**2)}

    async def _drop(self, collection: str) -> bool:
        info = await self._info_of(collection)
        if info is None:
            return False
        self._vector_field(collection, info)
        await self._redis.call("FT.DROPINDEX", collection, "DD")  # with the points
        return True

    def _key(self, point_id: str) -> str:
        return self._prefix + point_id

    # --- questions --------------------------------------------------------------------------------------------------

    def _options(self) -> tuple[Any, ...]:
        # The server's own time-out is half a second, after which it answers with what it has found by then.
        return ("TIMEOUT", max(1, int(1000 * (self._timeout or 0))), "DIALECT", 2)

    async def _search(self, *question: Any) -> Rows:
        reply = await self._redis.call("FT.SEARCH", self.collection, *question, *self._options())
        return self._complete(rows(reply))

    def _complete(self, found: Rows | None) -> Rows:
        if found is None:
            raise self.failed("query", None, Failure(True, "the server ran out of time; raise timeout"))
        return found

    async def _question(self, where: Conditions) -> str | None:
        """Return conditions in the language of the index. None: no point can match."""
        if any(isinstance(condition, Range) and key not in self._numeric for key, condition in where.items()):
            await self._info()  # another writer may have added a number meanwhile
        parts = []
        for key, condition in where.items():
            if isinstance(condition, Range):
                if key not in self._numeric:
                    return None
                low = "-inf" if condition.ge is None else number_text(condition.ge)
                high = "+inf" if condition.lt is None else f"({number_text(condition.lt)}"
                parts.append(f"@{_alias(key)}:[{low} {high}]")
            else:
                wanted: Iterable[Scalar] = sorted(condition) if isinstance(condition, frozenset) else (condition,)
                parts.append(f"@terms:{{{'|'.join(term(key, value) for value in wanted)}}}")
        return " ".join(parts) or EVERYTHING


def _fields(point: CheckedPoint) -> list[Any]:
    """Return names and values of the hash of a point."""
    terms = [term(key, text) for key, value in point.payload.items() for text in values_of(value)]
    fields = ["id", point.id, "embedding", pack(point.vector), "terms", " ".join(terms)]
    fields += ["payload", json.dumps(point.payload, ensure_ascii=False, separators=(",", ":"))]
    for key, value in point.payload.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            fields += [NUMBER + key, number_text(value)]
    return fields


def _alias(key: str) -> str:
    return f"n_{key}"
