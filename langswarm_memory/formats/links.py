"""Which messages belong together: what a message calls, what it answers, and whether it needs the next one.

Every provider refuses a conversation in which a tool result has no call, a call has no result, or a reasoning item
stands without the item it led to. :func:`links` finds these ties in every form a message may be stored in, so that
whoever cuts a conversation (a window, a summary, a deletion) needs to know no provider.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..interfaces.enums import RESULT_ROLES
from ..interfaces.message import Message
from .notes import responses_item


class Links(NamedTuple):
    """The ties of one message to the others of its conversation."""

    calls: tuple[str, ...] = ()
    """Ids of the tool calls that it makes and does not answer itself, in order."""
    answers: tuple[str, ...] = ()
    """Ids of the tool calls of earlier messages that it answers, in order."""
    needs_next: bool = False
    """Whether it must be followed at once by the message that follows it now."""


NONE = Links()

_GEMINI_CALLS = ("functionCall", "function_call")
_GEMINI_RESULTS = ("functionResponse", "function_response")


def links(message: Message) -> Links:
    """Return the ties of a message to the other messages of its conversation.

    Understood are ``tool_calls`` and tool results of Chat Completions, its older ``function_call`` with results by
    name, ``tool_use`` and ``tool_result`` blocks of Anthropic (those of server tools too), ``functionCall`` and
    ``functionResponse`` parts of Gemini, and every item of the Responses API.

    The contract, for whoever cuts conversations:

    * A conversation may be sent when every id in ``calls`` is answered by a message after it, every id in
      ``answers`` is called by a message before it, and every message with ``needs_next`` has its neighbour.
    * Ids are unique among the calls that are open at one time, not in the conversation: an answer belongs to the
      last message before it that calls the id.
    * A call without an id (Gemini, the older functions) gets ``"name#n"``, n counting the calls of that name in the
      message from 0; an answer without an id gets the same. A result that names nothing at all answers ``"#0"``,
      which nobody calls: it is an orphan.
    * What a message calls and answers itself (server tools of Anthropic) is in neither tuple.
    * Whatever lies between a call and its answer belongs to the same turn: keep or drop the whole stretch.

    Broken data never raises: what is malformed has no ties.
    """
    if message.stands_alone():
        return NONE
    item = responses_item(message)
    if item is not None:
        return _of_item(item)
    found = _Ties()
    found.add_chat(message)
    if isinstance(message.content, list):
        for block in message.content:
            if isinstance(block, dict):
                found.add_block(block)
    return found.links()


def _of_item(item: dict[str, Any]) -> Links:
    """Return the ties of an item of the Responses API that no field of ours holds."""
    kind = item.get("type")
    if not isinstance(kind, str):  # a reference to an item that the provider keeps
        return NONE
    if kind == "reasoning":
        return Links(needs_next=True)
    if kind == "mcp_approval_request":
        return Links(calls=_texts(item.get("id")))
    if kind == "mcp_approval_response":
        return Links(answers=_texts(item.get("approval_request_id")))
    # Tools that OpenAI runs itself (web_search_call, mcp_call, ...) have an id but no call_id, and no output item.
    if kind.endswith("_call"):
        return Links(calls=_texts(item.get("call_id")))
    if kind.endswith("_output"):
        return Links(answers=_texts(item.get("call_id")) or _texts(item.get("id")))
    return NONE


def _texts(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else ()


class _Ties:
    """Collects the calls and answers of one message."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: list[str] = []
        self._named: dict[tuple[str, str], int] = {}

    def add_chat(self, message: Message) -> None:
        if isinstance(message.tool_calls, list):
            for call in message.tool_calls:
                if isinstance(call, dict):
                    self._call(call.get("id"), _call_name(call))
        if isinstance(message.function_call, dict) and message.function_call:
            self._call(None, message.function_call.get("name"))
        if message.role in RESULT_ROLES and not _holds_result(message.content):
            self._answer(message.tool_call_id, message.name)

    def add_block(self, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if isinstance(kind, str):
            # Also server_tool_use, mcp_tool_use, web_search_tool_result, ...
            if kind.endswith("tool_use"):
                self._call(block.get("id"), block.get("name"))
            elif kind.endswith("tool_result"):
                self._answer(block.get("tool_use_id"), block.get("name"))
            return
        for key in _GEMINI_CALLS:
            if isinstance(part := block.get(key), dict):
                self._call(part.get("id"), part.get("name"))
        for key in _GEMINI_RESULTS:
            if isinstance(part := block.get(key), dict):
                self._answer(part.get("id"), part.get("name"))

    def links(self) -> Links:
        both = set(self.calls) & set(self.answers)
        if both:
            self.calls = [name for name in self.calls if name not in both]
            self.answers = [name for name in self.answers if name not in both]
        return Links(tuple(self.calls), tuple(self.answers))

    def _call(self, given: object, name: object) -> None:
        self.calls.append(self._id("call", given, name))

    def _answer(self, given: object, name: object) -> None:
        self.answers.append(self._id("answer", given, name))

    def _id(self, side: str, given: object, name: object) -> str:
        if isinstance(given, str) and given:
            return given
        text = name if isinstance(name, str) else ""
        count = self._named.get((side, text), 0)
        self._named[side, text] = count + 1
        return f"{text}#{count}"


def _call_name(call: dict[str, Any]) -> object:
    # Chat Completions knows calls of functions and of custom tools.
    for key in ("function", "custom"):
        if isinstance(part := call.get(key), dict):
            return part.get("name")
    return None


def _holds_result(content: object) -> bool:
    """Return whether the content says itself what it answers, whatever the role (Gemini's older role "function")."""
    if not isinstance(content, list):
        return False
    return any(
        isinstance(block, dict)
        and (block.get("type") == "tool_result" or any(isinstance(block.get(key), dict) for key in _GEMINI_RESULTS))
        for block in content
    )
