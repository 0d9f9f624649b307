"""The task that embeds behind the appends: it survives failures, loses nothing, and does nothing twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from langswarm_memory import MemoryManager
from langswarm_memory.errors import EmbeddingError, UnsupportedOperationError
from langswarm_memory.recall import worker as worker_module
from langswarm_memory.recall.embedded import InVectorStore
from langswarm_memory.recall.index import SemanticIndex
from langswarm_memory.recall.worker import EmbeddingWorker
from langswarm_memory.vector_stores.memory import InMemoryVectorStore
from tests.recall.memories import Memory, found, message, session_of
from tests.recall.words import Words

SECONDS = 20.0
TEXTS = [f"sentence number {number}" for number in range(250)]


async def until(condition: Any) -> None:
    """Let other tasks run until a condition holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - conditions of several objects, none of which has an event
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingWorker.__init__, "__kwdefaults__", {"retry_seconds": 0.0, "sweep_seconds": 60.0})


@pytest.fixture
async def started(sqlite: Memory) -> AsyncIterator[MemoryManager]:
    """A manager over SQLite whose worker runs."""
    async with sqlite.manager() as manager:
        yield manager


def worker_of(manager: MemoryManager) -> EmbeddingWorker:
    worker = manager.backend.embedding_worker  # type: ignore[attr-defined]
    assert isinstance(worker, EmbeddingWorker)
    return worker


async def test_worker_embeds_without_being_asked(started: MemoryManager) -> None:
    await session_of(started, "s", "the kettle is boiling")
    await until(lambda: worker_of(started).embedded == 1)
    assert await found(started, "kettle") == ["the kettle is boiling"]


async def test_append_does_not_wait_for_the_provider(started: MemoryManager, sqlite: Memory) -> None:
    sqlite.provider.gate = asyncio.Event()
    session = await session_of(started, "s", "one")
    await sqlite.provider.begun.wait()
    async with asyncio.timeout(SECONDS):
        await session.add_message(message("two", 1))
    sqlite.provider.gate.set()


async def test_worker_and_flush_at_once_embed_each_message_once(started: MemoryManager, sqlite: Memory) -> None:
    sqlite.provider.gate = asyncio.Event()
    await session_of(started, "s", "one", "two")
    await sqlite.provider.begun.wait()
    flushes = [asyncio.create_task(started.flush()) for _ in range(3)]
    await asyncio.sleep(0)
    sqlite.provider.gate.set()
    await asyncio.gather(*flushes)
    assert sqlite.provider.embedded == ["one", "two"]


async def test_worker_follows_a_clear(started: MemoryManager) -> None:
    session = await session_of(started, "s", "one", "two")
    worker = worker_of(started)
    await until(lambda: worker.embedded == 2 and worker.lag == 0)
    await session.clear_messages()
    await until(lambda: worker.lag == 0)
    assert await started.backend.semantic_index.stale(10) == []  # type: ignore[attr-defined]


async def test_failure_of_the_provider_is_retried(started: MemoryManager, sqlite: Memory) -> None:
    sqlite.provider.error = EmbeddingError("embed", "words")
    await session_of(started, "s", "one")
    worker = worker_of(started)
    await until(lambda: worker.last_error is not None)
    sqlite.provider.error = None
    await until(lambda: worker.embedded == 1)
    assert (worker.last_error, worker.lag) == (None, 0)


async def test_text_that_cannot_be_embedded_holds_up_no_other_session(started: MemoryManager, sqlite: Memory) -> None:
    sqlite.provider.poison = "poison"
    await session_of(started, "bad", "poison")
    await session_of(started, "good", "apple")
    worker = worker_of(started)
    await until(lambda: worker.embedded == 1)
    assert sqlite.provider.embedded == ["apple"]


async def test_failed_session_waits_longer_each_time(sqlite: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    worker = EmbeddingWorker((backend := sqlite.backend()).semantic_index, retry_seconds=5.0)
    sqlite.provider.poison = "poison"
    await session_of(backend, "bad", "poison")
    for _ in range(9):
        await worker._bring_up_to_date("bad", None)
        pauses.append(worker._later["bad"].delay)
    await backend.disconnect()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


async def test_failure_names_no_text(started: MemoryManager, sqlite: Memory, caplog: pytest.LogCaptureFixture) -> None:
    sqlite.provider.poison = "secret"
    with caplog.at_level(logging.WARNING, "langswarm_memory"):
        await session_of(started, "s", "a secret text")
        await until(lambda: caplog.records)
    assert "a secret text" not in caplog.text
    assert "ValueError" in caplog.text


async def test_health_tells_lag_and_error(started: MemoryManager, sqlite: Memory) -> None:
    sqlite.provider.poison = "poison"
    await session_of(started, "s", "poison")
    await until(lambda: worker_of(started).last_error is not None)
    health = await started.backend.health_check()
    assert (health["embedding_lag"], health["embedding_error"]) == (1, "ValueError")


async def test_flush_leaves_no_lag(started: MemoryManager) -> None:
    for number in range(5):
        await session_of(started, f"s{number}", "one")
    await started.flush()
    assert started.embedding_lag == 0


async def test_flush_raises_what_failed_after_the_rest_is_done(sqlite: Memory) -> None:
    manager = sqlite.manager()
    sqlite.provider.poison = "poison"
    await session_of(manager, "a", "poison")
    await session_of(manager, "b", "apple")
    with pytest.raises(ValueError, match="cannot be embedded"):
        await manager.flush()
    await manager.stop()
    assert sqlite.provider.embedded == ["apple"]


async def test_what_failed_half_way_is_resumed_and_not_repeated(sqlite: Memory) -> None:
    """Pages of a hundred: the second one fails."""
    manager = sqlite.manager()
    sqlite.provider.poison = TEXTS[150]
    await session_of(manager, "s", *TEXTS)
    with pytest.raises(ValueError, match="cannot be embedded"):
        await manager.flush()
    sqlite.provider.poison = None
    await manager.flush()
    await manager.stop()
    assert sqlite.provider.embedded == TEXTS


async def test_what_was_cancelled_is_embedded_by_the_next_process(sqlite: Memory) -> None:
    sqlite.provider.gate = asyncio.Event()
    async with sqlite.manager() as manager:
        await session_of(manager, "s", "one", "two")
        await sqlite.provider.begun.wait()
    assert sqlite.provider.embedded == []
    sqlite.provider.gate = None
    async with sqlite.manager() as manager:
        await until(lambda: worker_of(manager).embedded == 2)
    assert sqlite.provider.embedded == ["one", "two"]


async def test_stop_ends_while_the_provider_hangs(sqlite: Memory) -> None:
    sqlite.provider.gate = asyncio.Event()
    manager = await sqlite.manager().start()
    await session_of(manager, "s", "one")
    await sqlite.provider.begun.wait()
    async with asyncio.timeout(SECONDS):
        await manager.stop()


async def test_crash_between_writing_and_noting_leaves_nothing_of_a_deleted_message(
    beside: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vectors are written, that they are is not; then the message is deleted."""
    manager = beside.manager()
    backend: Any = manager.backend
    session = await session_of(manager, "s", "one", "two")

    async def crash(*_args: Any, **_named: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(type(backend.repository), "mark_indexed", crash)
        with pytest.raises(RuntimeError, match="killed"):
            await manager.flush()
    await session.delete_messages([1])
    await manager.flush()
    assert await backend.semantic_index.embedded.count() == 1
    await manager.stop()


@pytest.mark.parametrize("place", ["sqlite", "beside"])
async def test_nothing_stays_of_a_session_that_is_deleted_while_it_is_embedded(
    place: str, request: pytest.FixtureRequest
) -> None:
    memory: Memory = request.getfixturevalue(place)
    memory.provider.gate = asyncio.Event()
    async with memory.manager() as manager:
        backend: Any = manager.backend
        await session_of(manager, "s", "one", "two")
        await memory.provider.begun.wait()
        await manager.delete_session("s")
        memory.provider.gate.set()
        await until(lambda: worker_of(manager).lag == 0)
        assert await backend.semantic_index.embedded.count() == 0


async def test_nothing_stays_when_vectors_are_written_while_the_session_is_deleted(
    beside: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the deletion of the vectors and that of the session."""
    manager = beside.manager()
    backend: Any = manager.backend
    await session_of(manager, "s", "one")
    delete = type(backend.repository).delete_sessions

    async def late(repository: Any, ids: list[str]) -> int:
        await manager.flush()
        deleted: int = await delete(repository, ids)
        return deleted

    monkeypatch.setattr(type(backend.repository), "delete_sessions", late)
    await manager.delete_session("s")
    assert await backend.semantic_index.embedded.count() == 0
    await manager.stop()


async def test_session_made_anew_while_its_namesake_is_embedded_is_embedded_too(beside: Memory) -> None:
    manager, other = beside.manager(), beside.manager(Words())
    beside.provider.gate = asyncio.Event()
    await session_of(manager, "s", "one", "two")
    flush = asyncio.create_task(manager.flush())
    await beside.provider.begun.wait()
    await other.delete_session("s")
    await session_of(other, "s", "three", "four")
    beside.provider.gate.set()
    await flush
    await other.flush()
    assert sorted(await found(other, "one two three four")) == ["four", "three"]
    assert await other.backend.semantic_index.embedded.count() == 2  # type: ignore[attr-defined]
    await manager.stop()
    await other.stop()


async def test_lost_vectors_are_made_again(sqlite: Memory) -> None:
    """A vector store in memory, or a collection that somebody removed: what is noted in the store does not hold."""
    for _ in range(2):
        sqlite.vectors = lambda dimension: InMemoryVectorStore(dimension=dimension)
        manager = sqlite.manager()
        if await manager.get_session("s") is None:
            await session_of(manager, "s", "one")
        await manager.flush()
        assert await found(manager, "one") == ["one"]
        await manager.stop()


@pytest.mark.parametrize("memory", ["sqlite", "postgres"], indirect=True)
async def test_two_processes_embed_each_message_once(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingWorker.__init__, "__kwdefaults__", {"retry_seconds": 5.0, "sweep_seconds": 60.0})
    providers = [Words(), Words()]
    async with memory.manager(providers[0]) as first, memory.manager(providers[1]) as second:
        managers = [first, second]
        for number in range(20):
            await session_of(managers[number % 2], f"s{number}", f"text {number}")
        await until(lambda: sum(worker_of(one).embedded for one in managers) >= 20)
        await until(lambda: all(worker_of(one).lag == 0 for one in managers))
    assert sorted(text for one in providers for text in one.embedded) == sorted(f"text {n}" for n in range(20))


async def test_what_a_process_without_a_worker_wrote_is_found_by_the_sweep(
    sqlite: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its second look: at the first, the other process may be about to embed it itself."""
    monkeypatch.setattr(EmbeddingWorker.__init__, "__kwdefaults__", {"retry_seconds": 0.0, "sweep_seconds": 0.001})
    async with sqlite.manager() as manager:
        await until(lambda: worker_of(manager)._seen is not None)
        async with sqlite.backend() as other:
            await session_of(other, "s", "one")
        await until(lambda: worker_of(manager).embedded == 1)


async def test_sweep_leaves_what_another_process_is_at(sqlite: Memory) -> None:
    backend = sqlite.backend()
    worker = EmbeddingWorker(backend.semantic_index)
    await worker._sweep()
    session = await session_of(backend, "s", *TEXTS)
    await worker._sweep()
    await backend.repository.mark_indexed(session.session_id, "words", last_seq=100, edits=0)  # type: ignore[attr-defined]
    await worker._sweep()
    assert worker.lag == 0
    await worker._sweep()
    assert worker.lag == 1
    await backend.disconnect()


async def test_more_sessions_than_may_wait_are_embedded_all(sqlite: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "CAPACITY", 3)
    monkeypatch.setattr(EmbeddingWorker.__init__, "__kwdefaults__", {"retry_seconds": 0.0, "sweep_seconds": 0.001})
    sqlite.provider.gate = asyncio.Event()
    async with sqlite.manager() as manager:
        for number in range(10):
            await session_of(manager, f"s{number}", f"text {number}")
        sqlite.provider.gate.set()
        await until(lambda: worker_of(manager).embedded == 10)


async def test_messages_beyond_the_bound_leave_the_index(sqlite: Memory) -> None:
    manager = sqlite.manager(overflow="delete")
    session = await session_of(manager, "s", "one", "two", max_messages=2)
    await manager.flush()
    await session.add_message(message("three", 2))
    await manager.flush()
    assert sorted(await found(manager, "one two three")) == ["three", "two"]
    await manager.stop()


def test_store_that_tracks_no_indexes_refuses() -> None:
    backend: Any = SimpleNamespace(repository=SimpleNamespace(name="flat"))
    index = SemanticIndex(backend, Words(), InVectorStore(InMemoryVectorStore(dimension=2)), "words")
    with pytest.raises(UnsupportedOperationError, match="flat"):
        index.tracker  # noqa: B018 - it is the asking that fails
