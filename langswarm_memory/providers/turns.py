"""What a single message does: asks, calls tools, holds results, in each form a message may be stored in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message

UNNAMED = "(unnamed)"


def called(message: Message) -> Iterator[str]:
    """Yield the name of every tool that a message calls, in each form a message may be stored in."""
    for call in message.tool_calls if isinstance(message.tool_calls, list) else ():
        if isinstance(call, dict):
            inner = next((call[key] for key in ("function", "custom") if isinstance(call.get(key), dict)), call)
            yield _name(inner)
    if isinstance(message.function_call, dict) and message.function_call:
        yield _name(message.function_call)
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict):
            if str(block.get("type", "")).endswith("tool_use"):
                yield _name(block)
            for key in ("functionCall", "function_call"):
                if isinstance(block.get(key), dict):
                    yield _name(block[key])


def asks(message: Message) -> bool:
    """Return whether a user says something: some providers give the results of tools the user's role."""
    return message.role == MessageRole.USER and (bool(message.text.strip()) or not results(message))


def results(message: Message) -> int:
    """Return how many tool results a message holds."""
    blocks = (
        [block for block in message.content if isinstance(block, dict)] if isinstance(message.content, list) else []
    )
    held = sum(
        str(block.get("type", "")).endswith("tool_result")
        or isinstance(block.get("functionResponse", block.get("function_response")), dict)
        for block in blocks
    )
    return held or int(message.role in RESULT_ROLES)


def _name(call: dict[str, Any]) -> str:
    name = call.get("name")
    return name if isinstance(name, str) and name else UNNAMED
