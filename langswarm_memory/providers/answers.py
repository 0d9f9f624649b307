"""The dictionaries that every provider returns, built in one place so that the providers cannot differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from .turns import asks

SPEAKERS = frozenset({MessageRole.USER, MessageRole.ASSISTANT})
"""Whose words are analysed: instructions and tool output are not conversation."""

PARTS = ("language", "sentiment", "topics", "summary", "intent", "resolved")
"""The judgements of an analysis; the same on every provider."""

EXACT = 1.0
"""Confidence of what is counted, or read off the form of a text."""


def part(value: Any, method: str | None, confidence: float | None) -> dict[str, Any]:
    """Return one judgement.

    Args:
        value: The judgement; None: not known.
        method: What made it; None: nothing here can.
        confidence: From 0 to 1, as `method` reports it; None: it reports none.
    """
    return {"value": value, "method": method, "confidence": None if confidence is None else round(confidence, 4)}


NOT_KNOWN = part(None, None, None)
"""A judgement that a provider has no means of making."""


def analysis(
    messages: Sequence[Message], parts: dict[str, dict[str, Any]], method: str, *, read: int
) -> dict[str, Any]:
    """Return an analysis: counts, and every judgement of :data:`PARTS`, those that are missing as unknown.

    Args:
        messages: The conversation.
        parts: The judgements by name.
        method: What made them.
        read: How many of the messages they rest on.
    """
    found = {name: dict(parts.get(name, NOT_KNOWN)) for name in PARTS}
    return {
        "method": method,
        "confidence": lowest(found.values()),
        "message_count": len(messages),
        "messages_read": read,
        "turn_count": sum(map(asks, messages)),
        **found,
        "unknown": [name for name, one in found.items() if one["value"] is None],
    }


def lowest(parts: Iterable[dict[str, Any]]) -> float | None:
    """Return the lowest confidence of what is known; None where nothing reports one."""
    given = [one["confidence"] for one in parts if one["value"] is not None and one["confidence"] is not None]
    return min(given, default=None)


def entity(
    kind: str,
    text: str,
    value: str | None,
    *,
    method: str,
    confidence: float | None,
    candidates: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> dict[str, Any]:
    """Return one entity without mentions.

    Args:
        kind: Its type, for example ``email``.
        text: As it is written where it first occurs.
        value: In normal form; None: the text can be read in several ways.
        method: What found it.
        confidence: From 0 to 1; None: the method reports none.
        candidates: Every reading, where there are several.
        unknown: What cannot be told about it.
    """
    return {
        "type": kind,
        "text": text,
        "value": value,
        "candidates": list(candidates),
        "method": method,
        "confidence": None if confidence is None else round(confidence, 4),
        "unknown": list(unknown),
        "count": 0,
        "mentions": [],
    }


def mention(found: dict[str, Any], message: Message, start: int, end: int) -> None:
    """Add a place where an entity is written: offsets into ``message.text``, `end` exclusive."""
    found["mentions"].append({"message_id": message.message_id, "seq": message.seq, "start": start, "end": end})
    found["count"] += 1


def action(
    name: str, reason: str, priority: str, *, method: str, confidence: float | None, details: dict[str, Any]
) -> dict[str, Any]:
    """Return one suggested action; `priority` is ``high``, ``medium`` or ``low``."""
    return {
        "action": name,
        "reason": reason,
        "priority": priority,
        "method": method,
        "confidence": confidence,
        "details": details,
        "unknown": [],
    }
