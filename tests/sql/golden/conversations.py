"""What the golden databases hold: a little of everything that can be stored. Never changed, only added to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from langswarm_memory import ConversationSummary, Message, SessionMetadata, SessionStatus
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.interfaces.enums import SummaryType
from langswarm_memory.interfaces.timestamps import Timestamp

NOON = datetime.fromisoformat("2025-07-08T12:00:00.000001+00:00")

CALL = {"id": "call_1", "type": "function", "function": {"name": "track", "arguments": '{"order": "TW-1", "n": 1.0}'}}


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def message(role: str, content: Any, minutes: float, message_id: str, **fields: Any) -> Message:
    return Message(role, content, timestamp=at(minutes), message_id=message_id, **{"token_count": 7, **fields})


def conversations() -> list[tuple[SessionMetadata, list[Message], list[ConversationSummary]]]:
    """Return the sessions with their messages and summaries, as they are given to the store and come back from it."""
    full = SessionMetadata(
        "order-1",
        user_id="jana",
        agent_id="fenja",
        workflow_id="returns",
        max_messages=40,
        max_tokens=4000,
        auto_summarize=False,
        summary_threshold=20,
        status=SessionStatus.PAUSED,
        created_at=at(0),
        updated_at=at(5),
        expires_at=datetime.fromisoformat("9999-01-01T00:00:00+00:00"),
        tags=["support", "日本", 'quo"te'],
        properties={"z": 1, "a": {"n": 1.0, "big": 1e22}, "list": [True, None]},
    )
    full_messages = [
        message("system", "You are Fenja.", 0, "m1"),
        message("user", "Where is my parcel? 📦", 1, "m2", name="jana", metadata={"channel": "web", "x": 1.50}),
        message("assistant", None, 2, "m3", tool_calls=[CALL]),
        message("tool", "Error: timed out", 3, "m4", tool_call_id="call_1", name="track"),
        message("assistant", [{"type": "text", "text": "One "}, {"type": "text", "text": "moment."}], 4, "m5"),
        message("critic", "", 5, "m6", function_call={"name": "old", "arguments": "{}"}, token_count=0),
    ]
    full_summaries = [
        ConversationSummary(
            summary="A parcel is late.",
            message_count=5,
            start_time=at(0),
            end_time=at(4),
            key_topics=["parcel", "late"],
            summary_id="sum-1",
            created_at=at(6),
            session_id="order-1",
            token_count=4,
            summary_type=SummaryType.MANUAL,
            first_seq=1,
            last_seq=5,
        )
    ]
    bare = SessionMetadata("bare", max_messages=None, created_at=at(10), updated_at=at(10))
    verbatim = SessionMetadata("verbatim", created_at=at(20), updated_at=at(21), properties={"nul": "a\x00b"})
    verbatim_messages = [
        message("user", "nul \x00 and half an emoji \ud83d", 20, "v1"),
        message("assistant", "", 21, "v2", metadata={"score": float("inf"), "half": "\udc4d"}),
    ]
    return [(full, full_messages, full_summaries), (bare, [], []), (verbatim, verbatim_messages, [])]


async def store(backend: BaseMemoryBackend) -> None:
    """Store the conversations. The backend's clock stands still at noon."""
    for metadata, messages, summaries in conversations():
        session = await backend.create_session(metadata)
        if messages:
            await session.add_messages(messages)
        for summary in summaries:
            await backend.repository.put_summary(summary)


def clock() -> Timestamp:
    """The clock for ``store``."""
    return Timestamp.of(at(30))


async def stored(backend: BaseMemoryBackend) -> list[tuple[SessionMetadata, list[Message], list[ConversationSummary]]]:
    """Return what a store holds of the conversations, in the form of ``conversations``."""
    found = []
    for metadata, _, _ in conversations():
        session = await backend.get_session(metadata.session_id)
        assert session is not None
        messages = await session.get_messages(full_history=True)
        found.append((session.metadata, messages, await session.get_summaries()))
    return found


def as_stored() -> list[tuple[SessionMetadata, list[Message], list[ConversationSummary]]]:
    """Return the conversations as ``stored`` gives them: an append is the last activity of its session."""
    expected = conversations()
    for metadata, messages, _ in expected:
        if messages:
            metadata.updated_at = clock()
    return expected
