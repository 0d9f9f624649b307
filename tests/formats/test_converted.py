"""What becomes of a conversation at another provider: the API takes it, and it says the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langswarm_memory.formats import (
    LossReport,
    from_anthropic,
    from_responses,
    links,
    loss_report,
    messages_from_anthropic,
    messages_from_gemini,
    messages_from_openai,
    messages_from_responses,
    messages_to_anthropic_format,
    messages_to_gemini_format,
    messages_to_openai_format,
    messages_to_responses_format,
    to_anthropic,
    to_openai,
    to_responses,
)
from langswarm_memory.interfaces.message import Message

from .conversations import ANTHROPIC, GEMINI, OPENAI, PNG, RESPONSES, airline, exact
from .providers import PROVIDERS, through
from .rules import broken_rules

# Every provider can carry what these conversations are made of, so they go through all of them without loss.
TEXT = st.text(min_size=1, max_size=6)
ARGUMENTS = st.sampled_from(["{}", '{"a":1.0,"b":[null,"ü"]}', '{"city":"Paris"}'])
NAMES = st.sampled_from(["f", "g"])
ROUND = st.tuples(TEXT | st.none(), st.lists(st.tuples(NAMES, ARGUMENTS, TEXT), min_size=1, max_size=3))
TURN = st.tuples(TEXT, st.lists(ROUND, max_size=2), TEXT)


@st.composite
def chats(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return a conversation in Chat Completions form, of whole turns."""
    found: list[dict[str, Any]] = []
    if draw(st.booleans()):
        found.append({"role": "system", "content": draw(TEXT)})
    number = 0
    for said, rounds, answer in draw(st.lists(TURN, max_size=3)):
        found.append({"role": "user", "content": said})
        for word, calls in rounds:
            ids = [f"call_{number + place}" for place in range(len(calls))]
            number += len(calls)
            tool_calls = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for call_id, (name, arguments, _) in zip(ids, calls, strict=True)
            ]
            found.append({"role": "assistant", "content": word, "tool_calls": tool_calls})
            found += [
                {"role": "tool", "content": result, "tool_call_id": call_id}
                for call_id, (_, _, result) in zip(ids, calls, strict=True)
            ]
        found.append({"role": "assistant", "content": answer})
    return found


@settings(max_examples=100, deadline=None)
@given(chat=chats(), target=st.sampled_from(list(PROVIDERS)))
def test_chat_that_every_provider_can_carry_comes_back_and_nothing_is_reported(
    chat: list[dict[str, Any]], target: str
) -> None:
    messages = messages_from_openai(chat)
    assert loss_report(messages, target) == LossReport(target)
    assert exact(messages_to_openai_format(through(messages, target))) == exact(chat)


@settings(max_examples=100, deadline=None)
@given(chat=chats(), first=st.sampled_from(list(PROVIDERS)), target=st.sampled_from(list(PROVIDERS)))
def test_conversation_of_any_provider_is_one_that_any_other_takes(
    chat: list[dict[str, Any]], first: str, target: str
) -> None:
    messages = through(messages_from_openai(chat), first)
    assert broken_rules(target, PROVIDERS[target].write(messages)) == []


@settings(max_examples=100, deadline=None)
@given(chat=chats(), target=st.sampled_from(list(PROVIDERS)))
def test_ties_survive_every_conversion(chat: list[dict[str, Any]], target: str) -> None:
    given_, there = messages_from_openai(chat), through(messages_from_openai(chat), target)
    assert [name for message in there for name in links(message).calls] == [
        name for message in given_ for name in links(message).calls
    ]
    assert [name for message in there for name in links(message).answers] == [
        name for message in given_ for name in links(message).answers
    ]


@pytest.mark.parametrize("target", PROVIDERS)
def test_real_conversations_are_ones_that_the_provider_takes(target: str) -> None:
    for chat in airline():
        assert broken_rules(target, PROVIDERS[target].write(messages_from_openai(chat))) == []


@pytest.mark.parametrize("target", PROVIDERS)
def test_real_conversations_lose_nothing_that_a_model_reads(target: str) -> None:
    for chat in airline():
        assert not loss_report(messages_from_openai(chat), target).at_least("detail")


def test_parallel_results_are_one_turn_at_anthropic() -> None:
    form = messages_to_anthropic_format(messages_from_openai(OPENAI["parallel calls"]))
    assert [turn["role"] for turn in form] == ["user", "assistant", "user", "assistant", "user"]
    assert form[1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Rome"}},
    ]
    assert form[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "14 °C"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": "21 °C"},
    ]


def test_results_of_one_anthropic_turn_are_tool_messages() -> None:
    form = messages_to_openai_format(messages_from_anthropic(ANTHROPIC["thinking and parallel tools"]))
    assert [message["role"] for message in form] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert [call["id"] for call in form[1]["tool_calls"]] == ["toolu_1", "toolu_2"]
    assert form[1]["tool_calls"][1]["function"] == {"name": "weather", "arguments": '{"city":"Rome","n":1.0}'}
    assert form[2] == {"role": "tool", "content": "14", "tool_call_id": "toolu_1"}


def test_calls_of_one_responses_turn_are_one_message_at_chat_completions() -> None:
    form = messages_to_openai_format(messages_from_responses(RESPONSES["reasoning and calls"]))
    assert [message["role"] for message in form] == ["developer", "user", "assistant", "tool", "tool", "assistant"]
    assert [call["id"] for call in form[2]["tool_calls"]] == ["call_1", "call_2"]


def test_calls_without_ids_get_ids_that_their_results_share() -> None:
    form = messages_to_openai_format(messages_from_gemini(GEMINI["calls with signatures"]))
    calls = [call["id"] for call in form[1]["tool_calls"]]
    assert len(set(calls)) == 2
    assert [message["tool_call_id"] for message in form if message["role"] == "tool"] == calls


def test_older_functions_become_tools() -> None:
    form = messages_to_anthropic_format(messages_from_openai(OPENAI["the older function call"]))
    assert form[2]["content"][0]["tool_use_id"] == form[1]["content"][0]["id"]


def test_function_of_a_result_is_named_at_gemini() -> None:
    form = messages_to_gemini_format(messages_from_openai(OPENAI["parallel calls"]))
    assert form[2]["parts"][1]["functionResponse"] == {
        "id": "call_2",
        "name": "weather",
        "response": {"output": "21 °C"},
    }


def test_failed_result_is_an_error_at_gemini() -> None:
    form = messages_to_gemini_format(messages_from_anthropic(ANTHROPIC["thinking and parallel tools"]))
    assert form[2]["parts"][1]["functionResponse"]["response"] == {"error": "timeout"}


def test_custom_tool_is_one_at_responses_too() -> None:
    form = messages_to_responses_format(messages_from_openai(OPENAI["a custom tool"]))
    assert [item.get("type") for item in form] == [None, "custom_tool_call", "custom_tool_call_output"]


def test_image_of_a_tool_result_follows_in_a_user_message() -> None:
    form = messages_to_openai_format(messages_from_anthropic(ANTHROPIC["results of blocks"]))
    assert [message["role"] for message in form] == ["user", "assistant", "tool", "tool", "tool", "user"]
    assert form[-1]["content"] == [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]


def test_images_and_files_are_documents_and_images_at_anthropic() -> None:
    (turn,) = messages_to_anthropic_format(messages_from_openai(OPENAI["images, sound and files"]))
    assert [block["type"] for block in turn["content"]] == ["text", "image", "image", "document"]
    assert turn["content"][2]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}


def test_text_of_assistant_is_output_text_at_responses() -> None:
    (item,) = to_responses(Message("assistant", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))
    assert [block["type"] for block in item["content"]] == ["output_text", "output_text"]


def test_text_and_calls_of_one_message_are_items() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert to_responses(Message("assistant", "I look.", tool_calls=calls)) == [
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    ]


def test_system_blocks_and_text_are_put_together() -> None:
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    form = messages_to_anthropic_format([Message("system", [block]), Message("developer", "b"), Message("user", "c")])
    assert form.system == [block, {"type": "text", "text": "b"}]
    assert form == [{"role": "user", "content": "c"}]


def test_id_that_anthropic_refuses_is_spelled_otherwise_on_both_sides() -> None:
    call = {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = Message("tool", "1", tool_call_id="call:1")
    form = messages_to_anthropic_format([Message("user", "x"), Message("assistant", None, tool_calls=[call]), result])
    assert form[1]["content"][0]["id"] == form[2]["content"][0]["tool_use_id"]
    assert ":" not in form[2]["content"][0]["tool_use_id"]


def test_separate_messages_of_a_provider_are_set_right() -> None:
    results = [{"type": "tool_result", "tool_use_id": name, "content": "1"} for name in "ab"]
    messages = [from_anthropic({"role": "user", "content": [block]}) for block in results]
    assert messages_to_anthropic_format(messages) == [{"role": "user", "content": results}]


def test_assistant_that_begins_gets_a_turn_before_it() -> None:
    form = messages_to_anthropic_format([Message("assistant", "Welcome.")])
    assert [turn["role"] for turn in form] == ["user", "assistant"]


def test_one_message_for_several_of_the_other_form_is_given_as_stored() -> None:
    content = [{"type": "tool_result", "tool_use_id": name, "content": "1"} for name in "ab"]
    assert to_openai(Message("user", content)) == {"role": "user", "content": content}


def test_single_result_is_converted_alone() -> None:
    message = from_responses({"type": "function_call_output", "call_id": "a", "output": "1"})
    assert to_anthropic(message) == {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}],
    }


def test_results_stand_before_what_is_said_at_anthropic() -> None:
    parts = [{"text": "go on"}, {"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}}]
    (turn,) = messages_to_anthropic_format([Message("user", parts)])
    assert [block["type"] for block in turn["content"]] == ["tool_result", "text"]


def test_error_of_gemini_is_one_at_anthropic() -> None:
    form = messages_to_anthropic_format(messages_from_gemini(GEMINI["the role function"]))
    assert form[2]["content"][0]["is_error"] is True


@pytest.mark.parametrize("target", ["openai", "openai_responses", "gemini"])
def test_cache_control_reaches_no_other_provider(target: str) -> None:
    form = PROVIDERS[target].write(messages_from_anthropic(ANTHROPIC["blocks of text"]))
    assert "cache_control" not in exact(form)


@pytest.mark.parametrize("target", PROVIDERS)
def test_refusal_is_said_everywhere(target: str) -> None:
    assert "I cannot." in exact(PROVIDERS[target].write(messages_from_openai(OPENAI["a refusal"])))


def test_calls_join_the_text_before_them_when_they_come_back_from_responses() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [Message("assistant", "I look."), Message("assistant", None, tool_calls=[call])]
    assert [(loss.index, loss.what) for loss in loss_report(messages, "openai_responses")] == [(1, "borders")]
    (joined,) = messages_to_openai_format(through(messages, "openai_responses"))
    assert joined["content"] == "I look."
    assert joined["tool_calls"] == [call]
