"""Validity: equal ranges have equal ids, and what was edited or deleted takes the summaries of its range out of use."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from langswarm_memory import BaseMemoryBackend, BaseMemorySession, ConversationSummary, InMemoryBackend, Message
from langswarm_memory.interfaces import SessionMetadata
from langswarm_memory.summaries import withdraw_touched

from .conftest import Noting, ranges, session_of, turns

PERIODIC = {"summary_strategy": "periodic"}


async def verdicts(session: BaseMemorySession) -> list[str]:
    return [check.verdict for check in await session.verify_summaries()]


async def stored_again(messages: list[Message], session: BaseMemorySession) -> BaseMemorySession:
    """Return a session of other messages that has the summaries of `session`, as an edit leaves one behind."""
    backend = InMemoryBackend(summarizer=Noting())
    edited = await backend.create_session(session.metadata)
    await edited.add_messages(messages)
    for summary in await session.get_summaries():
        await backend.repository.put_summary(summary)
    return edited


async def test_id_is_equal_however_the_range_was_reached(store: BaseMemoryBackend) -> None:
    at_once = await session_of(store, 20, summary_threshold=10)
    in_steps = await store.create_session(SessionMetadata("other", summary_threshold=10))
    for first in (0, 10):
        await in_steps.add_messages(turns(10, first=first))
        await in_steps.get_summary()
    one, other = await at_once.get_summary(), await in_steps.get_summary()
    assert one is not None
    assert other is not None
    assert one.summary_id == other.summary_id


async def test_whole_summaries_are_valid(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    await session.add_message(Message("system", "Be brief."))
    await session.get_summary()
    await session.add_messages(turns(10, first=10))
    await session.get_summary()
    assert await verdicts(session) == ["valid", "valid"]


async def test_edit_changes_the_summaries_of_its_range_only(noting: Noting) -> None:
    session = await session_of(InMemoryBackend(summarizer=noting), 30, summary_threshold=10, properties=dict(PERIODIC))
    messages = turns(30)
    messages[14] = Message("user", "Something else.", message_id="m14")
    edited = await stored_again(messages, session)
    assert await verdicts(edited) == ["valid", "changed", "valid"]
    await edited.update_metadata(auto_summarize=False)
    assert await ranges(edited) == [(1, 10), (21, 30)]


async def test_edit_early_in_the_history_changes_every_rolling_summary_over_it(noting: Noting) -> None:
    session = await session_of(InMemoryBackend(summarizer=noting), 10, summary_threshold=10)
    await session.get_summary()
    await session.add_messages(turns(10, first=10))
    messages = turns(20)
    messages[12] = Message("user", "Something else.", message_id="m12")
    assert await verdicts(await stored_again(messages, session)) == ["valid", "changed"]


async def test_cleared_messages_are_outlived(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    summary = await session.get_summary()
    await session.clear_messages()
    assert await verdicts(session) == ["outlived"]
    assert await session.get_summary() == summary


async def test_trimmed_messages_are_outlived(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    summary = await session.get_summary()
    await store.repository.delete_messages("s", through_seq=4)
    assert await verdicts(session) == ["outlived"]
    assert await session.get_summary() == summary


async def test_summary_after_trimming_stands_on_the_one_before(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    await session.get_summary()
    await session.clear_messages()
    await session.add_messages(turns(10, first=10))
    assert await ranges(session) == [(1, 10), (1, 20)]


async def test_summary_of_a_rewound_history_is_not_used() -> None:
    session = await session_of(InMemoryBackend(summarizer=Noting()), 10, summary_threshold=10)
    await session.get_summary()
    rewound = await stored_again(turns(7), session)
    assert await rewound.get_summary() is None


async def test_withdrawn_summaries_are_those_that_hold_the_message(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 30, summary_threshold=10, properties=dict(PERIODIC))
    await session.get_summaries()
    await session.update_metadata(auto_summarize=False)
    assert await withdraw_touched(session, [11, 12]) == 1
    assert await ranges(session) == [(1, 10), (21, 30)]


async def test_withdrawn_summary_is_made_again(store: BaseMemoryBackend, noting: Noting) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    await session.get_summary()
    await withdraw_touched(session, [3])
    again = await session.get_summary()
    assert again is not None
    assert (again.summary, again.first_seq, again.last_seq) == ("digest 2", 1, 10)


async def test_summary_made_elsewhere_is_unknown_and_built_upon(store: BaseMemoryBackend, noting: Noting) -> None:
    session = await session_of(store, 20, summary_threshold=10)
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    given = ConversationSummary(
        "They met.", 10, instant, instant, session_id="s", summary_id="mine", first_seq=1, last_seq=10
    )
    await store.repository.put_summary(given)
    made = await session.get_summary()
    assert noting.calls == [("They met.", list(range(11, 21)))]
    assert made is not None
    assert (made.first_seq, made.message_count) == (1, 20)
    assert await verdicts(session) == ["unknown", "unknown"]


async def test_withdrawn_text_stays_stored(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    summary = await session.get_summary()
    assert summary is not None
    await withdraw_touched(session, [1])
    assert await store.repository.list_summaries("s") == [replace(summary, first_seq=None, last_seq=None)]
