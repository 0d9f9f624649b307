"""Earlier formats that keep one row per message: in SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...repository.values import is_clean
from .base import EarlierSession, EarlierSource, Reading, Row, no_summaries
from .layouts import TableLayout
from .records import MessageReader, read_session, read_summary, usable_id
from .sqlite_file import PLACE, SQLiteFile
from .values import Times

ORPHANS = "messages whose session's row is missing: carried into a session of that id"
ORPHAN_SUMMARIES = "summaries whose session's row is missing: carried into a session of that id"
DOUBLED = "sessions whose id an earlier row has: merged into that one"

_PLACES = "places_of_messages"


class SQLiteTablesSource(EarlierSource):
    """Sessions, messages and summaries in tables of a SQLite file. The order of messages is that of their insertion.

    Args:
        file: The file.
        layout: Which tables it has, and what their columns are called.
        times: How times are read.
    """

    def __init__(self, file: SQLiteFile, layout: TableLayout, times: Times) -> None:
        super().__init__(f"{layout.name} in {file.path}", times)
        self._file = file
        self._layout = layout
        self._messages_of = ""
        self._unique_ids = False
        self._unique_sessions = False

    async def open(self) -> None:
        """Open the file and see which indexes it has."""
        await self._file.open()
        await self._file.run(self._prepare)

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        layout = self._layout
        messages = quote_name(layout.messages)
        self._unique_ids = layout.message_id is not None and _is_indexed(
            connection, layout.messages, layout.message_id, unique=True
        )
        self._unique_sessions = layout.sessions is not None and _is_indexed(
            connection, layout.sessions, "session_id", unique=True
        )
        if _is_indexed(connection, layout.messages, "session_id"):
            source = f"{messages} m WHERE m.session_id IS ?"
        else:
            # Without an index every session would cost a walk through all messages. Temporary: the file stays as it is.
            connection.execute(f"DROP TABLE IF EXISTS temp.{_PLACES}")
            connection.execute(
                f"CREATE TEMP TABLE {_PLACES} AS SELECT session_id AS session, rowid AS row FROM {messages}"
            )
            connection.execute(f"CREATE INDEX temp.{_PLACES}_by_session ON {_PLACES} (session, row)")
            source = f"temp.{_PLACES} p CROSS JOIN {messages} m ON m.rowid = p.row WHERE p.session IS ?"
        self._messages_of = source

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        layout = self._layout
        seen: set[Any] = set()
        if layout.sessions is not None:
            name = quote_name(layout.sessions)
            async for page in self._file.pages(f'SELECT *, rowid AS "{PLACE}" FROM {name} ORDER BY rowid'):
                for row in page:
                    key = row["session_id"]
                    if not self._unique_sessions:
                        if key in seen:
                            reading.losses.add(DOUBLED)
                            continue
                        seen.add(key)
                    yield await self._session(reading, key, row)
        for kind, table, reason in (
            ("messages", layout.messages, ORPHANS if layout.sessions else ""),
            ("summaries", layout.summaries, ORPHAN_SUMMARIES),
        ):
            if table is None:
                continue
            others = [name for name in (layout.sessions, layout.messages if kind == "summaries" else None) if name]
            missing = " AND ".join(
                f"NOT EXISTS (SELECT 1 FROM {quote_name(other)} o WHERE o.session_id IS t.session_id)"
                if other == layout.messages
                else f"NOT EXISTS (SELECT 1 FROM {quote_name(other)} o WHERE o.session_id = t.session_id)"
                for other in others
            )
            query = (
                f"SELECT session_id, count(*) AS number FROM {quote_name(table)} t"
                f"{f' WHERE {missing}' if missing else ''} GROUP BY session_id ORDER BY min(t.rowid)"
            )
            async for page in self._file.pages(query):
                for row in page:
                    if reason:
                        reading.losses.add(reason, row["number"])
                    yield await self._session(reading, row["session_id"], None)

    async def _session(self, reading: Reading, key: Any, row: Row | None) -> EarlierSession:
        place = None if row is None else row[PLACE]
        session_id = usable_id(key, *(() if key is not None or place is None else (place,)))
        # A row without an id has no messages; those without one belong to a session whose row is missing.
        own = "0" if key is None and row is not None else "1"
        counted = await self._file.rows(f"SELECT count(*) AS number FROM {self._messages_of} AND {own}", key)
        metadata = await self._metadata(reading, key, session_id, row)

        async def pages() -> AsyncIterator[list[Message]]:
            reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=self._unique_ids)
            query = f'SELECT m.*, m.rowid AS "{PLACE}" FROM {self._messages_of} AND {own} ORDER BY m.rowid'
            async for page in self._file.pages(query, key):
                yield [reader.read(self._layout.message(_without_place(row), metadata), row[PLACE]) for row in page]

        async def summaries() -> Sequence[ConversationSummary]:
            query = (
                f'SELECT *, rowid AS "{PLACE}" FROM {quote_name(self._layout.summaries or "")} '
                f"WHERE session_id IS ? AND {own} ORDER BY rowid"
            )
            rows = await self._file.rows(query, key)
            return [read_summary(reading.record("summary", row), metadata, row[PLACE]) for row in rows]

        has_summaries = self._layout.summaries is not None
        return EarlierSession(metadata, counted[0]["number"], pages, summaries if has_summaries else no_summaries)

    async def _metadata(self, reading: Reading, key: Any, session_id: str, row: Row | None) -> SessionMetadata:
        columns: Row = {} if row is None else self._layout.session(_without_place(row))
        if row is None or not columns.get("created_at"):
            query = f"SELECT m.* FROM {self._messages_of} ORDER BY m.rowid"
            first, last = [
                (await self._file.rows(f"{query} {order} LIMIT 1", key) or [{}])[0] for order in ("ASC", "DESC")
            ]
            spare = SessionMetadata(session_id, created_at=reading.times.default)
            known = self._layout.orphan(first, spare) if first else {}
            ends = self._layout.message(last, spare) if last else {}
            times = reading.times_of_messages(known.get("created_at"), ends.get("timestamp"))
            columns = {**known, **times, **{name: value for name, value in columns.items() if value is not None}}
        if row is None and not (isinstance(key, str) and is_clean(key) and key == session_id):
            columns["session_id"] = key
        return read_session(reading.record("session", columns), session_id)


def quote_name(name: str) -> str:
    """Return the name of a table as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _without_place(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != PLACE}


def _is_indexed(connection: sqlite3.Connection, table: str, column: str, *, unique: bool = False) -> bool:
    quoted = quote_name(table)
    info = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
    keys = [row[1] for row in info if row[5]]
    if keys == [column]:
        return True
    for _, index, is_unique, _, partial in connection.execute(f"PRAGMA index_list({quoted})").fetchall():
        columns = [row[2] for row in connection.execute(f"PRAGMA index_info({quote_name(index)})")]
        if partial or not columns or columns[0] != column:
            continue
        if not unique or (is_unique and columns == [column]):
            return True
    return False
