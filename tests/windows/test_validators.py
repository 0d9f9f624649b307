"""The validators refuse what the providers refuse, so that a window which passes them is worth something."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory import Message
from langswarm_memory.formats import messages_from_anthropic, messages_from_responses
from tests.windows.test_windows import TURN, calls, result, said
from tests.windows.validators import VALIDATORS, faults

BROKEN = {
    "a call without a result": [said(1), calls(2, "a")],
    "a call whose result is missing in the middle": [said(1), calls(2, "a"), said(3)],
    "one of two results": [said(1), calls(2, "a", "b"), result(3, "a"), said(4)],
    "a result without a call": [said(1), result(2, "a"), said(3)],
}


@pytest.mark.parametrize("provider", list(VALIDATORS))
@pytest.mark.parametrize("history", BROKEN.values(), ids=BROKEN.keys())
def test_broken_history_is_refused(provider: str, history: list[Message]) -> None:
    assert faults(provider, history) != []


@pytest.mark.parametrize("provider", list(VALIDATORS))
def test_sound_history_is_accepted(provider: str) -> None:
    assert faults(provider, TURN) == []


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_late_result_is_refused(provider: str) -> None:
    late = [said(1), calls(2, "a"), said(3), said(4, "assistant"), result(5, "a")]
    assert faults(provider, late) != []


def test_assistant_that_begins_is_refused() -> None:
    turns = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]
    assert faults("anthropic", messages_from_anthropic(turns)) != []


@pytest.mark.parametrize("after", [[], [{"role": "user", "content": "And?"}]])
def test_reasoning_without_a_follower_is_refused(after: list[dict[str, str]]) -> None:
    items: list[Any] = [{"role": "user", "content": "x"}, {"type": "reasoning", "id": "rs_1", "summary": []}, *after]
    assert faults("responses", messages_from_responses(items)) != []
