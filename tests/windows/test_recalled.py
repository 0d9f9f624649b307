"""Contexts that quote what fits a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from langswarm_memory import InvalidInputError, MemoryManager, Message
from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.session import BaseMemorySession

BUDGET = 200


@pytest.fixture
async def manager() -> AsyncIterator[MemoryManager]:
    backend = InMemoryBackend(token_counter=lambda message: len(message.text.split()))
    async with backend:
        yield MemoryManager(backend, auto_cleanup=False)


async def talk(manager: MemoryManager, session_id: str = "s", **fields: Any) -> BaseMemorySession:
    """A session whose second message names a cat, and whose context holds its end only."""
    session: Any = await manager.create_session(session_id, "ann", max_messages=None, **fields)
    turns = ["Hello there", "My cat is named Minka", *(f"talk number{number} of other things" for number in range(60))]
    await session.add_messages(
        [
            Message(("user", "assistant")[place % 2], text, message_id=f"{session_id}{place}")
            for place, text in enumerate(turns)
        ]
    )
    return session


def quoted(messages: list[Message]) -> list[Message]:
    return [message for message in messages if "recalled" in message.metadata]


async def test_context_quotes_what_fits_the_question(manager: MemoryManager) -> None:
    session = await talk(manager)
    context = await session.get_conversation_context(BUDGET, include_summaries=False, recall="what is my cat called?")
    (note,) = quoted(context)
    assert note.role == "system"
    assert "assistant: My cat is named Minka" in note.text
    assert note.metadata["recalled"] == ["s1"]


async def test_context_with_recall_stays_in_the_budget(manager: MemoryManager) -> None:
    session = await talk(manager)
    for budget in range(1, 320, 7):
        context = await session.get_conversation_context(budget, include_summaries=False, recall="cat number3 number9")
        assert sum(message.token_count or 0 for message in context) <= budget


async def test_messages_in_the_context_are_not_quoted(manager: MemoryManager) -> None:
    session = await talk(manager)
    context = await session.get_conversation_context(BUDGET, include_summaries=False, recall="number59")
    assert quoted(context) == []
    assert any("number59" in message.text for message in context)


async def test_whole_history_needs_no_quotes(manager: MemoryManager) -> None:
    session = await talk(manager)
    assert quoted(await session.get_conversation_context(100_000, recall="cat")) == []


async def test_question_without_words_recalls_nothing(manager: MemoryManager) -> None:
    session = await talk(manager)
    for question in ("", "?!", "👍", '"" - *'):
        assert quoted(await session.get_conversation_context(BUDGET, recall=question)) == []


async def test_signs_of_the_query_language_mean_nothing_in_a_question(manager: MemoryManager) -> None:
    session = await talk(manager)
    context = await session.get_conversation_context(
        BUDGET, include_summaries=False, recall='tell me -cat "no such phrase" ' + "word " * 3_000
    )
    assert [note.metadata["recalled"] for note in quoted(context)] == [["s1"]]


async def test_other_sessions_of_the_user_are_quoted_when_asked(manager: MemoryManager) -> None:
    await talk(manager, "old")
    session = await talk(manager, "new")
    await session.rewind(0)
    await session.add_message(Message("user", "What is my cat called?"))
    context = await session.get_conversation_context(BUDGET, recall="my cat", recall_scope="user")
    assert [note.metadata["recalled"] for note in quoted(context)] == [["old1"]]
    assert quoted(await session.get_conversation_context(BUDGET, recall="my cat")) == []


async def test_other_users_sessions_are_never_quoted(manager: MemoryManager) -> None:
    await talk(manager)
    session: Any = await manager.create_session("t", "ben")
    await session.add_message(Message("user", "What is my cat called?"))
    assert quoted(await session.get_conversation_context(BUDGET, recall="cat", recall_scope="user")) == []


async def test_scope_must_be_one(manager: MemoryManager) -> None:
    session = await talk(manager)
    with pytest.raises(InvalidInputError):
        await session.get_conversation_context(BUDGET, recall="cat", recall_scope="world")  # type: ignore[arg-type]


async def test_explain_names_the_quotes(manager: MemoryManager) -> None:
    session = await talk(manager)
    explained = await session.explain(BUDGET, include_summaries=False, recall="cat")
    added = [one for one in explained if one.decision == "added"]
    assert ["question" in one.why for one in added] == [True]
    window = [one.message for one in explained if one.decision in ("kept", "moved", "added")]
    context = await session.get_conversation_context(BUDGET, include_summaries=False, recall="cat")
    assert [m.message_id for m in window] == [m.message_id for m in context]


async def test_quotes_stand_beside_a_summary(manager: MemoryManager) -> None:
    session = await talk(manager)
    await session.create_summary(force=True)
    await session.add_messages([Message("user", f"more {number} of it") for number in range(60)])
    context = await session.get_conversation_context(BUDGET, recall="cat")
    assert len(quoted(context)) == 1
    assert any("summary_id" in message.metadata for message in context)
    assert sum(message.token_count or 0 for message in context) <= BUDGET
