"""What each stored form of a message calls, answers and needs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langswarm_memory.formats import Links, links
from langswarm_memory.interfaces.message import Message


def chat_call(name: str = "f", **call: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": "{}"}, **call}


def item(kind: str, role: str = "assistant", **fields: Any) -> Message:
    data = {"type": kind, **fields}
    return Message(role, [data], metadata={"openai_responses": {"item": kind}})


FORMS: dict[str, tuple[Message, Links]] = {
    "text": (Message("user", "hi"), Links()),
    "tool calls": (Message("assistant", None, tool_calls=[chat_call(id="a"), chat_call(id="b")]), Links(("a", "b"))),
    "text and a tool call": (Message("assistant", "wait", tool_calls=[chat_call(id="a")]), Links(("a",))),
    "custom tool call": (
        Message("assistant", None, tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]),
        Links(("a",)),
    ),
    "tool calls without ids": (
        Message("assistant", None, tool_calls=[chat_call(), chat_call()]),
        Links(("f#0", "f#1")),
    ),
    "tool result": (Message("tool", "42", tool_call_id="a"), Links(answers=("a",))),
    "tool result by name": (Message("tool", "42", name="f"), Links(answers=("f#0",))),
    "tool result of nobody": (Message("tool", "42"), Links(answers=("#0",))),
    "tool result of blocks": (
        Message("tool", [{"type": "text", "text": "42"}], tool_call_id="a"),
        Links(answers=("a",)),
    ),
    "call id on a message that is no result": (Message("user", "hi", tool_call_id="a"), Links()),
    "older function call": (Message("assistant", None, function_call={"name": "f"}), Links(("f#0",))),
    "older function result": (Message("function", "42", name="f"), Links(answers=("f#0",))),
    "tool_use blocks": (
        Message(
            "assistant",
            [
                {"type": "thinking", "thinking": "...", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ],
        ),
        Links(("a", "b")),
    ),
    "tool_result blocks": (
        Message(
            "user",
            [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "content": "2"},
                {"type": "text", "text": "go on"},
            ],
        ),
        Links(answers=("a", "b")),
    ),
    "tool_result block in a tool message": (
        Message("tool", [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]),
        Links(answers=("a",)),
    ),
    "server tool with its result": (
        Message(
            "assistant",
            [
                {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "a", "content": []},
                {"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}},
                {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
            ],
        ),
        Links(),
    ),
    "server tool whose result comes later": (
        Message("assistant", [{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}]),
        Links(("a",)),
    ),
    "functionCall with id": (Message("model", [{"functionCall": {"id": "a", "name": "f", "args": {}}}]), Links(("a",))),
    "functionCall without ids": (
        Message("model", [{"functionCall": {"name": name, "args": {}}} for name in ("f", "g", "f")]),
        Links(("f#0", "g#0", "f#1")),
    ),
    "functionResponse without ids": (
        Message("user", [{"functionResponse": {"name": name, "response": {}}} for name in ("f", "g", "f")]),
        Links(answers=("f#0", "g#0", "f#1")),
    ),
    "functionResponse in the older role": (
        Message("function", [{"functionResponse": {"name": "f", "response": {}}}]),
        Links(answers=("f#0",)),
    ),
    "snake case parts": (Message("model", [{"function_call": {"name": "f", "args": {}}}]), Links(("f#0",))),
    "reasoning item": (item("reasoning", id="rs_1", summary=[], encrypted_content="x"), Links(needs_next=True)),
    "computer_call item": (item("computer_call", id="cu_1", call_id="a", action={}), Links(("a",))),
    "computer_call_output item": (item("computer_call_output", "tool", call_id="a", output={}), Links(answers=("a",))),
    "web_search_call item": (item("web_search_call", id="ws_1", status="completed"), Links()),
    "file_search_call item": (item("file_search_call", id="fs_1", queries=[]), Links()),
    "mcp_call item": (item("mcp_call", id="mcp_1", name="f", arguments="{}", output="x"), Links()),
    "mcp_approval_request item": (item("mcp_approval_request", id="a"), Links(("a",))),
    "mcp_approval_response item": (
        item("mcp_approval_response", "user", approval_request_id="a"),
        Links(answers=("a",)),
    ),
    "unknown item": (item("hologram", id="h"), Links()),
}


@pytest.mark.parametrize(("message", "expected"), FORMS.values(), ids=FORMS)
def test_ties_of(message: Message, expected: Links) -> None:
    assert links(message) == expected


def test_block_that_only_looks_like_a_reasoning_item_needs_nothing() -> None:
    assert links(Message("assistant", [{"type": "reasoning", "text": "hm"}])) == Links()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "id", "name", "function", "functionCall", "functionResponse", "tool_use_id", "item"]
            ),
            inner | st.sampled_from(["tool_use", "tool_result", "reasoning", "function_call"]),
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(
    role=st.sampled_from(["user", "assistant", "tool", "function", "x"]),
    content=JSON,
    calls=JSON,
    function=JSON,
    call_id=JSON,
    name=JSON,
    note=JSON,
)
def test_broken_data_never_raises(
    role: str, content: Any, calls: Any, function: Any, call_id: Any, name: Any, note: Any
) -> None:
    message = Message(role, content, tool_calls=calls, function_call=function, metadata={"openai_responses": note})
    message.tool_call_id, message.name = call_id, name
    found = links(message)
    assert all(isinstance(text, str) for text in (*found.calls, *found.answers))
