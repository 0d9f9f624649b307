"""What a window holds: units that stay together, results behind their calls, who begins, what comes over budget."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory import BaseMemoryBackend, InvalidInputError, Message
from langswarm_memory.formats import messages_from_responses
from tests.windows.conftest import stored
from tests.windows.validators import faults


def said(number: int, role: str = "user", tokens: int = 10) -> Message:
    return Message(role, f"text {number}", message_id=f"m{number}", token_count=tokens)


def calls(number: int, *names: str, content: str | None = None) -> Message:
    made = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    return Message("assistant", content, message_id=f"m{number}", tool_calls=made, token_count=10)


def result(number: int, name: str) -> Message:
    return Message("tool", f"result of {name}", message_id=f"m{number}", tool_call_id=name, token_count=10)


def ids(messages: list[Message]) -> str:
    return " ".join(m.message_id[1:] if m.message_id.startswith("m") else "+" for m in messages)


TURN = [said(1), calls(2, "a", "b"), result(3, "a"), result(4, "b"), said(5, "assistant")]


@pytest.mark.parametrize(
    ("budget", "found"), [(9, ""), (10, "5"), (39, "5"), (40, "2 3 4 5"), (49, "2 3 4 5"), (50, "1 2 3 4 5")]
)
async def test_calls_and_results_are_kept_or_cut_together(backend: BaseMemoryBackend, budget: int, found: str) -> None:
    session = await stored(backend, TURN)
    assert ids(await session.get_recent_context(budget)) == found


@pytest.mark.parametrize("budget", range(0, 60, 5))
async def test_a_window_has_no_hole(backend: BaseMemoryBackend, budget: int) -> None:
    session = await stored(backend, [said(1, tokens=1), said(2, tokens=40), said(3, tokens=5)])
    assert ids(await session.get_recent_context(budget)) in ("", "3", "2 3", "1 2 3")


async def test_a_late_result_stands_directly_behind_its_call(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), calls(2, "a"), said(3), said(4, "assistant"), result(5, "a"), said(6)])
    assert ids(await session.get_recent_context(1_000)) == "1 2 5 3 4 6"


async def test_a_late_result_does_not_tie_what_was_said_meanwhile(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), *(said(n) for n in range(2, 30)), result(30, "a")])
    assert ids(await session.get_recent_context(50)) == "26 27 28 29"


async def test_only_the_first_result_of_a_call_counts(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), result(2, "a"), said(3), result(4, "a")])
    assert ids(await session.get_recent_context(1_000)) == "1 2 3"


async def test_an_id_may_be_called_again(backend: BaseMemoryBackend) -> None:
    history = [calls(1, "a"), result(2, "a"), calls(3, "a"), result(4, "a")]
    session = await stored(backend, history)
    assert ids(await session.get_recent_context(1_000)) == "1 2 3 4"
    assert ids(await session.get_recent_context(20)) == "3 4"


async def test_an_id_that_is_called_again_is_another_for_anthropic(backend: BaseMemoryBackend) -> None:
    history = [said(0), *(one for n in (1, 3, 5) for one in (calls(n, "a"), result(n + 1, "a")))]
    session = await stored(backend, history)
    window = await session.get_recent_context(1_000, provider="anthropic")
    assert [m.tool_call_id for m in window if m.tool_call_id] == ["a", "a_2", "a_3"]
    assert faults("anthropic", window) == []


@pytest.mark.parametrize("provider", ["responses", "openai", "anthropic", "gemini"])
async def test_calls_of_one_id_do_not_wait_together(backend: BaseMemoryBackend, provider: Any) -> None:
    session = await stored(backend, [said(0), calls(1, "a"), calls(2, "a"), result(3, "a")])
    window = await session.get_recent_context(1_000, provider=provider)
    assert ids(window) == "0 1 + 2 3"
    assert faults(provider, window) == []


async def test_system_messages_keep_their_places(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), said(2, "system"), said(3), said(4, "developer"), said(5)])
    assert ids(await session.get_recent_context(1_000)) == "1 2 3 4 5"


async def test_a_system_message_does_not_part_a_call_from_its_result(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2, "system"), result(3, "a")])
    assert ids(await session.get_recent_context(1_000)) == "1 3 2"


async def test_what_the_user_says_stands_behind_all_results_of_the_turn(backend: BaseMemoryBackend) -> None:
    """Anthropic takes results first; nothing that was said is lost."""
    uses: list[Any] = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("a", "b")]
    turns = [
        [
            {"type": "tool_result", "tool_use_id": name, "content": "1"},
            {"type": "text", "text": f"And {name}?"},
        ]
        for name in ("a", "b")
    ]
    history = [said(1), Message("assistant", uses), *(Message("user", blocks) for blocks in turns)]
    session = await stored(backend, history)
    window = await session.get_recent_context(1_000, provider="anthropic")
    assert faults("anthropic", window) == []
    assert [message.text for message in window[2:]] == ["", "And a?\nAnd b?"]


# --- calls without results -------------------------------------------------------------------------------------------


async def test_an_interrupted_call_gets_a_result_that_says_so(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), calls(2, "a", "b"), result(3, "a")])
    window = await session.get_recent_context(1_000)
    assert ids(window) == "1 2 3 +"
    assert window[3].tool_call_id == "b"
    assert window[3].text == "This tool call was interrupted before it gave a result."
    assert window[3].metadata["synthetic"] == "interrupted tool call"


async def test_a_result_that_is_put_in_is_the_same_in_every_window(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2)])
    again = await backend.get_session("s")
    assert again is not None
    assert await session.get_recent_context(1_000) == await again.get_recent_context(999)


async def test_a_result_that_is_put_in_counts(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2)])
    (_, added, _) = await session.get_recent_context(1_000)
    needed = 20 + (added.token_count or 0)
    assert ids(await session.get_recent_context(needed)) == "1 + 2"
    assert ids(await session.get_recent_context(needed - 1)) == "2"


async def test_dropped_calls_leave_what_was_said_with_them(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), calls(2, "a", content="I look."), calls(3, "b"), said(4)])
    window = await session.get_recent_context(1_000, unanswered="drop")
    assert ids(window) == "1 2 4"
    assert (window[1].text, window[1].tool_calls, window[1].seq) == ("I look.", None, 2)


async def test_dropping_a_call_leaves_the_answered_ones_beside_it(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a", "b"), result(2, "b"), said(3)])
    window = await session.get_recent_context(1_000, unanswered="drop")
    assert ids(window) == "1 2 3"
    assert [call["id"] for call in window[0].tool_calls or ()] == ["b"]


async def test_calls_are_kept_as_they_are_when_asked_for(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2)])
    assert ids(await session.get_recent_context(1_000, unanswered="keep")) == "1 2"


async def test_a_window_leaves_the_store_alone(backend: BaseMemoryBackend) -> None:
    history = [calls(1, "a", content="I look."), said(2)]
    session = await stored(backend, history)
    choices: list[Any] = ["result", "drop", "keep"]
    for unanswered in choices:
        await session.get_recent_context(1_000, unanswered=unanswered)
    assert await session.get_messages() == history


async def test_a_result_of_blocks_that_answers_nothing_is_left_out(backend: BaseMemoryBackend) -> None:
    orphan = Message("tool", [{"type": "text", "text": "1"}], message_id="m2", tool_call_id="nobody")
    session = await stored(backend, [said(1), orphan])
    assert ids(await session.get_recent_context(1_000)) == "1"


# --- who begins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
async def test_the_user_begins_where_that_gives_up_little(backend: BaseMemoryBackend, provider: Any) -> None:
    roles = ["user", "assistant"] * 4
    session = await stored(backend, [said(number, role) for number, role in enumerate(roles)])
    assert ids(await session.get_recent_context(50, provider=provider)) == "4 5 6 7"
    assert ids(await session.get_recent_context(50)) == "3 4 5 6 7"


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
async def test_a_long_run_of_tools_begins_with_a_turn_that_is_put_in(backend: BaseMemoryBackend, provider: Any) -> None:
    run = [one for n in range(1, 41, 2) for one in (calls(n, f"c{n}"), result(n + 1, f"c{n}"))]
    session = await stored(backend, [said(0), *run, said(41)])
    window = await session.get_recent_context(130, provider=provider)
    assert ids(window).startswith("+ 31 32 33")
    assert window[0].text == "(Earlier messages are left out.)"
    assert sum(message.token_count or 0 for message in window) <= 130


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
async def test_a_greeting_that_fits_is_kept(backend: BaseMemoryBackend, provider: Any) -> None:
    session = await stored(backend, [said(1, "assistant"), said(2), said(3, "assistant")])
    window = await session.get_recent_context(1_000, provider=provider)
    assert ids(window) == "+ 1 2 3"
    assert window[0].text == "(The assistant begins.)"


# --- over budget -----------------------------------------------------------------------------------------------------


async def test_system_messages_come_whatever_the_budget(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1, "system"), said(2)])
    assert ids(await session.get_recent_context(5)) == "1"


@pytest.mark.parametrize(("oversize", "found"), [("drop", "1"), ("keep", "1 3 4")])
async def test_the_newest_unit_over_budget_comes_if_asked_for(
    backend: BaseMemoryBackend, oversize: Any, found: str
) -> None:
    session = await stored(backend, [said(1, "system"), said(2), calls(3, "a"), result(4, "a")])
    assert ids(await session.get_recent_context(25, oversize=oversize)) == found


# --- the Responses API -----------------------------------------------------------------------------------------------

REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "1"}
QUESTION = {"role": "user", "content": "And?"}


@pytest.mark.parametrize("budget", range(0, 200, 7))
async def test_reasoning_and_its_call_are_kept_or_cut_together(backend: BaseMemoryBackend, budget: int) -> None:
    session = await stored(backend, messages_from_responses([QUESTION, REASONING, CALL, OUTPUT, QUESTION]))
    window = await session.get_recent_context(budget, provider="responses")
    assert len(window) in (0, 1, 4, 5)
    assert faults("responses", window) == []


async def test_reasoning_without_what_it_led_to_is_left_out(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, messages_from_responses([QUESTION, REASONING, QUESTION, REASONING]))
    assert len(await session.get_recent_context(1_000, provider="responses")) == 2


async def test_parallel_calls_of_the_responses_api_stay_in_order(backend: BaseMemoryBackend) -> None:
    second, other = {**CALL, "call_id": "b", "id": "fc_2"}, {**OUTPUT, "call_id": "b"}
    session = await stored(backend, messages_from_responses([QUESTION, REASONING, CALL, second, OUTPUT, other]))
    providers: list[Any] = ["responses", "openai", "anthropic", "gemini"]
    for provider in providers:
        window = await session.get_recent_context(1_000, provider=provider)
        assert [message.seq for message in window] == [1, 2, 3, 4, 5, 6]
        assert faults(provider, window) == []


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{"provider": "nobody"}, {"unanswered": "x"}, {"oversize": None}])
async def test_a_choice_that_there_is_not_is_told(backend: BaseMemoryBackend, choice: Any) -> None:
    session = await stored(backend, [said(1)])
    with pytest.raises(InvalidInputError, match=next(iter(choice))):
        await session.get_recent_context(10, **choice)
