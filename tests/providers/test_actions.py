"""Suggested actions: each rule speaks when its state is there, and only then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from langswarm_memory import InMemoryBackend, Message
from langswarm_memory.interfaces.contracts import IMemorySession
from langswarm_memory.providers import LocalProvider
from tests.providers.sessions import WEDNESDAY, call, said, session_of

KEYS = {"action", "reason", "priority", "method", "confidence", "details", "unknown"}


async def suggested(session: IMemorySession) -> dict[str, dict[str, Any]]:
    return {one["action"]: one for one in await LocalProvider().suggest_actions(session)}


async def test_answered_session_needs_nothing(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Hi"), said("assistant", "Hello"))
    assert await suggested(session) == {}


async def test_empty_session_needs_nothing(backend: InMemoryBackend) -> None:
    assert await suggested(await session_of(backend)) == {}


async def test_unanswered_user_waits_for_as_long_as_the_clock_says(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("assistant", "Hello"), said("user", "Hi", 20))
    found = await suggested(session)
    assert list(found) == ["answer_user"]
    assert set(found["answer_user"]) == KEYS
    assert found["answer_user"]["details"]["waiting_seconds"] == 40


async def test_tool_result_in_the_role_of_the_user_is_no_question(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend,
        said("user", "Hi"),
        said("assistant", [{"type": "tool_use", "id": "a", "name": "find", "input": {}}]),
        said("user", [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]),
    )
    assert await suggested(session) == {}


async def test_newest_call_may_still_run(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend,
        said("user", "Hi"),
        said("assistant", None, tool_calls=[call("find", "a"), call("find", "b")]),
        said("tool", "1", tool_call_id="a"),
    )
    found = await suggested(session)
    assert list(found) == ["await_tool_results"]
    assert found["await_tool_results"]["details"] == {"call_ids": ["b"], "seqs": [2]}


async def test_call_that_the_conversation_left_behind_is_to_be_repaired(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend,
        said("user", "Hi"),
        said("assistant", None, tool_calls=[call("find", "a")]),
        said("user", "Are you there?"),
        said("assistant", "Yes"),
    )
    found = await suggested(session)
    assert list(found) == ["repair"]
    assert found["repair"]["details"] == {"kinds": ["unanswered"], "call_ids": ["a"], "seqs": [2]}


async def test_old_break_is_not_taken_for_a_call_that_still_runs(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend,
        said("assistant", None, tool_calls=[call("find", "a")]),
        said("assistant", "One moment"),
        said("assistant", None, tool_calls=[call("find", "b")]),
        said("tool", "1", tool_call_id="b"),
    )
    assert list(await suggested(session)) == ["repair"]


async def test_repaired_session_needs_no_repair(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend, said("assistant", None, tool_calls=[call("find", "a")]), said("assistant", "Hello")
    )
    await session.repair()
    assert await suggested(session) == {}


def spoken(count: int) -> list[Message]:
    return [said("assistant" if index % 2 else "user", f"message {index}") for index in range(count)]


async def test_summary_is_due_at_the_threshold(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *spoken(6), summary_threshold=6)
    assert (await suggested(session))["create_summary"]["details"]["messages_since"] == 6


async def test_no_summary_is_due_right_after_one(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *spoken(6), summary_threshold=6)
    await session.create_summary(force=True)
    assert "create_summary" not in await suggested(session)


@pytest.mark.parametrize(("hours", "expected"), [(23, ["extend_expiry"]), (26, [])])
async def test_expiry_is_told_a_day_before(backend: InMemoryBackend, hours: int, expected: list[str]) -> None:
    session = await session_of(backend, *spoken(2), expires_at=WEDNESDAY + timedelta(hours=hours))
    assert list(await suggested(session)) == expected


@pytest.mark.parametrize(("bound", "expected"), [(20, []), (11, ["low"]), (10, ["low"]), (8, ["medium"])])
async def test_window_is_told_when_nine_tenths_full(backend: InMemoryBackend, bound: int, expected: list[str]) -> None:
    session = await session_of(backend, said("system", "Be brief"), *spoken(10), max_messages=bound)
    found = [one for one in (await suggested(session)).values() if one["action"] == "review_window"]
    assert [one["priority"] for one in found] == expected


async def test_tokens_fill_a_window_too(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Hi", token_count=90), said("assistant", "Yes", token_count=5))
    await session.update_metadata(max_tokens=100)
    assert (await suggested(session))["review_window"]["details"] == {"unit": "tokens", "used": 95, "bound": 100}


async def test_closed_session_needs_no_answer(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Hi"))
    await session.close()
    assert await suggested(session) == {}
