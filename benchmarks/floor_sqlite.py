"""The floor on SQLite: ``sqlite3`` called directly, on the thread of the event loop, blocking it.

The same rows, keys, indexes and durability as the package's; nothing checked, nothing decoded, no other caller
considered.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.data import Draft, Plan
from benchmarks.sides import Append, Read
from langswarm_memory.repository.sql.text_index import create_sqlite

SCHEMA = """
CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY, user_id TEXT, agent_id TEXT, workflow_id TEXT, max_messages INTEGER,
    max_tokens INTEGER, auto_summarize BOOLEAN NOT NULL, summary_threshold INTEGER NOT NULL, status TEXT NOT NULL,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, expires_at DATETIME, tags TEXT, properties TEXT,
    verbatim BLOB, revision INTEGER NOT NULL, message_count INTEGER NOT NULL, token_count INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_at, session_id);
CREATE INDEX sessions_by_time ON sessions (created_at, session_id);
CREATE INDEX sessions_to_expire ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE messages (
    session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE, seq INTEGER NOT NULL,
    message_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT, timestamp DATETIME NOT NULL,
    token_count INTEGER NOT NULL, tool_call_id TEXT, name TEXT, content_blocks TEXT, tool_calls TEXT,
    function_call TEXT, metadata TEXT, verbatim BLOB,
    PRIMARY KEY (session_id, seq)
);
CREATE UNIQUE INDEX messages_once ON messages (session_id, message_id);
CREATE INDEX messages_of_system ON messages (session_id, role, seq) WHERE role IN ('developer', 'system');
""" + "".join(f"{statement};\n" for statement in create_sqlite())  # its texts are searchable, too
RESERVE = (
    "UPDATE sessions SET last_seq = last_seq + ?1, message_count = message_count + ?1, token_count = token_count + ?2, "
    "updated_at = ?3 WHERE session_id = ?4 RETURNING last_seq"
)
INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_SESSION = "INSERT INTO sessions VALUES (?, ?, 'agent', NULL, 100, NULL, 1, 50, 'active', ?, ?, " + (
    "NULL, NULL, NULL, NULL, 1, 0, 0, 0)"
)
COLUMNS = (
    "seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, "
    "function_call, metadata, verbatim"
)
SEQ, MESSAGE_ID, ROLE, CONTENT, TOKENS = 0, 1, 2, 3, 5
LAST = f"SELECT {COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq DESC LIMIT ?"
BACKWARDS = f"SELECT {COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq DESC"
HISTORY = f"SELECT {COLUMNS} FROM messages WHERE session_id = ? ORDER BY seq"
SESSION = "SELECT * FROM sessions WHERE session_id = ?"
LISTING = "SELECT * FROM sessions WHERE user_id = ? ORDER BY created_at DESC, session_id DESC LIMIT ?"
NOW = "2025-01-01 00:00:00.000000"


class SQLiteFloor:
    """``sqlite3``, called directly.

    Args:
        path: The database.
        synchronous: FULL or NORMAL.
        hop: Whether each append goes to a thread and back, as it must for the event loop to go on meanwhile.
    """

    def __init__(self, path: Path, synchronous: str, *, hop: bool = False) -> None:
        self._path, self._synchronous = path, synchronous
        self._thread = ThreadPoolExecutor(1) if hop else None
        self._connection: sqlite3.Connection | None = None

    @property
    def _raw(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    async def open(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._raw.executescript(
            f"PRAGMA journal_mode=WAL; PRAGMA synchronous={self._synchronous}; PRAGMA foreign_keys=ON; {SCHEMA}"
        )

    async def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        self._raw.close()

    async def add_session(self, session_id: str) -> None:
        self._raw.execute(ADD_SESSION, (session_id, "user-0", NOW, NOW))

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        self._raw.execute("BEGIN")
        times = [(plan, _text(plan.created_at)) for plan in plans]
        self._raw.executemany(ADD_SESSION, [(plan.session_id, plan.user_id, at, at) for plan, at in times])
        self._raw.execute("COMMIT")

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        await (await self.batcher(session_id))(self.prepare(drafts))

    async def settle(self) -> None:
        pass

    def prepare(self, drafts: Sequence[Draft]) -> list[tuple[Any, ...]]:
        return [(d.message_id, d.role, d.content, _text(d.timestamp), d.token_count, *(None,) * 7) for d in drafts]

    async def appender(self, session_id: str, writer: int) -> Append:
        raw = self._raw

        def store(row: tuple[Any, ...]) -> int:
            raw.execute("BEGIN IMMEDIATE")
            (seq,) = raw.execute(RESERVE, (1, row[4], row[3], session_id)).fetchone()
            raw.execute(INSERT, (session_id, seq, *row))
            raw.execute("COMMIT")
            return int(seq)

        async def append(row: tuple[Any, ...]) -> int:
            return store(row)

        async def append_elsewhere(row: tuple[Any, ...]) -> int:
            return await asyncio.get_running_loop().run_in_executor(self._thread, store, row)

        return append if self._thread is None else append_elsewhere

    async def batcher(self, session_id: str) -> Append:
        raw = self._raw

        async def append(rows: Sequence[tuple[Any, ...]]) -> int:
            raw.execute("BEGIN IMMEDIATE")
            reserved = raw.execute(RESERVE, (len(rows), sum(row[4] for row in rows), rows[-1][3], session_id))
            (end,) = reserved.fetchone()
            first = end - len(rows) + 1
            raw.executemany(INSERT, [(session_id, seq, *row) for seq, row in enumerate(rows, first)])
            raw.execute("COMMIT")
            return int(end)

        return append

    def _read(self, *statements: tuple[str, tuple[Any, ...]], backwards: bool = False) -> Read:
        raw = self._raw

        async def read() -> Sequence[Any]:
            for sql, values in statements:
                rows = raw.execute(sql, values).fetchall()
            if backwards:
                rows.reverse()
            return rows

        return read

    async def last(self, session_id: str, count: int) -> Read:
        return self._read((LAST, (session_id, count)), backwards=True)

    async def history(self, session_id: str) -> Read:
        return self._read((HISTORY, (session_id,)))

    async def context(self, session_id: str, budget: int) -> Read:
        raw = self._raw

        async def read() -> Sequence[Any]:
            rows, left = [], budget
            for row in raw.execute(BACKWARDS, (session_id,)):
                left -= row[TOKENS]
                if left < 0:
                    break
                rows.append(row)
            rows.reverse()
            return rows

        return read

    async def opening(self, session_id: str, count: int) -> Read:
        return self._read((SESSION, (session_id,)), (LAST, (session_id, count)), backwards=True)

    opening_at_once = opening

    async def listing(self, user_id: str, count: int) -> Read:
        return self._read((LISTING, (user_id, count)))

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        return [(row[ROLE], row[CONTENT]) for row in messages]

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        return [row[0] for row in sessions]

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        return [(row[SEQ], row[MESSAGE_ID]) for row in self._raw.execute(HISTORY, (session_id,))]

    async def stored_bytes(self) -> int:
        return file_bytes(self._path)


def file_bytes(path: Path) -> int:
    """Return what a SQLite database takes: its pages, the write-ahead log not counted."""
    raw = sqlite3.connect(path)
    pages, size = (raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    raw.close()
    return int(pages * size)


def _text(value: Any) -> str:
    return str(value.replace(tzinfo=None).isoformat(" ", "microseconds"))
