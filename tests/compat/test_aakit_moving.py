"""migrate_memory: from any memory into any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langswarm_memory import InvalidInputError, SessionMetadata
from langswarm_memory.compat.aakit import (
    InMemoryBackend,
    MemoryBackend,
    Message,
    MigrationResult,
    SQLiteBackend,
    migrate_memory,
)
from tests.compat.aakit_memories import kept, make, store

__all__ = ["kept", "make", "store"]


class Own(MemoryBackend):
    """A memory of a user's own class."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Message]] = {}

    async def save(self, session_id: str, messages: Any) -> None:
        self.kept.setdefault(session_id, []).extend(messages)

    async def load(self, session_id: str, limit: int | None = None) -> list[Message]:
        return list(self.kept.get(session_id, []))


class OwnReplacing(Own):
    """Its save takes the whole conversation."""

    save_replaces = True

    async def save(self, session_id: str, messages: Any) -> None:
        self.kept[session_id] = list(messages)


def facts(messages: Any) -> list[tuple[Any, ...]]:
    return [(one.message_id, one.role, one.content, one.timestamp, one.metadata) for one in messages]


async def filled(memory: Any) -> Any:
    await memory.save("a", [Message("user", str(n), metadata={"n": n}) for n in range(7)])
    await memory.save("b", [Message("assistant", "b")])
    return memory


async def test_every_message_arrives_as_it_was(kept: Any) -> None:
    source = await filled(InMemoryBackend())
    result = await migrate_memory(source, kept, batch_size=3)
    assert isinstance(result, MigrationResult)
    assert (result.success, result.total_sessions, result.total_messages) == (True, 2, 8)
    assert (result.failed_sessions, result.errors) == ([], [])
    assert result.duration > 0
    for session_id in ("a", "b"):
        assert facts(await kept.load(session_id)) == facts(await source.load(session_id))


async def test_every_message_leaves_as_it_was(kept: Any) -> None:
    await filled(kept)
    target = InMemoryBackend()
    assert (await migrate_memory(kept, target)).total_messages == 8
    assert facts(await target.load("a")) == facts(await kept.load("a"))


async def test_both_memories_stay_usable(kept: Any) -> None:
    source = await filled(InMemoryBackend())
    await migrate_memory(source, kept)
    for memory in (source, kept):
        await memory.save("a", [Message("user", "more")])
        assert len(await memory.load("a")) == 8


async def test_a_source_that_was_not_connected_stays_usable() -> None:
    async with SQLiteBackend("old.db") as before:
        await filled(before)
    source, target = SQLiteBackend("old.db"), InMemoryBackend()
    assert (await migrate_memory(source, target)).total_messages == 8
    assert len(await source.load("a")) == 7
    await source.disconnect()


async def test_again_writes_nothing() -> None:
    source, target = await filled(InMemoryBackend()), InMemoryBackend()
    await migrate_memory(source, target)
    again = await migrate_memory(source, target)
    assert (again.success, again.total_sessions, again.total_messages) == (True, 2, 0)


async def test_only_the_sessions_named_are_copied() -> None:
    source, target = await filled(InMemoryBackend()), InMemoryBackend()
    result = await migrate_memory(source, target, session_ids=["b"])
    assert (result.total_sessions, result.total_messages, await target.load("a")) == (1, 1, [])


async def test_a_session_that_does_not_exist_is_reported() -> None:
    source, target = await filled(InMemoryBackend()), InMemoryBackend()
    result = await migrate_memory(source, target, session_ids=["b", "nobody"])
    assert (result.success, result.total_sessions, result.failed_sessions) == (False, 1, ["nobody"])
    assert len(result.errors) == 1


async def test_another_session_of_the_same_id_is_reported_and_left() -> None:
    source, target = await filled(InMemoryBackend()), InMemoryBackend()
    await target.save("b", [Message("user", "someone else")])
    result = await migrate_memory(source, target)
    assert (result.success, result.total_sessions, result.failed_sessions) == (False, 1, ["b"])
    assert [message.content for message in await target.load("b")] == ["someone else"]


@pytest.mark.parametrize("cls", [Own, OwnReplacing])
async def test_messages_go_into_a_memory_of_a_users_own_class(cls: type[Own]) -> None:
    source, target = await filled(InMemoryBackend()), cls()
    result = await migrate_memory(source, target, batch_size=3)
    assert (result.success, result.total_sessions, result.total_messages) == (True, 2, 8)
    assert facts(target.kept["a"]) == facts(await source.load("a"))


@pytest.mark.parametrize("cls", [Own, OwnReplacing])
async def test_again_into_such_a_memory_writes_what_is_new(cls: type[Own]) -> None:
    source, target = await filled(InMemoryBackend()), cls()
    await migrate_memory(source, target)
    await source.save("a", [Message("user", "new")])
    assert (await migrate_memory(source, target)).total_messages == 1
    assert facts(target.kept["a"]) == facts(await source.load("a"))


async def test_named_sessions_come_out_of_a_memory_of_a_users_own_class(make: Callable[..., Any]) -> None:
    source, target = await filled(Own()), make()
    result = await migrate_memory(source, target, session_ids=["a", "b", "nobody"], batch_size=3)
    assert (result.total_sessions, result.total_messages, result.failed_sessions) == (2, 8, ["nobody"])
    assert facts(await target.load("a")) == facts(source.kept["a"])


async def test_again_out_of_such_a_memory_writes_nothing() -> None:
    source, target = await filled(Own()), InMemoryBackend()
    await migrate_memory(source, target, session_ids=["a"])
    again = await migrate_memory(source, target, session_ids=["a"])
    assert (again.success, again.total_messages) == (True, 0)


async def test_sessions_made_through_such_a_memory_need_no_names() -> None:
    source, target = Own(), InMemoryBackend()
    session = await source.create_session(SessionMetadata("u", "ada"))
    await session.add_message(Message("user", "1"))
    assert (await migrate_memory(source, target)).total_messages == 1
    found = await target.get_session("u")
    assert found is not None
    assert found.metadata.user_id == "ada"


async def test_from_one_memory_of_that_kind_into_another() -> None:
    source, target = await filled(Own()), Own()
    assert (await migrate_memory(source, target, session_ids=["a"])).total_messages == 7
    assert facts(target.kept["a"]) == facts(source.kept["a"])


async def test_such_a_memory_without_names_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="session_ids"):
        await migrate_memory(await filled(Own()), InMemoryBackend())


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5])
async def test_a_wrong_batch_size_is_refused(batch_size: Any) -> None:
    with pytest.raises(InvalidInputError):
        await migrate_memory(InMemoryBackend(), InMemoryBackend(), batch_size=batch_size)


async def test_a_memory_is_not_copied_into_itself() -> None:
    memory = InMemoryBackend()
    with pytest.raises(InvalidInputError):
        await migrate_memory(memory, memory)
