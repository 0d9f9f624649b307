"""Summaries: when one is due, what it covers, and the context that holds one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    InMemoryBackend,
    Message,
    SessionMetadata,
    SummaryType,
)
from langswarm_memory.summaries import Digest, extractive_digest


def turns(count: int, first: int = 0, tokens: int = 10) -> list[Message]:
    """Return messages of a user and an assistant in turn."""
    roles = ("user", "assistant")
    return [
        Message(roles[n % 2], f"Sentence {n} about trains.", message_id=f"m{n}", token_count=tokens)
        for n in range(first, first + count)
    ]


async def session_of(backend: BaseMemoryBackend, messages: int, **fields: object) -> BaseMemorySession:
    session = await backend.create_session(SessionMetadata("s", **fields))  # type: ignore[arg-type]
    await session.add_messages(turns(messages))
    return session


# --- when ----------------------------------------------------------------------------------------------------------


async def test_summary_is_due_at_the_threshold(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 9, summary_threshold=10)
    assert await session.get_summary() is None
    await session.add_messages(turns(1, first=9))
    summary = await session.get_summary()
    assert summary is not None
    assert (summary.message_count, summary.summary_type) == (10, SummaryType.AUTO)


async def test_next_summary_is_due_a_threshold_later(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    first = await session.get_summary()
    await session.add_messages(turns(9, first=10))
    assert await session.get_summary() == first
    await session.add_messages(turns(1, first=19))
    second = await session.get_summary()
    assert second is not None
    assert second.message_count == 20
    assert [summary.message_count for summary in await session.get_summaries()] == [10, 20]


async def test_summary_waits_for_both_sides_of_a_conversation(store: BaseMemoryBackend) -> None:
    session = await store.create_session(SessionMetadata("s", summary_threshold=5))
    await session.add_messages([Message("user", f"Question {n}?") for n in range(20)])
    assert await session.get_summary() is None
    await session.add_message(Message("assistant", "An answer."))
    assert await session.get_summary() is not None


async def test_no_summary_is_made_where_it_is_not_wanted(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 20, summary_threshold=10, auto_summarize=False)
    assert await session.get_summary() is None
    assert await session.get_summaries() == []


@pytest.mark.parametrize(("messages", "made"), [(4, False), (5, True)])
async def test_asked_for_a_summary_needs_five_messages(store: BaseMemoryBackend, messages: int, made: bool) -> None:
    session = await session_of(store, messages)
    assert (await session.create_summary() is not None) is made


async def test_forced_summary_needs_one_message(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 1)
    summary = await session.create_summary(True)
    assert summary is not None
    assert (summary.message_count, summary.summary_type) == (1, SummaryType.MANUAL)


async def test_forced_summary_without_news_is_the_last_one(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 6)
    assert await session.create_summary(True) == await session.create_summary(True)
    assert len(await session.get_summaries()) == 1


@pytest.mark.parametrize("kind", list(SummaryType))
async def test_type_of_a_summary_implies_force(store: BaseMemoryBackend, kind: SummaryType) -> None:
    session = await session_of(store, 1)
    for made in (await session.create_summary(kind), await session.create_summary(summary_type=kind)):
        assert made is not None
        assert made.summary_type is kind


async def test_processes_that_summarise_the_same_store_one(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 10, summary_threshold=10)
    other = await store.get_session("s")
    assert other is not None
    await asyncio.gather(session.get_summary(), other.get_summary(), session.get_summary())
    assert len(await session.get_summaries()) == 1


async def test_adding_messages_makes_no_summary_by_itself(store: BaseMemoryBackend) -> None:
    made = 0

    def count(previous: str | None, messages: Sequence[Message]) -> Digest:
        nonlocal made
        made += 1
        return Digest("short", [])

    store.summarizer = count
    session = await session_of(store, 30, summary_threshold=10)
    await session.get_messages()
    assert made == 0
    await session.get_summary()
    assert made == 1


# --- what ----------------------------------------------------------------------------------------------------------


async def test_summary_covers_a_range_of_the_session(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 6)
    messages = await session.get_messages()
    summary = await session.create_summary(True)
    assert summary is not None
    assert (summary.session_id, summary.first_seq, summary.last_seq) == ("s", 1, 6)
    assert (summary.start_time, summary.end_time) == (messages[0].timestamp, messages[-1].timestamp)
    assert summary.token_count > 0


async def test_summarizer_gets_the_last_summary_and_what_is_new(store: BaseMemoryBackend) -> None:
    calls: list[tuple[str | None, list[str]]] = []

    def note(previous: str | None, messages: Sequence[Message]) -> Digest:
        calls.append((previous, [message.message_id for message in messages]))
        return Digest(f"digest {len(calls)}", ["trains"])

    store.summarizer = note
    session = await session_of(store, 2)
    await session.add_message(Message("system", "Be brief.", message_id="rules"))
    await session.create_summary(True)
    await session.add_messages(turns(2, first=2))
    last = await session.create_summary(True)
    assert calls == [(None, ["m0", "m1"]), ("digest 1", ["m2", "m3"])]
    assert last is not None
    assert (last.summary_text, last.key_topics, last.message_count, last.first_seq) == ("digest 2", ["trains"], 4, 1)


async def test_newest_summary_is_the_one_that_is_returned(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 2)
    await session.create_summary(True)
    await session.add_messages(turns(2, first=2))
    second = await session.create_summary(True)
    assert await session.get_summary() == second
    assert (await session.get_summaries())[-1] == second


async def test_summaries_outlive_their_messages(store: BaseMemoryBackend) -> None:
    session = await session_of(store, 6)
    summary = await session.create_summary(True)
    await session.clear_messages()
    assert await session.get_summary() == summary


def test_digest_picks_the_sentences_that_say_most_in_their_order() -> None:
    messages = [
        Message("user", "Hello! I want to book a train from Paris to Berlin."),
        Message("assistant", "The train from Paris to Berlin leaves at nine. Have a nice day!"),
        Message("tool", "train " * 1000),
        Message("user", "Book the train to Berlin at nine, please."),
    ]
    text, topics = extractive_digest(None, messages)
    lines = text.splitlines()
    assert lines.index("User: I want to book a train from Paris to Berlin.") < lines.index(
        "User: Book the train to Berlin at nine, please."
    )
    assert set(topics[:4]) >= {"train", "berlin"}
    assert "train train" not in text


def test_digest_of_nothing_to_say_is_empty() -> None:
    assert extractive_digest(None, [Message("user", None), Message("tool", "output")]) == Digest("", [])


def test_digest_keeps_what_the_last_one_told() -> None:
    text, _ = extractive_digest("User: My name is Ada.", [Message("user", "What is my name?")])
    assert "User: My name is Ada." in text.splitlines()


# --- the context that holds one ---------------------------------------------------------------------------------------


@pytest.fixture
async def long(store: BaseMemoryBackend) -> BaseMemorySession:
    """A session with rules, 30 messages of ten tokens each, and a summary of them."""
    store.summarizer = lambda previous, messages: Digest("They spoke of trains.", [])
    session = await store.create_session(SessionMetadata("s", max_messages=None, summary_threshold=30))
    await session.add_message(Message("system", "Be brief.", message_id="rules", token_count=10))
    await session.add_messages(turns(30))
    assert await session.get_summary() is not None
    return session


async def test_context_holds_rules_then_summary_then_the_newest(long: BaseMemorySession) -> None:
    context = await long.get_conversation_context(100)
    assert context[0].message_id == "rules"
    assert context[1].text == "Summary of the earlier conversation: They spoke of trains."
    assert context[1].role == "system"
    assert [message.message_id for message in context[2:]] == [f"m{n}" for n in range(30 - len(context[2:]), 30)]


@pytest.mark.parametrize("budget", [10, 20, 30, 35, 50, 100, 200, 305])
async def test_context_with_a_summary_keeps_to_its_budget(long: BaseMemorySession, budget: int) -> None:
    context = await long.get_conversation_context(budget)
    assert sum(message.token_count or 0 for message in context) <= budget


async def test_context_that_holds_everything_needs_no_summary(long: BaseMemorySession) -> None:
    assert [message.message_id for message in await long.get_conversation_context(310)] == [
        "rules",
        *(f"m{n}" for n in range(30)),
    ]


async def test_context_without_summaries_has_none(long: BaseMemorySession) -> None:
    context = await long.get_conversation_context(100, include_summaries=False)
    assert [message.message_id for message in context] == ["rules", *(f"m{n}" for n in range(21, 30))]


async def test_context_does_not_store_the_summary_as_a_message(long: BaseMemorySession) -> None:
    before = await long.count_messages()
    await long.get_conversation_context(100)
    assert await long.count_messages() == before


async def test_summary_of_an_in_memory_session_is_in_its_data() -> None:
    backend = InMemoryBackend()
    session = await session_of(backend, 6)
    summary = await session.create_summary(True)
    data = backend.get_session_data("s")
    assert data is not None
    assert data["summary"] == summary
