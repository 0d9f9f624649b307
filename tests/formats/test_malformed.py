"""Broken and foreign data: what a provider gave comes back exactly, and nothing that is stored breaks a converter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langswarm_memory.formats import from_responses, links, loss_report, to_openai, to_responses
from langswarm_memory.interfaces.message import Message

from .conversations import EXAMPLES, exact
from .providers import PROVIDERS

KEY_WORDS = (
    "type id name role text content function arguments custom input call_id output tool_use_id is_error source data "
    "image_url url detail file file_id file_data filename input_audio format parts functionCall functionResponse args "
    "response thought inlineData mimeType fileData fileUri cache_control media_type title item keys extra absent given"
)
TYPE_WORDS = (
    "text tool_use tool_result thinking image document base64 file url image_url input_audio input_text output_text "
    "refusal function_call function_call_output reasoning custom_tool_call message computer_call hologram "
    "data:image/png;base64,AAAA {} {broken"
)
KEYS = st.sampled_from(KEY_WORDS.split())
WORDS = st.sampled_from(TYPE_WORDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
ROLES = st.sampled_from(["user", "assistant", "model", "system", "developer", "tool", "function", "human", "critic"])


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """Return a conversation of the examples' messages, with some values replaced by anything."""
    provider = draw(st.sampled_from(list(EXAMPLES)))
    messages = [message for conversation in EXAMPLES[provider].values() for message in conversation]
    found = []
    for message in draw(st.lists(st.sampled_from(messages), min_size=1, max_size=4)):
        message = json.loads(json.dumps(message))
        for _ in range(draw(st.integers(0, 2))):
            _damage(message, draw)
        if provider != "openai_responses":
            message["role"] = draw(ROLES)
        if provider == "gemini":
            message.setdefault("parts", draw(JSON))
        found.append(message)
    return provider, found


def _damage(value: Any, draw: st.DrawFn) -> None:
    """Replace one value somewhere inside."""
    while isinstance(value, dict | list) and value:
        key = draw(st.sampled_from(list(value) if isinstance(value, dict) else list(range(len(value)))))
        if not isinstance(value[key], dict | list) or not value[key] or draw(st.booleans()):
            value[key] = draw(JSON)
            return
        value = value[key]


@settings(max_examples=100, deadline=None)
@given(case=damaged())
def test_whatever_a_provider_gives_comes_back_exactly(case: tuple[str, list[dict[str, Any]]]) -> None:
    provider, conversation = case
    read, write = PROVIDERS[provider]
    assert exact(write(read(conversation))) == exact(conversation)


@settings(max_examples=100, deadline=None)
@given(case=damaged(), target=st.sampled_from(list(PROVIDERS)))
def test_whatever_is_damaged_is_converted_and_reported(case: tuple[str, list[dict[str, Any]]], target: str) -> None:
    provider, conversation = case
    messages = PROVIDERS[provider].read(conversation)
    form = PROVIDERS[target].write(messages)
    assert all(isinstance(data, dict) for data in form)
    again = PROVIDERS[provider].write(PROVIDERS[target].read(form))
    if target not in ("anthropic", "gemini"):  # their system text stands beside the list
        assert loss_report(messages, target) or exact(again) == exact(conversation)


@settings(max_examples=100, deadline=None)
@given(role=ROLES, content=st.lists(JSON, max_size=3) | st.text(max_size=3) | st.none(), calls=JSON, note=JSON)
def test_any_message_that_a_store_takes_is_converted(role: str, content: Any, calls: Any, note: Any) -> None:
    tool_calls = calls if isinstance(calls, list) else None
    metadata = dict.fromkeys(EXAMPLES, note)
    for message in (Message(role, content, tool_calls=tool_calls), Message(role, content, metadata=metadata)):
        for target, provider in PROVIDERS.items():
            provider.write([message])
            loss_report([message], target)
        links(message)
        to_openai(message)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_depth_that_stores_take_is_converted(provider: str) -> None:
    deep = json.loads("[" * 500 + "]" * 500)
    messages = [Message("user", deep), Message("user", [{"type": "tool_result", "tool_use_id": "a", "content": deep}])]
    assert PROVIDERS[provider].write(messages) is not None
    assert loss_report(messages, provider) is not None


def test_edited_call_item_that_is_no_call_any_more_is_converted() -> None:
    message = from_responses({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"})
    message.tool_calls = None
    message.content = "never mind"
    assert to_responses(message) == [{"role": "assistant", "content": "never mind"}]


def test_deeply_nested_results_are_read() -> None:
    content: Any = "x"
    for _ in range(250):
        content = [{"type": "tool_result", "tool_use_id": "a", "content": content}]
    assert len(PROVIDERS["openai"].write([Message("user", content)])) == 1
