"""Conditions on sessions, as queries."""

from __future__ import annotations

from datetime import datetime

from ..protocol import SessionQuery
from .records import Json, microseconds


def listed(query: SessionQuery) -> Json:
    """Return ``matching.session_matches`` as a query, but for its place in the list."""
    filters: list[Json] = []
    must_not: list[Json] = []
    for name in ("user_id", "agent_id", "status"):
        value = getattr(query, name)
        if value is not None:
            filters.append({"term": {name: value}})
    if query.live_at is not None:
        must_not += expired(query.live_at)
    if query.expired_at is not None:
        filters.append({"bool": {"should": expired(query.expired_at), "minimum_should_match": 1}})
    if query.updated_before is not None:
        filters.append({"range": {"updated": {"lt": microseconds(query.updated_before)}}})
    return {"filter": filters, "must_not": must_not}


def expired(at: datetime) -> list[Json]:
    """Return what holds, one at least, of sessions that have expired at an instant."""
    return [{"term": {"status": "expired"}}, {"range": {"expires": {"lte": microseconds(at)}}}]
