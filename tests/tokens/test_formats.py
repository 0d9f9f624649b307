"""Counts per provider format, against the numbers that the providers publish."""

from __future__ import annotations

import math
from typing import Any

import pytest

from langswarm_memory import InvalidInputError, MemoryConfigurationError, Message
from langswarm_memory.tokens import MessageCounter, count_messages, count_text, count_tools
from langswarm_memory.tokens.rules import BINARY_TOKENS

# The request, and what the API answered it costs: OpenAI cookbook, "How to count tokens with tiktoken", section 6.
JARGON = [
    Message(
        "system",
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    Message("system", "New synergies will help drive top-line growth.", name="example_user"),
    Message("system", "Things working well together will increase revenue.", name="example_assistant"),
    Message(
        "system",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        name="example_user",
    ),
    Message("system", "Let's talk later when we're less busy about how to do better.", name="example_assistant"),
    Message("user", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
]

# Section 7 of the same.
WEATHER = [
    Message("system", "You are a helpful assistant that can answer to questions about the weather."),
    Message("user", "What's the weather like in San Francisco?"),
]
PARAMETERS = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {
            "type": "string",
            "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"],
        },
    },
    "required": ["location"],
}
NAMED = {"name": "get_current_weather", "description": "Get the current weather in a given location"}
TOOL = {"type": "function", "function": {**NAMED, "parameters": PARAMETERS}}


def text(value: str) -> int:
    return count_text(value, "o200k_base")


def of(content: Any, role: str = "user", **fields: Any) -> int:
    """Return the tokens of a message without its overhead."""
    return MessageCounter()(Message(role, content, **fields)) - 4


# --- Chat Completions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)],
)
def test_messages_cost_what_the_api_says(model: str, tokens: int) -> None:
    assert count_messages(JARGON, model=model) == tokens


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_tools_cost_what_the_api_says(model: str, tokens: int) -> None:
    assert count_messages(WEATHER, tools=[TOOL], model=model) == tokens


@pytest.mark.parametrize(("calls", "tokens"), [(1, 40), (2, 89), (3, 114)])
def test_tool_calls_cost_what_users_observe(calls: int, tokens: int) -> None:
    call = {"type": "function", "function": {"name": "calculator", "arguments": '{"a":2, "b":2}'}}
    conversation = [
        Message("user", [{"type": "text", "text": "How much is 2 plus 2?"}]),
        Message("assistant", None, tool_calls=[{"id": f"a{number}", **call} for number in range(calls)]),
        *[Message("tool", "4", tool_call_id=f"a{number}") for number in range(calls)],
    ]
    assert count_messages(conversation, model="gpt-3.5-turbo") == tokens


def test_empty_request_is_the_priming() -> None:
    assert count_messages([]) == 3


def test_counts_of_messages_add_up_to_the_request() -> None:
    counter = MessageCounter()
    assert counter.count_messages(JARGON) == sum(map(counter, JARGON)) + 3


def test_unknown_role_counts_as_its_text() -> None:
    assert MessageCounter()(Message("critic of everything", "")) == 3 + text("critic of everything")


def test_old_function_call_counts_like_a_tool_call() -> None:
    call = {"name": "f", "arguments": "{}"}
    assert of(None, function_call=call) == of(None, tool_calls=[{"id": "1", "type": "function", "function": call}])


def test_call_of_no_known_form_counts_as_its_json() -> None:
    assert of(None, tool_calls=[{"strange": "thing"}]) == text('{"strange": "thing"}')


def test_no_tools_cost_nothing() -> None:
    assert count_tools([]) == 0


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", **NAMED, "parameters": PARAMETERS},
        {**NAMED, "input_schema": PARAMETERS},
        {"functionDeclarations": [{**NAMED, "parameters": PARAMETERS}]},
    ],
    ids=["Responses", "Anthropic", "Gemini"],
)
def test_tool_counts_alike_in_every_form(tool: dict[str, Any]) -> None:
    assert count_tools([tool]) == count_tools([TOOL])


def test_tool_without_parameters_costs_its_line() -> None:
    assert count_tools([{"type": "function", "function": {"name": "stop"}}]) == 12 + 7 + text("stop:")


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"type": "array", "items": inner}])
def test_nested_properties_are_counted(wrap: Any) -> None:
    inner = {"type": "object", "properties": {"zip": {"type": "string", "description": "Postal code"}}}
    outer = {"type": "object", "properties": {"address": wrap(inner)}}
    kind = wrap(inner)["type"]
    assert count_tools([{"name": "f", "parameters": outer}]) == (
        12 + 7 + text("f:") + 3 + 3 + text(f"address:{kind}:") + 3 + 3 + text("zip:string:Postal code")
    )


def test_built_in_tool_counts_as_its_json() -> None:
    tool = {"type": "web_search", "name": "web_search", "max_uses": 3}
    assert count_tools([tool]) == 12 + text('{"type": "web_search", "name": "web_search", "max_uses": 3}')


def test_strange_tool_is_counted() -> None:
    strange: Any = ["text", {"name": "f", "parameters": {"properties": {"x": None, "y": {"enum": [1, None]}}}}]
    assert count_tools(strange) > 20


# --- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        "some words",
        {"type": "text", "text": "some words"},
        {"type": "text", "text": "some words", "cache_control": {"type": "ephemeral"}},
        {"type": "input_text", "text": "some words"},
        {"type": "output_text", "text": "some words", "annotations": []},
        {"type": "thinking", "thinking": "some words", "signature": "x" * 500},
        {"type": "refusal", "refusal": "some words"},
        {"text": "some words"},
        {"type": "tool_result", "tool_use_id": "t", "content": "some words"},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "some words"}]},
        {"type": "function_call_output", "call_id": "c", "output": "some words"},
    ],
    ids=str,
)
def test_block_of_text_counts_as_its_text(block: Any) -> None:
    assert of([block]) == text("some words")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "t", "name": "look up", "input": {"word": "tree"}},
        {"type": "function_call", "call_id": "c", "name": "look up", "arguments": '{"word": "tree"}'},
        {"functionCall": {"name": "look up", "args": {"word": "tree"}}},
    ],
    ids=["Anthropic", "Responses", "Gemini"],
)
def test_call_counts_alike_in_every_form(block: dict[str, Any]) -> None:
    assert of([block], "assistant") == 4 + text("look up") + text('{"word": "tree"}')


def test_gemini_result_counts_name_and_response() -> None:
    block = {"functionResponse": {"name": "look up", "response": {"found": 1}}}
    assert of([block]) == text("look up") + text('{"found": 1}')


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": "A" * 9_000, "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 9_000}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "A" * 9_000}},
    ],
    ids=["audio", "file", "PDF", "Gemini audio"],
)
def test_binary_block_counts_as_documented(block: dict[str, Any]) -> None:
    assert of([block]) == BINARY_TOKENS


def test_document_of_text_counts_its_text() -> None:
    words = "word " * 500
    block = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words}}
    assert text(words) < of([block]) < text(words) + 40


@pytest.mark.parametrize("block", [{"type": "new", "body": "some words"}, {"name": "n", "body": "words"}, 7, None, []])
def test_unknown_block_counts_at_least_what_it_holds(block: Any) -> None:
    assert of([block]) >= (5 if isinstance(block, dict) else 0)


def test_damaged_block_is_counted() -> None:
    damaged = [{"type": "text", "text": 5}, {"type": "image_url"}, {"type": "image", "source": "x"}, {"type": []}]
    assert of(damaged) > 0


# --- other providers -----------------------------------------------------------------------------------------------

# Anthropic, "Token counting": the requests and answers of its examples.
SCIENTIST = [Message("system", "You are a scientist"), Message("user", "Hello, Claude")]
WEATHER_TOOL = {
    "name": "get_weather",
    "description": "Get the current weather in a given location",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}},
        "required": ["location"],
    },
}


@pytest.mark.parametrize(
    ("messages", "tools", "published"),
    [(SCIENTIST, None, 14), ([Message("user", "What's the weather like in San Francisco?")], [WEATHER_TOOL], 403)],
    ids=["messages", "tools"],
)
def test_anthropic_count_covers_the_published_one(messages: Any, tools: Any, published: int) -> None:
    assert published <= count_messages(messages, "anthropic", tools) <= 1.25 * published


def test_gemini_count_covers_the_published_one() -> None:
    fox = [Message("user", "The quick brown fox jumps over the lazy dog.")]
    assert 10 <= count_messages(fox, "gemini") <= 14  # "Understand and count tokens": total_tokens: 10


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
def test_margin_of_other_providers_is_a_fifth(provider: str) -> None:
    words = "many words of plain text " * 40
    assert MessageCounter(provider=provider).count_text(words) == math.ceil(1.2 * text(words))


def test_margin_can_be_set() -> None:
    words = "many words of plain text " * 40
    assert MessageCounter(provider="anthropic", margin=1).count_text(words) == text(words)


@pytest.mark.parametrize("margin", [0, -1, float("nan")])
def test_margin_that_is_not_positive_is_refused(margin: float) -> None:
    with pytest.raises(MemoryConfigurationError, match="margin"):
        MessageCounter(margin=margin)


def test_unknown_provider_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="'cohere'"):
        count_messages([], "cohere")


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="got dict"):
        count_messages([{"role": "user", "content": "x"}])  # type: ignore[list-item]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_estimate_counts_every_format(provider: str) -> None:
    assert count_messages(WEATHER, provider, [TOOL], encoding="estimate") > 40
