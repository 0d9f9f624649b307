"""Counters by name, and what a backend stores with them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from langswarm_memory import (
    InMemoryBackend,
    MemoryConfigurationError,
    Message,
    MissingDependencyError,
    SessionMetadata,
    SQLiteBackend,
)
from langswarm_memory.tokens import (
    MessageCounter,
    count_text,
    estimate_text,
    estimate_tokens,
    get_token_counter,
    openai_counter,
    vocabulary,
)

MESSAGE = Message("assistant", "Bună ziua! 你好 <|endoftext|>", name="ana")


@pytest.mark.parametrize(
    ("name", "encoding", "provider"),
    [
        ("o200k_base", "o200k_base", "openai"),
        ("cl100k_base", "cl100k_base", "openai"),
        ("gpt-4o", "o200k_base", "openai"),
        ("gpt-4-turbo", "cl100k_base", "openai"),
        ("openai", "o200k_base", "openai"),
        ("anthropic", "o200k_base", "anthropic"),
        ("claude-sonnet-4-5", "o200k_base", "anthropic"),
        ("gemini", "o200k_base", "gemini"),
        ("gemini-2.5-pro", "o200k_base", "gemini"),
    ],
)
def test_name_gives_its_counter(name: str, encoding: str, provider: str) -> None:
    counter = get_token_counter(name)
    assert isinstance(counter, MessageCounter)
    assert (counter.encoding, counter.provider) == (encoding, provider)


@pytest.mark.parametrize("counter", [estimate_tokens, len, MessageCounter("estimate")])
def test_callable_is_its_own_counter(counter: Any) -> None:
    assert get_token_counter(counter) is counter


def test_estimate_is_the_default() -> None:
    assert get_token_counter() is get_token_counter("estimate") is estimate_tokens


@pytest.mark.parametrize("name", ["gpt-9", "p50k_base", "", "Estimate", 7, None])
def test_unknown_counter_is_refused(name: Any) -> None:
    with pytest.raises(MemoryConfigurationError, match="token counter"):
        get_token_counter(name)


def test_model_is_kept_for_the_rule_of_images() -> None:
    assert openai_counter("gpt-4o-mini").model == "gpt-4o-mini"


@pytest.mark.parametrize("name", ["o200k_base", "gpt-4o", "openai"])
def test_text_is_counted_by_name(name: str) -> None:
    assert count_text("tiktoken is great!", name) == 6


def test_text_is_counted_by_a_function() -> None:
    assert count_text("three short words", lambda text: len(text.split())) == 3


def test_text_is_estimated_by_default() -> None:
    assert count_text("three short words") == estimate_text("three short words")


def test_counter_survives_pickling() -> None:
    counter = MessageCounter("cl100k_base", "anthropic", model="claude-x", margin=1.5)
    twin = pickle.loads(pickle.dumps(counter))
    assert (twin(MESSAGE), twin.model, twin.margin) == (counter(MESSAGE), "claude-x", 1.5)


# --- backends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["estimate", "o200k_base", "cl100k_base", "claude-sonnet-4-5"])
async def test_count_is_stored_at_append(name: str) -> None:
    async with SQLiteBackend(db_path=":memory:", token_counter=name) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(MESSAGE)
        stored = await session.get_messages()
    assert [message.token_count for message in stored] == [get_token_counter(name)(MESSAGE)]


async def test_given_count_is_kept() -> None:
    async with InMemoryBackend(token_counter="o200k_base") as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "x", token_count=77))
        assert (await session.get_messages())[0].token_count == 77


def test_backend_refuses_an_unknown_counter() -> None:
    with pytest.raises(MemoryConfigurationError, match="'gpt-9'"):
        InMemoryBackend(token_counter="gpt-9")


def test_backend_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary.exact_counter.cache_clear()
    monkeypatch.setattr(vocabulary, "installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=r"langswarm-memory\[tokens\]"):
        InMemoryBackend(token_counter="o200k_base")
