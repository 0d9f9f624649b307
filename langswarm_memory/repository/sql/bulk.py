"""Many whole sessions in one transaction, rows handed to the driver as they are: COPY on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, Text, bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import Executable
from sqlalchemy.util import await_only

from ...errors import InvalidInputError, SessionExistsError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary
from .. import codec
from ..whole import WholeSession
from .failures import is_unique_violation
from .mapping import messages_from_rows, sqlite_text, summary_from_row
from .statements import MESSAGE_COLUMNS, SUMMARIES, M, S, Statement, parameter
from .types import JsonText, UTCDateTime

if TYPE_CHECKING:
    from .driver import SQLDriver

Rows = list[tuple[Any, ...]]

MESSAGE_NAMES = ("session_id", *MESSAGE_COLUMNS)
COUNTERS = ("revision", "message_count", "token_count", "last_seq")
SESSION_NAMES = (*codec.MetadataColumns._fields, *COUNTERS)
SUMMARY_NAMES = codec.SummaryColumns._fields
ID_PAGE = 500  # ids per IN list, as in units.py


class BulkRepository:
    """The part of the relational repository that moves whole sessions."""

    driver: SQLDriver

    def _statement(self, kind: Any, shape: Any = ()) -> Statement:
        raise NotImplementedError

    async def insert_whole(self, sessions: Sequence[WholeSession]) -> None:
        """Store new sessions in one transaction."""
        parts = _rows(sessions)
        await self.driver.unit("insert_whole", partial(_insert, parts=parts, copies=self.driver.copies), write=True)

    async def read_whole(
        self, session_ids: Sequence[str]
    ) -> dict[str, tuple[list[Message], list[ConversationSummary]]]:
        """Read sessions: one statement for the messages, one for the summaries."""
        found: dict[str, tuple[list[Message], list[ConversationSummary]]] = {one: ([], []) for one in session_ids}
        ids = list(found)
        for begin in range(0, len(ids), ID_PAGE):
            page = ids[begin : begin + ID_PAGE]
            values = {f"id_{place}": one for place, one in enumerate(page)}
            statement = self._statement(_read_messages, len(page))
            args = statement.args(values)
            rows = await self.driver.fetch("read_whole", statement, args)
            for row, message in zip(rows, messages_from_rows(rows), strict=True):
                found[row[-1]][0].append(message)
            statement = self._statement(_read_summaries, len(page))
            for row in await self.driver.fetch("read_whole", statement, statement.args(values)):
                summary = summary_from_row(row)
                found[summary.session_id or ""][1].append(summary)
        return found


def _rows(sessions: Sequence[WholeSession]) -> dict[Table, tuple[tuple[str, ...], Rows]]:
    session_rows: Rows = []
    message_rows: Rows = []
    summary_rows: Rows = []
    for metadata, messages, summaries in sessions:
        columns = codec.encode_metadata(metadata)
        session_id, tokens = columns.session_id, 0
        if len({message.message_id for message in messages}) < len(messages):
            raise InvalidInputError(f"session {session_id!r} holds a message id twice")
        for seq, message in enumerate(messages, 1):
            row = codec.encode_message(message)
            tokens += row.token_count
            message_rows.append((session_id, seq, *row))
        session_rows.append((*columns, 1, len(messages), tokens, len(messages)))
        summary_rows += [codec.encode_summary(summary) for summary in summaries]
    return {
        S: (SESSION_NAMES, session_rows),
        M: (MESSAGE_NAMES, message_rows),
        SUMMARIES: (SUMMARY_NAMES, summary_rows),
    }


def _insert(db: Session, parts: dict[Table, tuple[tuple[str, ...], Rows]], *, copies: bool) -> None:
    for table, (names, rows) in parts.items():
        if not rows:
            continue
        if table is not S:
            _insert_rows(db, table, names, rows, copies=copies)
            continue
        try:
            _insert_values(db, table, names, rows)
        except IntegrityError as exc:
            if is_unique_violation(exc):
                raise SessionExistsError(rows[0][0]) from exc
            raise


def _insert_rows(db: Session, table: Table, names: tuple[str, ...], rows: Rows, *, copies: bool) -> None:
    connection = db.connection()
    raw: Any = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        times = [place for place, name in enumerate(names) if isinstance(table.c[name].type, UTCDateTime)]
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
        raw.executemany(sql, [_with_texts(row, times) for row in rows])
    elif copies:
        # In the transaction that inserting the sessions has begun.
        schema = (connection.get_execution_options().get("schema_translate_map") or {}).get(None)
        await_only(raw.copy_records_to_table(table.name, records=rows, columns=list(names), schema_name=schema))
    else:
        _insert_values(db, table, names, rows)


def _insert_values(db: Session, table: Table, names: tuple[str, ...], rows: Rows) -> None:
    values = {name: bindparam(name, type_=_plain(table, name)) for name in names}
    db.execute(insert(table).values(values), [dict(zip(names, row, strict=True)) for row in rows])


def _plain(table: Table, name: str) -> Any:
    # JSON comes from the codec as text, and is not encoded again.
    return Text() if isinstance(table.c[name].type, JsonText) else table.c[name].type


def _with_texts(row: tuple[Any, ...], times: list[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in times:
        if values[place] is not None:
            values[place] = sqlite_text(values[place])
    return tuple(values)


def _read_messages(count: int) -> Executable:
    ids = [parameter(f"id_{place}", "session_id") for place in range(count)]
    columns = [M.c[name] for name in MESSAGE_COLUMNS]
    return select(*columns, M.c.session_id).where(M.c.session_id.in_(ids)).order_by(M.c.session_id, M.c.seq)


def _read_summaries(count: int) -> Executable:
    ids = [parameter(f"id_{place}", "session_id", SUMMARIES) for place in range(count)]
    order = (SUMMARIES.c.session_id, SUMMARIES.c.created_at, SUMMARIES.c.summary_id)
    return select(*SUMMARIES.c).where(SUMMARIES.c.session_id.in_(ids)).order_by(*order)
