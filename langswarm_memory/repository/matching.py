"""Choices that stores make in the process rather than in a query, in one place."""

from __future__ import annotations

from collections.abc import Iterable

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from .protocol import SessionQuery
from .text_search import SearchCursor, SearchFilter, SearchHit

SCORE_DIGITS = 6  # of a score: one that is computed twice is equal, so that a page ends where the next begins


def session_matches(metadata: SessionMetadata, query: SessionQuery) -> bool:
    """Return whether a session fulfils the conditions of a listing; its order and page aside."""
    return (
        (query.user_id is None or metadata.user_id == query.user_id)
        and (query.agent_id is None or metadata.agent_id == query.agent_id)
        and (query.status is None or metadata.status == query.status)
        and (query.live_at is None or (metadata.status != "expired" and not metadata.is_expired(query.live_at)))
        and (query.expired_at is None or metadata.status == "expired" or metadata.is_expired(query.expired_at))
        and (query.updated_before is None or metadata.updated_at < query.updated_before)
        and (query.after is None or (metadata.created_at, metadata.session_id) < query.after)
    )


def newest_summaries(found: Iterable[ConversationSummary], limit: int | None) -> list[ConversationSummary]:
    """Return the newest of a session's summaries, newest first."""
    ordered = sorted(found, key=lambda summary: (summary.created_at, summary.summary_id), reverse=True)
    return ordered[:limit]


def session_in_scope(metadata: SessionMetadata, where: SearchFilter) -> bool:
    """Return whether a search looks into a session."""
    return (
        (where.session_ids is None or metadata.session_id in where.session_ids)
        and (where.user_id is None or metadata.user_id == where.user_id)
        and (where.agent_id is None or metadata.agent_id == where.agent_id)
        and (where.live_at is None or (metadata.status != "expired" and not metadata.is_expired(where.live_at)))
        and where.tags <= set(metadata.tags)
    )


def message_in_scope(message: Message, where: SearchFilter) -> bool:
    """Return whether a search of a message's session looks at the message."""
    return (
        (where.roles is None or message.role in where.roles)
        and (where.since is None or message.timestamp >= where.since)
        and (where.until is None or message.timestamp < where.until)
        and all(same_scalar(message.metadata.get(key), value) for key, value in where.metadata.items())
    )


def in_scope(metadata: SessionMetadata, message: Message, where: SearchFilter) -> bool:
    """Return whether a search looks at a message of a session."""
    return session_in_scope(metadata, where) and message_in_scope(message, where)


def same_scalar(found: object, wanted: str | float | bool) -> bool:
    """Return whether two values of JSON are equal: ``1`` and ``1.0`` are, ``1`` and ``True`` are not."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    return found == wanted


def page_of(hits: Iterable[SearchHit], limit: int, after: SearchCursor | None) -> list[SearchHit]:
    """Return the page of hits behind a cursor, in the order of ``SearchCursor``."""
    ordered = sorted(hits, key=_place)
    if after is not None:
        start = (-after.score, after.session_id, -after.seq)
        ordered = [hit for hit in ordered if _place(hit) > start]
    return ordered[:limit]


def _place(hit: SearchHit) -> tuple[float, str, int]:
    return -hit.score, hit.session_id, -(hit.message.seq or 0)


NEAR = 32  # seqs that are closer are read with one statement


def stretches(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Return few ranges of seqs that hold all of these, without much between them."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and seq - ranges[-1][1] <= NEAR:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
