"""Sessions, messages and summaries to test with, and a form of them in which nothing that may be lost looks alike."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository.protocol import MemoryRepository, MessageQuery, SessionRecord

START = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
"""The first instant. Ahead of every clock: a store that expires sessions by itself must not touch them."""

MICROSECOND = timedelta(microseconds=1)

SQL = '\'); DROP TABLE messages; DELETE FROM sessions; --" OR "1"=\'1'
"""Text that does harm wherever it is pasted into a statement."""


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after START."""
    return START + timedelta(seconds=seconds)


def new_session(session_id: str = "s", seconds: float = 0, **fields: Any) -> SessionMetadata:
    """Return a session created so many seconds after START."""
    fields.setdefault("created_at", at(seconds))
    return SessionMetadata(session_id, **fields)


def new_message(number: int, content: Any = None, role: str = "user", **fields: Any) -> Message:
    """Return message ``m<number>``, its timestamp `number` seconds after START, of one token unless given."""
    values = {"timestamp": at(number), "message_id": f"m{number}", "token_count": 1, **fields}
    return Message(role, f"text {number}" if content is None else content, **values)


def new_messages(count: int, first: int = 1, **fields: Any) -> list[Message]:
    """Return messages ``m<first>`` and on."""
    return [new_message(number, **fields) for number in range(first, first + count)]


def new_summary(summary_id: str = "sum", seconds: float = 0, **fields: Any) -> ConversationSummary:
    """Return a summary of session ``s`` made so many seconds after START."""
    values: dict[str, Any] = {
        "summary": f"summary {summary_id}",
        "session_id": "s",
        "created_at": at(seconds),
        **fields,
    }
    return ConversationSummary(message_count=2, start_time=START, end_time=at(1), summary_id=summary_id, **values)


async def filled(repository: MemoryRepository, messages: Iterable[Message], session_id: str = "s") -> tuple[int, ...]:
    """Store a session and its messages, one batch; return their seqs."""
    await repository.insert_session(new_session(session_id))
    return (await repository.append(session_id, list(messages), now=START)).seqs


async def read(repository: MemoryRepository, session_id: str = "s", **query: Any) -> list[Message]:
    """Read the messages that a query asks for."""
    return await repository.read_messages(session_id, MessageQuery(**query))


async def read_ids(repository: MemoryRepository, session_id: str = "s", **query: Any) -> list[str]:
    """Read the ids of the messages that a query asks for."""
    return [message.message_id for message in await read(repository, session_id, **query)]


async def fetch(repository: MemoryRepository, session_id: str = "s") -> SessionRecord:
    """Read a session that must be there."""
    record = await repository.fetch_session(session_id)
    assert record is not None, f"session {session_id!r} is gone"
    return record


def exact(value: Any) -> str:
    """Return a text that differs for any two JSON values: 1, 1.0 and True, 0.0 and -0.0, NaN, the order of keys.

    Two lone surrogates in a row also differ from the character that they would form.
    """
    return json.dumps(value, ensure_ascii=False)


def exact_message(message: Message) -> dict[str, str]:
    """Return every field of a message but its seq, in a form that compares exactly."""
    return {
        "role": exact(str(getattr(message.role, "value", message.role))),
        "content": exact(message.content),
        "timestamp": message.timestamp.isoformat(),
        "message_id": exact(message.message_id),
        "metadata": exact(message.metadata),
        "token_count": exact(message.token_count),
        "function_call": exact(message.function_call),
        "tool_calls": exact(message.tool_calls),
        "tool_call_id": exact(message.tool_call_id),
        "name": exact(message.name),
    }


def exact_session(metadata: SessionMetadata) -> dict[str, str]:
    """Return every field of a session's metadata, in a form that compares exactly."""
    return {name: _exact_field(getattr(metadata, name)) for name in SessionMetadata.__dataclass_fields__}


def exact_summary(summary: ConversationSummary) -> dict[str, str]:
    """Return every field of a summary, in a form that compares exactly."""
    return {name: _exact_field(getattr(summary, name)) for name in ConversationSummary.__dataclass_fields__}


def _exact_field(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else exact(value)


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"down": value}
    return value


TEXTS: dict[str, str] = {
    "empty": "",
    "space": " \t\r\n ",
    "nul": "a\x00b",
    "only nul": "\x00",
    "lone high surrogate": "a\ud83dc",
    "lone low surrogate": "a\ude00c",
    "two surrogates that form a pair": "\ud83d\ude00",
    "emoji": "😀👩‍👩‍👧‍👦🇪🇺",
    "combining": "e\u0301 é ﷽",
    "right to left": "\u202eשלום",
    "last code point": "\U0010ffff\uffff\ufffe\ufeff",
    "replacement character": "\ufffd",
    "line separators": "\u2028\u2029\x85\x1c\x0b",
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f",
    "escapes as text": "\\u0000 \\x00 \\ud800 \\\\u0000 \\n",
    "quotes": "'\"`$$%s%%:name?$1{}\\",
    "sql": SQL,
    "json as text": '{"a": [1, null, NaN]}',
    "long": "0123456789äß€😀" * 10_000,
}
"""Texts that some store has lost, changed or refused."""

VALUES: dict[str, Any] = {
    **TEXTS,
    "none": None,
    "true": True,
    "false": False,
    "one": 1,
    "one as a float": 1.0,
    "zero": 0,
    "minus zero": -0.0,
    "large float": 1e22,
    "largest float": 1.7976931348623157e308,
    "smallest float": 5e-324,
    "a third": 1 / 3,
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "64 bits": 2**63 - 1,
    "65 bits": 2**64,
    "negative 65 bits": -(2**64),
    "400 digits": 10**400,
    "empty list": [],
    "empty object": {},
    "key order": {"z": 1, "a": {"y": 2, "b": 3}, "m": 4},
    "odd keys": {"": 1, " ": 2, "a.b": 3, "$where": 4, "\x00": 5, "\ud800": 6, chr(0xFFFD): 7, "1": 8},
    "list of all kinds": [1, 1.0, True, None, "1", [1], {"1": 1}],
    "nested 500 deep": _nested(500),
    "nested 500 deep around nan": [math.nan, _nested(499)],
}
"""JSON values that some store has lost, changed or refused."""
