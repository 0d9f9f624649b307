"""The reference store: plain dictionaries. Read it as the specification of the protocol.

Every method runs without awaiting anything, so each is atomic on its event loop, and values are encoded and decoded
as in every other store, so that nothing is accepted here that would fail there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..errors import (
    ConflictError,
    InvalidInputError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
)
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..interfaces.timestamps import Timestamp
from ..search.bm25 import TextIndex
from ..tokens import estimate_tokens
from . import codec
from .matching import SCORE_DIGITS, in_scope, newest_summaries, page_of, session_matches
from .optional import IndexState
from .protocol import (
    Appended,
    MessageQuery,
    Rewrite,
    SessionQuery,
    SessionRecord,
    StoreFeatures,
    StoreStats,
)
from .text_search import SearchCursor, SearchFilter, SearchHit, TextQuery


@dataclass(slots=True)
class _Session:
    metadata: SessionMetadata
    revision: int = 1
    last_seq: int = 0
    tokens: int = 0
    edits: int = 0
    seqs: list[int] = field(default_factory=list)  # ascending; in step with `messages`
    messages: list[Message] = field(default_factory=list)
    by_id: dict[str, int] = field(default_factory=dict)  # message_id -> seq
    summaries: dict[str, ConversationSummary] = field(default_factory=dict)
    searchable: int = 0  # the texts up to this seq are in the index
    indexed: dict[str, tuple[int, int]] = field(default_factory=dict)  # index -> (last_seq, edits) that it saw

    def hold(self, messages: list[Message]) -> None:
        """Hold these messages and no others."""
        self.messages = messages
        self.seqs = [message.seq or 0 for message in messages]
        self.by_id = {message.message_id: message.seq or 0 for message in messages}
        self.tokens = sum(message.token_count or 0 for message in messages)

    def record(self) -> SessionRecord:
        return SessionRecord(
            codec.copy_metadata(self.metadata),
            self.revision,
            len(self.messages),
            self.tokens,
            self.last_seq,
            self.edits,
        )


class InMemoryRepository:
    """Sessions in this process. Gone with it."""

    name = "in_memory"
    features = StoreFeatures(text_search=True, persistent=False, cancel_safe=True)

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._texts: TextIndex[tuple[str, int]] = TextIndex()  # filled by the first search that needs it

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Keep everything: a reconnect finds it again, as it would in any other store."""

    async def ping(self) -> None:
        """Always there."""

    def _get(self, session_id: str) -> _Session:
        try:
            return self._sessions[session_id]
        except KeyError:
            raise SessionNotFoundError(session_id) from None

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session."""
        codec.encode_metadata(metadata)
        if metadata.session_id in self._sessions:
            raise SessionExistsError(metadata.session_id)
        session = self._sessions[metadata.session_id] = _Session(codec.copy_metadata(metadata))
        return session.record()

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None."""
        session = self._sessions.get(session_id)
        return session.record() if session else None

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        codec.encode_metadata(metadata)
        session = self._get(metadata.session_id)
        if session.revision != expected_revision:
            raise ConflictError(f"session {metadata.session_id!r} was changed meanwhile", retryable=True)
        session.metadata = codec.copy_metadata(metadata)
        session.revision += 1
        return session.record()

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page, newest first."""
        found = [session for session in self._sessions.values() if session_matches(session.metadata, query)]
        found.sort(key=lambda session: _order(session.metadata), reverse=True)
        return [session.record() for session in found[query.offset : query.offset + query.limit]]

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions."""
        deleted = 0
        for session_id in dict.fromkeys(session_ids):
            session = self._sessions.pop(session_id, None)
            if session is not None:
                self._forget_texts(session_id, session.messages)
                deleted += 1
        return deleted

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        *,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Appended:
        """Append a batch, all or nothing."""
        rows = [codec.encode_message(message) for message in messages]
        session = self._get(session_id)
        if session.metadata.is_expired(now):
            raise SessionExpiredError(session_id)
        for message in messages:
            if message.message_id in session.by_id:
                stored = session.messages[bisect_left(session.seqs, session.by_id[message.message_id])]
                codec.check_replay(session_id, message, stored)
        inserted, seqs = 0, []
        for message, row in zip(messages, rows, strict=True):
            if message.message_id not in session.by_id:
                inserted += 1
                session.last_seq += 1
                session.tokens += row.token_count
                session.seqs.append(session.last_seq)
                session.messages.append(_numbered(message, session.last_seq))
                session.by_id[message.message_id] = session.last_seq
            seqs.append(session.by_id[message.message_id])
        session.metadata.updated_at = Timestamp.of(now)
        if expires_at is not None:
            session.metadata.expires_at = Timestamp.of(expires_at)
        return Appended(tuple(seqs), inserted, len(session.messages), session.last_seq)

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first."""
        session = self._get(session_id)
        low = bisect_right(session.seqs, query.after_seq) if query.after_seq is not None else 0
        high = bisect_left(session.seqs, query.before_seq) if query.before_seq is not None else len(session.seqs)
        found = [message for message in session.messages[low:high] if _wanted(message, query)]
        kept = [message for message in found if message.role in query.keep_roles]
        others = [message for message in found if message.role not in query.keep_roles]
        if query.limit is not None:
            newest = others[max(len(others) - query.limit, 0) :]
            others = newest if query.newest_first else others[: query.limit]
        if query.max_tokens is not None:
            others = _within(others, query.max_tokens - sum(m.token_count or 0 for m in kept))
        if kept:
            others = sorted(kept + others, key=lambda message: message.seq or 0)
        return [_copy(message) for message in others]

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq."""
        session = self._get(session_id)
        end = len(session.seqs) if through_seq is None else bisect_right(session.seqs, through_seq)
        stays = [m for i, m in enumerate(session.messages) if i >= end or m.role in keep_roles]
        deleted = len(session.messages) - len(stays)
        if deleted:
            kept = {message.seq for message in stays}
            self._forget_texts(session_id, (m for m in session.messages if m.seq not in kept))
            session.hold(stays)
            session.edits += 1
        return deleted

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages, all or nothing."""
        for _, message in change.replaced:
            codec.encode_message(message)
        session = self._get(session_id)
        if session.metadata.is_expired(now):
            raise SessionExpiredError(session_id)
        if session.edits != change.edits or change.last_seq not in (None, session.last_seq):
            raise ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)
        gone = {message.seq for message in change.removed}
        instead = {old.seq: _numbered(new, old.seq or 0) for old, new in change.replaced}
        held = [m for m in session.messages if m.seq in gone or m.seq in instead]
        searchable = {m.seq for m in held if (session_id, m.seq) in self._texts}
        self._forget_texts(session_id, held)
        for seq, message in instead.items():
            if seq in searchable:
                self._texts.add((session_id, seq or 0), message.text)
        session.hold([instead.get(message.seq, message) for message in session.messages if message.seq not in gone])
        session.edits += 1
        session.metadata.updated_at = Timestamp.of(now)
        return session.record()

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary."""
        row = codec.encode_summary(summary)
        self._get(row.session_id).summaries[summary.summary_id] = _copy_summary(summary)

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first."""
        summaries = self._get(session_id).summaries.values()
        return [_copy_summary(summary) for summary in newest_summaries(summaries, limit)]

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of sessions that an index has not seen as they are."""
        behind = sorted(
            session_id
            for session_id, session in self._sessions.items()
            if (after is None or session_id > after)
            and session.indexed.get(index, (0, 0)) != (session.last_seq, session.edits)
        )
        return [state for one in behind[:limit] if (state := await self.index_state(one, index)) is not None]

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        return IndexState(session_id, session.last_seq, session.edits, *session.indexed.get(index, (0, 0)))

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen."""
        if session_id in self._sessions:
            self._sessions[session_id].indexed[index] = (last_seq, edits)

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index."""
        for session in self._sessions.values():
            session.indexed.pop(index, None)

    async def stats(self) -> StoreStats:
        """Count what is stored; the size is that of the text held, in characters."""
        sessions = self._sessions.values()
        return StoreStats(
            sessions=len(sessions),
            messages=sum(len(session.messages) for session in sessions),
            tokens=sum(session.tokens for session in sessions),
            size_bytes=sum(len(message.text) for session in sessions for message in session.messages),
            sessions_by_status=Counter(session.metadata.status.value for session in sessions),
        )

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Rank by an index that is brought up to date first."""
        self._index_texts()
        found = []
        for score, key in self._texts.search(query, self._text):
            session_id, message = key[0], self._message(key)
            if in_scope(self._sessions[session_id].metadata, message, where):
                found.append(SearchHit(session_id, message, round(score, SCORE_DIGITS)))
        return [hit._replace(message=_copy(hit.message)) for hit in page_of(found, limit, after)]

    def _index_texts(self) -> None:
        for session_id, session in self._sessions.items():
            for place in range(bisect_right(session.seqs, session.searchable), len(session.seqs)):
                self._texts.add((session_id, session.seqs[place]), session.messages[place].text)
            session.searchable = session.last_seq

    def _forget_texts(self, session_id: str, messages: Iterable[Message]) -> None:
        for message in messages:
            self._texts.discard((session_id, message.seq or 0), message.text)

    def _message(self, key: tuple[str, int]) -> Message:
        session = self._sessions[key[0]]
        return session.messages[bisect_left(session.seqs, key[1])]

    def _text(self, key: tuple[str, int]) -> str:
        return self._message(key).text

    def export_session(self, session_id: str) -> dict[str, Any] | None:
        """Return copies of a session's metadata, messages and newest summary; None: no such session."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        newest = newest_summaries(session.summaries.values(), 1)
        return {
            "metadata": codec.copy_metadata(session.metadata),
            "messages": [_copy(message) for message in session.messages],
            "summary": _copy_summary(newest[0]) if newest else None,
        }

    def import_session(self, session_id: str, data: dict[str, Any]) -> None:
        """Replace the parts of a session that `data` names; keys as in :meth:`export_session`."""
        if not isinstance(data, dict):
            raise InvalidInputError(f"session data is a dict, got {type(data).__name__}")
        unknown = set(data) - {"metadata", "messages", "summary"}
        if unknown:
            raise InvalidInputError(f"unknown keys {sorted(map(str, unknown))}; use metadata, messages, summary")
        metadata, messages, summary = data.get("metadata"), data.get("messages"), data.get("summary")
        if not isinstance(messages or [], list):
            raise InvalidInputError(f"messages must be a list, got {type(messages).__name__}")
        rows = [codec.encode_message(_sized(message)) for message in messages or ()]
        if len({row.message_id for row in rows}) < len(rows):
            raise InvalidInputError("messages holds an id twice")
        if metadata is not None and codec.encode_metadata(metadata).session_id != session_id:
            raise InvalidInputError("metadata.session_id is not the session's id")
        if summary is not None:
            if not isinstance(summary, ConversationSummary):
                raise InvalidInputError(f"a ConversationSummary is needed, got {type(summary).__name__}")
            codec.encode_summary(replace(summary, session_id=session_id))
        if session_id not in self._sessions:
            if metadata is None:
                raise SessionNotFoundError(session_id)
            self._sessions[session_id] = _Session(codec.copy_metadata(metadata))
        session = self._sessions[session_id]
        if metadata is not None:
            session.metadata = codec.copy_metadata(metadata)
        if messages is not None:
            first = session.last_seq + 1
            session.last_seq += len(rows)
            self._forget_texts(session_id, session.messages)
            session.hold([_numbered(_sized(message), seq) for seq, message in enumerate(messages, first)])
            session.edits += 1
        if summary is not None:
            session.summaries[summary.summary_id] = replace(summary, session_id=session_id)


_FIELDS = tuple(Message.__dataclass_fields__)
_STRUCTURES = ("content", "metadata", "function_call", "tool_calls")


def _copy(message: Message) -> Message:
    twin = object.__new__(Message)
    twin.__dict__.update(message.__dict__)
    for name in _STRUCTURES:
        value = twin.__dict__[name]
        if isinstance(value, list | dict):
            twin.__dict__[name] = codec.copy_json(value)
    return twin


def _copy_summary(summary: ConversationSummary) -> ConversationSummary:
    return replace(summary, key_topics=list(summary.key_topics))


def _sized(message: Message) -> Message:
    if not isinstance(message, Message) or message.token_count is not None:
        return message
    codec.check_content(message)
    return replace(message, token_count=estimate_tokens(message))


def _numbered(message: Message, seq: int) -> Message:
    plain = object.__new__(Message)
    # By name: a message that was read from another store decodes its fields as they are asked for.
    plain.__dict__.update({name: getattr(message, name) for name in _FIELDS}, _seq=seq)
    return _copy(plain)


def _wanted(message: Message, query: MessageQuery) -> bool:
    return (
        (query.roles is None or message.role in query.roles)
        and message.role not in query.exclude_roles
        and (query.since is None or message.timestamp >= query.since)
    )


def _within(messages: list[Message], budget: int) -> list[Message]:
    for index in range(len(messages) - 1, -1, -1):
        budget -= messages[index].token_count or 0
        if budget < 0:
            return messages[index + 1 :]
    return messages


def _order(metadata: SessionMetadata) -> tuple[datetime, str]:
    return metadata.created_at, metadata.session_id
