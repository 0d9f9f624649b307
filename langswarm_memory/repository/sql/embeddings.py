"""Embeddings beside the messages, in the table of that name: they go with a message in the same transaction.

PostgreSQL searches them with pgvector, through an HNSW index per model. SQLite searches exactly: in memory with NumPy
where that is installed, else by sqlite-vec where the interpreter can load it, else in plain Python. All give the same
answers.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError, MemoryConfigurationError
from ...interfaces.records import SessionMetadata
from ...recall.embedded import Embedded, Near
from ...vector_stores import exact
from ...vector_stores.checking import pack, unpack
from ...vector_stores.exact import ExactIndex
from ...vector_stores.sqlite_extension import SCORE, load_extension
from ...vector_stores.sqlite_thread import ConnectionThread
from ..text_search import SearchFilter
from .driver import SQLDriver
from .failures import translate
from .mapping import message_from_row
from .statements import Statement
from .text_search import COLUMNS, Arguments, narrow, scope_postgres, scope_sqlite, searchable_scope
from .vectors import index_name

if TYPE_CHECKING:
    from .sqlite import SQLiteDriver

WRITE_PAGE = 200  # rows per statement that stores
LOOK_AHEAD = 4  # how many more of the nearest are looked up where conditions drop some


class TableEmbeddings:
    """What both databases do alike.

    Args:
        driver: The database, open.
        model: Whose embeddings.
        dimension: Of each vector.
    """

    in_store = True

    def __init__(self, driver: SQLDriver, model: str, dimension: int) -> None:
        if not 1 <= len(model) <= 200 or not model.isprintable():
            raise MemoryConfigurationError("the name of an embedding model has 1 to 200 printable characters")
        self.driver, self.model, self.dimension = driver, model, dimension

    async def _run(self, operation: str, sql: str, args: Sequence[Any]) -> list[Any]:
        return await self.driver.fetch(operation, Statement(sql, (), {}), args)

    def check(self, vector: Sequence[float]) -> list[float]:
        """Return a vector as floats.

        Raises:
            MemoryConfigurationError: It has another dimension than the index; both are named.
        """
        if len(vector) != self.dimension:
            raise MemoryConfigurationError(
                f"a vector of {len(vector)} numbers was given to an index of {self.dimension}",
                self.driver.name,
                suggestion="give each model an index of its own: 'langswarm-memory reindex --model NAME'",
            )
        return [float(value) for value in vector]

    async def open(self) -> None:
        """See that what is stored has the dimension of the model."""
        sql = f"SELECT dimension FROM {self.table('embeddings')} WHERE model = {self.mark(1)} LIMIT 1"
        rows = await self._run("open", sql, [self.model])
        if rows and rows[0][0] != self.dimension:
            raise MemoryConfigurationError(
                f"the embeddings of {self.model} have {rows[0][0]} numbers, the model gives {self.dimension}",
                self.driver.name,
                suggestion="name the model otherwise, or drop the old index: 'langswarm-memory reindex --drop NAME'",
            )

    async def close(self) -> None:
        """Nothing is held."""

    def table(self, name: str) -> str:
        """Return a table's name as statements write it."""
        return name

    def mark(self, number: int) -> str:
        """Return the mark of a parameter."""
        return f"?{number}"

    async def known(
        self, session: SessionMetadata, message_ids: Collection[str] | None = None
    ) -> Mapping[str, str] | None:
        """Read the hashes of a session's embeddings."""
        sql = (
            f"SELECT m.message_id, e.content_hash FROM {self.table('embeddings')} e "
            f"JOIN {self.table('messages')} m ON m.session_id = e.session_id AND m.seq = e.seq "
            f"WHERE e.session_id = {self.mark(1)} AND e.model = {self.mark(2)}"
        )
        args = [session.session_id, self.model]
        if message_ids is not None:
            sql += f" AND m.message_id IN ({', '.join(self.mark(3 + n) for n in range(len(message_ids)))})"
            args += message_ids
        return {row[0]: row[1] for row in await self._run("known", sql, args)}

    async def count(self) -> int:
        """Count the embeddings of the model."""
        sql = f"SELECT count(*) FROM {self.table('embeddings')} WHERE model = {self.mark(1)}"
        return int((await self._run("count", sql, [self.model]))[0][0])

    async def models(self) -> list[tuple[str, int, int]]:
        """Count the embeddings of every model."""
        sql = f"SELECT model, max(dimension), count(*) FROM {self.table('embeddings')} GROUP BY model ORDER BY model"
        return [(row[0], int(row[1]), int(row[2])) for row in await self._run("models", sql, [])]


class SQLiteEmbeddings(TableEmbeddings):
    """Embeddings in SQLite. A search reads what changed since the last one, then computes every similarity.

    With sqlite-vec instead of NumPy nothing is held, and every search reads the vectors.
    """

    driver: SQLiteDriver
    _index: ExactIndex | None = None
    _stamp: tuple[Any, ...] = ()
    _scoring: ConnectionThread | None = None

    async def open(self) -> None:
        """As every one; and open a connection with sqlite-vec if it is needed and can be had."""
        await super().open()
        if exact.np is None and self._scoring is None:
            thread = ConnectionThread(self.driver.connect_raw, sqlite3.Error)
            if await thread.run(load_extension):
                self._scoring = thread
            else:
                await thread.close()

    async def close(self) -> None:
        """Close that connection."""
        thread, self._scoring = self._scoring, None
        if thread is not None:
            await thread.close()

    async def put(self, session: SessionMetadata, rows: Sequence[Embedded]) -> None:
        """Store embeddings. Those of messages that are gone meanwhile are passed over."""
        values = [
            (
                session.session_id,
                row.message.seq,
                self.model,
                self.dimension,
                row.hash,
                struct.pack(f"<{self.dimension}f", *self.check(row.vector)),
            )
            for row in rows
        ]
        # REPLACE gives a new rowid, by which other processes see the change.
        sql = (
            "INSERT OR REPLACE INTO embeddings (session_id, seq, model, dimension, content_hash, embedding) "
            "SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM messages WHERE session_id = ?1 AND seq = ?2)"
        )
        await self.driver.write_many("put", sql, values)

    async def drop(self, session_id: str, message_ids: Collection[str] | None = None) -> None:
        """Delete embeddings."""
        if message_ids is None:
            sql = "DELETE FROM embeddings WHERE session_id = ? AND model = ?"
            await self.driver.write_many("drop", sql, [(session_id, self.model)])
            return
        sql = (
            "DELETE FROM embeddings WHERE session_id = ?1 AND model = ?2 AND "
            "seq IN (SELECT seq FROM messages WHERE session_id = ?1 AND message_id = ?3)"
        )
        await self.driver.write_many("drop", sql, [(session_id, self.model, one) for one in message_ids])

    async def destroy(self) -> None:
        """Delete all embeddings of the model."""
        await self.driver.write_many("destroy", "DELETE FROM embeddings WHERE model = ?", [(self.model,)])

    async def sample(self, count: int) -> list[list[float]]:
        """Read some vectors."""
        sql = "SELECT embedding FROM embeddings WHERE model = ? ORDER BY random() LIMIT ?"
        return [list(unpack(row[0])) for row in await self._run("sample", sql, [self.model, count])]

    async def nearest_exactly(self, vector: list[float], where: SearchFilter, limit: int) -> list[Near]:
        """Compute every similarity, as always."""
        return await self.nearest(vector, where, limit)

    async def _loaded(self) -> ExactIndex:
        # SQLite gives the highest rowid again once its row is gone: so what the newest row holds is part of it.
        sql = (
            "SELECT count(*), newest.rowid, newest.session_id, newest.seq, newest.content_hash FROM embeddings, "
            "(SELECT rowid, session_id, seq, content_hash FROM embeddings WHERE rowid = "
            "(SELECT max(rowid) FROM embeddings WHERE model = ?1)) AS newest WHERE model = ?1"
        )
        stamp = tuple((await self._run("nearest", sql, [self.model]))[0])
        if self._index is None or stamp != self._stamp:
            rows = await self._run("nearest", "SELECT rowid, embedding FROM embeddings WHERE model = ?", [self.model])
            self._index = ExactIndex.of(self.dimension, [(str(row[0]), row[1]) for row in rows])
            self._stamp = stamp
        return self._index

    async def nearest(self, vector: Sequence[float], where: SearchFilter, limit: int) -> list[Near]:
        """Compute every similarity, of the messages in scope where there is one."""
        question = self.check(vector)
        if not searchable_scope(where) or not any(question):
            return []
        among: list[str] | None = None
        if narrow(where, None):
            bind = Arguments(self.mark)
            model = bind(self.model)
            conditions = " AND ".join(scope_sqlite(where, bind, self.driver.instant)) or "true"
            sql = (
                "SELECT e.rowid FROM sessions s JOIN messages m ON m.session_id = s.session_id "
                "JOIN embeddings e ON e.session_id = m.session_id AND e.seq = m.seq "
                f"WHERE e.model = {model} AND {conditions}"
            )
            among = [str(row[0]) for row in await self._run("nearest", sql, bind.values)]
        width = limit
        while True:
            best = await self._best(array("f", question), width, among)
            found = await self._joined(best, where)
            if len(found) >= limit or len(best) < width:
                return found[:limit]
            width *= LOOK_AHEAD

    async def _best(self, question: array[float], width: int, among: list[str] | None) -> list[tuple[str, float]]:
        """Return rowids and similarities of the nearest, best first."""
        if self._scoring is None:
            return (await self._loaded()).nearest(question, width, among)
        scope = "" if among is None else " AND rowid IN (SELECT value FROM json_each(?))"
        # In the order of an index in memory, which knows rows by their texts.
        sql = (
            f"SELECT CAST(rowid AS TEXT) AS id, {SCORE} AS score FROM embeddings WHERE model = ?{scope} "
            "ORDER BY score DESC, id LIMIT ?"
        )
        args = [pack(question), self.model, *([] if among is None else [f"[{','.join(among)}]"]), width]
        try:
            return await self._scoring.run(lambda connection: connection.execute(sql, args).fetchall())
        except sqlite3.Error as exc:
            raise translate(self.driver.name, "nearest", exc) from exc

    async def _joined(self, best: Sequence[tuple[str, float]], where: SearchFilter) -> list[Near]:
        bind = Arguments(self.mark)
        rowids = bind(f"[{','.join(rowid for rowid, _ in best)}]")
        conditions = " AND ".join(scope_sqlite(where, bind, self.driver.instant)) or "true"
        sql = (
            f"SELECT e.rowid, e.session_id, e.content_hash, {COLUMNS} FROM embeddings e "
            "JOIN messages m ON m.session_id = e.session_id AND m.seq = e.seq "
            "JOIN sessions s ON s.session_id = e.session_id "
            f"WHERE e.rowid IN (SELECT value FROM json_each({rowids})) AND {conditions}"
        )
        rows = {str(row[0]): row for row in await self._run("nearest", sql, bind.values)}
        return [
            Near(row[1], row[3], row[2], score, message_from_row(tuple(row)[3:]))
            for rowid, score in best
            if (row := rows.get(rowid)) is not None
        ]


INDEXED_DIMENSIONS = {"vector": 2_000, "halfvec": 4_000}  # what an HNSW index of pgvector 0.7 and later takes
EXACT_SCOPE = 2_000
"""Messages up to which all in scope are compared: the index would look at most of its vectors to find those."""


class PostgresEmbeddings(TableEmbeddings):
    """Embeddings in PostgreSQL with pgvector.

    Args:
        driver: The database.
        model: Whose embeddings.
        dimension: Of each vector. Up to 2,000 the index holds single precision, up to 4,000 half; above that there is
            no index, and a search reads them all.
        schema: Of the tables, quoted and with a dot behind it, or empty.
    """

    def __init__(self, driver: SQLDriver, model: str, dimension: int, schema: str = "") -> None:
        super().__init__(driver, model, dimension)
        self._schema = schema
        self._type = next((name for name, most in INDEXED_DIMENSIONS.items() if dimension <= most), "vector")
        self._literal = "'" + model.replace("'", "''") + "'"

    def table(self, name: str) -> str:
        """Return a table's name with its schema."""
        return self._schema + name

    def mark(self, number: int) -> str:
        """Return the mark of a parameter."""
        return f"${number}"

    async def open(self) -> None:
        """See that pgvector is there, and make the model's index where it is missing."""
        await super().open()
        await self.driver.make_vector_index(
            self.model,
            self.table("embeddings"),
            f"((embedding::{self._type}({self.dimension})) {self._type}_cosine_ops) WHERE model = {self._literal}",
            indexed=self.dimension <= INDEXED_DIMENSIONS["halfvec"],
        )

    async def put(self, session: SessionMetadata, rows: Sequence[Embedded]) -> None:
        """Store embeddings. Those of messages that are gone meanwhile are passed over."""
        sql = (
            f"INSERT INTO {self.table('embeddings')} (session_id, seq, model, dimension, content_hash, embedding) "
            "SELECT $1, g.seq, $2, $3, g.hash, g.embedding::real[] "
            "FROM unnest($4::bigint[], $5::text[], $6::text[]) AS g(seq, hash, embedding) "
            f"JOIN {self.table('messages')} m ON m.session_id = $1 AND m.seq = g.seq FOR KEY SHARE OF m "
            "ON CONFLICT (session_id, seq, model) DO UPDATE SET dimension = excluded.dimension, "
            "content_hash = excluded.content_hash, embedding = excluded.embedding"
        )
        for start in range(0, len(rows), WRITE_PAGE):
            page = rows[start : start + WRITE_PAGE]
            seqs = [row.message.seq for row in page]
            # As text: an array of arrays of numbers is one rectangle to PostgreSQL.
            vectors = ["{" + ",".join(map(repr, self.check(row.vector))) + "}" for row in page]
            hashes = [row.hash for row in page]
            await self._run("put", sql, [session.session_id, self.model, self.dimension, seqs, hashes, vectors])

    async def drop(self, session_id: str, message_ids: Collection[str] | None = None) -> None:
        """Delete embeddings."""
        sql = f"DELETE FROM {self.table('embeddings')} WHERE session_id = $1 AND model = $2"
        if message_ids is None:
            await self._run("drop", sql, [session_id, self.model])
            return
        these = f"SELECT seq FROM {self.table('messages')} WHERE session_id = $1 AND message_id = ANY($3::text[])"
        await self._run("drop", f"{sql} AND seq IN ({these})", [session_id, self.model, list(message_ids)])

    async def destroy(self) -> None:
        """Delete all embeddings of the model, and its index."""
        await self._run("destroy", f"DELETE FROM {self.table('embeddings')} WHERE model = $1", [self.model])
        await self.driver.write_many("destroy", f"DROP INDEX IF EXISTS {self._schema}{index_name(self.model)}", [()])

    async def sample(self, count: int) -> list[list[float]]:
        """Read some vectors."""
        sql = f"SELECT embedding FROM {self.table('embeddings')} WHERE model = $1 ORDER BY random() LIMIT $2"
        return [list(map(float, row[0])) for row in await self._run("sample", sql, [self.model, count])]

    async def nearest_exactly(self, vector: list[float], where: SearchFilter, limit: int) -> list[Near]:
        """Compute every similarity."""
        return self._near(await self._nearest(vector, where, limit, exact=True))

    async def nearest(self, vector: Sequence[float], where: SearchFilter, limit: int) -> list[Near]:
        """Ask the index; exactly, where conditions leave it with too little."""
        question = self.check(vector)
        if not all(value - value == 0 for value in question):
            raise InvalidInputError("a vector holds finite numbers")
        if not searchable_scope(where) or not any(question):
            return []
        if await self._scope(where) <= EXACT_SCOPE:
            return self._near(await self._nearest(question, where, limit, exact=True))
        rows = await self._nearest(question, where, limit, exact=False)
        if len(rows) < limit and narrow(where, None):
            rows = await self._nearest(question, where, limit, exact=True)
        return self._near(rows)

    def _near(self, rows: Sequence[Any]) -> list[Near]:
        return [Near(row[0], row[3], row[1], row[2], message_from_row(tuple(row)[3:])) for row in rows]

    async def _scope(self, where: SearchFilter) -> float:
        """Return how many messages the sessions in scope have; infinity where all sessions are."""
        if where.session_ids is None and where.user_id is None and where.agent_id is None and not where.tags:
            return math.inf
        bind = Arguments(self.mark)
        sessions = replace(where, roles=None, since=None, until=None, metadata={})
        conditions = " AND ".join(scope_postgres(sessions, bind, self.driver.instant))
        sql = (
            f"SELECT coalesce(sum(s.message_count), 0) FROM {self.table('sessions')} s "
            f"CROSS JOIN LATERAL (SELECT s.session_id) AS m WHERE {conditions}"
        )
        return float((await self._run("nearest", sql, bind.values))[0][0])

    async def _nearest(self, question: list[float], where: SearchFilter, limit: int, *, exact: bool) -> list[Any]:
        bind = Arguments(self.mark)
        kind = f"{self._type}({self.dimension})"
        asked = f"{bind('[' + ','.join(map(repr, question)) + ']')}::text::{kind}"
        if exact:  # as a subquery it is read once, and not again for each row
            asked = f"(SELECT {asked})"
        distance = f"e.embedding::{kind} <=> {asked}"
        conditions = " AND ".join(scope_postgres(where, bind, self.driver.instant)) or "true"
        # Added to, the distance is no longer what the index is ordered by.
        order = f"({distance}) + 0" if exact else distance
        sql = (
            f"SELECT e.session_id, e.content_hash, 1 - ({distance}), {COLUMNS} "
            f"FROM {self.table('embeddings')} e "
            f"JOIN {self.table('messages')} m ON m.session_id = e.session_id AND m.seq = e.seq "
            f"JOIN {self.table('sessions')} s ON s.session_id = e.session_id "
            f"WHERE e.model = {self._literal} AND {conditions} ORDER BY {order} LIMIT {bind(limit)}"
        )
        return await self._run("nearest", sql, bind.values)
