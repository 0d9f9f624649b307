"""The table of docs/formats.md, "What each format cannot carry": a case per cell."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.formats import from_openai, from_responses, loss_report
from langswarm_memory.interfaces.message import Message

from .conversations import PNG

ALL = ("openai", "openai_responses", "anthropic", "gemini")


def call(arguments: str) -> dict[str, Any]:
    return {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}


def image(**fields: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, **fields}


def result(**fields: Any) -> Message:
    return Message("user", [{"type": "tool_result", "tool_use_id": "a", "content": "1", **fields}])


THINKING = Message(
    "assistant", [{"type": "thinking", "thinking": "x", "signature": "s"}, {"type": "text", "text": "y"}]
)
REASONING = from_responses({"type": "reasoning", "id": "rs_1", "summary": []})
THOUGHT = Message("assistant", [{"text": "x", "thought": True}, {"text": "y"}])
SEARCH = from_responses({"type": "web_search_call", "id": "ws_1", "status": "completed"})
SERVER = Message("assistant", [{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}])
CODE = Message("assistant", [{"executableCode": {"language": "PYTHON", "code": "1"}}])
OPENAI_FILE = Message("user", [{"type": "file", "file": {"file_id": "file-1"}}])
ANTHROPIC_FILE = Message("user", [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}])
SOUND = Message("user", [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])
OGG = Message("user", [{"inlineData": {"mimeType": "audio/ogg", "data": "T2dnUw=="}}])
PDF = Message("user", [{"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}])
PLAIN = Message("user", [{"inlineData": {"mimeType": "text/plain", "data": "eA=="}}])
CSV = Message("user", [{"inlineData": {"mimeType": "text/csv", "data": "eA=="}}])
ADDRESS = Message("user", [{"type": "input_file", "file_url": "https://example.com/a.pdf"}])
SAID_IMAGE = Message("assistant", [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}])
RESULT_IMAGE = result(content=[{"type": "text", "text": "x"}, image()])
FAILED = result(is_error=True)
NAMED = Message("user", "x", name="Ann")
CACHED = Message("user", [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}])
CITED = from_openai({"role": "assistant", "content": "x", "annotations": [{"type": "url_citation"}]})
SIGNED = Message("assistant", [{"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "s"}])
BROKEN = Message("assistant", None, tool_calls=[call("{broken")])
CUSTOM = Message("assistant", None, tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}])
CRITIC = Message("critic", "x")
SPACED = Message("assistant", None, tool_calls=[call('{ "a": 1 }')])
REPLY = from_responses({"id": "m", "type": "message", "role": "assistant", "content": "x"})

C, D, F, N = "content", "detail", "form", None
CELLS: dict[str, tuple[Message, tuple[str | None, ...]]] = {
    "thinking": (THINKING, (C, C, N, C)),
    "reasoning item": (REASONING, (C, N, C, C)),
    "thought": (THOUGHT, (C, C, C, N)),
    "web search of OpenAI": (SEARCH, (C, N, C, C)),
    "server tool of Anthropic": (SERVER, (C, C, N, C)),
    "code run by Gemini": (CODE, (C, C, C, N)),
    "file of OpenAI": (OPENAI_FILE, (N, N, C, C)),
    "file of Anthropic": (ANTHROPIC_FILE, (C, C, N, C)),
    "sound": (SOUND, (N, N, C, N)),
    "sound of another sort": (OGG, (C, C, C, N)),
    "PDF": (PDF, (N, N, N, N)),
    "plain text": (PLAIN, (N, N, F, N)),
    "another file": (CSV, (N, N, C, N)),
    "address of a file": (ADDRESS, (C, N, N, N)),
    "image said by the assistant": (SAID_IMAGE, (C, C, C, N)),
    "image in a result": (RESULT_IMAGE, (D, N, N, D)),
    "failed result": (FAILED, (D, D, N, N)),
    "name": (NAMED, (N, D, D, D)),
    "cache_control": (CACHED, (D, D, N, D)),
    "annotations": (CITED, (N, D, D, D)),
    "thought signature": (SIGNED, (D, D, D, N)),
    "broken arguments": (BROKEN, (N, N, D, D)),
    "custom tool": (CUSTOM, (N, N, D, D)),
    "another role": (CRITIC, (N, D, D, D)),
    "spaces in arguments": (SPACED, (N, N, F, F)),
    "id of an item": (REPLY, (F, N, F, F)),
}


@pytest.mark.parametrize(
    ("message", "target", "worst"),
    [
        pytest.param(message, target, worst, id=f"{name}: {target}")
        for name, (message, cells) in CELLS.items()
        for target, worst in zip(ALL, cells, strict=True)
    ],
)
def test_worst_loss_of(message: Message, target: str, worst: str | None) -> None:
    # What must stand before it: the user begins, roles alternate, and results have their call.
    before = [Message("user", "x"), Message("assistant", None, tool_calls=[call("{}")])]
    before = before if message.role == "user" else before[:1]
    found = {loss.severity for loss in loss_report([*before, message], target) if loss.index == len(before)}
    assert next((severity for severity in ("content", "detail", "form") if severity in found), None) == worst
