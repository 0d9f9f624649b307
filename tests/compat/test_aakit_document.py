"""Every code block of the AA Kit document runs, but for its import line and the addresses of servers.

The document is no Markdown: a block begins below a line "python" and ends where the text is no Python any more.
Examples of our own, which run without the document, stand in test_aakit_patterns.py, test_aakit_memory.py and
test_aakit_options.py.
"""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from langswarm_memory import BaseMemoryBackend
from langswarm_memory.compat import aakit
from langswarm_memory.compat.aakit import Message
from tests.compat.documents import document, execute
from tests.services.redis import RedisService

PREFIXES = ("agentz:sessions:*", "agent:*")
TYPING = {"List": list, "Dict": dict, "Any": Any}


class Agent:
    """Stands for AA Kit's agent: keeps what is said in its memory, and answers with all it remembers."""

    made: list[Agent]

    def __init__(self, name: str, instruction: str, model: str = "", memory: Any = None, memory_config: Any = None):
        self.memory = aakit.create_memory(memory_config) if memory is None else memory
        self.made.append(self)

    async def chat(self, text: str, session_id: str) -> str:
        await self.memory.save(session_id, [Message("user", text)])
        answer = " ".join(message.content for message in await self.memory.load(session_id))
        await self.memory.save(session_id, [Message("assistant", answer)])
        return answer


@pytest.fixture
async def agents() -> AsyncIterator[list[Agent]]:
    """The agents that a block makes; their memories are disconnected at the end."""
    Agent.made = []
    yield Agent.made
    for agent in Agent.made:
        await agent.memory.disconnect()


@pytest.fixture
def redis_here(local_redis: RedisService) -> Iterator[RedisService]:
    """A Redis at localhost:6379, empty of what the document writes afterwards."""
    yield local_redis
    with Redis.from_url(local_redis.url) as client:
        for prefix in PREFIXES:
            for key in client.scan_iter(prefix):
                client.delete(key)


def blocks() -> list[str]:
    """Return the blocks of the document."""
    _, *parts = document(3).split("\npython\n")
    return [_python(part) for part in parts]


def _python(text: str) -> str:
    """Return the longest beginning that is Python, without the bare names (headings) at its end."""
    lines = text.splitlines()
    for end in range(len(lines), 0, -1):
        try:
            body = ast.parse("\n".join(lines[:end])).body
        except SyntaxError:
            continue
        while body and isinstance(body[-1], ast.Expr) and isinstance(body[-1].value, ast.Name):
            body.pop()
        return "\n".join(lines[: body[-1].end_lineno]) + "\n" if body else ""
    return ""


def block_with(text: str) -> str:
    """Return the one block that holds a text."""
    (found,) = (block for block in blocks() if text in block)
    return found


async def run(block: str, **names: Any) -> dict[str, Any]:
    """Run a block on this package; memories that it leaves open are disconnected."""
    here = block.replace("from aakit import Agent, ", "from aakit import ").replace(
        "from aakit ", f"from {aakit.__name__} "
    )
    given = {"Agent": Agent, "Message": Message, **TYPING, **names}
    left = await execute(here, given)
    for name, value in left.items():
        if isinstance(value, BaseMemoryBackend) and name not in names:
            await value.disconnect()
    return left


def test_the_document_has_thirteen_blocks() -> None:
    assert [bool(block.strip()) for block in blocks()] == [True] * 13


async def test_a_custom_backend_is_defined() -> None:
    left = await run(block_with("class CustomMemoryBackend"))
    memory = left["CustomMemoryBackend"]()
    assert await memory.save("u", [Message("user", "1")]) is None


async def test_save_load_search_and_clear() -> None:
    memory = aakit.InMemoryBackend()
    await run(block_with("await memory.save("), memory=memory)
    left = await run(block_with('memory.load("user_123", limit=50)'), memory=memory)
    assert [message.content for message in left["messages"]] == ["Hello", "Hi there!"]
    await memory.save("user_123", [Message("user", "python programming")])
    left = await run(block_with('"python programming"'), memory=memory)
    assert [message.content for message in left["results"]] == ["python programming"]
    await run(block_with("await memory.clear("), memory=memory)
    assert (await memory.get_usage_stats()).session_count == 0


async def test_the_memory_in_this_process(agents: list[Agent]) -> None:
    left = await run(block_with("import InMemoryBackend"))
    memory = left["memory"]
    assert agents[0].memory is memory
    assert (memory.max_sessions, memory.settings.max_messages, memory.settings.ttl) == (500, 200, 3600)


async def test_the_memory_in_redis(agents: list[Agent], redis_here: RedisService) -> None:
    left = await run(block_with("from aakit import RedisBackend\nimport redis"))
    left["redis_client"].close()
    memory = left["memory"]
    await memory.connect()
    await memory.save("u", [Message("user", "1")])
    assert agents[0].memory is memory
    with Redis.from_url(redis_here.url) as client:
        assert list(client.scan_iter("agent:memory:*")) != []


async def test_the_memory_in_sqlite(agents: list[Agent]) -> None:
    code = block_with("import SQLiteBackend")
    before = aakit.SQLiteBackend("./data/conversations.db", table_name="agent_memory")
    await before.save("u", [Message("user", "I like python"), Message("user", "and tea")])
    await before.disconnect()
    left = await run(code)
    assert [row["content"] for row in left["results"]] == ["I like python"]
    with closing(sqlite3.connect("data/conversations.db")) as connection:
        assert connection.execute("SELECT count(*) FROM agent_memory").fetchone() == (2,)


async def test_the_memory_in_postgresql(postgres_url: str) -> None:
    code = block_with("import PostgreSQLBackend").replace("postgresql://user:pass@localhost/agentdb", postgres_url)
    before = aakit.PostgreSQLBackend(postgres_url, table_name="conversations")
    for session_id in ("user_123", "user_456", "user_789"):
        await before.save(session_id, [Message("user", f"machine learning of {session_id}")])
    await before.disconnect()
    left = await run(code)
    assert sorted(message.content[-8:] for message in left["results"]) == ["user_123", "user_456"]


async def test_memories_by_name(redis_here: RedisService) -> None:
    left = await run(block_with("import create_memory\n"))
    memory = left["memory"]
    assert (type(memory), memory.settings.db_path) == (aakit.SQLiteBackend, "./agent.db")


async def test_migrating(redis_here: RedisService, capsys: pytest.CaptureFixture[str]) -> None:
    before = aakit.SQLiteBackend("old.db")
    await before.save("u", [Message("user", "1"), Message("assistant", "2")])
    await before.disconnect()
    left = await run(
        block_with("import migrate_memory"), SQLiteBackend=aakit.SQLiteBackend, RedisBackend=aakit.RedisBackend
    )
    assert left["result"].success
    assert "Migrated 2 messages" in capsys.readouterr().out


async def test_a_config(agents: list[Agent]) -> None:
    left = await run(block_with("import MemoryConfig"))
    assert isinstance(agents[0].memory, aakit.RedisBackend)
    assert agents[0].memory.settings.max_messages == left["config"].max_messages == 5000


@pytest.fixture
async def complete(redis_here: RedisService) -> dict[str, Any]:
    """What the complete example defines."""
    return await run(block_with("class TimedMemoryBackend"), MemoryBackend=aakit.MemoryBackend)


async def test_the_complete_program(
    complete: dict[str, Any], agents: list[Agent], capsys: pytest.CaptureFixture[str]
) -> None:
    await complete["main"]()
    said = capsys.readouterr().out
    assert "TechCorp" in said
    assert "Total messages: 4" in said
    assert len(await agents[0].memory.search("TechCorp", session_id="user_123")) > 0


async def test_its_timed_memory(complete: dict[str, Any]) -> None:
    async with complete["TimedMemoryBackend"]() as memory:
        await memory.save("u", [Message("user", "1")])
        for minutes, found in ((-1, 1), (1, 0)):
            assert len(await memory.get_recent_messages("u", datetime.now() + timedelta(minutes=minutes))) == found


async def test_its_memory_of_several(complete: dict[str, Any]) -> None:
    down = aakit.RedisBackend(url="redis://127.0.0.1:1", timeout=0.5, retries=0)
    first, second = aakit.InMemoryBackend(), aakit.InMemoryBackend()
    several = complete["MultiBackendMemory"]
    await several([first, second]).save("u", [Message("user", "1")])
    assert await first.load("u") == await second.load("u") == await several([down, second]).load("u") != []
    await down.disconnect()


async def test_its_analytics(complete: dict[str, Any]) -> None:
    memory = complete["AnalyticsMemory"](aakit.InMemoryBackend())
    await memory.save("u", [Message("user", "1", metadata={"tokens": 3}), Message("assistant", "2")])
    counted = memory.get_analytics("u")
    assert (counted["message_count"], counted["total_tokens"]) == (2, 3)
    assert [message.content for message in await memory.load("u")] == ["1", "2"]


async def test_its_middleware(complete: dict[str, Any]) -> None:
    memory = aakit.InMemoryBackend()
    middleware = complete["MemoryMiddleware"](memory)
    middleware.decrypt = lambda text: text[::-1]  # the document leaves it to the reader
    messages = [
        Message("user", "ada@example.org or 555-123-4567"),
        Message("user", "terces", metadata={"encrypted": True}),
    ]
    await middleware.before_save("u", messages)
    await memory.save("u", messages)
    loaded = await memory.load("u")
    await middleware.after_load("u", loaded)
    assert [message.content for message in loaded] == ["[EMAIL] or [PHONE]", "secret"]
