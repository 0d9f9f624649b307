"""The floor on PostgreSQL: asyncpg connections with prepared statements, one connection for each writer.

The same rows, keys, indexes and durability as the package's; an append is one statement in autocommit, a batch one
statement over arrays. Nothing checked, nothing decoded, no pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from benchmarks.data import START, Draft, Plan
from benchmarks.sides import Append, Read
from langswarm_memory.repository.sql.text_index import create_postgres

SCHEMA = """
CREATE TABLE sessions (
    session_id text COLLATE "C" NOT NULL PRIMARY KEY, user_id text COLLATE "C", agent_id text COLLATE "C",
    workflow_id text COLLATE "C", max_messages bigint, max_tokens bigint, auto_summarize boolean NOT NULL,
    summary_threshold bigint NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL, expires_at timestamptz, tags text, properties text, verbatim bytea,
    revision bigint NOT NULL, message_count bigint NOT NULL, token_count bigint NOT NULL, last_seq bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sessions_by_user ON sessions (user_id, created_at, session_id);
CREATE INDEX sessions_by_time ON sessions (created_at, session_id);
CREATE INDEX sessions_to_expire ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE messages (
    session_id text COLLATE "C" NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE, seq bigint NOT NULL,
    message_id text COLLATE "C" NOT NULL, role text NOT NULL, content text, timestamp timestamptz NOT NULL,
    token_count bigint NOT NULL, tool_call_id text, name text, content_blocks text, tool_calls text,
    function_call text, metadata text, verbatim bytea,
    PRIMARY KEY (session_id, seq)
);
CREATE UNIQUE INDEX messages_once ON messages (session_id, message_id);
CREATE INDEX messages_of_system ON messages (session_id, role, seq) WHERE role IN ('developer', 'system');
""" + "".join(f"{statement};\n" for statement in create_postgres())  # its texts are searchable, too
APPEND = """
WITH s AS (
    UPDATE sessions SET last_seq = last_seq + 1, message_count = message_count + 1, token_count = token_count + $6,
        updated_at = $5 WHERE session_id = $1 RETURNING last_seq
)
INSERT INTO messages SELECT $1, s.last_seq, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM s RETURNING seq
"""
BATCH = """
WITH s AS (
    UPDATE sessions SET last_seq = last_seq + $2, message_count = message_count + $2, token_count = token_count + $3,
        updated_at = $4 WHERE session_id = $1 RETURNING last_seq
)
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count)
SELECT $1, s.last_seq - $2 + m.place, m.message_id, m.role, m.content, m.timestamp, m.token_count
FROM s, unnest($5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bigint[])
    WITH ORDINALITY AS m (message_id, role, content, timestamp, token_count, place)
"""
COLUMNS = (
    "seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, "
    "function_call, metadata, verbatim"
)
SEQ, MESSAGE_ID, ROLE, CONTENT, TOKENS = 0, 1, 2, 3, 5
LAST = f"SELECT {COLUMNS} FROM messages WHERE session_id = $1 ORDER BY seq DESC LIMIT $2"
HISTORY = f"SELECT {COLUMNS} FROM messages WHERE session_id = $1 ORDER BY seq"
SESSION = "SELECT * FROM sessions WHERE session_id = $1"
LISTING = "SELECT * FROM sessions WHERE user_id = $1 ORDER BY created_at DESC, session_id DESC LIMIT $2"
ADD_SESSION = (
    "INSERT INTO sessions VALUES ($1, $2, 'agent', NULL, 100, NULL, true, 50, 'active', $3, $3, "
    "NULL, NULL, NULL, NULL, 1, 0, 0, 0)"
)
CONTEXT_ROWS = 200  # a server sends what it was asked for: rows enough for any budget that is measured here


class PostgresFloor:
    """asyncpg, called directly.

    Args:
        url: An empty database.
        writers: How many connections.
    """

    def __init__(self, url: str, writers: int) -> None:
        self._url, self._writers = url, writers
        self._connections: list[Any] = []

    async def open(self) -> None:
        self._connections = [await asyncpg.connect(self._url) for _ in range(self._writers)]
        await self._connections[0].execute(SCHEMA)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    async def add_session(self, session_id: str) -> None:
        await self._connections[0].execute(ADD_SESSION, session_id, "user-0", START)

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        rows = [(plan.session_id, plan.user_id, plan.created_at) for plan in plans]
        await self._connections[0].executemany(ADD_SESSION, rows)

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        await (await self.batcher(session_id))(self.prepare(drafts))

    async def settle(self) -> None:
        await vacuum(self._url)

    def prepare(self, drafts: Sequence[Draft]) -> list[tuple[Any, ...]]:
        return [(d.message_id, d.role, d.content, d.timestamp, d.token_count, *(None,) * 7) for d in drafts]

    async def appender(self, session_id: str, writer: int) -> Append:
        statement = await self._connections[writer].prepare(APPEND)

        async def append(row: tuple[Any, ...]) -> Any:
            return await statement.fetchval(session_id, *row)

        return append

    async def batcher(self, session_id: str) -> Append:
        statement = await self._connections[0].prepare(BATCH)

        async def append(rows: Sequence[tuple[Any, ...]]) -> Any:
            columns = list(zip(*rows, strict=True))[:5]
            return await statement.fetch(session_id, len(rows), sum(columns[4]), rows[-1][3], *columns)

        return append

    async def last(self, session_id: str, count: int) -> Read:
        statement = await self._connections[0].prepare(LAST)

        async def read() -> Sequence[Any]:
            rows: list[Any] = await statement.fetch(session_id, count)
            rows.reverse()
            return rows

        return read

    async def history(self, session_id: str) -> Read:
        statement = await self._connections[0].prepare(HISTORY)

        async def read() -> Sequence[Any]:
            rows: Sequence[Any] = await statement.fetch(session_id)
            return rows

        return read

    async def context(self, session_id: str, budget: int) -> Read:
        statement = await self._connections[0].prepare(LAST)

        async def read() -> Sequence[Any]:
            rows, left = [], budget
            for row in await statement.fetch(session_id, CONTEXT_ROWS):
                left -= row[TOKENS]
                if left < 0:
                    break
                rows.append(row)
            rows.reverse()
            return rows

        return read

    async def opening(self, session_id: str, count: int) -> Read:
        session = await self._connections[0].prepare(SESSION)
        tail = await self._connections[0].prepare(LAST)

        async def read() -> Sequence[Any]:
            await session.fetchrow(session_id)
            rows: list[Any] = await tail.fetch(session_id, count)
            rows.reverse()
            return rows

        return read

    opening_at_once = opening

    async def listing(self, user_id: str, count: int) -> Read:
        statement = await self._connections[0].prepare(LISTING)

        async def read() -> Sequence[Any]:
            rows: Sequence[Any] = await statement.fetch(user_id, count)
            return rows

        return read

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        return [(row[ROLE], row[CONTENT]) for row in messages]

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        return [row[0] for row in sessions]

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        rows = await self._connections[0].fetch(HISTORY, session_id)
        return [(row[SEQ], row[MESSAGE_ID]) for row in rows]

    async def stored_bytes(self) -> int:
        return await relation_bytes(self._url)


async def vacuum(url: str) -> None:
    """Let the planner know what was loaded."""
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def relation_bytes(url: str) -> int:
    """Return what all tables and indexes of a database take, catalogues not counted."""
    connection = await asyncpg.connect(url)
    size = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND n.nspname = 'public'"
    )
    await connection.close()
    return int(size)
