"""Sessions and messages whose times are set by the tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from langswarm_memory import InMemoryBackend, Message, SessionMetadata
from langswarm_memory.interfaces.timestamps import Timestamp
from langswarm_memory.session import BaseMemorySession

WEDNESDAY = datetime(2024, 5, 15, 15, 0, 3, tzinfo=UTC)


def said(role: str, content: Any, seconds: float = 0, **fields: Any) -> Message:
    return Message(role, content, timestamp=WEDNESDAY + timedelta(seconds=seconds), **fields)


def call(name: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def backend_at(seconds: float = 0) -> InMemoryBackend:
    """A backend whose clock stands so long after the tests' Wednesday."""
    return InMemoryBackend(clock=lambda: Timestamp.of(WEDNESDAY + timedelta(seconds=seconds)))


async def session_of(backend: InMemoryBackend, *messages: Message, **metadata: Any) -> BaseMemorySession:
    metadata.setdefault("auto_summarize", False)
    session = await backend.create_session(SessionMetadata("s", **metadata))
    await session.add_messages(messages)
    assert isinstance(session, BaseMemorySession)
    return session
