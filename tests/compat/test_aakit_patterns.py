"""How programs for AA Kit extend memories, in examples of our own; the document's run in test_aakit_document.py."""

from __future__ import annotations

import asyncio
import copy
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from langswarm_memory import StorageUnavailableError
from langswarm_memory.compat.aakit import (
    InMemoryBackend,
    MemoryBackend,
    Message,
    RedisBackend,
    SQLiteBackend,
    create_memory,
)
from tests.compat.aakit_memories import kept, make, store

__all__ = ["kept", "make", "store"]


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


# --- a subclass that stamps -----------------------------------------------------------------------------------------


class Stamped(SQLiteBackend):
    """Notes on each message when it was saved."""

    async def save(self, session_id: str, messages: Any) -> None:
        for message in messages:
            message.metadata["saved_at"] = datetime.now().isoformat()
        await super().save(session_id, messages)

    async def saved_since(self, session_id: str, since: datetime) -> list[Message]:
        return [
            message
            for message in await self.load(session_id)
            if datetime.fromisoformat(message.metadata["saved_at"]) > since
        ]


async def test_a_stamp_is_stored_with_the_message() -> None:
    async with Stamped("a.db") as memory:
        await memory.save("u", [Message("user", "1")])
        assert texts(await memory.saved_since("u", datetime.now() - timedelta(minutes=1))) == ["1"]
        assert await memory.saved_since("u", datetime.now() + timedelta(minutes=1)) == []


async def test_a_stamp_is_renewed_when_the_message_is_saved_again() -> None:
    message = Message("user", "1")
    async with Stamped("a.db") as memory:
        await memory.save("u", [message])
        first = message.metadata["saved_at"]
        await memory.save("u", [message])
        (found,) = await memory.load("u")
    assert found.metadata["saved_at"] > first


# --- several memories -----------------------------------------------------------------------------------------------


class Redundant:
    """Saves to all memories, loads from the first that answers."""

    def __init__(self, *memories: Any) -> None:
        self.memories = memories

    async def save(self, session_id: str, messages: list[Message]) -> None:
        await asyncio.gather(*(memory.save(session_id, messages) for memory in self.memories))

    async def load(self, session_id: str) -> list[Message]:
        for memory in self.memories:
            try:
                found: list[Message] = await memory.load(session_id)
            except StorageUnavailableError:
                continue
            return found
        return []


async def test_each_of_several_memories_holds_the_same_messages() -> None:
    first, second = InMemoryBackend(), SQLiteBackend("a.db")
    await Redundant(first, second).save("u", [Message("user", "1"), Message("assistant", "2")])
    assert await first.load("u") == await second.load("u") != []
    await second.disconnect()


async def test_the_next_memory_answers_when_the_first_is_down() -> None:
    down = RedisBackend(url="redis://127.0.0.1:1", timeout=0.5, retries=0)
    up = InMemoryBackend()
    await up.save("u", [Message("user", "1")])
    assert texts(await Redundant(down, up).load("u")) == ["1"]
    await down.disconnect()


# --- a wrapper that counts ------------------------------------------------------------------------------------------


class Counting(MemoryBackend):
    """Counts what passes through. All that it does not define is asked of the memory inside."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.counts: dict[str, int] = {}

    async def save(self, session_id: str, messages: Any) -> None:
        await self.backend.save(session_id, messages)
        self.counts[session_id] = self.counts.get(session_id, 0) + len(messages)


async def test_a_wrapper_counts_what_is_saved(kept: Any) -> None:
    memory = Counting(kept)
    await memory.save("u", [Message("user", "1"), Message("assistant", "2")])
    await memory.save("u", [Message("user", "3")])
    assert memory.counts == {"u": 3}
    assert texts(await kept.load("u")) == ["1", "2", "3"]


async def test_a_wrapper_passes_on_what_it_does_not_define(kept: Any) -> None:
    memory = Counting(kept)
    await memory.save("u", [Message("user", "python"), Message("user", "tea")])
    assert texts(await memory.load("u", limit=1)) == ["tea"]
    assert texts(await memory.search("python", session_id="u")) == ["python"]
    assert await memory.clear_old_sessions(datetime.now() - timedelta(days=1)) == 0
    await memory.clear("u")
    assert await kept.load("u") == []


# --- a middleware ---------------------------------------------------------------------------------------------------


class Middleware(MemoryBackend):
    """Takes addresses out before messages are saved, and decrypts marked ones after they are loaded."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    async def save(self, session_id: str, messages: Any) -> None:
        for message in messages:
            message.content = re.sub(r"\S+@\S+", "[EMAIL]", message.content)
        await self.backend.save(session_id, messages)

    async def load(self, session_id: str, limit: int | None = None) -> Any:
        messages = await self.backend.load(session_id, limit)
        for message in messages:
            if message.metadata.get("encrypted"):
                message.content = message.content[::-1]
        return messages


async def test_a_middleware_redacts_what_is_stored(kept: Any) -> None:
    await Middleware(kept).save("u", [Message("user", "write to ada@example.org please")])
    assert texts(await kept.load("u")) == ["write to [EMAIL] please"]


async def test_a_middleware_decrypts_what_is_loaded(kept: Any) -> None:
    await kept.save("u", [Message("user", "terces", metadata={"encrypted": True}), Message("user", "open")])
    assert texts(await Middleware(kept).load("u")) == ["secret", "open"]


# --- a whole program ------------------------------------------------------------------------------------------------


async def test_a_conversation_is_remembered_searched_and_exported(make: Callable[..., Any]) -> None:
    memory = make()
    await memory.save("u", [Message("user", "I work at Analytical Engines"), Message("assistant", "Noted.")])
    again = make() if memory.features.persistent else memory
    await again.save("u", [Message("user", "Where do I work?")])
    history = await again.load("u")
    assert texts(history) == ["I work at Analytical Engines", "Noted.", "Where do I work?"]
    assert "I work at Analytical Engines" in texts(await again.search("engines", session_id="u"))
    exported = [message.to_dict() for message in history]
    assert [Message.from_dict(one) for one in exported] == history


PROGRAM = """
import asyncio
from langswarm_memory.compat.aakit import Message, SQLiteBackend

async def main():
    memory = SQLiteBackend("a.db")
    await memory.save("u", [Message(role="user", content="Hello")])
    print(len(await memory.load("u")))

asyncio.run(main())
"""


def test_a_program_that_closes_nothing_ends() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


# --- messages -------------------------------------------------------------------------------------------------------


def test_a_message_takes_its_arguments_in_the_documented_order() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5)
    message = Message("user", "Hello", at, {"a": 1})
    assert (message.role, message.content, message.timestamp, message.metadata) == ("user", "Hello", at, {"a": 1})


def test_the_role_of_a_message_is_text() -> None:
    assert f"{Message('user', 'Hello').role}" == "user"


def test_messages_share_no_metadata() -> None:
    first, second = Message("user", "1"), Message("user", "2")
    first.metadata["a"] = 1
    assert second.metadata == {}


def test_to_dict_has_the_documented_keys() -> None:
    assert {"role", "content", "timestamp", "metadata"} <= set(Message("user", "Hello").to_dict())


def test_from_dict_needs_neither_id_nor_time() -> None:
    message = Message.from_dict({"role": "user", "content": "Hello", "metadata": {"a": 1}})
    assert (type(message), message.role, message.content, message.metadata) == (Message, "user", "Hello", {"a": 1})


async def test_a_copied_message_is_the_same_message() -> None:
    memory = create_memory("memory")
    await memory.save("u", [Message("user", "Hello")])
    (message,) = await memory.load("u")
    twin = copy.deepcopy(message)
    assert (type(twin), twin, twin.seq) == (Message, message, 1)


@pytest.mark.parametrize("role", ["human", "user"])
def test_other_names_of_a_role_are_understood(role: str) -> None:
    assert Message(role, "Hello").role == "user"
