"""Conversations as files hold them, the files, and what a store gives back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import MemoryManager
from langswarm_memory.backend import BaseMemoryBackend

CHECKOUT = Path(__file__).resolve().parents[2]
SUPPORT = CHECKOUT / "examples" / "data" / "support-conversations.json"
AIRLINE = CHECKOUT.parent / "shared" / "data" / "airline-openai.json"

Messages = list[dict[str, Any]]

ORDER: Messages = [
    {"role": "system", "content": "You help with orders."},
    {"role": "user", "content": "Where is order 4711?"},
    {
        "content": None,
        "role": "assistant",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_order", "arguments": '{"id": 4711}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "name": "get_order", "content": '{"state": "sent"}'},
    {"role": "assistant", "content": "It was sent.", "refusal": None},
]
WEATHER: Messages = [
    {"role": "user", "content": [{"type": "text", "text": "Wie wird's? ☂"}], "name": "ada"},
    {
        "role": "assistant",
        "content": "Sonnig.",
        "annotations": [{"score": 1.0, "at": -0.0}],
        "logprobs": {"b": 1, "a": 2},
    },
]
COLLECTED: list[dict[str, Any]] = [
    {"id": "order", "user_id": "ada", "tags": ["support"], "messages": ORDER},
    {"id": "weather", "agent_id": "forecaster", "reward": 0.5, "messages": WEATHER},
]


def as_array(values: Iterable[Any]) -> str:
    return json.dumps(list(values))


def as_formatted_array(values: Iterable[Any]) -> str:
    return json.dumps(list(values), indent=4, ensure_ascii=False)


def as_lines(values: Iterable[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def as_spaced_lines(values: Iterable[Any]) -> str:
    return "\n \r\n" + "\r\n\r\n".join(json.dumps(value) for value in values)


def as_formatted_values(values: Iterable[Any]) -> str:
    return "\n".join(json.dumps(value, indent=2) for value in values)


FORMS: dict[str, Callable[[Iterable[Any]], str]] = {
    "array": as_array,
    "formatted array": as_formatted_array,
    "lines": as_lines,
    "lines with blank ones between": as_spaced_lines,
    "formatted values": as_formatted_values,
}
"""Ways to write several values into one file."""


def write(folder: Path, text: str | bytes, name: str = "conversations.json") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def conversations_of(file: Path) -> list[dict[str, Any]]:
    """Return what a file of this project, or one beside the checkout, holds; skip without it."""
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


async def stored(store: BaseMemoryBackend | MemoryManager, session_id: str) -> Messages:
    """Return the whole history of a session in OpenAI's format."""
    session: Any = await store.get_session(session_id)
    assert session is not None, session_id
    return [message.to_openai_format() for message in await session.get_messages(full_history=True)]


async def everything(backend: BaseMemoryBackend) -> dict[str, Messages]:
    """Return every session's history."""
    return {
        metadata.session_id: await stored(backend, metadata.session_id)
        for metadata in await backend.list_sessions(limit=10_000)
    }


def exact(value: Any) -> str:
    """Return a text that is equal for values whose JSON is equal, the order of keys included."""
    return json.dumps(value)
