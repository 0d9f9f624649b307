"""Databases that several backends and several processes open at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langswarm_memory import Message, PostgresBackend, SQLiteBackend
from langswarm_memory.relational import RelationalBackend


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is.

    Args:
        store: "sqlite" or "postgres".
        address: Path of the file, or URL.
    """

    store: str
    address: str

    def backend(self, **options: Any) -> RelationalBackend:
        """Return a new backend on it, not connected."""
        if self.store == "sqlite":
            return SQLiteBackend(self.address, **options)
        return PostgresBackend(self.address, **options)


def texts(prefix: str, count: int, first: int = 0) -> list[Message]:
    """Return messages whose ids and contents are the prefix and a number."""
    return [Message("user", f"{prefix}{n}", message_id=f"{prefix}{n}") for n in range(first, first + count)]


async def history(backend: RelationalBackend, session_id: str = "s") -> list[Message]:
    """Return every message of a session, and check what no fault may break.

    The numbers are 1, 2, 3, …; no id is there twice; the session's own count is right.
    """
    session = await backend.get_session(session_id)
    assert session is not None
    found = await session.get_messages(full_history=True)
    assert [message.seq for message in found] == list(range(1, len(found) + 1))
    assert repeated(message.message_id for message in found) == []
    assert await session.count_messages() == len(found)
    return found


def repeated(ids: Iterable[str]) -> list[str]:
    """Return the ids that come more than once."""
    return [name for name, count in Counter(ids).items() if count > 1]
