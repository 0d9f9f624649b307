"""What to do next with a session, by rules over its state. Each rule is exact: it says what is, not what may be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ..interfaces.enums import SessionStatus
from ..windows.repair import Break
from .answers import EXACT, action
from .facts import Facts
from .turns import asks

NEARLY_FULL = 0.9
"""Share of a bound from which the window is worth a look."""

METHOD = "rules"
_RANK = {"high": 0, "medium": 1, "low": 2}


def rule_actions(facts: Facts, *, expires_within: timedelta) -> list[dict[str, Any]]:
    """Return what the rules suggest, the most pressing first.

    Args:
        facts: What the session shows.
        expires_within: How long before its end a session counts as expiring soon.
    """
    found = list(_tool_calls(facts))
    if facts.metadata.status == SessionStatus.ACTIVE:  # nobody waits for an answer in a session that was closed
        for rule in (_unanswered_user, _summary):
            found += rule(facts)
        found += _expiry(facts, expires_within)
        found += _window(facts)
    return sorted(found, key=lambda one: _RANK[one["priority"]])


def _suggest(name: str, reason: str, priority: str, **details: Any) -> dict[str, Any]:
    return action(name, reason, priority, method=METHOD, confidence=EXACT, details=details)


def _tool_calls(facts: Facts) -> Iterator[dict[str, Any]]:
    """Calls without results: they may still run until something else is said."""
    pending: list[Break] = []
    broken: list[Break] = []
    for one in facts.breaks or ():
        (pending if one.kind == "unanswered" and (one.seq or 0) > facts.words_at else broken).append(one)
    if pending:
        yield _suggest(
            "await_tool_results",
            f"{_count(pending, 'tool call')} at the end of the session without a result: still running, or interrupted",
            "high",
            call_ids=[one.call_id for one in pending],
            seqs=sorted({one.seq for one in pending if one.seq is not None}),
        )
    if broken:
        yield _suggest(
            "repair",
            f"{_count(broken, 'place')} where no provider takes the history as it is stored; session.repair() stores "
            "the results that are missing",
            "high",
            kinds=sorted({one.kind for one in broken}),
            call_ids=[one.call_id for one in broken if one.call_id is not None],
            seqs=sorted({one.seq for one in broken if one.seq is not None}),
        )


def _unanswered_user(facts: Facts) -> Iterator[dict[str, Any]]:
    last = facts.last
    if last is not None and asks(last):
        seconds = max(0.0, (facts.read_at - last.timestamp).total_seconds())
        yield _suggest(
            "answer_user",
            "the last message is the user's",
            "high",
            message_id=last.message_id,
            seq=last.seq,
            waiting_seconds=seconds,
        )


def _summary(facts: Facts) -> Iterator[dict[str, Any]]:
    threshold = facts.metadata.summary_threshold
    if facts.since_summary >= threshold:
        yield _suggest(
            "create_summary",
            f"{facts.since_summary} messages since the last summary, the threshold is {threshold}",
            "medium",
            messages_since=facts.since_summary,
            threshold=threshold,
            automatic=facts.metadata.auto_summarize,
        )


def _expiry(facts: Facts, within: timedelta) -> Iterator[dict[str, Any]]:
    expires_at = facts.metadata.expires_at
    if expires_at is not None and expires_at - facts.read_at <= within:
        seconds = max(0.0, (expires_at - facts.read_at).total_seconds())
        yield _suggest(
            "extend_expiry",
            f"the session expires in {round(seconds)} seconds",
            "medium",
            expires_at=expires_at.isoformat(),
            seconds_left=seconds,
        )


def _window(facts: Facts) -> Iterator[dict[str, Any]]:
    bounds = (
        ("messages", facts.others, facts.metadata.max_messages),
        ("tokens", sum(facts.tokens_by_role.values()), facts.metadata.max_tokens),
    )
    for unit, used, bound in bounds:
        if bound is not None and used >= NEARLY_FULL * bound:
            state = "older messages are outside the window" if used > bound else "the window is nearly full"
            yield _suggest(
                "review_window",
                f"{used} of {bound} {unit}: {state}",
                "medium" if used > bound else "low",
                unit=unit,
                used=used,
                bound=bound,
            )


def _count(things: list[Any], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
