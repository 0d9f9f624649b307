"""What a provider gave goes back to it as the same JSON."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.errors import InvalidInputError
from langswarm_memory.formats import (
    from_anthropic,
    from_gemini,
    from_openai,
    from_responses,
    messages_from_anthropic,
    messages_from_gemini,
    messages_to_anthropic_format,
    messages_to_gemini_format,
    to_anthropic,
    to_gemini,
    to_openai,
    to_responses,
)
from langswarm_memory.interfaces.message import Message
from langswarm_memory.repository import codec

from .conversations import CASES, airline, exact
from .providers import PROVIDERS


def stored(messages: list[Message]) -> list[Message]:
    """Return the messages as a store gives them back."""
    return [Message.from_dict(message.to_dict()) for message in messages]


@pytest.mark.parametrize(("provider", "conversation"), CASES)
def test_conversation_comes_back_exactly(provider: str, conversation: list[dict[str, Any]]) -> None:
    read, write = PROVIDERS[provider]
    assert exact(write(stored(read(conversation)))) == exact(conversation)


@pytest.mark.parametrize(("provider", "conversation"), CASES)
def test_messages_can_be_stored(provider: str, conversation: list[dict[str, Any]]) -> None:
    for message in PROVIDERS[provider].read(conversation):
        message.token_count = 1
        codec.encode_message(message)


@pytest.mark.parametrize(("provider", "conversation"), CASES)
def test_each_message_comes_back_exactly(provider: str, conversation: list[dict[str, Any]]) -> None:
    there, back = {
        "openai": (from_openai, lambda message: [to_openai(message)]),
        "openai_responses": (from_responses, to_responses),
        "anthropic": (from_anthropic, lambda message: [to_anthropic(message)]),
        "gemini": (from_gemini, lambda message: [to_gemini(message)]),
    }[provider]
    for data in conversation:
        assert exact(back(there(data))) == exact([data])  # type: ignore[operator]


def test_real_conversations_come_back_exactly() -> None:
    read, write = PROVIDERS["openai"]
    for conversation in airline():
        assert exact(write(read(conversation))) == exact(conversation)


SYSTEMS: dict[str, Any] = {
    "none": None,
    "text": "Be kind.",
    "no text": "",
    "blocks": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
    "one block": [{"type": "text", "text": "a"}],
    "no blocks": [],
}


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_anthropic_system_comes_back_exactly(system: Any) -> None:
    form = messages_to_anthropic_format(stored(messages_from_anthropic([{"role": "user", "content": "x"}], system)))
    assert exact(form.system) == exact(system)
    assert form == [{"role": "user", "content": "x"}]


INSTRUCTIONS: dict[str, Any] = {
    "none": None,
    "text": "Be kind.",
    "a part": {"parts": [{"text": "Be kind."}]},
    "a role": {"role": "system", "parts": [{"text": "Be kind."}]},
    "parts": {"parts": [{"text": "a"}, {"text": "b"}]},
    "no parts": {"parts": []},
}


@pytest.mark.parametrize("instruction", INSTRUCTIONS.values(), ids=INSTRUCTIONS)
def test_gemini_system_instruction_comes_back_exactly(instruction: Any) -> None:
    contents = [{"role": "user", "parts": [{"text": "x"}]}]
    form = messages_to_gemini_format(stored(messages_from_gemini(contents, instruction)))
    assert exact(form.system_instruction) == exact(instruction)
    assert form == contents


USUAL: dict[str, Message] = {
    "anthropic text": from_anthropic({"role": "user", "content": "x"}),
    "anthropic blocks": from_anthropic(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
    ),
    "responses message": from_responses({"role": "user", "content": "x"}),
    "gemini text": from_gemini({"role": "model", "parts": [{"text": "x"}]}),
    "gemini call": from_gemini({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}),
}


@pytest.mark.parametrize("message", USUAL.values(), ids=USUAL)
def test_usual_form_carries_no_note(message: Message) -> None:
    assert message.metadata == {}


def test_note_stands_beside_the_metadata_of_the_caller() -> None:
    message = from_anthropic({"content": "x", "role": "user"}, metadata={"channel": "web"})
    assert message.metadata == {"channel": "web", "anthropic": {"keys": ["content", "role"]}}


def test_edited_message_gives_its_present_content() -> None:
    message = from_anthropic({"id": "msg_1", "role": "assistant", "content": "old"})
    message.content = "new"
    assert to_anthropic(message) == {"id": "msg_1", "role": "assistant", "content": "new"}


def test_edited_call_gives_its_present_arguments() -> None:
    item = {"id": "fc_1", "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    message = from_responses(item)
    assert message.tool_calls is not None
    message.tool_calls[0]["function"]["arguments"] = '{"a":1}'
    assert to_responses(message) == [{**item, "arguments": '{"a":1}'}]


@pytest.mark.parametrize("read", [from_openai, from_anthropic, from_gemini, from_responses])
@pytest.mark.parametrize("data", [None, 5, "user", ["role"]])
def test_what_is_no_object_is_refused(read: Any, data: Any) -> None:
    with pytest.raises(InvalidInputError):
        read(data)
