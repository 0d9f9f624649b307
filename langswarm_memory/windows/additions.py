"""Messages that nobody said: results of interrupted tools, the turn before an assistant's, a summary.

They are the same whenever they are made: id and time come from the messages they belong to.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from ..formats import from_responses
from ..formats.links import links
from ..incoming import counted
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary

SYNTHETIC = "synthetic"
"""Key of the metadata of every message that is made here; its value says what the message is."""

ANSWERS = "answers_message_id"
"""Key of the metadata of a result that was put in: the message that made the call."""

RESULT = "interrupted tool call"
OPENING = "opening"
RECALLED = "recalled"

INTERRUPTED = "This tool call was interrupted before it gave a result."
BEGINNING = "(The assistant begins.)"
CONTINUED = "(Earlier messages are left out.)"

_NUMBERED = re.compile(r"(.*)#(\d+)", re.DOTALL)


def answered_message(message: Message) -> str | None:
    """Return whose call a result answers that was put in for an interrupted one; None: a tool gave it."""
    metadata = message.metadata
    if not isinstance(metadata, dict) or metadata.get(SYNTHETIC) != RESULT:
        return None
    found = metadata.get(ANSWERS)
    return found if isinstance(found, str) else None


class Additions:
    """Makes the messages that a window of a session adds.

    Args:
        session_id: The session.
        count: Its token counter.
    """

    def __init__(self, session_id: str, count: Callable[[Message], int]) -> None:
        self._session_id = session_id
        self.count = count

    def result(self, caller: Message, call_id: str) -> Message | None:
        """Return a result that says that a call was interrupted.

        None where nobody but the provider can answer: server tools, and calls whose results are no text.
        """
        made = _result(caller, call_id)
        if made is None or links(made).answers != (call_id,):
            return None
        made.message_id = self._id(f"result\n{caller.message_id}\n{call_id}")
        made.timestamp = caller.timestamp
        made.metadata = {**made.metadata, SYNTHETIC: RESULT, ANSWERS: caller.message_id}
        return counted(made, self.count)

    def opening(self, first: Message, at_the_start: bool) -> Message:
        """Return a turn of the user before `first`, for providers that demand one.

        Args:
            first: The message that it stands before.
            at_the_start: Whether that is where the conversation begins.
        """
        return counted(
            Message(
                MessageRole.USER,
                BEGINNING if at_the_start else CONTINUED,
                first.timestamp,
                self._id(f"opening\n{first.message_id}"),
                {SYNTHETIC: OPENING},
            ),
            self.count,
        )

    def summary(self, summary: ConversationSummary) -> Message:
        """Return a summary as the system message that stands for what it covers."""
        return counted(
            Message(
                MessageRole.SYSTEM,
                f"Summary of the earlier conversation: {summary.summary}",
                summary.created_at,
                summary.summary_id,
                {"summary_id": summary.summary_id},
            ),
            self.count,
        )

    def recalled(self, found: Sequence[tuple[str, Message]], room: int | None) -> Message | None:
        """Return a system message that quotes earlier messages, as many as there is room for; None: for none.

        Args:
            found: Messages with the ids of their sessions, the most fitting first. They are quoted in their order.
            room: Tokens that it may take. None: no bound.
        """
        chosen: list[tuple[str, Message]] = []
        note: Message | None = None
        for one in found:
            longer = self._quoting([*chosen, one])
            if room is None or (longer.token_count or 0) <= room:
                chosen, note = [*chosen, one], longer
        return note

    def _quoting(self, found: Sequence[tuple[str, Message]]) -> Message:
        ordered = sorted(found, key=lambda one: (one[1].timestamp, one[0], one[1].seq or 0))
        lines = [
            f"[{message.timestamp:%Y-%m-%d %H:%M}] {message.name or role_of(message)}: {' '.join(message.text.split())}"
            for _, message in ordered
        ]
        newest = ordered[-1][1]
        return counted(
            Message(
                MessageRole.SYSTEM,
                "\n".join(["Earlier messages that may matter here:", *lines]),
                newest.timestamp,
                self._id("recalled\n" + "\n".join(f"{session_id}\n{message.seq}" for session_id, message in ordered)),
                {SYNTHETIC: RECALLED, RECALLED: [message.message_id for _, message in ordered]},
            ),
            self.count,
        )

    def _id(self, what: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._session_id}\n{what}"))


def role_of(message: Message) -> str:
    """Return a message's role as text."""
    return str(getattr(message.role, "value", message.role))


def _result(caller: Message, call_id: str) -> Message | None:
    for call in caller.tool_calls if isinstance(caller.tool_calls, list) else ():
        if isinstance(call, dict) and call.get("id") == call_id:
            return Message(MessageRole.TOOL, INTERRUPTED, tool_call_id=call_id)
    blocks = caller.content if isinstance(caller.content, list) else []
    for block in filter(lambda block: isinstance(block, dict), blocks):
        if call_id in (block.get("id"), block.get("call_id")):
            return _of_block(block.get("type"), call_id)
        call = block.get("functionCall", block.get("function_call"))
        if isinstance(call, dict) and call.get("id") == call_id:
            return Message(MessageRole.TOOL, INTERRUPTED, tool_call_id=call_id, name=call.get("name"))
    return _by_name(caller, call_id)


def _of_block(kind: object, call_id: str) -> Message | None:
    if kind == "tool_use":
        return Message(MessageRole.TOOL, INTERRUPTED, tool_call_id=call_id)
    item: dict[str, Any]
    if kind == "custom_tool_call":
        item = {"type": "custom_tool_call_output", "call_id": call_id, "output": INTERRUPTED}
    elif kind == "mcp_approval_request":
        item = {"type": "mcp_approval_response", "approval_request_id": call_id, "approve": False}
    else:
        return None
    return from_responses(item)


def _by_name(caller: Message, call_id: str) -> Message | None:
    """Answer a call without an id. Only the first of its name can be told by the name."""
    found = _NUMBERED.fullmatch(call_id)
    if found is None or not found[1]:
        return None
    if caller.function_call:
        return Message(MessageRole.FUNCTION, INTERRUPTED, name=found[1])
    if caller.tool_calls:
        return Message(MessageRole.TOOL, INTERRUPTED, name=found[1])
    part = {"functionResponse": {"name": found[1], "response": {"error": INTERRUPTED}}}
    return Message(MessageRole.USER, [part])
