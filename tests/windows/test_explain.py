"""What is told of a window is what the window holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langswarm_memory import BaseMemoryBackend, BaseMemorySession, InMemoryBackend, Message, SessionMetadata
from langswarm_memory.summaries import Digest
from tests.windows.conftest import stored
from tests.windows.histories import histories
from tests.windows.test_windows import calls, ids, result, said
from tests.windows.validators import VALIDATORS, faults

KEPT = ("kept", "moved", "added")


def told(explained: list[Any]) -> list[tuple[int | None, str]]:
    return [(one.seq, one.decision) for one in explained]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    history=histories(),
    budget=st.one_of(st.none(), st.integers(0, 400)),
    provider=st.sampled_from(list(VALIDATORS)),
    unanswered=st.sampled_from(["result", "drop", "keep"]),
    oversize=st.sampled_from(["drop", "keep"]),
)
async def test_what_is_kept_is_the_window(
    history: tuple[str, list[Message]], budget: int | None, provider: Any, unanswered: Any, oversize: Any
) -> None:
    choices = {"provider": provider, "unanswered": unanswered, "oversize": oversize}
    async with InMemoryBackend() as backend:
        session = await stored(backend, history[1])
        window = await session.get_recent_context(budget, **choices)
        explained = await session.explain(budget, include_summaries=False, **choices)
    kept = [one for one in explained if one.decision in KEPT]
    assert sorted(one.message.message_id for one in kept) == sorted(message.message_id for message in window)
    assert sum(one.tokens for one in kept) == sum(message.token_count or 0 for message in window)
    assert [one.seq for one in explained if one.seq is not None] == list(range(1, len(history[1]) + 1))


async def test_moved_results_and_dropped_ones_are_told(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [calls(1, "a"), said(2), result(3, "a"), result(4, "a"), result(5, "nobody")])
    assert told(await session.explain(1_000)) == [
        (1, "kept"),
        (2, "kept"),
        (3, "moved"),
        (4, "dropped"),
        (5, "dropped"),
    ]


async def test_what_is_put_in_stands_where_it_belongs(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1, "system"), said(2), calls(3, "a"), said(4)])
    assert told(await session.explain(45, provider="anthropic")) == [
        (1, "kept"),
        (2, "cut"),
        (3, "cut"),
        (4, "kept"),
    ]
    assert told(await session.explain(70)) == [(1, "kept"), (2, "kept"), (3, "kept"), (None, "added"), (4, "kept")]


async def test_each_decision_has_its_reason(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1, "system"), said(2), said(3), result(4, "nobody"), said(5)])
    reasons = {one.seq: one.why for one in await session.explain(20)}
    assert reasons[1] == "system messages always come"
    assert reasons[2] == "newer messages take the room"
    assert reasons[5] == "among the newest that fit"


async def test_a_history_without_room_says_so(backend: BaseMemoryBackend) -> None:
    session = await stored(backend, [said(1), said(2, tokens=50)])
    explained = await session.explain(20)
    assert {one.decision for one in explained} == {"cut"}
    assert "exceeds the room" in explained[-1].why


# --- summaries -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def summarised(backend: BaseMemoryBackend) -> BaseMemorySession:
    """Rules, 30 messages of ten tokens and a summary of the first 20 of them."""
    backend.summarizer = lambda previous, messages: Digest("They spoke of trains.", [])
    session = await backend.create_session(SessionMetadata("s", max_messages=None, auto_summarize=False))
    await session.add_message(said(0, "system"))
    await session.add_messages(said(number, "user" if number % 2 else "assistant") for number in range(1, 21))
    await session.create_summary(True)
    await session.add_messages(said(number, "user" if number % 2 else "assistant") for number in range(21, 31))
    return session


async def test_covered_messages_are_summarised_and_the_rest_cut(summarised: BaseMemorySession) -> None:
    explained = await summarised.explain(80)
    decisions = {one.seq: one.decision for one in explained if one.seq is not None}
    assert decisions[1] == "kept"
    assert [seq for seq, decision in decisions.items() if decision == "summarised"] == list(range(2, 22))
    assert decisions[22] == "cut"
    assert decisions[31] == "kept"


async def test_the_summary_stands_before_the_conversation(summarised: BaseMemorySession) -> None:
    explained = await summarised.explain(80)
    (at,) = [index for index, one in enumerate(explained) if one.decision == "added"]
    assert explained[at].message.role == "system"
    assert explained[at + 1].decision == "kept"
    assert explained[at - 1].decision == "cut"


@pytest.mark.parametrize("provider", list(VALIDATORS))
@pytest.mark.parametrize("budget", range(0, 340, 20))
async def test_the_context_with_a_summary_is_what_is_told(
    summarised: BaseMemorySession, provider: Any, budget: int
) -> None:
    context = await summarised.get_conversation_context(budget, provider=provider)
    explained = await summarised.explain(budget, provider=provider)
    kept = [one.message.message_id for one in explained if one.decision in KEPT]
    assert kept == [message.message_id for message in context]
    assert faults(provider, context) == []
    assert sum(message.token_count or 0 for message in context) <= max(budget, 10)


async def test_messages_that_fit_win_over_their_summary(summarised: BaseMemorySession) -> None:
    assert ids(await summarised.get_conversation_context(310)) == " ".join(map(str, range(31)))


async def test_an_oversized_unit_leaves_no_room_for_a_summary(summarised: BaseMemorySession) -> None:
    await summarised.add_message(said(31, tokens=500))
    assert ids(await summarised.get_conversation_context(100, oversize="keep")) == "0 31"
