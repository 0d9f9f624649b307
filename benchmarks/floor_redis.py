"""The floor on Redis: redis-py, called directly, one round trip for each operation.

The same data as the package's in as many keys: a session's hash, its messages by number, its ids. An append is one
script by its digest; a read is one command, or one pipeline. Nothing checked, nothing decoded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from benchmarks.data import START, Draft, Plan
from benchmarks.sides import Append, Read

# KEYS: session, messages, ids. ARGV: now, tokens of all, then id and document of each message.
APPEND = """
local count = (#ARGV - 2) / 2
local last = redis.call('HINCRBY', KEYS[1], 'last_seq', count)
redis.call('HINCRBY', KEYS[1], 'token_count', ARGV[2])
redis.call('HSET', KEYS[1], 'updated_at', ARGV[1])
for i = 1, count do
  local seq = last - count + i
  redis.call('ZADD', KEYS[2], seq, seq .. ' ' .. ARGV[2 * i + 2])
  redis.call('HSET', KEYS[3], ARGV[2 * i + 1], seq)
end
return last
"""
CONTEXT_ROWS = 200  # enough for any budget that is measured here
Row = tuple[str, str, str, str, int]


class RedisFloor:
    """redis-py over RESP3, one pool of connections.

    Args:
        url: An empty database.
        writers: How many connections.
    """

    def __init__(self, url: str, writers: int) -> None:
        self._url, self._writers, self._digest = url, writers, ""

    async def open(self) -> None:
        pool = BlockingConnectionPool.from_url(self._url, max_connections=self._writers, retry=Retry(NoBackoff(), 0))
        self._client: Any = Redis(connection_pool=pool)
        self._digest = await self._client.script_load(APPEND)

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _keys(self, session_id: str) -> list[str]:
        return [f"floor:{session_id}", f"floor:{session_id}:messages", f"floor:{session_id}:ids"]

    def _new(self, pipe: Any, session_id: str, user_id: str, created: str) -> None:
        fields = {"session_id": session_id, "user_id": user_id, "agent_id": "agent", "status": "active"}
        pipe.hset(f"floor:{session_id}", mapping={**fields, "created_at": created, "last_seq": 0, "token_count": 0})
        pipe.zadd(f"floor:of:{user_id}", {f"{created} {session_id}": 0})

    async def add_session(self, session_id: str) -> None:
        pipe = self._client.pipeline(transaction=False)
        self._new(pipe, session_id, "user-0", START.isoformat())
        await pipe.execute()

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for plan in plans:
            self._new(pipe, plan.session_id, plan.user_id, plan.created_at.isoformat())
        await pipe.execute()

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        rows = self.prepare(drafts)
        for start in range(0, len(rows), 500):
            await (await self.batcher(session_id))(rows[start : start + 500])

    async def settle(self) -> None:
        """Nothing has statistics here."""

    def prepare(self, drafts: Sequence[Draft]) -> list[Row]:
        return [
            (d.message_id, d.role, d.content, d.timestamp.isoformat(timespec="microseconds"), d.token_count)
            for d in drafts
        ]

    async def _append(self, session_id: str, rows: Sequence[Row]) -> Any:
        arguments: list[Any] = [rows[-1][3], sum(row[4] for row in rows)]
        for row in rows:
            arguments += [row[0], json.dumps(row, ensure_ascii=False)]
        return await self._client.evalsha(self._digest, 3, *self._keys(session_id), *arguments)

    async def appender(self, session_id: str, writer: int) -> Append:
        async def append(row: Row) -> Any:
            return await self._append(session_id, [row])

        return append

    async def batcher(self, session_id: str) -> Append:
        async def append(rows: Sequence[Row]) -> Any:
            return await self._append(session_id, rows)

        return append

    def _rows(self, session_id: str, first: int, last: int) -> Read:
        key = self._keys(session_id)[1]

        async def read() -> Sequence[Any]:
            rows: list[Any] = await self._client.zrange(key, first, last)
            return rows

        return read

    async def last(self, session_id: str, count: int) -> Read:
        return self._rows(session_id, -count, -1)

    async def history(self, session_id: str) -> Read:
        return self._rows(session_id, 0, -1)

    async def context(self, session_id: str, budget: int) -> Read:
        read_rows = self._rows(session_id, -CONTEXT_ROWS, -1)

        async def read() -> Sequence[Any]:
            rows = await read_rows()
            left, first = budget, len(rows)
            for row in reversed(rows):
                left -= int(row[row.rindex(b" ") : -1])  # the tokens, which the document ends with
                if left < 0:
                    break
                first -= 1
            return rows[first:]

        return read

    async def opening(self, session_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._keys(session_id)[0])
            pipe.zrange(self._keys(session_id)[1], -count, -1)
            rows: list[Any] = (await pipe.execute())[1]
            return rows

        return read

    opening_at_once = opening

    async def listing(self, user_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            entries = await self._client.zrange(f"floor:of:{user_id}", 0, count - 1, desc=True)
            pipe = self._client.pipeline(transaction=False)
            for entry in entries:
                pipe.hgetall(f"floor:{entry.decode().partition(' ')[2]}")
            sessions: list[Any] = await pipe.execute()
            return sessions

        return read

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        rows = (json.loads(message.partition(b" ")[2]) for message in messages)
        return [(row[1], row[2]) for row in rows]

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        return [session[b"session_id"].decode() for session in sessions]

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        found = []
        for message in await self._rows(session_id, 0, -1)():
            seq, _, document = message.partition(b" ")
            found.append((int(seq), json.loads(document)[0]))
        return found

    async def stored_bytes(self) -> int:
        return int((await self._client.info("memory"))["used_memory"])
