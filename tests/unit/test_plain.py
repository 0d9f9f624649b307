"""A backend as a plain memory: save, load, clear. On every store: tests/compat/test_aakit_memory.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from langswarm_memory import ConflictError, InMemoryBackend, InvalidInputError, MemoryManager, Message, SessionMetadata
from langswarm_memory.interfaces.timestamps import now
from langswarm_memory.plain import SAVE_TRIES, PlainMethods
from langswarm_memory.session import BaseMemorySession


class Backend(InMemoryBackend, PlainMethods):
    """The in-memory backend."""


@pytest.fixture
def backend() -> Backend:
    return Backend()


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


def said(count: int) -> list[Message]:
    return [Message("user", str(n)) for n in range(count)]


async def test_a_session_that_save_makes_has_no_window(backend: Backend) -> None:
    await backend.save("u", said(150))
    assert len(await backend.load("u")) == 150


async def test_the_setting_gives_it_one() -> None:
    backend = Backend(max_messages=3)
    await backend.save("u", said(5))
    assert texts(await backend.load("u")) == texts(await backend.load("u", 4)) == ["2", "3", "4"]


async def test_save_adds_to_a_session_as_it_is(backend: Backend) -> None:
    await backend.create_session(SessionMetadata("u", "ada", max_messages=2, properties={"plan": "pro"}))
    await backend.save("u", said(3))
    session = await backend.get_session("u")
    assert session is not None
    assert (session.metadata.user_id, session.metadata.properties) == ("ada", {"plan": "pro"})
    assert texts(await backend.load("u")) == ["1", "2"]


async def test_a_manager_finds_what_was_saved(backend: Backend) -> None:
    await backend.save("u", said(2))
    assert texts(await MemoryManager(backend).get_history("u")) == ["0", "1"]


async def test_trimmed_messages_that_are_saved_again_stay_away() -> None:
    backend = Backend(max_messages=2, overflow="delete")
    conversation = [Message("system", "rules"), *said(4)]
    for _ in range(2):
        await backend.save("u", conversation)
    assert texts(await backend.load("u")) == ["rules", "2", "3"]


@pytest.mark.parametrize("messages", ["text", Message("user", "1"), 5, None, ["text"], [{"role": "user"}]])
async def test_what_is_no_list_of_messages_is_refused(backend: Backend, messages: Any) -> None:
    with pytest.raises(InvalidInputError):
        await backend.save("u", messages)
    assert await backend.get_session("u") is None


async def test_messages_may_come_from_a_generator(backend: Backend) -> None:
    await backend.save("u", (message for message in said(2)))
    assert texts(await backend.load("u")) == ["0", "1"]


@pytest.mark.parametrize("session_id", ["", None, 5])
async def test_a_wrong_session_id_is_refused(backend: Backend, session_id: Any) -> None:
    with pytest.raises(InvalidInputError):
        await backend.save(session_id, said(1))


@pytest.mark.parametrize("limit", [-1, "3", True])
async def test_a_wrong_limit_is_refused(backend: Backend, limit: Any) -> None:
    with pytest.raises(InvalidInputError):
        await backend.load("nobody", limit)


async def test_a_limit_of_nothing_loads_nothing(backend: Backend) -> None:
    await backend.save("u", said(1))
    assert list(await backend.load("u", 0)) == []


async def test_every_field_of_a_changed_message_is_stored(backend: Backend) -> None:
    await backend.save("u", [Message("user", "1", message_id="m")])
    changed = Message("tool", "2", message_id="m", name="clock", tool_call_id="c", metadata={"a": 1}, token_count=99)
    await backend.save("u", [changed])
    (found,) = await backend.load("u")
    assert (found, found.seq) == (changed, 1)


async def test_changes_are_all_made_or_none(backend: Backend) -> None:
    await backend.save("u", [Message("user", "1", message_id="a"), Message("user", "2", message_id="b")])
    wrong = Message("user", "two", message_id="b", metadata={"x": object()})
    with pytest.raises(InvalidInputError):
        await backend.save("u", [Message("user", "one", message_id="a"), wrong])
    assert texts(await backend.load("u")) == ["1", "2"]


async def test_a_session_that_is_deleted_meanwhile_is_made_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.save("u", said(1))
    found, deletions = backend.get_session, iter([True])

    async def get_session(session_id: str) -> BaseMemorySession | None:
        session = await found(session_id)
        if next(deletions, False):
            await backend.delete_session(session_id)
        return session

    monkeypatch.setattr(backend, "get_session", get_session)
    await backend.save("u", [Message("user", "new")])
    assert texts(await backend.load("u")) == ["new"]


async def test_a_session_that_is_deleted_between_finding_and_reading_is_empty(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.save("u", said(1))
    session = await backend.get_session("u")
    await backend.clear("u")

    async def get_session(session_id: str) -> BaseMemorySession | None:
        return session

    monkeypatch.setattr(backend, "get_session", get_session)
    assert list(await backend.load("u")) == []


async def test_a_conflict_that_does_not_end_is_told(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    await backend.save("u", said(1))
    tries = []

    async def add_messages(self: Any, messages: Any) -> list[int]:
        tries.append(messages)
        raise ConflictError("another writer was first", retryable=True)

    monkeypatch.setattr(BaseMemorySession, "add_messages", add_messages)
    with pytest.raises(ConflictError):
        await backend.save("u", said(1))
    assert len(tries) == SAVE_TRIES


async def test_clear_deletes_expired_sessions_too(backend: Backend) -> None:
    await backend.create_session(SessionMetadata("u", expires_at=now() - timedelta(seconds=1)))
    await backend.clear()
    assert (await backend.get_usage_stats()).session_count == 0


async def test_old_sessions_need_an_instant(backend: Backend) -> None:
    with pytest.raises(InvalidInputError):
        await backend.clear_old_sessions(30)  # type: ignore[arg-type]
