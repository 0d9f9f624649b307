"""Choices that stores make in the process rather than in a query, in one place."""

from __future__ import annotations

from collections.abc import Iterable

from ..interfaces.records import ConversationSummary, SessionMetadata
from .protocol import SessionQuery


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
