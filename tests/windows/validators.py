"""What the providers' APIs refuse, after their published rules, looked for in the JSON that would be sent.

Nothing of the package is used here: a fault of the code that builds windows cannot hide in the code that checks them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from langswarm_memory import Message
from langswarm_memory.formats import (
    messages_to_anthropic_format,
    messages_to_gemini_format,
    messages_to_openai_format,
    messages_to_responses_format,
)

Json = dict[str, Any]

CONVERTERS: dict[str, Callable[[list[Message]], list[Json]]] = {
    "openai": messages_to_openai_format,
    "responses": messages_to_responses_format,
    "anthropic": messages_to_anthropic_format,
    "gemini": messages_to_gemini_format,
}


def faults(provider: str, messages: list[Message]) -> list[str]:
    """Return what the provider would refuse of a window."""
    return VALIDATORS[provider](CONVERTERS[provider](messages))


# --- OpenAI Chat Completions ---------------------------------------------------------------------------------------


def openai_faults(messages: list[Json]) -> list[str]:
    """An assistant message with tool_calls is followed by one tool message per call, and these by nothing else."""
    found: list[str] = []
    awaited: list[str] = []
    function: str | None = None
    for at, message in enumerate(messages):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool", "function"):
            found.append(f"{at}: role {role}")
        if role == "tool":
            if message.get("tool_call_id") in awaited:
                awaited.remove(message["tool_call_id"])
            else:
                found.append(f"{at}: a tool message answers no call of the message before")
            continue
        if role == "function":
            if function is None or function != message.get("name"):
                found.append(f"{at}: a function message answers no function_call")
            function = None
            continue
        if awaited or function:
            found.append(f"{at}: calls before have no results: {awaited or function}")
        awaited = [call["id"] for call in message.get("tool_calls") or ()]
        function = (message.get("function_call") or {}).get("name")
        says = ("content", "tool_calls", "function_call", "refusal", "audio")
        if role == "assistant" and not any(message.get(key) for key in says):
            found.append(f"{at}: the assistant says nothing")
    if awaited or function:
        found.append(f"end: calls have no results: {awaited or function}")
    return found


# --- OpenAI Responses ----------------------------------------------------------------------------------------------

OUTPUT_OF = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "local_shell_call": "local_shell_call_output",
}


def responses_faults(items: list[Json]) -> list[str]:
    """A call has its output after it, an output its call before it; reasoning is followed by what it led to."""
    found: list[str] = []
    calls: dict[str, str] = {}
    for at, item in enumerate(items):
        kind = item.get("type", "message")
        if kind in OUTPUT_OF:
            calls[item["call_id"]] = OUTPUT_OF[kind]
        elif kind in OUTPUT_OF.values() and calls.pop(item["call_id"], None) != kind:
            found.append(f"{at}: No tool call found for {kind} with call_id {item['call_id']}")
        elif kind == "reasoning":
            after = items[at + 1] if at + 1 < len(items) else {"role": "nobody"}
            if after.get("role", "assistant") != "assistant" or after.get("type") in OUTPUT_OF.values():
                found.append(f"{at}: reasoning without its required following item")
    return found + [f"end: No tool output found for call {name}" for name in calls]


# --- Anthropic Messages --------------------------------------------------------------------------------------------

TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")


def anthropic_faults(messages: list[Json]) -> list[str]:
    """The user begins; all results of a turn's calls, and no others, stand first in the turn after it."""
    found: list[str] = []
    turns: list[tuple[str, list[Json]]] = []
    for at, message in enumerate(messages):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
        if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            found.append(f"{at}: text content blocks must be non-empty")
        if message["role"] not in ("user", "assistant"):
            found.append(f"{at}: role {message['role']}")
        if turns and turns[-1][0] == message["role"]:  # the API joins neighbours
            turns[-1][1].extend(blocks)
        else:
            turns.append((message["role"], blocks))
    if turns and turns[0][0] != "user":
        found.append("0: first message must use the user role")
    used = Counter(block["id"] for _, blocks in turns for block in blocks if block["type"] == "tool_use")
    found += [f"tool_use ids must be unique: {name}" for name, times in used.items() if times > 1]
    awaited: list[str] = []
    for at, (role, blocks) in enumerate(turns):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if any(block["type"] != "tool_result" for block in blocks[: len(results)]):
            found.append(f"turn {at}: tool_result blocks must come first")
        if Counter(results) != Counter(awaited):
            found.append(f"turn {at}: results {results} for calls {awaited}")
        awaited = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if awaited and role != "assistant":
            found.append(f"turn {at}: the user calls tools")
        found += [f"turn {at}: id {name}" for name in awaited if not TOOL_ID.fullmatch(name)]
        if role == "assistant" and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
            found.append(f"turn {at}: the final block in an assistant message cannot be thinking")
    if awaited:
        found.append(f"end: calls without results: {awaited}")
    return found


# --- Gemini contents -----------------------------------------------------------------------------------------------


def gemini_faults(contents: list[Json]) -> list[str]:
    """The user begins; a turn of calls is followed by a turn with as many responses, of the same functions."""
    found: list[str] = []
    turns: list[tuple[str, list[Json]]] = []
    for at, content in enumerate(contents):
        if not content["parts"]:
            found.append(f"{at}: contents.parts must not be empty")
        if content["role"] not in ("user", "model"):
            found.append(f"{at}: role {content['role']}")
        if turns and turns[-1][0] == content["role"]:
            turns[-1][1].extend(content["parts"])
        else:
            turns.append((content["role"], list(content["parts"])))
    if turns and turns[0][0] != "user":
        found.append("0: the conversation must begin with a turn of the user")
    awaited: list[str] = []
    for at, (_, parts) in enumerate(turns):
        responses = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if Counter(responses) != Counter(awaited):
            found.append(f"turn {at}: responses of {responses} for calls of {awaited}")
        awaited = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    if awaited:
        found.append(f"end: calls without responses: {awaited}")
    return found


VALIDATORS: dict[str, Callable[[list[Json]], list[str]]] = {
    "openai": openai_faults,
    "responses": responses_faults,
    "anthropic": anthropic_faults,
    "gemini": gemini_faults,
}
