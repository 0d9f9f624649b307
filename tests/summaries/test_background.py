"""Summaries in the background: made without being asked for, off the path of an append, by a started manager only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from langswarm_memory import BaseMemoryBackend, InMemoryBackend, MemoryManager, Message, SQLiteBackend
from langswarm_memory.background import CAPACITY
from langswarm_memory.interfaces import ConversationSummary
from langswarm_memory.summaries import Digest

from .conftest import Noting, turns


class Held:
    """An async summarizer that waits until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.calls = 0

    async def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        self.calls += 1
        self.begun.set()
        await self.go.wait()
        return Digest("held", [])


class Failing:
    """A summarizer whose model cannot be reached, until it can."""

    def __init__(self) -> None:
        self.down = True

    def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        if self.down:
            raise OSError("the text of a conversation")
        return Digest("at last", [])


@pytest.fixture
async def manager(store: BaseMemoryBackend) -> AsyncIterator[MemoryManager]:
    async with MemoryManager(store) as started:
        yield started


async def talk(manager: MemoryManager, session_id: str = "s", messages: int = 10, **fields: Any) -> Any:
    session = await manager.create_session(session_id, **{"summary_threshold": 10, **fields})
    await session.add_messages(turns(messages))
    return session


async def stored(manager: MemoryManager, session_id: str = "s") -> list[ConversationSummary]:
    backend = manager.backend
    assert isinstance(backend, BaseMemoryBackend)
    return await backend.repository.list_summaries(session_id)


async def test_summary_that_falls_due_is_made(manager: MemoryManager) -> None:
    await talk(manager)
    await manager.flush()
    assert [(summary.first_seq, summary.last_seq) for summary in await stored(manager)] == [(1, 10)]


async def test_every_threshold_of_single_appends_is_summarised(manager: MemoryManager) -> None:
    session = await manager.create_session("s", summary_threshold=10)
    await session.add_message(Message("system", "Be brief."))
    for message in turns(30):
        await session.add_message(message)
        await manager.flush()
    assert [summary.last_seq for summary in await stored(manager)] == [31, 21, 11]


async def test_append_does_not_wait_for_a_summary() -> None:
    held = Held()
    async with MemoryManager(InMemoryBackend(summarizer=held)) as manager:
        session = await talk(manager)
        await held.begun.wait()
        await session.add_messages(turns(1, first=10))
        assert manager.summary_lag == 1
        held.go.set()
        await manager.flush()
        assert manager.summary_lag == 0


async def test_summary_before_its_threshold_costs_nothing(manager: MemoryManager, noting: Noting) -> None:
    await talk(manager, messages=9)
    assert manager.summary_lag == 0


@pytest.mark.parametrize("fields", [{"auto_summarize": False}, {"summary_strategy": "manual"}])
async def test_session_that_wants_none_gets_none(manager: MemoryManager, fields: dict[str, Any]) -> None:
    await talk(manager, **fields)
    assert manager.summary_lag == 0
    assert await stored(manager) == []


async def test_manager_may_leave_summaries_to_reading(store: BaseMemoryBackend) -> None:
    async with MemoryManager(store, summarize_in_background=False) as manager:
        session = await talk(manager)
        await manager.flush()
        assert await stored(manager) == []
        assert await session.get_summary() is not None


async def test_manager_that_was_not_started_makes_none(store: BaseMemoryBackend) -> None:
    manager = MemoryManager(store)
    await talk(manager)
    await manager.flush()
    assert await stored(manager) == []


async def test_appends_of_a_confined_manager_are_summarised(manager: MemoryManager) -> None:
    confined = manager.for_user("ada")
    await talk(confined)
    await confined.flush()
    assert len(await stored(manager)) == 1


async def test_stop_abandons_what_waits() -> None:
    held = Held()
    backend = InMemoryBackend(summarizer=held)
    manager = await MemoryManager(backend)
    for name in ("a", "b"):
        await talk(manager, name)
    await held.begun.wait()
    assert manager.summary_lag == 2
    await manager.stop()
    assert (held.calls, manager.summary_lag) == (1, 0)


async def test_abandoned_summary_is_made_after_a_restart(tmp_path: Any, noting: Noting) -> None:
    held = Held()
    async with MemoryManager(SQLiteBackend(tmp_path / "memory.db", summarizer=held)) as manager:
        await talk(manager)
        await held.begun.wait()
    async with MemoryManager(SQLiteBackend(tmp_path / "memory.db", summarizer=noting)) as manager:
        session = await manager.get_session("s")
        assert session is not None
        for message in turns(5, first=10):
            await session.add_message(message)
        await manager.flush()
        assert [(summary.first_seq, summary.last_seq) for summary in await stored(manager)] == [(1, 10)]


async def test_failure_is_logged_and_shown_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryManager(InMemoryBackend(summarizer=Failing())) as manager:
        await talk(manager)
        with caplog.at_level(logging.WARNING, "langswarm_memory"):
            await manager.flush()
        health = (await manager.get_system_stats())["health"]
    assert (health["summary_error"], health["summary_lag"]) == ("OSError", 0)
    assert "OSError" in caplog.text
    assert "conversation" not in caplog.text


async def test_failed_summary_is_tried_again_a_threshold_later() -> None:
    failing = Failing()
    async with MemoryManager(InMemoryBackend(summarizer=failing)) as manager:
        session = await talk(manager)
        await manager.flush()
        failing.down = False
        await session.add_messages(turns(9, first=10))
        assert manager.summary_lag == 0
        await session.add_messages(turns(1, first=19))
        await manager.flush()
        assert [summary.last_seq for summary in await session.get_summaries()] == [20]


async def test_failure_does_not_keep_the_next_session_waiting() -> None:
    async with MemoryManager(InMemoryBackend(summarizer=Failing())) as manager:
        backend = manager.backend
        assert isinstance(backend, InMemoryBackend)
        await talk(manager, "a")
        await manager.flush()
        backend.summarizer = Noting()
        await talk(manager, "b")
        await manager.flush()
        assert len(await stored(manager, "b")) == 1


async def test_deleted_session_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    async with MemoryManager(InMemoryBackend(summarizer=held)) as manager:
        await talk(manager)
        await held.begun.wait()
        await manager.delete_session("s")
        held.go.set()
        await manager.flush()
        assert (await manager.get_system_stats())["health"]["summary_error"] is None
    assert caplog.text == ""


async def test_queue_is_bounded_and_a_session_that_found_no_room_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert CAPACITY >= 1
    monkeypatch.setattr("langswarm_memory.background.CAPACITY", 1)
    held = Held()
    async with MemoryManager(InMemoryBackend(summarizer=held)) as manager:
        await talk(manager, "a")
        await held.begun.wait()
        await talk(manager, "b")
        left_out = await talk(manager, "c")
        assert manager.summary_lag == 2
        held.go.set()
        await manager.flush()
        assert await stored(manager, "c") == []
        await left_out.add_messages(turns(5, first=10))
        await manager.flush()
        assert len(await stored(manager, "c")) == 1


async def test_unknown_strategy_in_the_store_does_not_fail_an_append(caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryManager(InMemoryBackend()) as manager:
        session = await manager.create_session("s", summary_threshold=10)
        session.metadata.properties["summary_strategy"] = "of another version"
        assert await session.add_messages(turns(10)) == list(range(1, 11))
        await manager.flush()
    assert "InvalidInputError" in caplog.text


async def test_summary_that_another_process_should_make_is_made_half_a_threshold_later(tmp_path: Any) -> None:
    path = tmp_path / "memory.db"
    gone = MemoryManager(SQLiteBackend(path), summarize_in_background=False)
    async with gone, MemoryManager(SQLiteBackend(path, summarizer=Noting())) as manager:
        await talk(gone)
        session = await manager.get_session("s")
        assert session is not None
        await session.add_messages(turns(1, first=10))
        assert manager.summary_lag == 0
        for message in turns(4, first=11):
            await session.add_message(message)
        await manager.flush()
        assert [summary.last_seq for summary in await stored(manager)] == [10]
