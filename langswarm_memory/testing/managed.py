"""A manager over a backend under test, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from ..backend import BaseMemoryBackend
from ..interfaces.message import Message
from ..interfaces.timestamps import Timestamp
from ..manager import MemoryManager
from ..session import BaseMemorySession
from .samples import START

MakeBackend = Callable[..., BaseMemoryBackend]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.instant = Timestamp.of(START)

    def __call__(self) -> Timestamp:
        """Return the present instant."""
        return self.instant

    def move(self, seconds: float) -> None:
        """Go on by so many seconds."""
        self.instant = self.instant + timedelta(seconds=seconds)


@asynccontextmanager
async def managed(make_backend: MakeBackend, **options: Any) -> AsyncIterator[tuple[MemoryManager, Clock]]:
    """Make a backend with options and yield a manager over it and its clock; disconnect at the end."""
    clock = Clock()
    async with make_backend(clock=clock, **options) as backend:
        yield MemoryManager(backend, auto_cleanup=False), clock


async def conversation(manager: MemoryManager, messages: Iterable[Message] = (), **fields: Any) -> BaseMemorySession:
    """Create session ``s`` with messages."""
    session = await manager.create_session(**{"session_id": "s", **fields})
    assert isinstance(session, BaseMemorySession)
    await session.add_messages(messages)
    return session


def ids(messages: Iterable[Message]) -> list[str]:
    """Return the ids of messages."""
    return [message.message_id for message in messages]
