"""What messages consist of, in no provider's form: every converter reads a stored message into these and writes them.

A block of content says by its ``type`` (a Gemini part: by its one key) whose it is. What carries no such sign and no
note is taken for Chat Completions, the form this package stores by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..interfaces.message import Message
from .notes import ANTHROPIC_NOTE, GEMINI_NOTE, OPENAI_NOTE, RESPONSES_NOTE, Json, note_of

ANTHROPIC_TYPES = frozenset(
    [
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "mcp_tool_use",
        "container_upload",
        "compaction",
        "tool_reference",
    ]
)
"""Types of blocks that only Anthropic has. Results of its server tools are known by their ending."""

ANTHROPIC_TEXT_KEYS = frozenset(["cache_control", "citations"])
"""Keys that make a block of text Anthropic's."""

RESPONSES_TYPES = frozenset(
    ["input_text", "output_text", "input_image", "input_file", "summary_text", "reasoning_text"]
)
"""Types of content that only the Responses API has."""

GEMINI_PARTS = {
    "text": "text",
    "inlineData": "inlineData",
    "inline_data": "inlineData",
    "fileData": "fileData",
    "file_data": "fileData",
    "functionCall": "functionCall",
    "function_call": "functionCall",
    "functionResponse": "functionResponse",
    "function_response": "functionResponse",
    "executableCode": "executableCode",
    "executable_code": "executableCode",
    "codeExecutionResult": "codeExecutionResult",
    "code_execution_result": "codeExecutionResult",
    "toolCall": "toolCall",
    "tool_call": "toolCall",
    "toolResponse": "toolResponse",
    "tool_response": "toolResponse",
}
"""Keys that make an object a Gemini part, in both spellings of that API."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of the speaker. `extra`: what the block has besides, as it stood there."""

    text: str
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a file: as base64 (`data`), by address (`url`), or by `file_id`, which the `owner` gave."""

    kind: Literal["image", "audio", "file"]
    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None
    owner: str = OPENAI_NOTE
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `arguments` is JSON text or the object itself; of a custom tool, free text."""

    id: str | None
    name: str
    arguments: Any
    custom: bool = False
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a tool call."""

    id: str | None
    name: str | None
    content: tuple[Part, ...]
    is_error: bool = False
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opaque:
    """What only its own provider understands."""

    what: str


Part = Text | Media | Call | Result | Opaque


def family(block: object) -> str:
    """Return whose a block of content is."""
    if not isinstance(block, dict):
        return OPENAI_NOTE
    kind = block.get("type")
    if isinstance(kind, str):
        if kind in ANTHROPIC_TYPES or kind.endswith("_tool_result"):
            return ANTHROPIC_NOTE
        if kind == "text" and not ANTHROPIC_TEXT_KEYS.isdisjoint(block):
            return ANTHROPIC_NOTE
        return RESPONSES_NOTE if kind in RESPONSES_TYPES else OPENAI_NOTE
    return GEMINI_NOTE if gemini_kind(block) else OPENAI_NOTE


def gemini_kind(block: Json) -> str | None:
    """Return which Gemini part an object is, None for none."""
    if "type" in block:
        return None
    return next((name for key, name in GEMINI_PARTS.items() if key in block), None)


def form_of(message: Message) -> str:
    """Return the provider in whose form a message is stored."""
    for provider in (OPENAI_NOTE, RESPONSES_NOTE, ANTHROPIC_NOTE, GEMINI_NOTE):
        if note_of(message, provider) is not None:
            return provider
    if isinstance(message.content, list):
        return next((name for name in map(family, message.content) if name != OPENAI_NOTE), OPENAI_NOTE)
    return OPENAI_NOTE
