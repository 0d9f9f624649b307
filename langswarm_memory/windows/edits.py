"""Messages without some of their tool calls or results: what a window makes of the broken ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..formats.links import links
from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message

_THOUGHTS = ("thinking", "redacted_thinking")


def says_something(content: object) -> bool:
    """Return whether content holds more than nothing, empty text or thoughts: no provider takes a turn of these."""
    if isinstance(content, str):
        return bool(content.strip())
    return isinstance(content, list) and any(map(_says, content))


def _says(block: object) -> bool:
    if not isinstance(block, dict):
        return bool(block)
    if block.get("type") in _THOUGHTS or block.get("thought") is True:
        return False
    text = block.get("text")
    return bool(text.strip()) if isinstance(text, str) else True


def without(
    message: Message, calls: Collection[str], answers: Collection[str], count: Callable[[Message], int]
) -> Message | None:
    """Return a message without some of its tool calls and results; the rest of it stays as it is.

    Args:
        message: The message; it is left alone.
        calls: Ids to remove, as ``links`` gives them.
        answers: Ids of results to remove.
        count: The token counter.

    Returns:
        The rest, with its tokens counted again but never more than before. None: nothing is left to say.
    """
    content, tool_calls, function_call = message.content, message.tool_calls, message.function_call
    if answers and message.role in RESULT_ROLES and not _holds_results(content):
        return None  # the whole message is the result
    if isinstance(content, list):
        content = _kept(content, lambda part: _like(message, part), calls, answers)
    if isinstance(tool_calls, list):
        tool_calls = _kept(tool_calls, lambda part: _like(message, None, part), calls, ()) or None
    if function_call and links(_like(message, None, None, function_call)).calls[0] in calls:
        function_call = None
    if not tool_calls and not function_call and not says_something(content):
        return None
    rest = _like(message, content, tool_calls, function_call)
    tokens = count(rest)
    rest.token_count = tokens if message.token_count is None else min(tokens, message.token_count)
    return rest if message.seq is None else rest.numbered(message.seq)


def results_first(messages: Sequence[Message]) -> list[Message]:
    """Return messages of one turn, each with results and more: what they say besides moves behind the last result.

    Anthropic takes all results of a turn first. Together the messages say the same, and count the same tokens.
    """
    results: list[list[Any]] = []
    rest: list[Any] = []
    for message in messages:
        blocks = message.content if isinstance(message.content, list) else []
        answering = [bool(links(_like(message, [block])).answers) for block in blocks]
        results.append([block for block, answers in zip(blocks, answering, strict=True) if answers])
        rest += [block for block, answers in zip(blocks, answering, strict=True) if not answers]
    results[-1] += rest
    return [_with(message, content, message.tool_calls) for message, content in zip(messages, results, strict=True)]


def renamed(message: Message, names: Mapping[str, str]) -> Message:
    """Return a message with other ids of tool calls, in calls and results alike; the same if it has none of them."""
    content, tool_calls, answers = message.content, message.tool_calls, message.tool_call_id
    if isinstance(content, list):
        content = [_renamed(block, names) for block in content]
    if isinstance(tool_calls, list):
        tool_calls = [_renamed(call, names) for call in tool_calls]
    if answers is not None:
        answers = names.get(answers, answers)
    if (content, tool_calls, answers) == (message.content, message.tool_calls, message.tool_call_id):
        return message
    twin = _with(message, content, tool_calls)
    twin.tool_call_id = answers
    return twin


_ID_KEYS = ("id", "call_id", "tool_use_id")
_PART_KEYS = ("functionCall", "function_call", "functionResponse", "function_response")


def _renamed(block: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(block, dict):
        return block
    found = {key: names[block[key]] for key in _ID_KEYS if isinstance(block.get(key), str) and block[key] in names}
    parts = {key: _renamed(block[key], names) for key in _PART_KEYS if key in block}
    return {**block, **found, **parts}


def _with(message: Message, content: Any, tool_calls: Any) -> Message:
    twin = _like(message, content, tool_calls, message.function_call)
    twin.token_count = message.token_count
    return twin if message.seq is None else twin.numbered(message.seq)


def _holds_results(content: object) -> bool:
    return isinstance(content, list) and bool(links(Message(MessageRole.USER, content)).answers)


def _kept(
    parts: list[Any], like: Callable[[list[Any]], Message], calls: Collection[str], answers: Collection[str]
) -> list[Any]:
    """Return the parts that hold none of the ids. Ids count the parts before them, so each is seen among those."""
    kept = []
    before = links(like([]))
    for index, part in enumerate(parts):
        found = links(like(parts[: index + 1]))
        called = set(found.calls) - set(before.calls)
        answered = set(found.answers) - set(before.answers)
        if called.isdisjoint(calls) and answered.isdisjoint(answers):
            kept.append(part)
        before = found
    return kept


def _like(message: Message, content: Any, tool_calls: Any = None, function_call: Any = None) -> Message:
    return Message(
        message.role,
        content,
        message.timestamp,
        message.message_id,
        message.metadata,
        None,
        function_call,
        tool_calls,
        message.tool_call_id,
        message.name,
    )
