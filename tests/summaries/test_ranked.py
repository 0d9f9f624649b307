"""Sentences ranked by topic, with the extra, and the choice between the built-in summarizers."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from langswarm_memory import Message, MissingDependencyError
from langswarm_memory.summaries import Digest, RankedSummarizer, default_digest, digest, extractive_digest

TALK = [
    Message("user", "Hello! I want to change the flight of my reservation to Rome."),
    Message("assistant", "Gladly. The reservation is for two passengers in business class."),
    Message("tool", "flight " * 500),
    Message("assistant", "The earliest flight leaves at nine. The latest flight leaves at noon. Lunch is included."),
    Message("user", "Take the earliest flight, and refund the difference to my credit card."),
    Message("assistant", "Your flight was changed, and 40 euros were refunded to your credit card."),
    Message("user", "Can I bring my bicycle?"),
    Message("assistant", "Bicycles travel in the hold and must be packed in a box."),
]


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> RankedSummarizer:
    """The summarizer, without a network."""
    pytest.importorskip("sumy", reason="run: pip install 'langswarm-memory[summaries]'")

    def refuse(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return RankedSummarizer()


def test_ranked_sentences_are_those_of_the_conversation_in_their_order(ranked: RankedSummarizer) -> None:
    lines = ranked(None, TALK).text.splitlines()
    said = [
        f"{message.role.capitalize()}: {sentence}"
        for message in TALK
        if message.role != "tool"
        for sentence in message.text.replace("! ", "!\n").replace(". ", ".\n").splitlines()
    ]
    assert len(lines) == 6
    assert lines == [sentence for sentence in said if sentence in lines]


def test_ranked_sentences_reach_beyond_the_commonest_topic(ranked: RankedSummarizer) -> None:
    assert "icycle" in ranked(None, TALK).text


def test_ranked_digest_keeps_what_the_last_one_told(ranked: RankedSummarizer) -> None:
    assert "User: My name is Ada." in ranked("User: My name is Ada.", TALK[:2]).text


@pytest.mark.parametrize("messages", [[], [Message("tool", "output")], [Message("user", "?")]])
def test_little_to_rank_is_no_error(ranked: RankedSummarizer, messages: list[Message]) -> None:
    assert ranked(None, messages) == extractive_digest(None, messages)


def test_repetition_is_ranked_by_its_words(ranked: RankedSummarizer) -> None:
    messages = [Message("user", "The train is late.")] * 50
    assert ranked(None, messages) == extractive_digest(None, messages)


def test_long_history_is_ranked_in_bounded_time(ranked: RankedSummarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MAX_RANKED", 7)
    assert len(ranked(None, TALK * 20).text.splitlines()) == 6


def test_unknown_language_is_an_error(ranked: RankedSummarizer) -> None:
    with pytest.raises(LookupError):
        RankedSummarizer("klingon")(None, TALK)


def test_default_without_the_extra_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "installed", lambda package: False)
    digest._best.cache_clear()
    made: Digest = default_digest(None, TALK)
    digest._best.cache_clear()
    assert made == extractive_digest(None, TALK)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=r"langswarm-memory\[summaries\]"):
        RankedSummarizer()
