"""What earlier software left in PostgreSQL: tables of the earlier package, and LangChain's message history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, Text, cast, func, inspect, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ...errors import StorageUnavailableError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...repository.sql.failures import DRIVER_ERRORS, translate
from .base import PAGE, EarlierSession, EarlierSource, Reading, Row, no_summaries
from .layouts import NOT_CARRIED, TableLayout
from .records import MessageReader, read_session, read_summary, usable_id
from .tables import ORPHAN_SUMMARIES, ORPHANS
from .values import Times

STORE = "postgres"
SYSTEM_COLUMNS = ("xmin", "ctid")  # the transaction that wrote a row, and where it lies


class PostgresTablesSource(EarlierSource):
    """Sessions, messages and summaries in tables of PostgreSQL, read as they are at one moment.

    PostgreSQL keeps no order of rows. Messages come in the order in which their transactions began, which is that of
    their insertion; those of one transaction (all of them after a restored dump) in the order of their timestamps.

    Args:
        engine: Disposed of when the source is closed.
        schema: Schema of the tables. None: the connection's own.
        layout: Which tables there are, and what their columns are called.
        place: The server, for people, without secrets.
        times: How times are read.
    """

    def __init__(self, engine: AsyncEngine, schema: str | None, layout: TableLayout, place: str, times: Times) -> None:
        super().__init__(f"{layout.name} in {place}", times)
        self._engine = engine
        self._schema = schema
        self._layout = layout
        self._connection: AsyncConnection | None = None
        self._tables: dict[str, Table] = {}

    async def open(self) -> None:
        """Connect, and begin the one transaction in which everything is read."""
        if self._connection is not None:
            return
        with _translated():
            connection = await self._engine.connect()
            try:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                names = [self._layout.sessions, self._layout.messages, self._layout.summaries]
                self._tables = await connection.run_sync(
                    lambda sync: reflected(sync, [name for name in names if name], self._schema)
                )
            except BaseException:
                await connection.close()
                raise
            self._connection = connection

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        with _translated():
            if connection is not None:
                await connection.close()
            await self._engine.dispose()

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        layout, tables = self._layout, self._tables
        messages = tables[layout.messages]
        own = None if layout.sessions is None else tables[layout.sessions]
        if own is not None:
            listing = select(own.c.session_id).order_by(own.c.created_at.asc().nulls_first(), own.c.session_id)
            for key in [row["session_id"] for row in await self._rows(listing)]:
                row = (await self._rows(_columns(own).where(own.c.session_id == key)))[0]
                yield await self._session(reading, key, row)
        for table, others, reason in self._orphaned(messages, own):
            missing = select(table.c.session_id, func.count().label("number")).group_by(table.c.session_id)
            for other in others:
                missing = missing.where(~select(1).where(other.c.session_id == table.c.session_id).exists())
            for row in await self._rows(missing.order_by(table.c.session_id)):
                if reason:
                    reading.losses.add(reason, row["number"])
                yield await self._session(reading, row["session_id"], None)

    def _orphaned(self, messages: Table, own: Table | None) -> list[tuple[Table, list[Table], str]]:
        parents = [own] if own is not None else []
        found = [(messages, parents, ORPHANS if parents else "")]
        if self._layout.summaries is not None:
            found.append((self._tables[self._layout.summaries], [*parents, messages], ORPHAN_SUMMARIES))
        return found

    async def _session(self, reading: Reading, key: Any, row: Row | None) -> EarlierSession:
        table = self._tables[self._layout.messages]
        session_id = usable_id(key)
        columns = {} if row is None else self._layout.session(row)
        history = _columns(table).where(table.c.session_id == key).order_by(*_insertion(table))
        if row is None:
            first = await self._rows(history.limit(1))
            spare = SessionMetadata(session_id, created_at=reading.times.default)
            columns = self._layout.orphan(first[0], spare) if first else {}
            if "timestamp" in table.c:
                last = select(func.max(table.c.timestamp).label("updated_at")).where(table.c.session_id == key)
                columns["updated_at"] = (await self._rows(last))[0]["updated_at"]
        if session_id != key:
            columns["session_id"] = key
        metadata = read_session(reading.record("session", columns), session_id)
        counted = await self._rows(select(func.count().label("number")).where(table.c.session_id == key))

        async def pages() -> AsyncIterator[list[Message]]:
            reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)
            with _translated():
                result = await self._connected().stream(history, execution_options={"yield_per": PAGE})
                try:
                    async for part in result.mappings().partitions():
                        yield [
                            reader.read(self._layout.message(dict(found), metadata), found.get("id")) for found in part
                        ]
                finally:
                    await result.close()

        async def summaries() -> Sequence[ConversationSummary]:
            summary_table = self._tables[self._layout.summaries or ""]
            query = _columns(summary_table).where(summary_table.c.session_id == key)
            rows = await self._rows(query.order_by(summary_table.c.created_at, summary_table.c.summary_id))
            return [read_summary(reading.record("summary", found), metadata, place) for place, found in enumerate(rows)]

        has_summaries = self._layout.summaries is not None
        return EarlierSession(metadata, counted[0]["number"], pages, summaries if has_summaries else no_summaries)

    async def _rows(self, query: Select[Any]) -> list[Row]:
        with _translated():
            result = await self._connected().execute(query)
            return [dict(row) for row in result.mappings()]

    def _connected(self) -> AsyncConnection:
        if self._connection is None:
            raise StorageUnavailableError(STORE, "read", suggestion="open the source first")
        return self._connection


def reflected(connection: Any, names: Sequence[str], schema: str | None) -> dict[str, Table]:
    """Return tables with the columns that they have in the database."""
    found = inspect(connection)
    metadata = MetaData()
    return {
        name: Table(
            name,
            metadata,
            *(Column(column["name"], column["type"]) for column in found.get_columns(name, schema=schema)),
            *(Column(column, Text, system=True) for column in SYSTEM_COLUMNS),
            schema=schema,
        )
        for name in names
    }


def _columns(table: Table) -> Select[Any]:
    """Return a query of all columns, JSON as its text: decoding it is ours, for whatever it turns out to be."""
    return select(
        *(
            cast(column, Text).label(column.name) if isinstance(column.type, JSONB) else column
            for column in table.columns
            if column.name not in (*NOT_CARRIED, *SYSTEM_COLUMNS)
        )
    )


def _insertion(table: Table) -> list[Any]:
    if "timestamp" not in table.c:
        return [table.c.id]
    return [func.age(table.c.xmin).desc(), table.c.timestamp, table.c.ctid]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DRIVER_ERRORS as exc:
        raise translate(STORE, "read", exc) from exc
