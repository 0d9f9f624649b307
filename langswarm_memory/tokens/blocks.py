"""What there is to count in a content block or a tool call, whichever provider's form it has."""

from __future__ import annotations

import json
from typing import Any

TEXT_KEYS = ("text", "thinking", "refusal")
"""Where blocks that are nothing but text keep it. Signatures beside it are not shown to the model as text."""

BINARY_KINDS = ("input_audio", "audio", "file", "input_file", "document")
BINARY_PARTS = ("inlineData", "inline_data", "fileData", "file_data")

CALL_KEYS = ("functionCall", "function_call")
RESULT_KEYS = ("functionResponse", "function_response")


def as_text(value: Any) -> str:
    """Return text as it is, None as nothing, and anything else as the JSON that a provider would make of it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def call_of(call: Any) -> tuple[str, str] | None:
    """Return name and arguments of a tool call, as text; None for what is no call of a known form.

    The forms: an entry of ``tool_calls`` (function or custom), ``function_call`` of old and of Responses, ``tool_use``
    of Anthropic, ``functionCall`` of Gemini.
    """
    if not isinstance(call, dict):
        return None
    for key in ("function", "custom", *CALL_KEYS):
        if isinstance(call.get(key), dict):
            call = call[key]
            break
    else:
        if "type" in call and call["type"] not in ("function_call", "custom_tool_call", "tool_use", "server_tool_use"):
            return None
    for key in ("arguments", "input", "args"):
        if key in call and isinstance(call.get("name"), str):
            return call["name"], as_text(call[key])
    return None


def result_of(block: dict[str, Any]) -> tuple[str, Any] | None:
    """Return name and content of a tool result; None for another block. The name is "" where the form has none."""
    if block.get("type") == "tool_result":
        return "", block.get("content")
    if block.get("type") in ("function_call_output", "custom_tool_call_output"):
        return "", block.get("output")
    for key in RESULT_KEYS:
        part = block.get(key)
        if isinstance(part, dict):
            return as_text(part.get("name")), as_text(part.get("response"))
    return None


def is_binary(block: dict[str, Any]) -> bool:
    """Return whether a block is audio, a file or a document that is not plain text."""
    if block.get("type") in BINARY_KINDS:
        source = block.get("source")
        return not (isinstance(source, dict) and source.get("type") in ("text", "content"))
    return any(isinstance(block.get(key), dict) for key in BINARY_PARTS)


def declaration_of(tool: dict[str, Any]) -> tuple[str, str, Any] | None:
    """Return name, description and schema of a tool definition; None for a provider's own tool, which has no schema.

    The forms: Chat Completions (under ``function``), Responses (flat), Anthropic (``input_schema``), Gemini (one
    declaration).
    """
    inner = tool.get("function")
    inner = inner if isinstance(inner, dict) else tool
    if not isinstance(inner.get("name"), str):
        return None
    for key in ("parameters", "input_schema", "parametersJsonSchema"):
        if key in inner:
            return inner["name"], as_text(inner.get("description")), inner[key]
    if inner is tool and tool.get("type") not in (None, "function", "custom"):
        return None
    return inner["name"], as_text(inner.get("description")), None


def declarations(tools: Any) -> list[Any]:
    """Return the definitions one by one; Gemini wraps several into one object."""
    found: list[Any] = []
    for tool in tools:
        wrapped = None
        if isinstance(tool, dict):
            wrapped = tool.get("functionDeclarations", tool.get("function_declarations"))
        found.extend(wrapped if isinstance(wrapped, list) else [tool])
    return found
