"""The relational repository: hot primitives as compiled statements, the others as units of ORM work."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from ...errors import QueryError, SessionNotFoundError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...interfaces.timestamps import Timestamp
from .. import codec
from ..optional import IndexState
from ..protocol import (
    Appended,
    MessageQuery,
    Params,
    Rewrite,
    SessionQuery,
    SessionRecord,
    StoreFeatures,
    StoreStats,
)
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery
from . import statements, units
from .bulk import BulkRepository
from .driver import Batch, SQLDriver
from .mapping import ROLE, Row, messages_from_rows, record_from_row, summary_from_row
from .statements import Statement
from .text_search import LEADING, SPARE, narrow, searchable_scope

# What query() lets through. A read-only transaction is not enough: PostgreSQL counts COPY TO PROGRAM as reading, and
# BEGIN or SET would outlive the call. A comment that holds another one ends elsewhere on each database: refused.
_READS = re.compile(
    r"(?>(?:\s|\(|--[^\r\n]*|/\*(?:(?!/\*|\*/).)*\*/)*)(?:SELECT|WITH|VALUES|TABLE|EXPLAIN|SHOW)\b",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)

READING_BEGINS = "it begins with SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW; use orm(write=True) to write"

_BY_SEQ = itemgetter(0)
MORE_ROWS = 4  # how much longer the second read of a token window is, when the first was too short


class SQLRepository(BulkRepository):
    """Sessions in a relational database.

    Args:
        driver: The database. Opened and closed with the repository.
        persistent: Whether the data outlives the process.
    """

    def __init__(self, driver: SQLDriver, *, persistent: bool = True) -> None:
        self.driver = driver
        self.name = driver.name
        self.features = StoreFeatures(text_search=True, signals=driver.listens, persistent=persistent, cancel_safe=True)
        self._compiled: dict[Any, Statement] = {}

    def _statement(self, kind: Any, shape: Any = ()) -> Statement:
        key = (kind, shape)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self.driver.compile(kind(shape) if shape else kind())
        return found

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        await self.driver.open()

    async def close(self) -> None:
        """Close every connection."""
        await self.driver.close()

    async def ping(self) -> None:
        """Look up a session that cannot exist: one statement on the table that matters."""
        await self.driver.fetch("ping", self._statement(statements.fetch_session), ("",))

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session."""
        columns = codec.encode_metadata(metadata)
        await self.driver.unit("insert_session", partial(units.insert_session, columns=columns), write=True)
        return SessionRecord(codec.copy_metadata(metadata), 1, 0, 0, 0, 0)

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None: one statement."""
        statement = self._statement(statements.fetch_session)
        rows = await self.driver.fetch("fetch_session", statement, (session_id,))
        return record_from_row(rows[0]) if rows else None

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return a session and its newest messages: one statement. Of the query, only ``limit`` counts."""
        statement = self._statement(statements.fetch_with_newest)
        limit = codec.MAX_INT if query.limit is None else query.limit
        values = {"session": session_id, "limit": limit}
        rows = await self.driver.fetch("fetch_with_messages", statement, statement.args(values))
        if not rows:
            return None
        width = len(statements.SESSION_COLUMNS)
        return record_from_row(rows[0]), messages_from_rows([row[width:] for row in reversed(rows[1:])])

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        columns = codec.encode_metadata(metadata)
        work = partial(units.replace_session, columns=columns, expected_revision=expected_revision)
        return SessionRecord(
            codec.copy_metadata(metadata), *await self.driver.unit("replace_session", work, write=True)
        )

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page: one statement."""
        statement = self._statement(statements.list_sessions, statements.session_shape(query))
        values = statements.session_values(query, self.driver.instant)
        rows = await self.driver.fetch("list_sessions", statement, statement.args(values))
        return [record_from_row(row) for row in rows]

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions with all their data."""
        work = partial(units.delete_sessions, session_ids=session_ids)
        return await self.driver.unit("delete_sessions", work, write=True)

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        *,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Appended:
        """Append a batch: two statements on SQLite, one on PostgreSQL; more only when an id is stored already."""
        rows = [codec.encode_message(message) for message in messages]
        tokens = sum([row.token_count for row in rows])
        expiry = None if expires_at is None else Timestamp.of(expires_at).plain()
        batch = Batch(session_id, rows, tokens, Timestamp.of(now).plain(), expiry)
        reserved = await self.driver.append(batch)
        if reserved is None:
            work = partial(units.append, batch=batch, messages=messages, tells=self.driver.tells)
            return await self.driver.unit("append", work, write=True)
        last_seq, message_count = reserved
        return Appended(tuple(range(last_seq - len(rows) + 1, last_seq + 1)), len(rows), message_count, last_seq)

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages: one statement; a second one when there is nothing, or a token window was too short."""
        if query.max_tokens is not None:
            return await self._read_budget(session_id, query, query.max_tokens)
        rows = await self._read_rows(session_id, query)
        if not rows:
            await self._require(session_id)
        return messages_from_rows(rows)

    async def _read_rows(self, session_id: str, query: MessageQuery) -> list[Row]:
        statement = self._statement(statements.read_messages, statements.message_shape(query))
        values = statements.message_values(session_id, query, self.driver.instant)
        rows = await self.driver.fetch("read_messages", statement, statement.args(values))
        if query.keep_roles or query.max_tokens is not None:
            rows.sort(key=_BY_SEQ)
        elif query.newest_first:
            rows.reverse()
        return rows

    async def _require(self, session_id: str) -> None:
        if await self.fetch_session(session_id) is None:
            raise SessionNotFoundError(session_id)

    async def _read_budget(self, session_id: str, query: MessageQuery, budget: int) -> list[Message]:
        plain = replace(query, max_tokens=None)
        statement = self._statement(statements.read_messages, statements.message_shape(plain))
        args = statement.args(statements.message_values(session_id, plain, self.driver.instant))
        found = await self.driver.fetch_within("read_messages", statement, args, budget, query.keep_roles)
        if found is not None:
            if not found:
                await self._require(session_id)
            found.sort(key=_BY_SEQ)
            return messages_from_rows(found)
        return await self._read_estimated(session_id, query, budget)

    async def _read_estimated(self, session_id: str, query: MessageQuery, budget: int) -> list[Message]:
        # The statement reads as many rows as the budget holds at the session's mean size. When all of those fit and
        # the history goes on, the mean was misleading: then read by count, four times as many.
        rows = await self._read_rows(session_id, query)
        if not rows:
            await self._require(session_id)
            return []
        over, total = len(statements.MESSAGE_COLUMNS), len(statements.MESSAGE_COLUMNS) + 1
        fitting = [row for row in rows if row[over] is None or row[over] <= 0]
        if len(fitting) < len(rows) or len(rows) == rows[0][total]:
            return messages_from_rows(fitting)
        if query.limit is not None and sum(row[ROLE] not in query.keep_roles for row in rows) == query.limit:
            return messages_from_rows(fitting)
        return await self._read_longer(session_id, query, budget, messages_from_rows(fitting))

    async def _read_longer(
        self, session_id: str, query: MessageQuery, budget: int, found: list[Message]
    ) -> list[Message]:
        while True:
            others = [message for message in found if message.role not in query.keep_roles]
            limit = query.limit if query.limit is not None else None
            wanted = max(len(others), statements.SPARE_ROWS) * MORE_ROWS
            count = wanted if limit is None else min(wanted, limit)
            longer = await self.read_messages(session_id, replace(query, max_tokens=None, limit=count))
            kept = [message for message in longer if message.role in query.keep_roles]
            tail = [message for message in longer if message.role not in query.keep_roles]
            left = budget - sum(message.token_count or 0 for message in kept)
            fitting = 0
            for message in reversed(tail):
                left -= message.token_count or 0
                if left < 0:
                    break
                fitting += 1
            if fitting < len(tail) or len(tail) < count or count == limit:
                chosen = kept + tail[len(tail) - fitting :]
                return sorted(chosen, key=lambda message: message.seq or 0)
            found = longer

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq."""
        work = partial(units.delete_messages, session_id=session_id, through_seq=through_seq, keep_roles=keep_roles)
        return await self.driver.unit("delete_messages", work, write=True)

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages in one transaction."""
        rows = [codec.encode_message(message) for _, message in change.replaced]
        at = Timestamp.of(now)
        work = partial(
            units.rewrite, session_id=session_id, change=change, rows=rows, now=at.plain(), tells=self.driver.tells
        )
        return await self.driver.unit("rewrite", work, write=True)

    async def copy_session(
        self, session_id: str, metadata: SessionMetadata, *, through_seq: int | None
    ) -> SessionRecord:
        """Store a new session with messages of another, in one transaction that copies them in one statement."""
        columns = codec.encode_metadata(metadata)
        work = partial(units.copy_session, session_id=session_id, columns=columns, through_seq=through_seq)
        counters = await self.driver.unit("copy_session", work, write=True)
        return SessionRecord(codec.copy_metadata(metadata), 1, *counters, 0)

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary."""
        codec.encode_summary(summary)
        await self.driver.unit("put_summary", partial(units.put_summary, summary=summary), write=True)

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first: one statement; a second one when there is none."""
        statement = self._statement(statements.list_summaries)
        values = {"session": session_id, "limit": codec.MAX_INT if limit is None else limit}
        rows = await self.driver.fetch("list_summaries", statement, statement.args(values))
        if not rows:
            await self._require(session_id)
        return [summary_from_row(row) for row in rows]

    def signals(self, session_id: str) -> AbstractAsyncContextManager[Callable[[float], Awaitable[None]]]:
        """Listen for appends to a session, where ``features.signals`` says so."""
        return self.driver.signals(session_id)

    async def stats(self) -> StoreStats:
        """Add up the sessions' counters and ask the database for its size."""
        size = await self.driver.size_bytes()
        return await self.driver.unit("stats", partial(units.stats, size_bytes=size), write=False)

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Find messages by their words: one statement, a second where many of the best hits lie out of scope."""
        if not searchable_scope(where):
            return []
        for bounded in (not narrow(where, after), False):
            sql, args = self.driver.search(query, where, limit, after, bounded=bounded)
            rows = await self.driver.fetch("search_text", Statement(sql, (), {}), args)
            if not bounded or len(rows) == limit or (rows and rows[0][2] <= limit + SPARE):
                break
        found = messages_from_rows([row[LEADING:] for row in rows])
        return [SearchHit(row[0], message, row[1]) for row, message in zip(rows, found, strict=True)]

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of sessions that an index has not seen as they are: one statement."""
        work = partial(units.stale_sessions, index=index, limit=limit, after=after)
        return await self.driver.unit("stale_sessions", work, write=False)

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session: one statement."""
        work = partial(units.index_state, session_id=session_id, index=index)
        return await self.driver.unit("index_state", work, write=False)

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen."""
        work = partial(units.mark_indexed, session_id=session_id, index=index, last_seq=last_seq, edits=edits)
        await self.driver.unit("mark_indexed", work, write=True)

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index."""
        await self.driver.unit("forget_index", partial(units.forget_index, index=index), write=True)

    def orm(self, *, write: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Open an ORM session of the caller's; see ``BaseMemoryBackend.orm``."""
        return self.driver.orm(write=write)

    async def query(self, sql: str, params: Params = None) -> list[dict[str, Any]]:
        """Run read-only SQL of the caller's."""
        if _READS.match(sql) is None:
            raise QueryError(self.name, "query", suggestion=READING_BEGINS)
        if params is not None and (isinstance(params, str | bytes) or not isinstance(params, Mapping | Sequence)):
            raise QueryError(self.name, "query", suggestion="params is a mapping or a sequence of values")
        return await self.driver.query(sql, params)

    async def vacuum(self) -> None:
        """Give free space back."""
        await self.driver.vacuum()
