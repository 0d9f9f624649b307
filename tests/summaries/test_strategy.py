"""Strategies: what each summary covers, and when one is made by itself."""

from __future__ import annotations

import pytest

from langswarm_memory import BaseMemoryBackend, InvalidInputError, Message
from langswarm_memory.interfaces import SessionMetadata

from .conftest import Noting, ranges, session_of, turns


async def test_rolling_summary_ends_at_a_whole_threshold(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 27, summary_threshold=10)
    assert await ranges(session) == [(1, 20)]


async def test_rolling_summary_is_made_of_the_last_and_what_came_since(
    store: BaseMemoryBackend, noting: Noting
) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    await session.get_summary()
    await session.add_messages(turns(10, first=10))
    assert await ranges(session) == [(1, 10), (1, 20)]
    assert noting.calls == [(None, list(range(1, 11))), ("digest 1", list(range(11, 21)))]


async def test_range_begins_and_ends_at_messages_that_are_summarised(store: BaseMemoryBackend) -> None:
    session = await store.create_session(SessionMetadata("s", summary_threshold=6))
    await session.add_message(Message("system", "Be brief."))
    await session.add_messages(turns(6))
    await session.add_message(Message("system", "Be kind."))
    assert await ranges(session) == [(2, 7)]


async def test_periodic_summaries_cover_one_threshold_each(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 35, summary_threshold=10, properties={"summary_strategy": "periodic"})
    assert await ranges(session) == [(1, 10), (11, 20), (21, 30)]


async def test_periodic_summary_is_told_nothing_of_the_last(store: BaseMemoryBackend, noting: Noting) -> None:
    session = await session_of(store, 20, summary_threshold=10, properties={"summary_strategy": "periodic"})
    await session.get_summaries()
    assert [previous for previous, _ in noting.calls] == [None, None]


async def test_periodic_summary_counts_its_own_messages(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 20, summary_threshold=10, properties={"summary_strategy": "periodic"})
    assert [summary.message_count for summary in await session.get_summaries()] == [10, 10]


async def test_manual_session_is_not_summarised_by_itself(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 30, summary_threshold=10, properties={"summary_strategy": "manual"})
    assert await ranges(session) == []


async def test_manual_session_is_summarised_when_asked(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 13, summary_threshold=10, properties={"summary_strategy": "manual"})
    await session.create_summary()
    assert await ranges(session) == [(1, 13)]


async def test_session_that_turns_rolling_is_summarised_from_its_beginning(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 20, summary_threshold=10, properties={"summary_strategy": "periodic"})
    await session.get_summaries()
    await session.update_metadata(summary_strategy="rolling")
    await session.add_messages(turns(10, first=20))
    assert (await ranges(session))[-1] == (1, 30)


async def test_long_arrears_are_summarised_in_steps(
    store: BaseMemoryBackend, noting: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langswarm_memory.summaries.making.MAX_STRETCH", 20)
    session = await session_of(store, 50, summary_threshold=10)
    await session.get_summary()
    assert [len(seqs) for _, seqs in noting.calls] == [20, 20, 10]


@pytest.mark.parametrize("strategy", ["sometimes", "Rolling", None, 1, ["rolling"], {}])
async def test_unknown_strategy_makes_no_session(store: BaseMemoryBackend, strategy: object) -> None:
    with pytest.raises(InvalidInputError, match="rolling, periodic, manual"):
        await session_of(store, 0, properties={"summary_strategy": strategy})
    assert await store.get_session("s") is None


async def test_unknown_strategy_is_not_stored(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 1, properties={"summary_strategy": "periodic"})
    with pytest.raises(InvalidInputError):
        await session.update_metadata(summary_strategy="sometimes")
    assert (await session.refresh()).properties == {"summary_strategy": "periodic"}
