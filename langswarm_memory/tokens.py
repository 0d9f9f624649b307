"""How many model tokens a message takes."""

from __future__ import annotations

import json
from typing import Protocol

from .interfaces.message import Message

MESSAGE_OVERHEAD = 4
"""Tokens a chat format spends on each message besides its text (OpenAI cookbook, "How to count tokens")."""


class TokenCounter(Protocol):
    """Counts the tokens of one message, format overhead included."""

    def __call__(self, message: Message) -> int:
        """Return the number of tokens."""


def estimate_text(text: str) -> int:
    """Estimate the tokens of a text, without any vocabulary.

    A quarter of a token per ASCII character, about 0.6 per accented Latin letter, 1 per CJK character, 1.4 per emoji.
    """
    if text.isascii():
        return (len(text) + 3) // 4
    size = len(text.encode("utf-8", "surrogatepass"))
    return int((len(text) + 1.5 * (size - len(text))) / 4) + 1


def estimate_tokens(message: Message) -> int:
    """Estimate the tokens of a message: its text, tool calls and name, plus the format's overhead."""
    content = message.content
    total = MESSAGE_OVERHEAD
    if isinstance(content, str):
        total += estimate_text(content)
    elif content is not None:
        total += estimate_text(message.text)
    for part in (message.tool_calls, message.function_call):
        if part:
            total += estimate_text(json.dumps(part, ensure_ascii=False, default=str))
    if message.name:
        total += estimate_text(message.name)
    return total
