"""Memories of a user's own class: as memories, and as backends of a manager."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from langswarm_memory import (
    MemoryManager,
    SessionExistsError,
    SessionMetadata,
    SessionOwnershipError,
    SessionStatus,
    UnsupportedOperationError,
)
from langswarm_memory.compat.aakit import InMemoryBackend, MemoryBackend, Message
from langswarm_memory.interfaces.timestamps import now


class Adding(MemoryBackend):
    """Keeps messages in a dict of its own."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__(config)
        self.kept: dict[str, list[Message]] = {}

    async def save(self, session_id: str, messages: Any) -> None:
        self.kept.setdefault(session_id, []).extend(messages)

    async def load(self, session_id: str, limit: int | None = None) -> list[Message]:
        found = self.kept.get(session_id, [])
        return list(found if limit is None else found[len(found) - limit :])

    async def clear(self, session_id: str | None = None) -> None:
        if session_id is None:
            self.kept.clear()
        else:
            self.kept.pop(session_id, None)


class Replacing(Adding):
    """Its save takes the whole conversation."""

    save_replaces = True

    async def save(self, session_id: str, messages: Any) -> None:
        self.kept[session_id] = list(messages)


@pytest.fixture(params=[Adding, Replacing])
def memory(request: pytest.FixtureRequest) -> Adding:
    made: Adding = request.param()
    return made


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


def test_the_base_class_itself_is_no_memory() -> None:
    with pytest.raises(TypeError, match="define save"):
        MemoryBackend()


def test_options_are_kept() -> None:
    assert Adding({"place": "here"}).config == {"place": "here"}


async def test_a_manager_keeps_a_conversation_in_it(memory: Adding) -> None:
    async with MemoryManager(memory) as manager:
        await manager.add_message("u", "system", "rules")
        await manager.add_message("u", "user", "1")
        await manager.add_message("u", "assistant", "2")
        assert texts(await manager.get_history("u")) == ["rules", "1", "2"]
    assert texts(memory.kept["u"]) == ["rules", "1", "2"]
    assert {type(message) for message in memory.kept["u"]} == {Message}


async def test_a_manager_finds_what_was_saved_without_it(memory: Adding) -> None:
    await memory.save("u", [Message("user", "1")])
    assert texts(await MemoryManager(memory).get_history("u")) == ["1"]


async def test_a_manager_finds_no_session_where_nothing_was_saved(memory: Adding) -> None:
    assert await MemoryManager(memory).get_session("u") is None


async def test_owners_are_kept_apart(memory: Adding) -> None:
    manager = MemoryManager(memory)
    await manager.create_session("u", "ada")
    with pytest.raises(SessionOwnershipError):
        await manager.get_or_create_session("u", "bob")


async def test_an_id_is_taken_once(memory: Adding) -> None:
    manager = MemoryManager(memory)
    await manager.create_session("u")
    with pytest.raises(SessionExistsError):
        await manager.create_session("u")


async def test_sessions_are_listed_newest_first(memory: Adding) -> None:
    at = now()
    for days, session_id in enumerate(("c", "b", "a")):
        await memory.create_session(SessionMetadata(session_id, "ada", created_at=at - timedelta(days=days)))
    await memory.create_session(SessionMetadata("other", "bob"))
    assert [one.session_id for one in await memory.list_sessions("ada", limit=2)] == ["c", "b"]
    assert [one.session_id for one in await memory.list_sessions("ada", limit=2, offset=2)] == ["a"]


async def test_sessions_are_listed_by_status(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    await session.close()
    assert [one.session_id for one in await memory.list_sessions(status=SessionStatus.COMPLETED)] == ["u"]
    assert await memory.list_sessions(status=SessionStatus.ACTIVE) == []


async def test_a_deleted_session_is_cleared(memory: Adding) -> None:
    manager = MemoryManager(memory)
    await manager.add_message("u", "user", "1")
    assert (await manager.delete_session("u"), await manager.delete_session("u")) == (True, False)
    assert memory.kept == {}


async def test_expired_sessions_are_not_found_and_cleaned_up(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u", expires_at=now() - timedelta(seconds=1)))
    await session.add_message(Message("user", "1"))
    assert await memory.get_session("u") is None
    assert (await memory.cleanup_expired_sessions(), memory.kept) == (1, {})


async def test_an_expired_session_makes_room(memory: Adding) -> None:
    old = await memory.create_session(SessionMetadata("u", expires_at=now() - timedelta(seconds=1)))
    await old.add_message(Message("user", "old"))
    new = await memory.create_session(SessionMetadata("u"))
    assert await new.get_messages() == []


async def test_a_window_is_all_system_messages_and_the_newest_others(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u", max_messages=2))
    for role, text in (("system", "rules"), ("user", "1"), ("user", "2"), ("user", "3")):
        await session.add_message(Message(role, text))
    assert texts(await session.get_messages()) == ["rules", "2", "3"]
    assert texts(await session.get_messages(include_system=False)) == ["2", "3"]
    assert texts(await session.get_messages(1)) == ["3"]


async def test_messages_since_an_instant(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    at = now()
    for days in (2, 1, 0):
        await session.add_message(Message("user", str(days), at - timedelta(days=days)))
    assert texts(await session.get_messages(since=at - timedelta(days=1))) == ["1", "0"]


async def test_a_context_fits_its_budget(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    for text in ("1", "2", "3"):
        await session.add_message(Message("user", text, token_count=10))
    assert texts(await session.get_recent_context(25)) == ["2", "3"]
    assert texts(await session.get_recent_context()) == ["1", "2", "3"]


async def test_clearing_messages_keeps_system_messages(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    for role in ("system", "user"):
        await session.add_message(Message(role, role))
    await session.clear_messages()
    assert texts(await session.get_messages()) == ["system"]
    await session.clear_messages(keep_system=False)
    assert await session.get_messages() == []


async def test_metadata_is_changed(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    await session.update_metadata(user_id="ada", plan="pro")
    found = await memory.get_session("u")
    assert found is not None
    assert (found.metadata.user_id, found.metadata.properties) == ("ada", {"plan": "pro"})


async def test_summaries_are_refused_when_forced(memory: Adding) -> None:
    session = await memory.create_session(SessionMetadata("u"))
    assert (await session.create_summary(), await session.get_summary()) == (None, None)
    with pytest.raises(UnsupportedOperationError):
        await session.create_summary(force=True)


async def test_a_manager_tells_how_much_there_is(memory: Adding) -> None:
    async with MemoryManager(memory) as manager:
        await manager.add_message("u", "user", "four")
        stats = await manager.get_system_stats()
    assert (stats["total_sessions"], stats["total_messages"], stats["usage"]["storage_size_bytes"]) == (1, 1, 4)
    assert (stats["health"]["status"], stats["backend_type"]) == ("healthy", "external_db")


async def test_search_ranks_the_messages_of_a_session(memory: Adding) -> None:
    await memory.save("u", [Message("user", "tea"), Message("user", "I like python"), Message("user", "pythons")])
    assert sorted(texts(await memory.search("python", "u"))) == ["I like python", "pythons"]
    assert len(await memory.search("python", "u", limit=1)) == 1


async def test_search_in_all_sessions_is_refused(memory: Adding) -> None:
    with pytest.raises(UnsupportedOperationError, match="name a session"):
        await memory.search("python")


async def test_what_a_subclass_does_not_define_is_refused_by_name() -> None:
    class Nothing(MemoryBackend):
        """Defines nothing."""

    for call in (Nothing().load("u"), Nothing().save("u", []), Nothing().clear()):
        with pytest.raises(UnsupportedOperationError, match="Nothing"):
            await call


async def test_the_health_of_a_wrapper_is_that_of_the_memory_inside() -> None:
    class Wrapper(MemoryBackend):
        """Wraps."""

        def __init__(self, backend: Any) -> None:
            self.backend = backend

    health = await Wrapper(InMemoryBackend()).health_check()
    assert (health["status"], health["backend"]) == ("healthy", "in_memory")
