"""How candidates are found, and which are ranked where there are too many."""

from __future__ import annotations

import re

import pytest

from langswarm_memory.interfaces.message import Message
from langswarm_memory.repository.bigquery import search
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse, rank
from langswarm_memory.testing.samples import filled, new_message

INFLECTIONS = [
    "die dies died dying",
    "lie lying lied",
    "tie tying ties",
    "sky skies",
    "fly flies flying flier",
    "hope hoping hoped hopes",
    "hop hopping hopped",
    "possible possibility possibilities possibly",
    "ability abilities able",
    "relate relation relational relating",
    "happy happiness happily happier",
    "generous generously",
    "news new",
    "early earlier",
    "only",
    "analogy analogous analog",
    "organization organize organizer organizing",
    "succeed succeeding",
    "inning innings",
    "48213",
    "école écoles",
]


def as_python(pattern: str) -> re.Pattern[str]:
    """Return a pattern of RE2 as one of Python, which has no names for kinds of characters."""
    return re.compile(pattern.replace(r"[^\pL\pN]", r"[\W_]").replace(r"[\pL\pN]", r"[^\W_]"))


def candidate(query: str, text: str) -> bool:
    """Return whether the patterns of a query find a text."""
    wanted = parse(query)
    subject = f"{text}\n{text.casefold()}"
    if wanted.phrases:
        return all(as_python(search.phrase_pattern(phrase)).search(subject) for phrase in wanted.phrases)
    return any(as_python(search.word_pattern(word)).search(subject) for word in wanted.words)


@pytest.mark.parametrize("family", INFLECTIONS)
def test_patterns_find_every_inflection_that_ranking_finds(family: str) -> None:
    words = family.split()
    for query in (*words, *(f"{word[:3]}*" for word in words), *(f'"a {word}"' for word in words)):
        for text in (f"a {word}, so" for word in words):
            assert candidate(query, text) or not rank(parse(query), [("text", text)]), (query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("数据库", "我们的数据很大"),
        ('"天气"', "好天气"),
        ('"天气 report"', "天气report"),
        ("strasse", "Straße"),
        ("cole", "e\u0301cole"),
        ("lantern", "x_lantern"),
        ("lantern", "很lantern"),
        ('"red stone"', "Red,\n  stones"),
    ],
)
def test_patterns_find_what_ranking_finds(query: str, text: str) -> None:
    assert rank(parse(query), [("text", text)])
    assert candidate(query, text)


async def found(repository: BigQueryRepository, query: str, limit: int = 100) -> list[str]:
    return [hit.message.message_id for hit in await repository.search_text(parse(query), SearchFilter(), limit=limit)]


@pytest.mark.store("bigquery")
async def test_rare_words_stay_among_the_candidates(
    repository: BigQueryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though those that hold the common one are newer, and more than are ranked."""
    monkeypatch.setattr(search, "CANDIDATES", 3)
    await filled(repository, [new_message(1, "glacier"), *(new_message(n, "weather") for n in range(2, 9))])
    assert sorted(await found(repository, "weather glacier")) == ["m1", "m7", "m8"]


@pytest.mark.store("bigquery")
async def test_large_candidates_are_fewer(repository: BigQueryRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest; one at least."""
    monkeypatch.setattr(search, "CANDIDATE_BYTES", 1)
    await filled(repository, [new_message(n, "weather") for n in range(1, 4)])
    assert await found(repository, "weather") == ["m3"]


@pytest.mark.store("bigquery")
async def test_phrase_alone_takes_the_newest_candidates(
    repository: BigQueryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CANDIDATES", 2)
    await filled(repository, [new_message(n, "bad weather") for n in range(1, 6)])
    assert sorted(await found(repository, '"bad weather"')) == ["m4", "m5"]


@pytest.mark.store("bigquery")
async def test_messages_without_text_are_no_candidates(repository: BigQueryRepository) -> None:
    await filled(repository, [Message("assistant", None, message_id="m1", token_count=0), new_message(2, "weather")])
    assert await found(repository, "weather") == ["m2"]


@pytest.mark.store("bigquery")
@pytest.mark.parametrize(("text", "query"), [("Straße", "strasse"), ("e\u0301cole", "cole"), ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς")])
async def test_server_finds_what_python_finds(repository: BigQueryRepository, text: str, query: str) -> None:
    """Though it normalises text, and Python does not."""
    await filled(repository, [new_message(1, text), new_message(2, "else")])
    assert await found(repository, query) == ["m1"]
