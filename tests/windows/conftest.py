"""Sessions of conversations, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest

from langswarm_memory import BaseMemoryBackend, BaseMemorySession, InMemoryBackend, Message, SessionMetadata


@pytest.fixture
async def backend() -> AsyncIterator[BaseMemoryBackend]:
    async with InMemoryBackend() as made:
        yield made


async def stored(
    backend: BaseMemoryBackend, messages: Iterable[Message], session_id: str = "s", max_messages: int | None = None
) -> BaseMemorySession:
    """Return a session that holds the messages."""
    session = await backend.create_session(SessionMetadata(session_id, max_messages=max_messages, auto_summarize=False))
    await session.add_messages(messages)
    return session
