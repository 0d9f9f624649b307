"""A backend of each kind that needs no server, and what the tests put into one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from langswarm_memory import BaseMemoryBackend, BaseMemorySession, InMemoryBackend, Message, SQLiteBackend
from langswarm_memory.interfaces import SessionMetadata
from langswarm_memory.summaries import Digest


class Noting:
    """A summarizer that notes what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, list[int | None]]] = []

    def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        self.calls.append((previous, [message.seq for message in messages]))
        return Digest(f"digest {len(self.calls)}", ["trains"])


def turns(count: int, first: int = 0) -> list[Message]:
    """Return messages of a user and an assistant in turn."""
    roles = ("user", "assistant")
    return [
        Message(roles[n % 2], f"Sentence {n} about trains.", message_id=f"m{n}") for n in range(first, first + count)
    ]


async def session_of(backend: BaseMemoryBackend, messages: int, **fields: object) -> BaseMemorySession:
    """Return a session with so many messages."""
    session = await backend.create_session(SessionMetadata("s", **fields))  # type: ignore[arg-type]
    await session.add_messages(turns(messages))
    return session


async def ranges(session: BaseMemorySession) -> list[tuple[int | None, int | None]]:
    """Return what the summaries in use cover."""
    return [(summary.first_seq, summary.last_seq) for summary in await session.get_summaries()]


@pytest.fixture
def noting() -> Noting:
    """The summarizer of `store`."""
    return Noting()


@pytest.fixture(params=["in_memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, noting: Noting) -> AsyncIterator[BaseMemoryBackend]:
    """An empty backend of each kind."""
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend(summarizer=noting)
    else:
        made = SQLiteBackend(tmp_path / "memory.db", synchronous="OFF", summarizer=noting)
    async with made:
        yield made
