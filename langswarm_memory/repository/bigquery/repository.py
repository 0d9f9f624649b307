"""The repository: one job per primitive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from ...errors import ConflictError, SessionExistsError, SessionNotFoundError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...settings import BigQuerySettings
from .. import codec
from ..documents import unpack_message, unpack_summary
from ..optional import IndexState
from ..protocol import Appended, MessageQuery, Rewrite, SessionQuery, SessionRecord, StoreFeatures, StoreStats
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery
from ..values import MAX_INT
from . import changes, search, tracking
from .appends import Appends, new_call
from .client import Gateway, Row
from .parameters import number, text, texts, values
from .rows import COUNTERS, STORE, session_record, session_row, summary_row
from .schema import SESSIONS, SHAPES, SUMMARIES, prepare
from .statements import Statements


class BigQueryRepository:
    """Sessions in a dataset.

    Args:
        settings: Which dataset, as whom, and how.
    """

    name = STORE
    # A cancelled call leaves its job to a thread, which ends it as a whole.
    features = StoreFeatures(text_search=True, cancel_safe=True)

    def __init__(self, settings: BigQuerySettings) -> None:
        self._settings = settings
        self.gateway = Gateway(settings)
        self.statements = Statements(f"{settings.project_id}.{settings.dataset_id}")
        self._appends = Appends(
            self.gateway, self.statements, most=settings.buffer_messages, seconds=settings.buffer_seconds
        )

    # --- life --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the client, and the dataset and the tables where they are missing."""
        await self.gateway.open()
        try:
            await self.gateway.reading(prepare, self.gateway, self._settings)
        except BaseException:
            await self.gateway.close()
            raise

    async def close(self) -> None:
        """Store what waits, and release the client."""
        self._appends.hurry(1)
        try:
            await self.gateway.close()  # waits for the thread that writes
        finally:
            self._appends.hurry(-1)

    async def ping(self) -> None:
        """Run a job that reads nothing and costs nothing."""
        await self._read("ping", "SELECT 1 AS one")

    async def flush(self) -> None:
        """Store every append that waits; return when they are stored, or have failed, each in its own call."""
        async with self._hurried():
            await self.gateway.writing(self._appends.store_all)

    async def describe(self) -> Mapping[str, Any]:
        """Return where the store is: ``project_id``, ``dataset_id``, ``location`` (of its jobs)."""
        settings = self._settings
        return {
            "project_id": settings.project_id,
            "dataset_id": settings.dataset_id,
            "location": self.gateway.location,
        }

    async def _read(self, operation: str, sql: str, *parameters: Any) -> list[Row]:
        return await self.gateway.reading(self.gateway.run, operation, sql, parameters)

    async def _write(self, operation: str, sql: str, *parameters: Any) -> Row | None:
        async with self._hurried():
            found = await self.gateway.writing(self.gateway.transact, operation, sql, parameters)
        return found[0] if found else None

    @asynccontextmanager
    async def _hurried(self) -> AsyncIterator[None]:
        # Whoever comes behind appends that wait for more would wait with them.
        self._appends.hurry(1)
        try:
            yield
        finally:
            self._appends.hurry(-1)

    # --- sessions ----------------------------------------------------------------------------------------------

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session."""
        row, copy = session_row(metadata, 1), codec.copy_metadata(metadata)
        answer = await self._write("insert_session", self.statements.insert_session(), *values(SESSIONS, row))
        if answer is None or not answer["inserted"]:
            raise SessionExistsError(copy.session_id)
        return SessionRecord(copy, 1, 0, 0, 0)

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None."""
        found = await self._read("fetch_session", self.statements.fetch_session(), text("session", session_id))
        return session_record(found[0]) if found else None

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        row, copy = session_row(metadata, expected_revision), codec.copy_metadata(metadata)
        answer = await self._write("replace_session", self.statements.replace_session(), *values(SESSIONS, row))
        if answer is None:
            raise SessionNotFoundError(copy.session_id)
        if not answer["changed"]:
            raise ConflictError(f"session {copy.session_id!r} was changed meanwhile", retryable=True)
        return SessionRecord(copy, expected_revision + 1, *(answer[name] for name in COUNTERS[1:]))

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page, newest first."""
        sql, parameters = self.statements.list_sessions(query)
        return [session_record(row) for row in await self._read("list_sessions", sql, *parameters)]

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions."""
        if not session_ids:
            return 0
        ids = texts("sessions", list(dict.fromkeys(session_ids)))
        answer = await self._write("delete_sessions", self.statements.delete_sessions(), ids)
        return 0 if answer is None else answer["deleted"]

    # --- messages ----------------------------------------------------------------------------------------------

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        *,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Appended:
        """Append a batch, all or nothing, in one job with the appends that wait beside it."""
        call = new_call(session_id, messages, now, expires_at)
        self._appends.add(call)
        return await asyncio.wrap_future(call.future)

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first."""
        sql, parameters = self.statements.read_messages(query)
        found = await self._read("read_messages", sql, text("session", session_id), *parameters)
        if not found:
            raise SessionNotFoundError(session_id)
        return _messages(found)

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return a session and messages of one snapshot."""
        sql, parameters = self.statements.read_messages(query, record=True)
        found = await self._read("fetch_with_messages", sql, text("session", session_id), *parameters)
        return (session_record(found[0], "session_"), _messages(found)) if found else None

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq."""
        answer = await self._write(
            "delete_messages",
            changes.delete_messages(self.statements),
            text("session", session_id),
            number("through", MAX_INT if through_seq is None else through_seq),
            texts("keep_roles", sorted(keep_roles)),
        )
        if answer is None or not answer["found"]:
            raise SessionNotFoundError(session_id)
        return int(answer["deleted"])

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages, all or nothing."""
        sql, parameters = changes.rewrite(self.statements, session_id, change, now)
        answer = await self._write("rewrite", sql, *parameters)
        refused = changes.refusal(session_id, answer, now)
        if refused is not None:
            raise refused
        return session_record(answer)

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Rank the messages that patterns find."""
        if where.session_ids is not None and not where.session_ids:
            return []
        sql, parameters = search.candidates(self.statements, query, where)

        def work() -> list[SearchHit]:
            found = self.gateway.run("search_text", sql, parameters)
            return search.ranked(found, query, where, limit, after)

        return await self.gateway.reading(work)

    # --- what indexes have seen --------------------------------------------------------------------------------

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of sessions that an index has not seen as they are."""
        parameters = (text("index_name", index), text("after", after), number("most", limit))
        found = await self._read("stale_sessions", tracking.stale_sessions(self.statements), *parameters)
        return [tracking.to_state(row) for row in found]

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session."""
        parameters = (text("index_name", index), text("session", session_id))
        found = await self._read("index_state", tracking.index_state(self.statements), *parameters)
        return tracking.to_state(found[0]) if found else None

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen."""
        await self._write(
            "mark_indexed",
            tracking.mark_indexed(self.statements),
            text("session", session_id),
            text("index_name", index),
            number("seen_seq", last_seq),
            number("seen_edits", edits),
        )

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index."""
        await self._write("forget_index", tracking.forget_index(self.statements), text("index_name", index))

    # --- summaries and sizes -----------------------------------------------------------------------------------

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary."""
        row = summary_row(summary)
        answer = await self._write("put_summary", self.statements.put_summary(), *values(SUMMARIES, row))
        if answer is None or not answer["found"]:
            raise SessionNotFoundError(row["session_id"])

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first."""
        sql, parameters = self.statements.list_summaries(limit)
        found = await self._read("list_summaries", sql, text("session", session_id), *parameters)
        if not found:
            raise SessionNotFoundError(session_id)
        return [unpack_summary(STORE, row["summary"]) for row in found if row["summary"] is not None]

    async def stats(self) -> StoreStats:
        """Count what is stored; the size is that of the tables, as BigQuery bills it."""
        found, size = await self.gateway.reading(self._stats)
        return StoreStats(
            sessions=sum(row["sessions"] for row in found),
            messages=found[0]["messages"] if found else 0,
            tokens=sum(row["tokens"] for row in found),
            size_bytes=size,
            sessions_by_status=Counter({row["status"]: row["sessions"] for row in found}),
        )

    def _stats(self) -> tuple[list[Row], int]:
        gateway = self.gateway
        found = gateway.run("stats", self.statements.stats())
        with gateway.io("stats"):
            tables = [
                gateway.client.get_table(
                    f"{self.statements.dataset}.{name}", retry=gateway.retry, timeout=self._settings.timeout
                )
                for name in SHAPES
            ]
        return found, sum(table.num_bytes or 0 for table in tables)


def _messages(found: list[Row]) -> list[Message]:
    return [unpack_message(STORE, row["message"], row["seq"]) for row in found if row["seq"] is not None]
