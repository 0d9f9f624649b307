"""The manager: its life, its clean-up, finding and making sessions, and confinement to one user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    IMemoryBackend,
    IMemorySession,
    InMemoryBackend,
    MemoryBackendType,
    MemoryManager,
    MemoryUsage,
    Message,
    NotConnectedError,
    SessionMetadata,
    SessionOwnershipError,
    SessionStatus,
    StorageUnavailableError,
    Timestamp,
    UnsupportedOperationError,
)

START = Timestamp.parse("2030-01-01T00:00:00+00:00")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> Timestamp:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


# --- life ----------------------------------------------------------------------------------------------------------


async def test_backend_connects_on_first_use() -> None:
    manager = MemoryManager(InMemoryBackend())
    assert not manager.backend.is_connected
    await manager.create_session("s")
    assert manager.backend.is_connected
    await manager.stop()


@pytest.mark.parametrize("enter", ["start", "async with", "await"])
async def test_starting_connects_and_stopping_disconnects(enter: str) -> None:
    manager = MemoryManager(InMemoryBackend())
    if enter == "async with":
        async with manager as entered:
            assert entered is manager
            assert manager.backend.is_connected
    else:
        assert await (manager.start() if enter == "start" else manager) is manager
        assert manager.backend.is_connected
        await manager.shutdown()
    assert not manager.backend.is_connected


async def test_starting_and_stopping_twice_is_the_same_as_once(manager: MemoryManager) -> None:
    await manager.start()
    await manager.start()
    assert await manager.get_session("s") is None
    await manager.stop()
    await manager.stop()


HELD: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "add_message": lambda s: s.add_message(Message("user", "x")),
    "add_messages": lambda s: s.add_messages([Message("user", "x"), Message("user", "y")]),
    "get_messages": lambda s: s.get_messages(),
    "iter_messages": lambda s: anext(s.iter_messages()),
    "get_recent_context": lambda s: s.get_recent_context(100),
    "get_conversation_context": lambda s: s.get_conversation_context(),
    "clear_messages": lambda s: s.clear_messages(),
    "update_metadata": lambda s: s.update_metadata(tags=["a"]),
    "close": lambda s: s.close(),
    "refresh": lambda s: s.refresh(),
    "count_messages": lambda s: s.count_messages(),
    "get_summary": lambda s: s.get_summary(),
    "get_summaries": lambda s: s.get_summaries(),
    "create_summary": lambda s: s.create_summary(True),
    "search_messages": lambda s: s.search_messages("x"),
    "delete_session": lambda s: s.delete_session(),
}


@pytest.mark.parametrize("call", HELD.values(), ids=HELD.keys())
async def test_session_held_beyond_the_disconnect_says_so(
    manager: MemoryManager, call: Callable[[Any], Awaitable[Any]]
) -> None:
    session = await manager.create_session("s")
    await manager.stop()
    with pytest.raises(NotConnectedError):
        await call(session)


async def test_managers_calls_after_stop_say_so(manager: MemoryManager) -> None:
    await manager.stop()
    for call in (
        manager.create_session("s"),
        manager.get_session("s"),
        manager.get_or_create_session("s"),
        manager.delete_session("s"),
        manager.list_user_sessions("u"),
        manager.add_message("s", "user", "x"),
        manager.get_history("s"),
        manager.search_messages("x"),
        manager.cleanup_expired_sessions(),
        manager.cleanup_all_sessions(),
    ):
        with pytest.raises(NotConnectedError):
            await call


# --- clean-up --------------------------------------------------------------------------------------------------------


class Watched(InMemoryBackend):
    """Tells when it was cleaned, and fails when asked to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cleaned: asyncio.Queue[int | Exception] = asyncio.Queue()
        self.failures: list[Exception] = []

    async def cleanup_expired_sessions(self, max_age_days: float | None = None) -> int:
        if self.failures:
            error = self.failures.pop()
            self.cleaned.put_nowait(error)
            raise error
        deleted = await super().cleanup_expired_sessions(max_age_days)
        self.cleaned.put_nowait(deleted)
        return deleted


async def test_started_manager_removes_expired_sessions() -> None:
    clock = Clock()
    backend = Watched(clock=clock, ttl=60)
    async with MemoryManager(backend, cleanup_interval=0) as manager, asyncio.timeout(5):
        await manager.create_session("s")
        assert await backend.cleaned.get() == 0
        clock.move(seconds=61)
        while await backend.cleaned.get() == 0:
            pass
        assert (await backend.get_usage_stats()).session_count == 0


async def test_clean_up_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    backend = Watched()
    backend.failures.append(StorageUnavailableError("in_memory", "list_sessions"))
    async with MemoryManager(backend, cleanup_interval=0), asyncio.timeout(5):
        assert isinstance(await backend.cleaned.get(), StorageUnavailableError)
        assert await backend.cleaned.get() == 0
    assert "clean-up failed" in caplog.text


async def test_clean_up_ends_with_the_manager() -> None:
    backend = Watched()
    manager = await MemoryManager(backend, cleanup_interval=0).start()
    await backend.cleaned.get()
    await manager.stop()
    assert len(asyncio.all_tasks()) == 1


async def test_manager_without_clean_up_starts_none() -> None:
    backend = Watched()
    async with MemoryManager(backend, auto_cleanup=False, cleanup_interval=0):
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
    assert backend.cleaned.empty()


async def test_clean_up_begins_again_with_a_second_start() -> None:
    backend = Watched()
    manager = MemoryManager(backend, cleanup_interval=0)
    for _ in range(2):
        await manager.start()
        async with asyncio.timeout(5):
            await backend.cleaned.get()
        await manager.stop()
        while not backend.cleaned.empty():
            backend.cleaned.get_nowait()


async def test_sessions_without_activity_are_removed_by_age() -> None:
    clock = Clock()
    manager = MemoryManager(InMemoryBackend(clock=clock))
    old, new = await manager.create_session("old", created_at=clock()), await manager.create_session("new")
    clock.move(days=31)
    await new.add_message(Message("user", "still here"))
    assert await manager.cleanup_expired_sessions() == 0
    assert await manager.cleanup_all_sessions(max_age_days=30) == 1
    assert await manager.get_session(old.session_id) is None
    assert await manager.get_session("new") is not None


# --- finding and making ---------------------------------------------------------------------------------------------


async def test_created_session_has_an_id_of_its_own(manager: MemoryManager) -> None:
    first, second = await manager.create_session(), await manager.create_session()
    assert first.session_id != second.session_id


async def test_unknown_keywords_become_properties(manager: MemoryManager) -> None:
    session = await manager.create_session("s", summary_strategy="rolling", metadata={"a": 1}, custom_metadata={"b": 2})
    assert session.metadata.properties == {"a": 1, "b": 2, "summary_strategy": "rolling"}


async def test_known_keywords_become_fields(manager: MemoryManager) -> None:
    session = await manager.create_session("s", "ada", "planner", auto_summarize_threshold=7, tags=["a"], max_tokens=9)
    metadata = session.metadata
    assert (metadata.user_id, metadata.agent_id) == ("ada", "planner")
    assert (metadata.summary_threshold, metadata.tags, metadata.max_tokens) == (7, ["a"], 9)


async def test_positional_id_makes_a_session_of_that_id(manager: MemoryManager) -> None:
    assert (await manager.get_or_create_session("user_123")).session_id == "user_123"
    assert (await manager.get_or_create_session("user_123")).metadata.user_id is None


async def test_session_found_keeps_its_fields(manager: MemoryManager) -> None:
    await manager.create_session("s", "ada", tags=["first"])
    again = await manager.get_or_create_session("s", "ada", tags=["second"])
    assert again.metadata.tags == ["first"]


async def test_user_alone_finds_their_newest_active_session(manager: MemoryManager) -> None:
    for number, name in enumerate(["oldest", "newest"]):
        await manager.create_session(name, "ada", created_at=START + timedelta(minutes=number))
    closed = await manager.create_session("closed", "ada", created_at=START + timedelta(minutes=5))
    await closed.close()
    await manager.create_session("other", "bob", created_at=START + timedelta(minutes=9))
    assert (await manager.get_or_create_session(user_id="ada")).session_id == "newest"


async def test_user_without_a_session_gets_a_new_one(manager: MemoryManager) -> None:
    made = await manager.get_or_create_session(user_id="ada", agent_id="planner")
    assert (made.metadata.user_id, made.metadata.agent_id) == ("ada", "planner")
    assert (await manager.get_or_create_session(user_id="ada")).session_id == made.session_id


async def test_session_of_another_user_is_refused_without_a_word_about_it(manager: MemoryManager) -> None:
    await manager.create_session("s", "ada", properties={"secret": "diary"})
    with pytest.raises(SessionOwnershipError) as caught:
        await manager.get_or_create_session("s", "bob")
    assert "ada" not in str(caught.value)
    assert "diary" not in f"{caught.value!r} {vars(caught.value)}"


async def test_message_added_by_id_makes_the_session(manager: MemoryManager) -> None:
    message = await manager.add_message(session_id="s", role="user", content="hello", metadata={"a": 1})
    assert [m.message_id for m in await manager.get_history("s")] == [message.message_id]
    await manager.add_message(session_id="s", role="assistant", content="hi")
    assert [m.text for m in await manager.get_history("s")] == ["hello", "hi"]


async def test_history_of_a_missing_session_is_empty(manager: MemoryManager) -> None:
    assert await manager.get_history("missing") == []


async def test_opened_session_comes_with_its_newest_messages(manager: MemoryManager) -> None:
    for number in range(5):
        await manager.add_message("s", "user", str(number))
    opened = await manager.open_session("s", 2)
    assert opened is not None
    assert (opened[0].session_id, [message.text for message in opened[1]]) == ("s", ["3", "4"])
    assert await manager.open_session("missing") is None


async def test_sessions_of_a_user_are_paged_by_cursor(manager: MemoryManager) -> None:
    for number in range(5):
        await manager.create_session(f"s{number}", "ada", created_at=START + timedelta(seconds=number // 2))
    seen: list[str] = []
    page = await manager.list_user_sessions("ada", limit=2)
    while page:
        seen += [metadata.session_id for metadata in page]
        page = await manager.list_user_sessions("ada", limit=2, after=page[-1])
    assert seen == ["s4", "s3", "s2", "s1", "s0"]


async def test_system_stats_have_both_documented_forms(manager: MemoryManager) -> None:
    session = await manager.create_session("a")
    await session.add_message(Message("user", "x", token_count=3))
    await (await manager.create_session("b")).archive_session()  # type: ignore[attr-defined]
    stats = await manager.get_system_stats()
    assert stats["usage"]["session_count"] == stats["total_sessions"] == 2
    assert stats["usage"]["total_tokens"] == 3
    assert (stats["active_sessions"], stats["archived_sessions"], stats["cached_sessions"]) == (1, 1, 0)
    assert stats["avg_messages_per_session"] == 0.5
    assert stats["health"]["status"] == "healthy"
    assert stats["backend_type"] == manager.backend.backend_type.value


async def test_stats_of_an_empty_store_divide_by_nothing(manager: MemoryManager) -> None:
    assert (await manager.get_system_stats())["avg_messages_per_session"] == 0.0


# --- a backend that is only what the interface demands ----------------------------------------------------------------


class Foreign(IMemoryBackend):
    """What somebody may have written against the interface, and no more."""

    def __init__(self) -> None:
        self._inner = InMemoryBackend()

    @property
    def backend_type(self) -> MemoryBackendType:
        return MemoryBackendType.EXTERNAL_DB

    @property
    def is_connected(self) -> bool:
        return self._inner.is_connected

    async def connect(self) -> bool:
        return await self._inner.connect()

    async def disconnect(self) -> bool:
        return await self._inner.disconnect()

    async def create_session(self, metadata: SessionMetadata) -> IMemorySession:
        return await self._inner.create_session(metadata)

    async def get_session(self, session_id: str) -> IMemorySession | None:
        return await self._inner.get_session(session_id)

    async def list_sessions(
        self, user_id: str | None = None, status: SessionStatus | None = None, limit: int = 100, offset: int = 0
    ) -> list[SessionMetadata]:
        return await self._inner.list_sessions(user_id, status, limit, offset)

    async def delete_session(self, session_id: str) -> bool:
        return await self._inner.delete_session(session_id)

    async def cleanup_expired_sessions(self) -> int:
        return await self._inner.cleanup_expired_sessions()

    async def get_usage_stats(self) -> MemoryUsage:
        return await self._inner.get_usage_stats()

    async def health_check(self) -> dict[str, Any]:
        return await self._inner.health_check()


async def test_manager_works_over_a_foreign_backend() -> None:
    async with MemoryManager(Foreign()) as manager:
        session = await manager.get_or_create_session("s", "ada")
        assert await session.add_message(Message("user", "x"))
        opened = await manager.open_session("s")
        assert opened is not None
        assert len(opened[1]) == 1
        assert len(await manager.list_user_sessions("ada")) == 1
        assert (await manager.get_system_stats())["total_messages"] == 1
        assert await manager.for_user("bob").get_session("s") is None


async def test_manager_says_what_a_foreign_backend_cannot_do() -> None:
    async with MemoryManager(Foreign()) as manager:
        for call in (
            manager.search_messages("x"),
            manager.cleanup_all_sessions(),
            manager.list_user_sessions("ada", after=(START, "s")),
        ):
            with pytest.raises(UnsupportedOperationError, match="Foreign"):
                await call


async def test_two_managers_agree_without_telling_each_other(store: BaseMemoryBackend) -> None:
    first, second = MemoryManager(store), MemoryManager(store)
    session = await first.create_session("s", tags=["a"])
    again = await second.get_session("s")
    assert again is not None
    await again.update_metadata(tags=["b"])
    await again.add_message(Message("user", "x"))
    assert session.metadata.tags == ["a"]
    assert (await session.refresh()).tags == ["b"]  # type: ignore[attr-defined]
    assert len(await session.get_messages()) == 1


def test_quiet_manager_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "langswarm_memory"):
        asyncio.run(_use())
    assert caplog.record_tuples == []


async def _use() -> None:
    async with MemoryManager(InMemoryBackend()) as manager:
        await manager.backend.create_session(SessionMetadata("s"))
