"""The published rules of each API for a conversation, written down without looking at the converters.

Anthropic: the user begins, roles alternate, no text is empty, all results of a turn's calls stand in the next turn,
before anything else. Chat Completions: a call is followed at once by one tool message per call. Responses: every call
has an output after it and every output a call before it; a reasoning item is followed by an item of the assistant.
Gemini: the user begins, and the content after a content with calls has as many responses, by name.
"""

from __future__ import annotations

from typing import Any


def broken_rules(provider: str, conversation: list[Any]) -> list[str]:
    """Return what the API would refuse in a conversation."""
    return RULES[provider](conversation)


def _anthropic(turns: list[Any]) -> list[str]:
    found = [] if not turns or turns[0]["role"] == "user" else ["the user does not begin"]
    open_calls: list[str] = []
    for index, turn in enumerate(turns):
        if index and turn["role"] == turns[index - 1]["role"]:
            found.append(f"{index}: two turns of {turn['role']}")
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks or any(block.get("text") == "" for block in blocks):
            found.append(f"{index}: empty text")
        kinds = [block["type"] == "tool_result" for block in blocks]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(results) != sorted(open_calls):
            found.append(f"{index}: results {results} for calls {open_calls}")
        if kinds != sorted(kinds, reverse=True):
            found.append(f"{index}: a result after something else")
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if any(not isinstance(block["input"], dict) for block in blocks if block["type"] == "tool_use"):
            found.append(f"{index}: input is no object")
    return found + ([f"calls without results: {open_calls}"] if open_calls else [])


def _openai(messages: list[Any]) -> list[str]:
    found = []
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                found.append(f"{index}: a result without a call")
            else:
                open_calls.remove(message["tool_call_id"])
        elif open_calls:
            found.append(f"{index}: calls without results: {open_calls}")
        open_calls += [call["id"] for call in message.get("tool_calls") or ()]
        if message["content"] is None and not (message.get("tool_calls") or message.get("function_call")):
            found.append(f"{index}: nothing said")
    return found + ([f"calls without results: {open_calls}"] if open_calls else [])


def _responses(items: list[Any]) -> list[str]:
    found = []
    calls: list[str] = []
    for index, item in enumerate(items):
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            calls.append(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if item["call_id"] not in calls:
                found.append(f"{index}: an output without a call")
            else:
                calls.remove(item["call_id"])
        elif kind == "reasoning" and (index + 1 == len(items) or items[index + 1].get("role") == "user"):
            found.append(f"{index}: reasoning without its follower")
    return found + ([f"calls without outputs: {calls}"] if calls else [])


def _gemini(contents: list[Any]) -> list[str]:
    found = [] if not contents or contents[0]["role"] == "user" else ["the user does not begin"]
    names: list[str] = []
    for index, content in enumerate(contents):
        parts = content["parts"]
        if not parts or any(len(part) == 0 or part.get("text") == "" for part in parts):
            found.append(f"{index}: an empty part")
        responses = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if sorted(responses) != sorted(names):
            found.append(f"{index}: responses {responses} for calls {names}")
        names = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    return found + ([f"calls without responses: {names}"] if names else [])


RULES = {"openai": _openai, "openai_responses": _responses, "anthropic": _anthropic, "gemini": _gemini}
