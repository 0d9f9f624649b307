"""Makes the sample files of the earlier package by running it: once per version, in an environment of its own.

    python -m venv OLD && OLD/bin/pip install "langswarm-memory[all-backends,redis,vector]==0.2.0"
    OLD/bin/python tests/migration/make_samples.py 0.2.0 tests/migration/samples [redis://… [postgresql://…]]

Writes ``reference-<version>.sqlite`` and, beside it, what the package itself was given: ``reference-<version>.json``,
the conversations in the order of their insertion. With the URL of an empty server also ``redis-<version>.json`` and
``postgres-<version>.json``: what the package left there, and what it was given. The tests compare with that; they do
not need the earlier package.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

START = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)


def tool_call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations() -> list[dict[str, Any]]:
    """Everything that the package takes: tool calls, odd texts, times of all kinds, states."""
    minute = timedelta(minutes=1)
    rome = timezone(timedelta(hours=2))
    return [
        {
            "session": {
                "session_id": "plain",
                "user_id": "ann",
                "agent_id": "helper",
                "workflow_id": "w1",
                "tags": ["a", "ü"],
                "properties": {"nested": {"x": [1, 1.0, None]}, "nan": float("nan")},
                "created_at": START,
                "updated_at": START,
            },
            "messages": [
                {"role": "system", "content": "Be brief.", "timestamp": START},
                {"role": "user", "content": "Grüße 🎉\n\tand a NUL \x00 in it", "timestamp": START + minute},
                {
                    "role": "assistant",
                    "content": "",
                    "timestamp": START + 2 * minute,
                    "tool_calls": [tool_call("look", '{"q": "x"}')],
                    "metadata": {"cost": 1e-7, "limit": float("inf"), "text": "\ud800 and \x00"},
                    "token_count": 12,
                },
                {
                    "role": "tool",
                    "content": "found",
                    "timestamp": START + 3 * minute,
                    "metadata": {"tool_call_id": "call_look", "tool_name": "look"},
                },
                {
                    "role": "function",
                    "content": "{}",
                    "timestamp": START + 4 * minute,
                    "function_call": {"name": "old", "arguments": "{}"},
                },
                {"role": "assistant", "content": "Done.", "timestamp": START + 5 * minute},
            ],
            "summarize": True,
        },
        {
            "session": {
                "session_id": "out of order",
                "user_id": "bob",
                "max_messages": 4,
                "max_tokens": 2000,
                "auto_summarize": False,
                "created_at": START + minute,
                "updated_at": START + minute,
            },
            # More than max_messages, and the clock stepped back: the order is that of insertion.
            "messages": [
                {"role": "user", "content": f"turn {number}", "timestamp": START + minute * offset}
                for number, offset in enumerate((10, 3, 7, 3, 1, 20))
            ],
        },
        {
            "session": {
                "session_id": "zones",
                "created_at": datetime(2025, 3, 1, 12),
                "updated_at": datetime(2025, 3, 1, 12),
            },
            "messages": [
                {"role": "user", "content": "naive", "timestamp": datetime(2025, 3, 1, 12, 0, 0, 5)},
                {"role": "assistant", "content": "offset", "timestamp": datetime(2025, 3, 1, 14, 1, tzinfo=rome)},
            ],
        },
        {
            "session": {"session_id": "cleared", "created_at": START, "updated_at": START},
            "messages": [{"role": "user", "content": "still in the file", "timestamp": START}],
            "clear": True,
        },
        {
            "session": {"session_id": "closed", "created_at": START, "updated_at": START},
            "messages": [],
            "close": True,
        },
    ]


async def converse(package: Any, backend: Any, *, strict_json: bool = False) -> list[dict[str, Any]]:
    """Hold all conversations, and return what the package took of them."""
    expected = []
    for conversation in conversations():
        if strict_json:
            conversation["session"].get("properties", {}).pop("nan", None)
        metadata = package.SessionMetadata(**conversation["session"])
        session = await backend.create_session(metadata)
        given = []
        for number, fields in enumerate(conversation["messages"]):
            message_id = f"{metadata.session_id}-{number}"
            role = package.MessageRole(fields["role"])
            message = package.Message(**{**fields, "role": role, "message_id": message_id})
            if await session.add_message(message):  # PostgreSQL takes neither NUL nor NaN
                given.append(message.to_dict())
        if conversation.get("summarize"):
            await session.create_summary(force=True)
        if conversation.get("clear"):
            await session.clear_messages(keep_system=False)
        if conversation.get("close"):
            await session.close()
        summary = await session.get_summary()
        expected.append(
            {
                "session_id": metadata.session_id,
                "user_id": metadata.user_id,
                "agent_id": metadata.agent_id,
                "workflow_id": metadata.workflow_id,
                "status": metadata.status.value,
                "max_messages": metadata.max_messages,
                "max_tokens": metadata.max_tokens,
                "auto_summarize": metadata.auto_summarize,
                "created_at": metadata.created_at.isoformat(),
                "tags": metadata.tags,
                "properties": metadata.properties,
                "messages": given,
                "summaries": [] if summary is None else [[summary.summary_id, summary.summary, summary.key_topics]],
            }
        )
    return expected


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


async def make_sqlite(package: Any, version: str, folder: Path) -> None:
    path = folder / f"reference-{version}.sqlite"
    path.unlink(missing_ok=True)
    backend = package.SQLiteBackend({"db_path": str(path)})
    await backend.connect()
    expected = await converse(package, backend)
    await backend.disconnect()
    write(folder / f"reference-{version}.json", expected)


async def make_redis(package: Any, version: str, folder: Path, url: str) -> None:
    from redis.asyncio import from_url

    backend = package.RedisBackend({"url": url})
    await backend.connect()
    expected = await converse(package, backend)
    await backend.disconnect()
    client = from_url(url, decode_responses=True)
    stored: dict[str, Any] = {}
    for key in sorted(await client.keys("langswarm:memory:*")):
        is_list = await client.type(key) == "list"
        stored[key] = await client.lrange(key, 0, -1) if is_list else await client.hgetall(key)
    await client.aclose()
    write(folder / f"redis-{version}.json", {"given": expected, "stored": stored})


async def make_postgres(package: Any, version: str, folder: Path, url: str) -> None:
    import asyncpg

    backend = package.PostgresBackend({"url": url, "table_prefix": "ls_", "min_size": 1, "max_size": 1})
    await backend.connect()
    expected = await converse(package, backend, strict_json=True)
    await backend.disconnect()
    connection = await asyncpg.connect(url)
    stored: dict[str, Any] = {}
    for table in ("ls_sessions", "ls_messages", "ls_summaries"):
        rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY ctid")
        stored[table] = [{name: as_text(value) for name, value in row.items()} for row in rows]
    await connection.close()
    write(folder / f"postgres-{version}.json", {"given": expected, "stored": stored})


def as_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def main(version: str, folder: Path, redis_url: str | None = None, postgres_url: str | None = None) -> None:
    import langswarm_memory as package  # the earlier one

    await make_sqlite(package, version, folder)
    if redis_url is not None:
        await make_redis(package, version, folder, redis_url)
    if postgres_url is not None:
        await make_postgres(package, version, folder, postgres_url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
