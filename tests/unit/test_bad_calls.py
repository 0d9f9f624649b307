"""Arguments of the wrong kind: told as bad input, whatever the store, and nothing is written."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    InMemoryBackend,
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryManager,
    Message,
    SessionMetadata,
    SessionNotFoundError,
)

WHOLE = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture
async def session(store: BaseMemoryBackend) -> BaseMemorySession:
    session = await store.create_session(SessionMetadata("s", user_id="ada", properties={"kept": True}))
    await session.add_messages([Message("user", str(number), message_id=f"m{number}") for number in range(3)])
    return session


ON_SESSION: dict[str, Callable[[BaseMemorySession], Awaitable[Any]]] = {
    "add_messages of an int": lambda s: s.add_messages(5),  # type: ignore[arg-type]
    "add_messages of None": lambda s: s.add_messages(None),  # type: ignore[arg-type]
    "add_messages of one message": lambda s: s.add_messages(Message("user", "x")),  # type: ignore[arg-type]
    "add_messages of a text": lambda s: s.add_messages("ab"),  # type: ignore[arg-type]
    "a batch with one id twice and bytes": lambda s: s.add_messages(
        [Message("user", "x", message_id="twice", metadata={"a": b"x"}) for _ in range(2)]
    ),
    "a batch with one id twice and bottomless metadata": lambda s: s.add_messages([bottomless(), bottomless()]),
    "roles of an int": lambda s: s.get_messages(roles=5),  # type: ignore[arg-type]
    "roles with an int": lambda s: s.get_messages(roles=[5]),  # type: ignore[list-item]
    "roles with an empty text": lambda s: s.get_messages(roles=[""]),
    "roles with NUL": lambda s: s.get_messages(roles=["\x00"]),
    "since of a text": lambda s: s.get_messages(since="2026-01-01"),  # type: ignore[arg-type]
    "after of a text": lambda s: s.get_messages(after="m1"),  # type: ignore[arg-type]
    "after of a message that was not read": lambda s: s.get_messages(after=Message("user", "x")),
    "before of a negative number": lambda s: s.get_messages(before=-1),
    "before of a float": lambda s: s.get_messages(before=1.5),  # type: ignore[arg-type]
    "page of nothing": lambda s: anext(s.iter_messages(page_size=0)),
    "page of a text": lambda s: anext(s.iter_messages(page_size="5")),  # type: ignore[arg-type]
    "context of a text": lambda s: s.get_conversation_context("8000"),  # type: ignore[arg-type]
    "context without a budget": lambda s: s.get_conversation_context(None),  # type: ignore[arg-type]
    "context of a negative budget": lambda s: s.get_recent_messages(-1),
    "updates of an int": lambda s: s.update_metadata(5),  # type: ignore[arg-type]
    "updates with an int as key": lambda s: s.update_metadata({1: 2}),  # type: ignore[dict-item]
    "metadata of an int": lambda s: s.update_metadata(metadata=5),
    "custom metadata of a text": lambda s: s.update_metadata(custom_metadata="ab"),
    "properties of a list beside others": lambda s: s.update_metadata(properties=[1], other=1),
    "status of an int": lambda s: s.update_metadata(status=5),
    "expiry of a text": lambda s: s.update_metadata(expires_at="soon"),
    "a fixed field": lambda s: s.update_metadata(created_at=datetime.now(UTC)),
    "search for an int": lambda s: s.search_messages(5),  # type: ignore[arg-type]
    "search for nothing": lambda s: s.search_messages("  \n "),
    "search for punctuation": lambda s: s.search_messages("% \x00 ?"),
    "search for an excluded word only": lambda s: s.search_messages("-word"),
    "search of a negative limit": lambda s: s.search_messages("x", limit=-1),
    "search for 100,000 words": lambda s: s.search_messages("word " * 100_000),
    "search for a word of 1 MB": lambda s: s.search_messages("x" * 1_000_000),
}


def bottomless() -> Message:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    return Message("user", "x", message_id="twice", metadata=metadata)


@pytest.mark.parametrize("call", ON_SESSION.values(), ids=ON_SESSION.keys())
async def test_wrong_argument_of_a_session_is_told(
    session: BaseMemorySession, call: Callable[[BaseMemorySession], Awaitable[Any]]
) -> None:
    before = await session.refresh()
    with pytest.raises(InvalidInputError):
        await call(session)
    assert await session.refresh() == before
    assert [message.message_id for message in await session.get_messages()] == ["m0", "m1", "m2"]


NOW = datetime(2026, 1, 1, tzinfo=UTC)
ON_BACKEND: dict[str, Callable[[BaseMemoryBackend], Awaitable[Any]]] = {
    "create_session of a dict": lambda b: b.create_session({"session_id": "x"}),  # type: ignore[arg-type]
    "user of an int": lambda b: b.list_sessions(5),  # type: ignore[arg-type]
    "agent with NUL": lambda b: b.list_sessions(agent_id="\x00"),
    "status nobody knows": lambda b: b.list_sessions(status="bogus"),  # type: ignore[arg-type]
    "limit of None": lambda b: b.list_sessions(limit=None),  # type: ignore[arg-type]
    "offset of a negative number": lambda b: b.list_sessions(offset=-1),
    "cursor of an int": lambda b: b.list_sessions(after=5),  # type: ignore[arg-type]
    "cursor of nothing": lambda b: b.list_sessions(after=()),  # type: ignore[arg-type]
    "cursor of one part": lambda b: b.list_sessions(after=(NOW,)),  # type: ignore[arg-type]
    "cursor of texts": lambda b: b.list_sessions(after=("2026", "x")),  # type: ignore[arg-type]
    "cursor without an id": lambda b: b.list_sessions(after=(NOW, 5)),  # type: ignore[arg-type]
    "open of a negative limit": lambda b: b.open_session("s", -1),
    "search in a session of an int": lambda b: b.search_messages("x", 5),  # type: ignore[arg-type]
    "search of a user of an int": lambda b: b.search_messages("x", user_id=5),  # type: ignore[arg-type]
    "search of a user with a lone surrogate": lambda b: b.search_messages("x", user_id="\ud800"),
    "age of a text": lambda b: b.cleanup_expired_sessions("30"),  # type: ignore[arg-type]
    "age below zero": lambda b: b.cleanup_expired_sessions(-1),
    "age that is no number": lambda b: b.cleanup_expired_sessions(math.nan),
    "age before the year 1": lambda b: b.cleanup_expired_sessions(999_999),
}


@pytest.mark.parametrize("call", ON_BACKEND.values(), ids=ON_BACKEND.keys())
async def test_wrong_argument_of_a_backend_is_told(
    session: BaseMemorySession, call: Callable[[BaseMemoryBackend], Awaitable[Any]]
) -> None:
    with pytest.raises(InvalidInputError):
        await call(session.backend)
    assert [metadata.session_id for metadata in await session.backend.list_sessions()] == ["s"]


ON_MANAGER: dict[str, Callable[[MemoryManager], Any]] = {
    "session of an int": lambda m: m.create_session(5),
    "session of no text": lambda m: m.create_session(""),
    "user of an int": lambda m: m.create_session("x", 5),
    "properties of an int": lambda m: m.create_session("x", properties=5),
    "properties of a list beside others": lambda m: m.create_session("x", properties=[1], other=1),
    "metadata of an int": lambda m: m.create_session("x", metadata=5),
    "metadata of a text beside others": lambda m: m.create_session("x", custom_metadata="ab", other=1),
    "tags of a text": lambda m: m.create_session("x", tags="a"),
    "nobody's session": lambda m: m.get_or_create_session(),
    "session of bytes": lambda m: m.get_or_create_session(b"x"),
    "nobody's list": lambda m: m.list_user_sessions(),
    "list of an int": lambda m: m.list_user_sessions(5),
    "confined to nobody": lambda m: m.for_user(""),
    "confined to None": lambda m: m.for_user(None),
    "confined to an int": lambda m: m.for_user(5),
    "message of no role": lambda m: m.add_message("x", None, "hello"),
    "message of an unknown time": lambda m: m.add_message("x", "user", "hello", timestamp="now"),
    "message of bytes": lambda m: m.add_message("x", "user", b"hello"),
}


@pytest.mark.parametrize("call", ON_MANAGER.values(), ids=ON_MANAGER.keys())
async def test_wrong_argument_of_a_manager_is_told(
    manager: MemoryManager, call: Callable[[MemoryManager], Any]
) -> None:
    with pytest.raises(InvalidInputError):
        await call(manager)
    assert await manager.backend.list_sessions() == []


async def test_role_of_its_own_is_one_role(session: BaseMemorySession) -> None:
    await session.add_message(Message("assistant", "hi"))
    assert [message.content for message in await session.get_messages(roles="assistant")] == ["hi"]


async def test_huge_budget_is_the_whole_window(session: BaseMemorySession) -> None:
    for budget in (10**9, 2**63 - 1, 10**30):
        assert len(await session.get_recent_context(budget)) == 3


async def test_token_counts_add_up_beyond_64_bits_or_are_refused(session: BaseMemorySession) -> None:
    try:
        for number in range(3):
            await session.add_message(Message("user", "x", message_id=f"t{number}", token_count=2**63 - 1))
    except InvalidInputError:
        pass
    stored = await session.get_messages()
    assert len(stored) == await session.count_messages()
    usage = await session.backend.get_usage_stats()
    assert usage.total_tokens == sum(message.token_count or 0 for message in stored)


async def test_search_without_a_bound_finds_everything(session: BaseMemorySession) -> None:
    await session.add_messages([Message("user", "needle") for _ in range(12)])
    assert len(await session.search_messages("needle", limit=None)) == 12  # type: ignore[arg-type]


async def test_search_passes_over_what_no_store_holds(session: BaseMemorySession) -> None:
    await session.add_message(Message("user", "needle"))
    assert len(await session.search_messages("\x00 needle \ud800")) == 1


async def test_message_read_from_a_store_can_be_counted_anew(session: BaseMemorySession) -> None:
    (message, *_) = await session.get_messages()
    message.token_count = None
    message.message_id = "again"
    await session.add_message(message)
    (again,) = await session.get_messages(1)
    assert (again.content, again.timestamp, again.metadata) == (message.content, message.timestamp, message.metadata)


async def test_failing_iterable_stores_nothing(session: BaseMemorySession) -> None:
    def failing() -> Any:
        yield Message("user", "first")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await session.add_messages(failing())
    assert await session.count_messages() == 3


FROM_DICT: dict[str, Any] = {
    "metadata of an int": {"role": "user", "metadata": 5, "extra": 1},
    "timestamp of an int": {"role": "user", "timestamp": 5},
    "timestamp of nonsense": {"role": "user", "timestamp": "yesterday"},
    "role of an int": {"role": 5},
    "list": [],
}


@pytest.mark.parametrize("data", FROM_DICT.values(), ids=FROM_DICT.keys())
def test_dict_that_is_no_message_is_told(data: Any) -> None:
    with pytest.raises(InvalidInputError):
        Message.from_dict(data)


@pytest.mark.parametrize("note", [5, [], {"keys": 5}, {"extra": "ab"}, {"extra": [1]}, {"keys": [["a"]]}, {"keys": {}}])
def test_metadata_that_looks_like_our_note_is_only_metadata(note: Any) -> None:
    message = Message("user", "hello", metadata={"openai": note})
    assert message.to_openai_format() == {"role": "user", "content": "hello"}


IMPORTED: dict[str, Any] = {
    "an int": 5,
    "an unknown key": {"message": []},
    "messages of an int": {"messages": 5},
    "messages that are none": {"messages": [5]},
    "metadata that is none": {"metadata": 5},
    "metadata of another session": {"metadata": SessionMetadata("other")},
    "summary that is none": {"summary": 5},
    "one id twice": {"messages": [Message("user", "a", message_id="m"), Message("user", "b", message_id="m")]},
}


@pytest.mark.parametrize("data", IMPORTED.values(), ids=IMPORTED.keys())
async def test_wrong_session_data_changes_nothing(data: Any) -> None:
    backend = InMemoryBackend()
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "kept"))
    with pytest.raises(LangSwarmMemoryError):
        backend.update_session_data("s", data)
    assert [message.content for message in await session.get_messages()] == ["kept"]


async def test_session_data_of_a_missing_session_is_told() -> None:
    with pytest.raises(SessionNotFoundError):
        InMemoryBackend().update_session_data("missing", {"messages": []})
