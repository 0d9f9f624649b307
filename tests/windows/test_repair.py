"""Breaks are found, and mended once, however often and by however many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from langswarm_memory import BaseMemoryBackend, InMemoryBackend, Message, SQLiteBackend
from langswarm_memory.formats import messages_from_responses
from tests.windows.conftest import stored
from tests.windows.histories import histories
from tests.windows.test_windows import calls, ids, result, said
from tests.windows.validators import VALIDATORS, faults

BROKEN = [said(1), calls(2, "a", "b"), result(3, "b"), said(4), result(5, "nobody"), calls(6, "c"), result(7, "b")]


async def test_breaks_are_told_in_the_order_of_the_history(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [*BROKEN, *messages_from_responses([{"type": "reasoning", "id": "r"}])])
    found = [(one.kind, one.seq, one.call_id) for one in await session.find_breaks()]
    assert found == [
        ("unanswered", 2, "a"),
        ("orphan", 5, "nobody"),
        ("unanswered", 6, "c"),
        ("duplicate", 7, "b"),
        ("dangling", 8, None),
    ]


async def test_a_sound_history_has_no_breaks(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), calls(2, "a"), said(3), result(4, "a"), calls(5, "a"), result(6, "a")])
    assert await session.find_breaks() == []
    assert (await session.repair()).added == ()


async def test_repair_stores_a_result_for_each_interrupted_call(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, BROKEN)
    report = await session.repair()
    assert [message.tool_call_id for message in report.added] == ["a", "c"]
    assert [one.kind for one in report.left] == ["orphan", "duplicate"]
    assert await session.count_messages() == len(BROKEN) + 2
    assert [one.kind for one in await session.find_breaks()] == ["orphan", "duplicate"]


async def test_repair_changes_no_window(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, BROKEN)
    before = await session.get_recent_context(1_000)
    await session.repair()
    assert await session.get_recent_context(1_000) == before


async def test_repair_again_stores_nothing(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, BROKEN)
    await session.repair()
    assert (await session.repair()).added == ()
    assert await session.count_messages() == len(BROKEN) + 2


async def test_repairs_at_once_store_each_result_once(tmp_path: Path) -> None:
    backends = [SQLiteBackend(str(tmp_path / "memory.db"), synchronous="OFF") for _ in range(4)]
    try:
        await stored(backends[0], BROKEN)
        sessions = [await backend.get_session("s") for backend in backends]
        await asyncio.gather(*(session.repair() for session in sessions if session is not None))
        assert await sessions[0].count_messages() == len(BROKEN) + 2  # type: ignore[union-attr]
    finally:
        for backend in backends:
            await backend.disconnect()


async def test_a_result_that_comes_after_all_takes_the_place_of_the_one_put_in(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2)])
    await session.repair()
    await session.add_message(result(3, "a"))
    assert ids(await session.get_recent_context(1_000)) == "1 3 2"


async def test_a_call_that_only_its_provider_can_answer_is_left(backend: BaseMemoryBackend) -> None:
    screen = {"type": "computer_call", "id": "cu_1", "call_id": "a", "action": {"type": "screenshot"}}
    session = await stored(backend, messages_from_responses([{"role": "user", "content": "Look."}, screen]))
    report = await session.repair()
    assert (report.added, [one.call_id for one in report.left]) == ((), ["a"])
    assert len(await session.get_recent_context(1_000, provider="responses")) == 1


@pytest.mark.parametrize("provider", list(VALIDATORS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories())
async def test_a_repaired_history_needs_nothing_put_in(provider: Any, history: tuple[str, list[Message]]) -> None:
    async with InMemoryBackend() as backend:
        session = await stored(backend, history[1])
        await session.repair()
        window = await session.get_recent_context(10**6, provider=provider)
        assert faults(provider, window) == []
        assert [m for m in window if m.seq is None and m.metadata != {"synthetic": "opening"}] == []
