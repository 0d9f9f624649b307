"""Windows of broken histories: valid for every provider at every budget, whatever was lost, late or stored twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langswarm_memory import InMemoryBackend, Message
from langswarm_memory.formats import links
from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.windows.additions import Additions
from langswarm_memory.windows.regular import regular_units
from langswarm_memory.windows.units import Arrangement
from tests.windows.conftest import stored
from tests.windows.histories import histories
from tests.windows.validators import CONVERTERS, VALIDATORS, faults

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def size(messages: list[Message]) -> int:
    return sum(message.token_count or 0 for message in messages)


@pytest.mark.parametrize("provider", list(VALIDATORS))
@QUICK
@given(history=histories(), budget=st.integers(0, 400), unanswered=st.sampled_from(["result", "drop"]))
async def test_every_window_is_valid_and_within_its_budget(
    provider: Any, history: tuple[str, list[Message]], budget: int, unanswered: Any
) -> None:
    async with InMemoryBackend() as backend:
        session = await stored(backend, history[1])
        for tokens in (budget, 10**6):
            window = await session.get_recent_context(tokens, provider=provider, unanswered=unanswered)
            assert faults(provider, window) == []
            rules = size([message for message in window if message.role in SYSTEM_ROLES])
            assert size(window) <= max(tokens, rules)


@pytest.mark.parametrize("provider", list(VALIDATORS))
@QUICK
@given(history=histories(), budget=st.integers(0, 100))
async def test_window_of_an_oversized_newest_unit_is_valid(
    provider: Any, history: tuple[str, list[Message]], budget: int
) -> None:
    async with InMemoryBackend() as backend:
        session = await stored(backend, history[1])
        assert faults(provider, await session.get_recent_context(budget, provider=provider, oversize="keep")) == []


@pytest.mark.parametrize("provider", list(VALIDATORS))
@settings(QUICK, max_examples=200)
@given(history=histories(), begin=st.integers(0, 5))
def test_the_short_way_finds_the_units_that_the_long_way_finds(
    provider: str, history: tuple[str, list[Message]], begin: int
) -> None:
    messages = [message for message in history[1][begin:] if message.role not in SYSTEM_ROLES]
    found, positions = [links(message) for message in messages], range(len(messages))
    short = regular_units(messages, positions, found)
    additions = Additions("s", lambda message: 1)
    long = Arrangement(messages, positions, found, provider=provider, unanswered="keep", additions=additions)
    if short is not None:
        assert short == (long.units, long.dropped)


@QUICK
@given(history=histories(), budget=st.integers(0, 400))
async def test_an_item_stands_behind_its_reasoning_or_not_at_all(
    history: tuple[str, list[Message]], budget: int
) -> None:
    """The API refuses an item with an id whose reasoning is gone."""
    items = CONVERTERS["responses"](history[1])
    before = {two["id"]: one.get("id") for one, two in pairwise(items) if "id" in two}
    async with InMemoryBackend() as backend:
        session = await stored(backend, history[1])
        window = CONVERTERS["responses"](await session.get_recent_context(budget, provider="responses"))
    for one, two in pairwise([{}, *window]):
        reasoning = before.get(two.get("id", ""))
        if reasoning is not None and reasoning.startswith("rs_"):
            assert one.get("id") == reasoning
