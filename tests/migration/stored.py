"""What is moved, and what a store is found to hold."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from langswarm_memory import ConversationSummary, Message, SessionMetadata
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.migration.hashing import content_hashes
from langswarm_memory.migration.stores import StoreSource
from langswarm_memory.repository.protocol import MessageQuery, SessionQuery
from langswarm_memory.repository.values import dump_exact
from langswarm_memory.summaries.coverage import extended

MESSAGE_FIELDS = [field.name for field in fields(Message)]
START = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)  # ahead of every clock: no store expires it by itself
LONG = 1_203  # messages, more than two pages
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1.0, "a": -0.0}'}}]

ODD = (
    Message("system", "NUL \x00, half a pair \ud83d, tab \t\n and \U0001f600"),
    Message("assistant", None, tool_calls=CALLS),
    Message("tool", "42", tool_call_id="call_1", name="f", metadata={"z": 1.0, "a": [1e22, -0.0, float("inf")]}),
    Message("user", [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x:y"}}]),
    Message("critic", "", function_call={"name": "g", "arguments": ""}),
)
"""Messages that stores have lost parts of."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def conversation(count: int, name: str = "m") -> list[Message]:
    """Return messages with ids, times that run backwards, and sizes."""
    roles = ("user", "assistant")
    return [Message(roles[n % 2], f"{name} {n}", at(-n), f"{name}-{n}", token_count=n % 7) for n in range(count)]


def odd_messages() -> list[Message]:
    return [replace(message, message_id=f"odd-{n}", timestamp=at(n)) for n, message in enumerate(ODD)]


SESSIONS: dict[str, dict[str, Any]] = {
    "plain": {"user_id": "ada", "agent_id": "a", "workflow_id": "w", "tags": ["x", "ü"], "max_messages": None},
    "odd": {"properties": {"z": 1.0, "a": {"b": -0.0, "nul": "\x00"}}, "max_tokens": 17, "auto_summarize": False},
    "archived": {"status": "archived", "summary_threshold": 3},
    "completed": {"status": "completed", "expires_at": at(86_400)},
    "expires before its last change": {"expires_at": at(5), "updated_at": at(50)},
    "empty": {"status": "paused", "user_id": "ünï"},
    "long": {"user_id": "ada"},
    "trimmed": {"user_id": "bo"},
    "cleared": {},
    "summed up": {},
}
MESSAGES: dict[str, list[Message]] = {
    "plain": conversation(7),
    "odd": odd_messages(),
    "archived": conversation(3),
    "completed": conversation(4),
    "expires before its last change": conversation(2),
    "empty": [],
    "long": conversation(LONG),
    "trimmed": [Message("system", "Be kind.", at(0), "sys", token_count=3), *conversation(40)],
    "cleared": conversation(12),
    "summed up": conversation(30),
}
KEPT = {"trimmed": 20, "cleared": 12}
"""Up to which position messages of a session are deleted."""

WANTED_MESSAGES = sum(map(len, MESSAGES.values())) - 19 - 12


async def fill(backend: BaseMemoryBackend) -> BaseMemoryBackend:
    """Store every kind of session."""
    repository = backend.repository
    await backend.connect()
    for number, (session_id, values) in enumerate(SESSIONS.items()):
        metadata = SessionMetadata(session_id, **{"created_at": at(number // 2), "updated_at": at(60), **values})
        final = SessionMetadata(**{name: getattr(metadata, name) for name in SessionMetadata.__dataclass_fields__})
        metadata.expires_at = None
        record = await repository.insert_session(metadata)
        given = [
            message if message.token_count is not None else replace(message, token_count=5)
            for message in MESSAGES[session_id]
        ]
        for begin in range(0, len(given), 500):
            await repository.append(session_id, given[begin : begin + 500], now=at(60))
        await repository.replace_session(final, expected_revision=record.revision)
    for session_id in ("trimmed", "cleared", "summed up"):
        for summary in await summaries_of(backend, session_id):
            await repository.put_summary(summary)
    for session_id, through in KEPT.items():
        await repository.delete_messages(session_id, through_seq=through, keep_roles=SYSTEM_ROLES)
    return backend


async def summaries_of(backend: BaseMemoryBackend, session_id: str) -> list[ConversationSummary]:
    """Return a rolling summary, one on top of it, one made elsewhere, and one that was withdrawn."""
    messages = await backend.repository.read_messages(session_id, MessageQuery(exclude_roles=SYSTEM_ROLES))
    first = extended(None, messages[:8], periodic=False)
    base = ConversationSummary(
        "The beginning \x00.",
        8,
        at(0),
        at(8),
        ["a", "b"],
        first.summary_id,
        at(100),
        session_id,
        4,
        first_seq=first.first_seq,
        last_seq=first.last_seq,
    )
    second = extended(base, messages[8:12], periodic=False)
    later = replace(base, summary_id=second.summary_id, created_at=at(101), message_count=12, last_seq=second.last_seq)
    foreign = replace(base, summary_id="made elsewhere", created_at=at(102))
    away = replace(base, summary_id=f"9-11-{'0' * 32}", created_at=at(103), first_seq=None, last_seq=None)
    return [base, later, foreign, away]


async def contents(backend: BaseMemoryBackend) -> dict[str, Any]:
    """Return everything that must be equal: exact texts, without positions and what is made of them."""
    await backend.connect()
    found: dict[str, Any] = {}
    for record in await backend.repository.list_sessions(SessionQuery(limit=10_000)):
        metadata = record.metadata
        values = {name: getattr(metadata, name) for name in SessionMetadata.__dataclass_fields__}
        messages = await backend.repository.read_messages(metadata.session_id, MessageQuery())
        summaries = await backend.repository.list_summaries(metadata.session_id)
        found[metadata.session_id] = (
            exact(values),
            [exact({name: getattr(message, name) for name in MESSAGE_FIELDS}) for message in messages],
            [exact((one.summary, one.key_topics, one.message_count, one.created_at)) for one in summaries],
            (record.message_count, record.token_count),
        )
    return found


def exact(value: Any) -> str:
    """Return a text that is equal for equal values only; 1, 1.0 and True are not."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{exact(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(exact, value)) + "]"
    return value.isoformat() if isinstance(value, datetime) else dump_exact(value)


async def hashes(backend: BaseMemoryBackend) -> dict[str, str]:
    """Return the content hash of every session."""
    await backend.connect()
    return dict([pair async for pair in content_hashes(StoreSource(backend))])
