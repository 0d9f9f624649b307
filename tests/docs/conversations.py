"""Conversations in OpenAI format as test data: who, when and how much is made up, by rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.relational import RelationalBackend

CHECKOUT = Path(__file__).resolve().parents[2]

SOURCES = {
    "sample": CHECKOUT / "examples" / "data" / "support-conversations.json",
    "airline": CHECKOUT.parent / "shared" / "data" / "airline-openai.json",
}

START = datetime(2025, 6, 27, 22, 59, 59, 999_999, tzinfo=UTC)  # a Friday, shortly before midnight
TAGS = ("support", "refund", "日本")
CHANNELS = ("web", "phone", None)


@dataclass(frozen=True)
class Conversation:
    """A conversation with everything that the recipes ask for."""

    id: str
    user: str | None
    tags: tuple[str, ...]
    properties: dict[str, Any]
    messages: Sequence[dict[str, Any]]
    times: Sequence[datetime]
    tokens: Sequence[int]


def load(path: Path) -> list[Conversation]:
    """Read a file and give each conversation its user, tags and times: the same ones every time."""
    found = []
    for number, data in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        messages = data["messages"]
        channel = CHANNELS[number % 3]
        found.append(
            Conversation(
                id=data["id"],
                user=data.get("user_id") or (f"user-{number % 7}" if number % 5 else None),
                tags=tuple(data.get("tags") or TAGS[: number % 4]),
                properties={} if channel is None else {"channel": channel, "n": number},
                messages=messages,
                times=[
                    START + timedelta(hours=17 * number, seconds=37.000_001 * turn) for turn in range(len(messages))
                ],
                tokens=[len(str(message["content"] or "")) // 4 + turn % 3 for turn, message in enumerate(messages)],
            )
        )
    return found


async def store(backend: RelationalBackend, conversations: Sequence[Conversation]) -> None:
    """Store the conversations."""
    for found in conversations:
        session = await backend.create_session(
            SessionMetadata(
                found.id,
                user_id=found.user,
                tags=list(found.tags),
                properties=found.properties,
                max_messages=None,
                created_at=found.times[0],
            )
        )
        await session.add_messages(
            Message.from_openai(message, timestamp=time, token_count=tokens)
            for message, time, tokens in zip(found.messages, found.times, found.tokens, strict=True)
        )
