"""Contexts of sessions that are summarised by periods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from langswarm_memory import MemoryManager, Message
from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.summaries import Digest

PERIODS = 7


@pytest.fixture
async def session() -> AsyncIterator[Any]:
    """Seven periods of ten messages of ten tokens, each summarised in five."""

    def brief(previous: object, messages: list[Message]) -> Digest:
        return Digest(f"period{messages[0].text.split()[1]} " + "word " * 4, ["topic"])

    backend = InMemoryBackend(token_counter=lambda message: len(message.text.split()), summarizer=brief)
    async with backend:
        manager = MemoryManager(backend, auto_cleanup=False)
        session: Any = await manager.create_session(
            "s", max_messages=None, summary_threshold=10, summary_strategy="periodic"
        )
        texts = [f"turn {number} " + "word " * 8 for number in range(10 * PERIODS)]
        for place, text in enumerate(texts):
            await session.add_message(Message(("user", "assistant")[place % 2], text))
            if place % 10 == 9:
                await session.get_summary()
        yield session


def told(messages: list[Message]) -> int:
    """How many periods the summary in a context tells of."""
    return sum(message.text.count("period") for message in messages if "summary_id" in message.metadata)


async def test_context_tells_of_the_periods_that_fit_a_quarter(session: Any) -> None:
    assert told(await session.get_conversation_context(200)) == 5  # the sixth is in the context itself
    assert told(await session.get_conversation_context(80)) == 3


async def test_newest_period_comes_first(session: Any) -> None:
    (note,) = [m for m in await session.get_conversation_context(80) if "summary_id" in m.metadata]
    assert [word for word in note.text.split() if word.startswith("period")] == ["period40", "period50", "period60"]


async def test_one_period_comes_where_it_takes_more_than_a_quarter(session: Any) -> None:
    assert told(await session.get_conversation_context(25)) == 1


async def test_context_stays_in_the_budget(session: Any) -> None:
    for budget in range(1, 400, 9):
        context = await session.get_conversation_context(budget)
        assert sum(message.token_count or 0 for message in context) <= budget


async def test_explain_names_what_the_periods_cover(session: Any) -> None:
    explained = await session.explain(80)
    summarised = [one.seq for one in explained if one.decision == "summarised"]
    assert summarised[0] == 41
