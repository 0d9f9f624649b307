"""A PostgreSQL that goes away under load and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from langswarm_memory import Message, PostgresBackend, SessionMetadata, StorageUnavailableError
from langswarm_memory.session import BaseMemorySession
from tests.faults.places import history, texts
from tests.services.postgres import PostgresServer, StopMode

pytestmark = pytest.mark.store("postgres")

WRITERS = 8
BEFORE_STOP = 60  # appends acknowledged before the server goes away
AFTER_START = 20  # appends of each writer after it came back


@pytest.fixture
async def backend(postgres_to_break: PostgresServer) -> AsyncIterator[PostgresBackend]:
    with postgres_to_break.service.fresh_database() as url:
        async with PostgresBackend(url, timeout=5, pool_timeout=5, command_timeout=5) as backend:
            yield backend


class Load:
    """Writers that append one message, or a batch of three, at a time until told to stop.

    A writer whose append fails waits until the server is back, repeats it, and goes on.
    """

    def __init__(self, session: BaseMemorySession) -> None:
        self._session = session
        self.acknowledged: list[str] = []
        self.failures: list[StorageUnavailableError] = []
        self.some_acknowledged, self.all_failed, self.back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(self, writer: int) -> None:
        done, left = 0, AFTER_START
        while left:
            messages = texts(f"{writer}-", count=3 if done % 7 == 0 else 1, first=done)
            try:
                await self._session.add_messages(messages)
            except StorageUnavailableError as exc:
                self.failures.append(exc)
                if len(self.failures) == WRITERS:
                    self.all_failed.set()
                await self.back.wait()
                continue
            self.acknowledged += [message.message_id for message in messages]
            if len(self.acknowledged) >= BEFORE_STOP:
                self.some_acknowledged.set()
            done += len(messages)
            left -= self.back.is_set()


@pytest.mark.parametrize("mode", get_args(StopMode))
async def test_nothing_acknowledged_is_lost_when_the_server_stops_under_load(
    backend: PostgresBackend, postgres_to_break: PostgresServer, mode: StopMode
) -> None:
    load = Load(await backend.create_session(SessionMetadata("s")))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(load.write(writer))
        await load.some_acknowledged.wait()
        await asyncio.to_thread(postgres_to_break.stop, mode)
        try:
            await load.all_failed.wait()
        finally:
            await asyncio.to_thread(postgres_to_break.start)
        load.back.set()
    stored = [message.message_id for message in await history(backend)]
    # Those that failed were repeated until they were acknowledged, so each is there, and once.
    assert sorted(stored) == sorted(load.acknowledged)
    for writer in range(WRITERS):
        own = [int(name.partition("-")[2]) for name in stored if name.startswith(f"{writer}-")]
        assert own == sorted(own)
    assert all(exc.retryable and exc.__cause__ is not None for exc in load.failures)


async def test_every_call_of_a_stopped_server_says_so(
    backend: PostgresBackend, postgres_to_break: PostgresServer
) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "hello"))
    calls = {
        "add_message": lambda: session.add_message(Message("user", "more")),
        "add_messages": lambda: session.add_messages(texts("m", 3)),
        "get_messages": session.get_messages,
        "get_recent_context": lambda: session.get_recent_context(1000),
        "clear_messages": session.clear_messages,
        "update_metadata": lambda: session.update_metadata(tags=["a"]),
        "create_summary": lambda: session.create_summary(force=True),
        "get_summaries": session.get_summaries,
        "create_session": lambda: backend.create_session(SessionMetadata("t")),
        "get_session": lambda: backend.get_session("s"),
        "open_session": lambda: backend.open_session("s"),
        "list_sessions": backend.list_sessions,
        "delete_session": lambda: backend.delete_session("s"),
        "search_messages": lambda: backend.search_messages("hello"),
        "get_usage_stats": backend.get_usage_stats,
        "query": lambda: backend.query("SELECT 1"),
        "vacuum_database": backend.vacuum_database,
    }
    told: dict[str, str] = {}
    await asyncio.to_thread(postgres_to_break.stop)
    try:
        for name, call in calls.items():
            for _ in range(2):  # once with connections that are dead, once with none
                with pytest.raises(StorageUnavailableError) as caught:
                    await call()
                if not caught.value.retryable or caught.value.__cause__ is None:
                    told[name] = repr(caught.value)
        health = await backend.health_check()
    finally:
        await asyncio.to_thread(postgres_to_break.start)
    assert told == {}
    assert (health["status"], health["connected"]) == ("unhealthy", False)
    assert [message.content for message in await session.get_messages()] == ["hello"]
    assert (await backend.health_check())["status"] == "healthy"


async def test_backend_that_could_not_connect_connects_when_the_server_is_there(
    postgres_to_break: PostgresServer,
) -> None:
    with postgres_to_break.service.fresh_database() as url:
        await asyncio.to_thread(postgres_to_break.stop)
        backend = PostgresBackend(url, timeout=5)
        try:
            with pytest.raises(StorageUnavailableError):
                await backend.connect()
        finally:
            await asyncio.to_thread(postgres_to_break.start)
        async with backend:
            assert await backend.get_session("s") is None
