"""The estimate: no vocabulary, and an error that is measured and written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langswarm_memory import Message
from langswarm_memory.tokens import MessageCounter, count_text, estimate_text, estimate_tokens
from tests.tokens.texts import AWKWARD, DATA, LANGUAGES, corpus

CALL = {"name": "search", "arguments": '{"query": "trees"}'}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tokens.md"


def row(label: str, texts: list[str]) -> str:
    """Return the row of the documented table that these texts make."""
    o200k, cl100k = (sum(count_text(text, name) for text in texts) for name in ("o200k_base", "cl100k_base"))
    estimate = sum(map(estimate_text, texts))
    errors = [round(100 * (estimate / exact - 1)) for exact in (o200k, cl100k)]
    cells = [f"{error:+d} %".replace("-", "−") if error else "0 %" for error in errors]
    return f"| {label} | {sum(map(len, texts)) / o200k:.1f} | {cells[0]} | {cells[1]} |"


@pytest.mark.parametrize("language", LANGUAGES)
def test_documented_error_of_a_language_is_the_measured_one(language: str) -> None:
    assert row(language, [LANGUAGES[language]]) in PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.skipif(not DATA.is_dir(), reason="the conversations are not beside the checkout: ../shared/data")
@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("system", "system prompts"),
        ("user", "user messages"),
        ("assistant", "assistant messages"),
        ("arguments", "arguments of tool calls (JSON)"),
        ("tool", "tool results (JSON)"),
        ("dialogue", "small talk"),
    ],
)
def test_documented_error_over_the_corpus_is_the_measured_one(kind: str, label: str) -> None:
    assert row(label, corpus()[kind]) in PAGE.read_text(encoding="utf-8").splitlines()


def test_documented_table_has_no_other_rows() -> None:
    rows = re.findall(r"^\| ([^|]+) \| \d+\.\d \| [+−0]", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(LANGUAGES) + 6


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_awkward_text_is_estimated(text: str) -> None:
    assert (estimate_text(text) > 0) is bool(text)


@given(st.text(alphabet=st.characters(exclude_categories=())), st.text(alphabet=st.characters(exclude_categories=())))
def test_estimate_of_a_whole_is_about_that_of_its_parts(one: str, other: str) -> None:
    assert estimate_text(one) + estimate_text(other) - estimate_text(one + other) in (0, 1)


def test_message_adds_the_overhead() -> None:
    assert estimate_tokens(Message("user", "hello world")) == 4 + estimate_text("hello world")


@pytest.mark.parametrize(
    "fields",
    [{}, {"name": "ana"}, {"function_call": CALL}, {"tool_calls": [{"function": CALL}]}],
    ids=["plain", "name", "old call", "call"],
)
@pytest.mark.parametrize("role", ["user", "critic"])
@pytest.mark.parametrize("content", ["some words", "", None, [{"type": "text", "text": "some words"}]])
def test_short_cut_counts_as_the_general_way_does(role: str, content: Any, fields: dict[str, Any]) -> None:
    message = Message(role, content, **fields)
    assert estimate_tokens(message) == MessageCounter("estimate")(message)


def test_message_without_content_is_the_overhead() -> None:
    assert estimate_tokens(Message("user", None)) == 4


def test_tool_call_block_is_not_overlooked() -> None:
    block = {"type": "tool_use", "id": "t", "name": "search", "input": {"query": "x" * 4_000}}
    assert estimate_tokens(Message("assistant", [block])) > 800
