"""Reading a source whole, and making small files in the forms of earlier software."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langswarm_memory.interfaces.message import Message
from langswarm_memory.interfaces.records import ConversationSummary, SessionMetadata
from langswarm_memory.migration.source import SourceCounts
from langswarm_memory.migration.sources import detect_source
from langswarm_memory.repository import codec

REFERENCE = """
CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user_id TEXT, agent_id TEXT, workflow_id TEXT,
    status TEXT NOT NULL DEFAULT 'active', max_messages INTEGER DEFAULT 100, max_tokens INTEGER,
    auto_summarize BOOLEAN DEFAULT TRUE, summary_threshold INTEGER DEFAULT 50, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL, expires_at TEXT, tags TEXT, properties TEXT);
CREATE TABLE messages (message_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT NOT NULL, timestamp TEXT NOT NULL, token_count INTEGER, metadata TEXT, function_call TEXT,
    tool_calls TEXT, FOREIGN KEY (session_id) REFERENCES sessions (session_id));
CREATE TABLE summaries (summary_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, summary TEXT NOT NULL,
    message_count INTEGER NOT NULL, start_time TEXT NOT NULL, end_time TEXT NOT NULL, key_topics TEXT,
    created_at TEXT NOT NULL, FOREIGN KEY (session_id) REFERENCES sessions (session_id));
CREATE INDEX idx_messages_session_id ON messages (session_id);
"""
AT = "2025-01-02T03:04:05+00:00"


@dataclass
class Read:
    """One session of a source, whole."""

    metadata: SessionMetadata
    messages: list[Message]
    summaries: list[ConversationSummary]

    @property
    def texts(self) -> list[Any]:
        return [message.content for message in self.messages]


async def read_all(config: Any) -> tuple[SourceCounts, dict[str, Read]]:
    """Read a source whole; what it gives can be stored, and its counts are those of what it gave."""
    source = await detect_source(config)
    await source.open()
    try:
        counts = await source.counts()
        found = {}
        async for session in source.sessions():
            messages = [message async for page in session.pages() for message in page]
            read = Read(session.metadata, messages, list(await session.summaries()))
            codec.encode_metadata(read.metadata)
            for message in messages:
                codec.encode_message(replace(message, token_count=message.token_count or 0))
            for summary in read.summaries:
                codec.encode_summary(summary)
            assert session.message_count == len(messages)
            assert len({message.message_id for message in messages}) == len(messages)
            found[session.metadata.session_id] = read
    finally:
        await source.close()
    assert counts.sessions == len(found)
    assert counts.messages == sum(len(read.messages) for read in found.values())
    assert counts.summaries == sum(len(read.summaries) for read in found.values())
    return counts, found


def write(path: Path, schema: str, **tables: Sequence[Mapping[str, Any]]) -> str:
    """Make a file of tables and rows, and return its path."""
    connection = sqlite3.connect(path)
    connection.executescript(schema)
    for table, rows in tables.items():
        for row in rows:
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
    connection.commit()
    connection.close()
    return str(path)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def damage(path: Path) -> Path:
    """Overwrite most pages of a database."""
    data = bytearray(path.read_bytes())
    for start in range(8 * 4096, len(data) - 4096, 4096):
        data[start : start + 4096] = b"\xee" * 4096
    path.write_bytes(data)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def session_row(session_id: Any = "s", **columns: Any) -> dict[str, Any]:
    return {"session_id": session_id, "created_at": AT, "updated_at": AT, **columns}


def message_row(message_id: Any, session_id: Any = "s", content: Any = "text", **columns: Any) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "session_id": session_id,
        "role": "user",
        "content": content,
        "timestamp": AT,
        **columns,
    }


def exact(value: Any) -> str:
    """Return a text that is equal for equal JSON values, NaN included."""
    return json.dumps(value, sort_keys=True)
