"""What cannot survive a conversion is told beforehand, and what is not told survives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langswarm_memory.errors import InvalidInputError
from langswarm_memory.formats import loss_report
from langswarm_memory.interfaces.message import Message

from .conversations import CASES, EXAMPLES, airline, exact
from .providers import PROVIDERS, through


@pytest.mark.parametrize("target", PROVIDERS)
@pytest.mark.parametrize(("provider", "conversation"), CASES)
def test_what_differs_after_there_and_back_was_reported(
    provider: str, conversation: list[dict[str, Any]], target: str
) -> None:
    messages = PROVIDERS[provider].read(conversation)
    report = loss_report(messages, target)
    back = PROVIDERS[provider].write(through(messages, target))
    assert report or exact(back) == exact(conversation)


@pytest.mark.parametrize("target", PROVIDERS)
def test_nothing_is_reported_of_a_providers_own_conversation(target: str) -> None:
    reports = {name: loss_report(PROVIDERS[target].read(given), target) for name, given in EXAMPLES[target].items()}
    assert {name: report for name, report in reports.items() if report} == {}


def blocks(provider: str) -> list[Any]:
    """Return every content of every message of the examples."""
    return [message for conversation in EXAMPLES[provider].values() for message in conversation]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    provider = draw(st.sampled_from(list(EXAMPLES)))
    return provider, draw(st.lists(st.sampled_from(blocks(provider)), max_size=6))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_=conversations(), target=st.sampled_from(list(PROVIDERS)))
def test_whatever_differs_after_there_and_back_was_reported(
    given_: tuple[str, list[dict[str, Any]]], target: str
) -> None:
    provider, conversation = given_
    messages = PROVIDERS[provider].read(conversation)
    report = loss_report(messages, target)
    back = PROVIDERS[provider].write(through(messages, target))
    assert report or exact(back) == exact(conversation)


def test_report_names_message_and_reason() -> None:
    message = Message("user", [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])
    (loss,) = loss_report([Message("user", "x"), Message("assistant", "y"), message], "anthropic")
    assert (loss.index, loss.message_id, loss.what, loss.severity) == (2, message.message_id, "audio", "content")
    assert "UklGRg" not in loss.why


def test_thinking_is_content_that_others_cannot_read() -> None:
    messages = PROVIDERS["anthropic"].read(EXAMPLES["anthropic"]["thinking and parallel tools"])
    assert [loss.what for loss in loss_report(messages, "openai").at_least("content")] == [
        "thinking",
        "redacted_thinking",
    ]


def test_empty_report_is_false() -> None:
    report = loss_report([Message("user", "x")], "anthropic")
    assert not report
    assert report.worst is None


def test_worst_severity_is_told() -> None:
    report = loss_report([Message("user", "x", name="Ann"), Message("user", "y")], "anthropic")
    assert {loss.severity for loss in report} == {"form", "detail"}
    assert report.worst == "detail"


def test_unknown_provider_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        loss_report([], "nobody")


def test_reports_of_real_conversations_agree_with_what_comes_back() -> None:
    for chat in airline():
        messages = PROVIDERS["openai"].read(chat)
        for target in PROVIDERS:
            same = exact(PROVIDERS["openai"].write(through(messages, target))) == exact(chat)
            assert same or loss_report(messages, target)
