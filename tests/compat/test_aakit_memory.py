"""save, load, clear and search, on every store that AA Kit names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from langswarm_memory import BaseMemoryBackend, ConflictError, InvalidInputError, MemoryManager
from langswarm_memory.compat.aakit import MemoryBackend, Message, SessionInfo
from langswarm_memory.interfaces.timestamps import now
from tests.compat.aakit_memories import kept, make, store

__all__ = ["kept", "make", "store"]


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


async def test_what_is_saved_is_loaded_in_order(kept: Any) -> None:
    given = [Message("user", "Hello"), Message("assistant", "Hi there!", metadata={"tokens": 3})]
    await kept.save("u", given)
    assert [(m.role, m.content, m.metadata, m.timestamp) for m in await kept.load("u")] == [
        (m.role, m.content, m.metadata, m.timestamp) for m in given
    ]


async def test_loaded_messages_are_of_the_kind_that_was_saved(kept: Any) -> None:
    await kept.save("u", [Message("user", "Hello")])
    (message,) = await kept.load("u")
    assert type(message) is Message
    assert type(message.role) is str


async def test_a_second_save_of_new_messages_adds_them(kept: Any) -> None:
    await kept.save("u", [Message("user", "1")])
    await kept.save("u", [Message("assistant", "2")])
    assert texts(await kept.load("u")) == ["1", "2"]


async def test_saving_the_whole_conversation_each_time_stores_each_message_once(kept: Any) -> None:
    conversation = [Message("user", "1")]
    await kept.save("u", conversation)
    conversation.append(Message("assistant", "2"))
    await kept.save("u", conversation)
    await kept.save("u", conversation)
    assert texts(await kept.load("u")) == ["1", "2"]


async def test_a_changed_message_is_updated_in_its_place(kept: Any) -> None:
    await kept.save("u", [Message("user", "1"), Message("assistant", "2")])
    loaded = await kept.load("u")
    loaded[0].content, loaded[0].metadata["edited"] = "one", True
    await kept.save("u", [*loaded, Message("user", "3")])
    found = await kept.load("u")
    assert texts(found) == ["one", "2", "3"]
    assert found[0].metadata == {"edited": True}


async def test_the_tokens_of_a_changed_message_are_counted_again(kept: Any) -> None:
    await kept.save("u", [Message("user", "1")])
    (message,) = await kept.load("u")
    before, message.content = message.token_count, "word " * 100
    await kept.save("u", [message])
    assert (await kept.load("u"))[0].token_count > before + 50


async def test_a_message_that_cannot_be_stored_makes_no_session(kept: Any) -> None:
    with pytest.raises(InvalidInputError):
        await kept.save("u", [Message("user", "1"), Message("user", "2", metadata={"x": object()})])
    assert await kept.session_info("u") is None


async def test_one_id_for_two_contents_in_one_call_is_refused(kept: Any) -> None:
    with pytest.raises(ConflictError):
        await kept.save("u", [Message("user", "1", message_id="m"), Message("user", "2", message_id="m")])


async def test_saving_no_messages_makes_no_session(kept: Any) -> None:
    await kept.save("u", [])
    assert await kept.session_info("u") is None


async def test_writers_at_the_same_time_lose_nothing(kept: Any) -> None:
    await asyncio.gather(*(kept.save("u", [Message("user", str(n))]) for n in range(10)))
    assert sorted(texts(await kept.load("u")), key=int) == [str(n) for n in range(10)]


async def test_writers_that_change_different_messages_both_succeed(kept: Any) -> None:
    given = [Message("user", str(n)) for n in range(4)]
    await kept.save("u", given)
    for message in given:
        message.metadata["seen"] = True
    await asyncio.gather(*(kept.save("u", [message]) for message in given))
    assert [message.metadata for message in await kept.load("u")] == [{"seen": True}] * 4


async def test_more_than_a_hundred_messages_are_all_loaded(kept: Any) -> None:
    await kept.save("u", [Message("user", str(n)) for n in range(150)])
    assert len(await kept.load("u")) == 150


async def test_a_limit_loads_the_newest(kept: Any) -> None:
    await kept.save("u", [Message("user", str(n)) for n in range(5)])
    assert texts(await kept.load("u", limit=2)) == ["3", "4"]


async def test_loading_what_is_not_there_is_empty(kept: Any) -> None:
    assert await kept.load("nobody") == []


async def test_clear_forgets_one_session(kept: Any) -> None:
    for session_id in ("a", "b"):
        await kept.save(session_id, [Message("user", session_id)])
    await kept.clear("a")
    assert (await kept.load("a"), texts(await kept.load("b"))) == ([], ["b"])


async def test_clearing_what_is_not_there_is_no_error(kept: Any) -> None:
    await kept.clear("nobody")
    assert await kept.load("nobody") == []


async def test_clear_without_a_session_forgets_all(kept: Any) -> None:
    for session_id in ("a", "b"):
        await kept.save(session_id, [Message("user", session_id)])
    await kept.clear()
    assert (await kept.get_usage_stats()).session_count == 0


async def test_clear_old_sessions_forgets_those_without_activity(make: Callable[..., Any]) -> None:
    times = [now() - timedelta(days=40)]
    memory = make(clock=lambda: times[-1], ttl=None)
    await memory.save("old", [Message("user", "1")])
    await memory.save("kept up", [Message("user", "2")])
    times.append(now())
    await memory.save("kept up", [Message("user", "3")])
    assert await memory.clear_old_sessions(older_than=datetime.now() - timedelta(days=30)) == 1
    assert (await memory.load("old"), texts(await memory.load("kept up"))) == ([], ["2", "3"])


async def test_search_finds_words(kept: Any) -> None:
    await kept.save("a", [Message("user", "I like python programming"), Message("user", "and tea")])
    await kept.save("b", [Message("user", "a python is a snake")])
    assert {message.content for message in await kept.search("python")} == {
        "I like python programming",
        "a python is a snake",
    }


async def test_search_in_one_session_finds_nothing_of_others(kept: Any) -> None:
    await kept.save("a", [Message("user", "python a")])
    await kept.save("b", [Message("user", "python b")])
    found = await kept.search("python", session_id="a", limit=5)
    assert [(type(one), one.content) for one in found] == [(Message, "python a")]


async def test_search_fulltext_looks_into_the_sessions_named(kept: Any) -> None:
    for session_id in ("a", "b", "c"):
        await kept.save(session_id, [Message("user", f"machine learning {session_id}")])
    found = await kept.search_fulltext("machine learning", session_ids=["a", "b"], limit=10)
    assert sorted(texts(found)) == ["machine learning a", "machine learning b"]


async def test_session_info_tells_of_a_session(kept: Any) -> None:
    await kept.save("u", [Message("user", "1"), Message("user", "2")])
    info = await kept.session_info("u")
    assert isinstance(info, SessionInfo)
    assert (info.session_id, info.message_count, info.metadata) == ("u", 2, {})
    assert info.created_at <= info.updated_at


async def test_context_is_the_newest_messages(make: Callable[..., Any]) -> None:
    memory = make(context_window=2)
    await memory.save("u", [Message("user", str(n)) for n in range(5)])
    assert texts(await memory.context("u")) == ["3", "4"]


async def test_a_manager_and_the_memory_see_the_same_sessions(kept: Any) -> None:
    manager = MemoryManager(kept)
    await manager.add_message("u", "user", "from the manager")
    await kept.save("u", [Message("assistant", "from the memory")])
    assert texts(await manager.get_history("u")) == texts(await kept.load("u"))
    assert len(await kept.load("u")) == 2


def test_a_memory_is_both_kinds_of_backend(kept: Any) -> None:
    assert isinstance(kept, MemoryBackend)
    assert isinstance(kept, BaseMemoryBackend)
