"""Exact counts: those of tiktoken, by both libraries that carry its vocabularies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langswarm_memory import MemoryConfigurationError, MissingDependencyError
from langswarm_memory.tokens import ENCODINGS, count_text, encoding_for_model, openai_counter, vocabulary
from tests.tokens.texts import DATA, corpus, fingerprint, made_up, samples

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
COUNTERS = {
    f"{library}-{encoding}": (encoding, library)
    for library in vocabulary.LIBRARIES
    for encoding in vocabulary.ENCODINGS
}
Count = Callable[[str], int]


@cache
def only(library: str, encoding: str) -> Count:
    """Return the counter that is made where no other library is installed."""
    vocabulary.exact_counter.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "installed", lambda package: package == library)
        return vocabulary.exact_counter(encoding)


@pytest.fixture(autouse=True)
def forget_counters() -> Iterator[None]:
    yield
    vocabulary.exact_counter.cache_clear()


@pytest.fixture(params=COUNTERS)
def counted(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Count]:
    encoding, library = COUNTERS[request.param]
    return GOLDEN[encoding], only(library, encoding)


@pytest.mark.parametrize(("label", "text"), list(samples()), ids=[label for label, _ in samples()])
def test_sample_counts_as_in_tiktoken(counted: tuple[dict[str, Any], Count], label: str, text: str) -> None:
    golden, count = counted
    assert count(text) == golden["samples"][label]


def test_made_up_text_counts_as_in_tiktoken(counted: tuple[dict[str, Any], Count]) -> None:
    golden, count = counted
    assert fingerprint([count(text) for text in made_up(golden["made up"]["texts"])]) == golden["made up"]


@pytest.mark.skipif(not DATA.is_dir(), reason="the conversations are not beside the checkout: ../shared/data")
def test_corpus_counts_as_in_tiktoken(counted: tuple[dict[str, Any], Count]) -> None:
    golden, count = counted
    assert {kind: fingerprint([count(text) for text in texts]) for kind, texts in corpus().items()} == golden["corpus"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_libraries_agree_on_any_text(encoding: str) -> None:
    first, second = (only(library, encoding) for library in vocabulary.LIBRARIES)

    @given(st.text(alphabet=st.characters(exclude_categories=())))  # lone surrogates too
    def agree(text: str) -> None:
        assert first(text) == second(text)

    agree()


@pytest.mark.parametrize("text", ["a", " ", "漢", "\ud800"])
def test_long_text_is_counted(counted: tuple[dict[str, Any], Count], text: str) -> None:
    _, count = counted
    assert count(text * 1_000_001) > 1_000_001 // 200  # the longest token of these is 128 spaces


def test_fingerprint_tells_two_counts_apart() -> None:
    assert fingerprint([1, 2]) != fingerprint([2, 1])


# --- models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-5.2-pro", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("o4-mini-2025-04-16", "o200k_base"),
        ("ft:gpt-4o-2024-08-06:acme::a1b2", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_model_has_its_published_encoding(model: str, encoding: str) -> None:
    assert encoding_for_model(model) == encoding


@pytest.mark.parametrize("model", ["gpt-6", "gpt-4.9", "gpt-4ox", "o1x", "davinci", "", "claude-opus-4"])
def test_unknown_model_is_refused_with_the_way_out(model: str) -> None:
    with pytest.raises(MemoryConfigurationError, match="encoding='o200k_base'"):
        openai_counter(model)


def test_unknown_model_is_counted_with_a_given_encoding() -> None:
    assert openai_counter("gpt-9", encoding="cl100k_base").count_text("don't stop") == 3


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="no encoding 'p50k_base'"):
        openai_counter(encoding="p50k_base")


# --- the extra -----------------------------------------------------------------------------------------------------


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary.exact_counter.cache_clear()
    monkeypatch.setattr(vocabulary, "installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=r"langswarm-memory\[tokens\]") as caught:
        openai_counter()
    assert caught.value.extra == "tokens"


def test_estimate_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "installed", lambda package: False)
    assert count_text("no library", "estimate") > 0


def test_import_loads_no_vocabulary() -> None:
    program = (
        "import sys, langswarm_memory.tokens as t; t.count_text('x');"
        "sys.exit(any(name.split('.')[0] in ('rs_bpe', 'bpe_openai') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("library", vocabulary.LIBRARIES)
def test_library_loads_without_a_warning(library: str) -> None:
    program = (
        "from langswarm_memory.tokens import vocabulary as v;"
        f"v.installed = lambda package: package == {library!r};"
        "print(v.exact_counter('o200k_base')('hello world'))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2\n", "")
