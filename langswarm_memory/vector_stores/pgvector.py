"""Vectors in a PostgreSQL table of their own, by pgvector: HNSW with cosine distance, conditions on JSONB with GIN.

An HNSW index hands out its nearest rows first and the conditions drop what does not match, so that few rows, or none,
may be left. Three things stand against it: few matching rows are found by the GIN index and sorted exactly; for many,
the index goes on until there are enough (``hnsw.iterative_scan``); and if it stops early, the answer is computed
exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from ..errors import CorruptRecordError, MemoryConfigurationError, MissingDependencyError
from .checking import (
    CheckedPoint,
    Floats,
    check_id,
    check_identifier,
    check_limit,
    check_where,
    sizes,
    wrong_dimension,
)
from .pgvector_sql import conditions
from .protocol import Scalar, VectorHit, VectorPoint, Where
from .served import NO_ACCESS, REFUSED, UNAVAILABLE, Conditions, Failure, ServedVectorStore

try:
    import asyncpg
except ModuleNotFoundError as exc:
    raise MissingDependencyError("asyncpg", extra="postgres") from exc

INDEXED_DIMENSIONS, HALF_DIMENSIONS = 2_000, 4_000
"""The most that HNSW indexes as 32-bit and as 16-bit floats; https://github.com/pgvector/pgvector#hnsw."""
EXACT_ROWS = 1_000
"""So many matching rows are sorted exactly: a few milliseconds, and no row is missed."""
LONGEST_TABLE = 44
"""So that the name of the index, which holds that of the table, stays within PostgreSQL's 63 characters."""

_QUESTION = "$1::real[]::vector"
_OURS = ("id", "embedding", "payload")
_COLUMNS = "SELECT attname, atttypmod FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
_NO_ACCESS = ("28", "3D", "42501")
_UNAVAILABLE = ("08", "40", "53", "55", "57")


class PGVectorStore(ServedVectorStore):
    """Vectors in a PostgreSQL table; up to 4,000 dimensions with an HNSW index, up to 16,000 without.

    Args:
        url: Address of the database.
        dimension: Of every vector.
        table: Name of the table: letters, digits and underscores, 44 at most.
        schema: Its schema, made if it is not there. None: the first of the search path.
        index_method: "hnsw", or "none": every question is answered exactly, by reading all rows.
        m: Neighbours of a vector in the index.
        ef_construction: Candidates looked at when a vector is added.
        ef_search: Candidates looked at by a question; more find more of the nearest, and take longer.
        iterative_scan: "strict_order", or "relaxed_order", which is faster where conditions drop much.
        min_size: Connections that are kept open.
        max_size: The most connections at once.
        timeout: Seconds that a call may take.
        statement_cache_size: Statements that a connection keeps prepared; 0 behind a pooler in transaction mode.
        pool: A pool of asyncpg's that is used instead and not closed. The settings of the index are then its own.
        user: Instead of that in the address, as are the next.
        password: Never shown.
        host: Where there is no address.
        port: Its port.
        database: Name of the database.
    """

    name = "pgvector"
    most_dimensions = 16_000
    most_ids = 10_000

    def __init__(
        self,
        url: str | None = None,
        *,
        dimension: int,
        table: str = "langswarm_vectors",
        schema: str | None = None,
        index_method: Literal["hnsw", "none"] = "hnsw",
        m: int = 16,
        ef_construction: int = 64,
        ef_search: int = 64,
        iterative_scan: Literal["strict_order", "relaxed_order"] = "strict_order",
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 60.0,
        statement_cache_size: int = 100,
        pool: asyncpg.Pool | None = None,
        user: str | None = None,
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
    ) -> None:
        super().__init__(check_identifier(table, self.name, "table"), dimension, timeout)
        if len(table) > LONGEST_TABLE:
            raise MemoryConfigurationError(f"table must have at most {LONGEST_TABLE} characters", self.name)
        self._index_method = _one_of(index_method, ("hnsw", "none"), "index_method")
        self._m = _between(m, 2, 100, "m")
        self._ef_construction = _between(ef_construction, 2 * m, 1_000, "ef_construction")
        self._ef_search = _between(ef_search, 1, 1_000, "ef_search")
        self._iterative_scan = _one_of(iterative_scan, ("strict_order", "relaxed_order"), "iterative_scan")
        self._schema = None if schema is None else check_identifier(schema, self.name, "schema")
        self._table = f'"{schema}"."{table}"' if schema else f'"{table}"'
        if url is not None:
            url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._arguments = {
            "dsn": url,
            "user": user,
            "password": password,
            "host": host,
            "port": port,
            "database": database,
            "max_size": _between(max_size, 1, 10_000, "max_size"),
            "min_size": _between(min_size, 0, max_size, "min_size"),
            "statement_cache_size": _between(statement_cache_size, 0, 100_000, "statement_cache_size"),
        }
        self._given, self._pool = pool, pool
        # What the index compares: the column itself, or its 16-bit form, of which the column then holds unit vectors.
        self._halved = INDEXED_DIMENSIONS < dimension <= HALF_DIMENSIONS
        kind = f"halfvec({dimension})" if self._halved else None
        column = f"embedding::{kind}" if kind else "embedding"
        self._indexed = f"({column}) {'halfvec' if kind else 'vector'}_cosine_ops"
        self._distance = f"{column} <=> {_QUESTION}{'::' + kind if kind else ''}"

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of asyncpg's means."""
        if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
            return UNAVAILABLE  # the connection is gone
        if not isinstance(error, asyncpg.PostgresError):
            return None
        code = error.sqlstate or ""
        if code.startswith(_NO_ACCESS):
            return NO_ACCESS
        return UNAVAILABLE if code.startswith(_UNAVAILABLE) else REFUSED

    # --- life -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._given is None:
            try:
                self._pool = await asyncpg.create_pool(**self._arguments, init=self._prepare, reset=_keep_settings)
            except (ValueError, asyncpg.ClientConfigurationError):
                # The text of the error may quote the address, password included.
                raise MemoryConfigurationError("the address of the database cannot be read", self.name) from None
        async with self._connections.acquire() as connection, connection.transaction():
            await self._make(connection)

    async def _release(self) -> None:
        pool, self._pool = self._pool, self._given
        if self._given is None and pool is not None:
            pool.terminate()  # every call has ended, or was given up: nothing is worth waiting for

    @property
    def _connections(self) -> Any:
        assert self._pool is not None
        return self._pool

    async def _prepare(self, connection: Any) -> None:
        # Before the extension is loaded into the connection these are accepted whatever its version.
        await connection.execute(
            f"SET hnsw.iterative_scan = {self._iterative_scan}; SET hnsw.ef_search = {self._ef_search}"
        )

    async def _make(self, connection: Any) -> None:
        # CREATE … IF NOT EXISTS still fails when two do it at the same moment.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('langswarm_memory.vector_stores'))")
        await self._make_extension(connection)
        if self._schema and not await connection.fetchval("SELECT to_regnamespace($1)", f'"{self._schema}"'):
            await connection.execute(f'CREATE SCHEMA "{self._schema}"')
        found = {row["attname"]: row["atttypmod"] for row in await connection.fetch(_COLUMNS, self._table)}
        if not found:
            await self._make_table(connection)
        elif not set(_OURS) <= set(found):
            raise self._foreign(self.collection)
        elif found["embedding"] != self.dimension:
            raise wrong_dimension(self.name, self.collection, found=found["embedding"], wanted=self.dimension)

    async def _make_extension(self, connection: Any) -> None:
        if await connection.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
            return
        try:
            await connection.execute("CREATE EXTENSION vector")
        except asyncpg.InsufficientPrivilegeError as exc:
            raise MemoryConfigurationError(
                "the extension 'vector' is not in this database, and this user may not add it",
                self.name,
                suggestion="run as a superuser in this database: CREATE EXTENSION vector",
            ) from exc
        except (asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as exc:
            raise MemoryConfigurationError(
                "pgvector is not installed on the server",
                self.name,
                suggestion="install it (Debian: apt install postgresql-<version>-pgvector), then: "
                "CREATE EXTENSION vector",
            ) from exc

    async def _make_table(self, connection: Any) -> None:
        await connection.execute(
            # COLLATE "C": ids in the order of their code points, in every database.
            f'CREATE TABLE {self._table} (id text COLLATE "C" PRIMARY KEY, '
            f"embedding vector({self.dimension}) NOT NULL, payload jsonb NOT NULL)"
        )
        await connection.execute(
            f'CREATE INDEX "idx_{self.collection}_payload" ON {self._table} USING gin (payload jsonb_path_ops)'
        )
        if self._index_method == "hnsw" and self.dimension <= HALF_DIMENSIONS:
            await connection.execute(
                f'CREATE INDEX "idx_{self.collection}_embedding_hnsw" ON {self._table} USING hnsw ({self._indexed}) '
                f"WITH (m = {self._m}, ef_construction = {self._ef_construction})"
            )

    # --- calls ------------------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        await self._connections.fetchval("SELECT 1")

    async def _count(self) -> int:
        return int(await self._connections.fetchval(f"SELECT count(*) FROM {self._table}"))

    async def _write(self, points: list[CheckedPoint]) -> None:
        rows = [(point.id, self._stored(point.vector), json.dumps(point.payload)) for point in points]
        await self._connections.executemany(
            f"INSERT INTO {self._table} (id, embedding, payload) VALUES ($1, $2::real[]::vector, $3::text::jsonb) "
            "ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding, payload = excluded.payload",
            sorted(rows),  # two batches with the same ids lock them in the same order
        )

    def _stored(self, vector: Floats) -> list[float]:
        if not self._halved:
            return vector.tolist()
        length = math.hypot(*vector)
        return [value / length for value in vector]  # 16-bit floats end at 65,504

    async def _nearest(self, vector: Floats, limit: int, where: Conditions) -> list[VectorHit]:
        question = self._stored(vector)
        text, values = conditions(where, first=2)
        if where:
            # The limit stands in the text: with a parameter, PostgreSQL plans for a tenth of the table.
            most = max(EXACT_ROWS, limit)
            rows = await self._connections.fetch(
                f"WITH few AS MATERIALIZED (SELECT id, embedding, payload FROM {self._table} WHERE {text} "
                f"LIMIT {most + 1}), size AS MATERIALIZED (SELECT count(*) <= {most} AS fits FROM few) "
                f"SELECT id, 1 - (embedding <=> {_QUESTION}), payload::text, fits FROM few, size "
                f"ORDER BY CASE WHEN fits THEN embedding <=> {_QUESTION} END LIMIT {limit}",
                question,
                *values,
            )
            if not rows or rows[0]["fits"]:
                return self._hits(rows)
        statement = (
            f"SELECT id, 1 - (embedding <=> {_QUESTION}), payload::text FROM {self._table} WHERE {text} "
            f"ORDER BY {self._distance} LIMIT {limit}"
        )
        rows = await self._connections.fetch(statement, question, *values)
        if len(rows) < limit:  # there are no more, or the index has stopped early
            async with self._connections.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on")
                rows = await connection.fetch(statement, question, *values)
        return self._hits(rows)

    def _hits(self, rows: Sequence[Any]) -> list[VectorHit]:
        hits = [VectorHit(row[0], float(row[1]), self._payload(row[0], row[2])) for row in rows]
        # In order already, but for 16-bit distances and relaxed_order.
        return sorted(hits, key=lambda hit: -hit.score)

    def _payload(self, point_id: str, text: str) -> dict[str, Scalar | list[str]]:
        try:
            payload: dict[str, Scalar | list[str]] = {**json.loads(text)}
        except (TypeError, ValueError) as exc:
            raise CorruptRecordError(self.name, repr(point_id), exc) from exc
        return payload

    async def _delete_ids(self, ids: list[str]) -> int:
        return _deleted(await self._connections.execute(f"DELETE FROM {self._table} WHERE id = ANY($1::text[])", ids))

    async def _delete_where(self, where: Conditions) -> int:
        text, values = conditions(where, first=1)
        return _deleted(await self._connections.execute(f"DELETE FROM {self._table} WHERE {text}", *values))

    async def _fetch(self, ids: list[str]) -> list[VectorPoint]:
        rows = await self._connections.fetch(
            f"SELECT id, embedding::real[], payload::text FROM {self._table} WHERE id = ANY($1::text[])", ids
        )
        return [VectorPoint(row[0], list(row[1]), self._payload(row[0], row[2])) for row in rows]

    async def list_ids(self, *, limit: int, after: str | None = None, where: Where | None = None) -> list[str]:
        """Return a page of ids in ascending order, those above `after`; read from the primary key."""
        text, values = conditions(check_where(where), first=3)
        bound, most = "" if after is None else check_id(after), check_limit(limit)
        self._ready()
        async with self.calling("list_ids"):
            rows = await self._connections.fetch(
                f"SELECT id FROM {self._table} WHERE {text} AND id > $1 ORDER BY id LIMIT $2", bound, most, *values
            )
        return [row[0] for row in rows]

    async def _details(self) -> dict[str, Any]:
        size = await self._connections.fetchval("SELECT pg_total_relation_size(to_regclass($1))", self._table)
        return sizes("table", int(size))

    async def _drop(self, collection: str) -> bool:
        table = check_identifier(collection, self.name, "table")
        name = f'"{self._schema}"."{table}"' if self._schema else f'"{table}"'
        async with self._connections.acquire() as connection, connection.transaction():
            columns = {row[0] for row in await connection.fetch(_COLUMNS, name)}
            if columns and not set(_OURS) <= columns:
                raise self._foreign(table)
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
        return bool(columns)

    def _foreign(self, table: str) -> MemoryConfigurationError:
        return MemoryConfigurationError(
            f"the table {table!r} is there, and is not one of ours", self.name, suggestion="name another"
        )

    def _pages(self, where: Conditions) -> AsyncIterator[list[str]]:
        raise NotImplementedError  # list_ids() does without


async def _keep_settings(_connection: Any) -> None:
    """Leave a connection that is given back as it is: nothing here changes it, and a reset is a round trip."""


def _deleted(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _one_of(value: str, choices: tuple[str, ...], what: str) -> str:
    if value not in choices:
        raise MemoryConfigurationError(f"{what} must be one of {', '.join(choices)}; got {value!r}", "pgvector")
    return value


def _between(value: int, least: int, most: int, what: str) -> int:
    if type(value) is not int or not least <= value <= most:
        raise MemoryConfigurationError(f"{what} must be a whole number from {least} to {most}", "pgvector")
    return value
