"""The quick way to a window of plain messages gives what the thorough one gives, and is taken for no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory import Message, SessionMetadata, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.repository.protocol import MessageQuery
from langswarm_memory.windows.additions import Additions
from langswarm_memory.windows.build import Rules, build, undisturbed

PLAIN = [
    Message("system", "Be brief.", token_count=5),
    *(Message("user" if n % 2 else "assistant", f"turn {n}", token_count=7 + n % 3) for n in range(30)),
    Message("system", "Be polite.", token_count=4),
    Message("assistant", "last", token_count=6),
]
TIED = {
    "tool calls": Message("assistant", "text", tool_calls=[{"id": "c", "type": "function", "function": {}}]),
    "a tool's result": Message("tool", "result", tool_call_id="c"),
    "an old function call": Message("assistant", "text", function_call={"name": "f", "arguments": "{}"}),
    "an old function's result": Message("function", "result", name="f"),
    "blocks": Message("user", [{"type": "tool_result", "tool_use_id": "c", "content": "x"}]),
    "no content": Message("assistant", None),
}


@pytest.fixture(params=["in_memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> BaseMemoryBackend:
    return InMemoryBackend() if request.param == "in_memory" else SQLiteBackend(str(tmp_path / "memory.db"))


async def stretch_of(backend: BaseMemoryBackend, messages: list[Message], budget: int | None) -> list[Message]:
    session = await backend.create_session(SessionMetadata("s", max_messages=None))
    await session.add_messages(messages)
    query = MessageQuery(keep_roles=SYSTEM_ROLES, max_tokens=budget)
    return await backend.repository.read_messages("s", query)


@pytest.mark.parametrize("budget", [0, 8, 9, 16, 30, 100, 260, 10_000, None])
async def test_quick_window_is_the_thorough_one(backend: BaseMemoryBackend, budget: int | None) -> None:
    async with backend:
        stretch = await stretch_of(backend, PLAIN, budget)
        additions = Additions("s", backend.token_counter)
        quick = undisturbed(stretch, budget, Rules(), additions)
        assert quick is not None
        query = MessageQuery(keep_roles=SYSTEM_ROLES, max_tokens=budget)
        again = await backend.repository.read_messages("s", query)
        thorough = build(again, budget, Rules(), additions)
        assert [message.seq for message in quick.messages] == [message.seq for message in thorough.messages]
        assert (quick.complete, quick.first_seq) == (thorough.complete, thorough.first_seq)
        assert list(quick.explained()) == list(thorough.explained())


@pytest.mark.parametrize("what", TIED)
async def test_quick_way_is_not_taken_with(backend: BaseMemoryBackend, what: str) -> None:
    async with backend:
        stretch = await stretch_of(backend, [*PLAIN, TIED[what]], None)
        assert undisturbed(stretch, None, Rules(), Additions("s", backend.token_counter)) is None


async def test_quick_way_sees_what_was_changed_after_reading(backend: BaseMemoryBackend) -> None:
    async with backend:
        stretch = await stretch_of(backend, PLAIN, None)
        stretch[3].tool_calls = [{"id": "c", "type": "function", "function": {}}]
        assert undisturbed(stretch, None, Rules(), Additions("s", backend.token_counter)) is None
