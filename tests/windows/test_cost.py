"""A window costs what it holds, not what the history holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import Message, SessionMetadata, SQLiteBackend
from tests.windows.test_windows import calls, result, said

HISTORY = 10_000
TURN = 5  # messages


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_window_of_a_long_history_is_one_read_of_little_more_than_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Any
) -> None:
    async with SQLiteBackend(str(tmp_path / "memory.db"), synchronous="OFF") as backend:
        session = await backend.create_session(SessionMetadata("s", max_messages=None))
        turns = range(0, HISTORY, TURN)
        await session.add_messages(
            message
            for n in turns
            for message in (
                said(n, tokens=40),
                calls(n + 1, f"c{n}", f"d{n}"),
                result(n + 2, f"c{n}"),
                result(n + 3, f"d{n}"),
                said(n + 4, "assistant", tokens=40),
            )
        )
        reads: list[list[Message]] = []
        read = backend.repository.read_messages

        async def counting(*args: Any) -> list[Message]:
            reads.append(await read(*args))
            return reads[-1]

        monkeypatch.setattr(backend.repository, "read_messages", counting)
        window = await session.get_recent_context(4_000, provider=provider)
    (rows,) = reads
    assert len(window) > 150
    assert len(rows) <= len(window) + TURN
