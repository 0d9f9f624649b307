"""Insights into a session: what can be counted, and what words it turns on."""

from __future__ import annotations

from statistics import median
from typing import Any

from ..summaries import extractive_digest
from .answers import EXACT, NOT_KNOWN, part
from .facts import Facts

OUTCOMES = ("outcome", "satisfaction")
"""What no count shows: whether the user got what they came for, and how they felt about it."""


def insights(
    facts: Facts, judged: dict[str, dict[str, Any]] | None = None, *, method: str = "counts"
) -> dict[str, Any]:
    """Return the insights of a session.

    Args:
        facts: What the session shows.
        judged: Judgements of a model: ``topics``, ``outcome``, ``satisfaction``. Without it, topics are the words
            that recur most, and the others are unknown.
        method: What made them, for the answer.
    """
    parts = {"topics": topics(facts), **{name: dict(NOT_KNOWN) for name in OUTCOMES}, **(judged or {})}
    unanswered = None if facts.breaks is None else sum(one.kind == "unanswered" for one in facts.breaks)
    waits = facts.response_seconds
    answer: dict[str, Any] = {
        "method": method,
        "confidence": EXACT,
        "session_id": facts.metadata.session_id,
        "messages": {"total": facts.total, "by_role": dict(facts.by_role)},
        "turns": facts.turns,
        "tokens": {
            "total": sum(facts.tokens_by_role.values()),
            "by_role": dict(facts.tokens_by_role),
            "uncounted_messages": facts.uncounted,
        },
        "tools": {
            "calls": sum(facts.tool_calls.values()),
            "results": facts.tool_results,
            "unanswered": unanswered,
            "by_name": dict(facts.tool_calls.most_common()),
        },
        "time": {
            "started_at": None if facts.first_at is None else facts.first_at.isoformat(),
            "ended_at": None if facts.last_at is None else facts.last_at.isoformat(),
            "duration_seconds": (
                None
                if facts.first_at is None or facts.last_at is None
                else (facts.last_at - facts.first_at).total_seconds()
            ),
            "responses": len(waits),
            "response_seconds_median": median(waits) if waits else None,
            "response_seconds_max": max(waits, default=None),
        },
        **parts,
    }
    unknown = [name for name, one in parts.items() if one["value"] is None]
    unknown += [f"time.{name}" for name, value in answer["time"].items() if value is None]
    if unanswered is None:
        unknown.append("tools.unanswered")
    return {**answer, "unknown": unknown}


def topics(facts: Facts) -> dict[str, Any]:
    """Return the words that most sentences hold; frequency is no measure of confidence."""
    found = extractive_digest(None, facts.spoken).key_topics
    return part(found, "word frequency", None) if found else dict(NOT_KNOWN)
