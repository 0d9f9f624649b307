"""Exact counts of a text: the published vocabularies of OpenAI's models, offline.

The vocabularies come inside the libraries of the extra ``tokens``; nothing is downloaded. A vocabulary is loaded when a
counter for it is first made, and then kept: some 0.1 s and 50 MB each.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import cast

from .._lazy import installed
from ..errors import MemoryConfigurationError, MissingDependencyError

TextCounter = Callable[[str], int]
"""Counts the tokens of a text."""

ENCODINGS = ("o200k_base", "cl100k_base")
"""The encodings that can be counted exactly."""

MODELS = {
    "gpt-5": "o200k_base",
    "gpt-4.5": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4o": "o200k_base",
    "chatgpt-4o": "o200k_base",
    "gpt-oss": "o200k_base",  # o200k_harmony: the same words, other special tokens
    "o1": "o200k_base",
    "o3": "o200k_base",
    "o4-mini": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-3.5": "cl100k_base",
    "gpt-35": "cl100k_base",  # as Azure spells it
    "text-embedding-3": "cl100k_base",
    "text-embedding-ada-002": "cl100k_base",
}
"""The encoding of each family of models, as tiktoken publishes it."""

DOTTED = frozenset({"gpt-5"})
"""Families whose point releases belong to them. ``gpt-4.1`` does not belong to ``gpt-4``: it has another encoding."""


def family(model: str, known: Iterable[str]) -> str | None:
    """Return the longest of the known families that a model's name belongs to; None: it belongs to none.

    A model of a family has its name, alone or before a dash: ``gpt-4o-mini-2024-07-18`` is of ``gpt-4o``, and
    ``gpt-4-0613`` of ``gpt-4``. A fine-tuned model (``ft:gpt-4o:…``) is of the family it was made from.
    """
    name = model.removeprefix("ft:").lower()
    for prefix in sorted(known, key=len, reverse=True):
        rest = name.removeprefix(prefix)
        if rest != name and (not rest or rest[0] in "-:" or (rest[0] == "." and prefix in DOTTED)):
            return prefix
    return None


def encoding_for_model(model: str) -> str:
    """Return the name of the encoding of an OpenAI model.

    Raises:
        MemoryConfigurationError: Nothing is published about a model of that name.
    """
    found = family(model, MODELS) if isinstance(model, str) else None
    if found is None:
        raise MemoryConfigurationError(
            f"no published encoding for the model {model!r}",
            suggestion=f"name the encoding as well: encoding={ENCODINGS[0]!r} or {ENCODINGS[1]!r}",
        )
    return MODELS[found]


@cache
def exact_counter(encoding: str) -> TextCounter:
    """Return a function that counts as tiktoken's ``len(encode_ordinary(text))`` does.

    Text that looks like a special token (``<|endoftext|>``) is text. A lone surrogate counts as U+FFFD. The time is
    linear in the length: 20 to 60 ms for a million characters of text, 1 to 2 s for a million times the same mark. The
    interpreter lock is held meanwhile, so a thread would not help.

    Raises:
        MemoryConfigurationError: There is no such encoding.
        MissingDependencyError: The extra ``tokens`` is not installed.
    """
    if encoding not in ENCODINGS:
        raise MemoryConfigurationError(
            f"no encoding {encoding!r}", suggestion="use 'estimate', " + " or ".join(map(repr, ENCODINGS))
        )
    for package, load in LIBRARIES.items():
        if installed(package):
            return _forgiving(load(encoding))
    raise MissingDependencyError("rs-bpe", extra="tokens")


def _rs_bpe(encoding: str) -> TextCounter:
    openai: ModuleType = importlib.import_module("rs_bpe.bpe").openai
    return cast(TextCounter, getattr(openai, encoding)().count)


def _bpe_openai(encoding: str) -> TextCounter:
    # The wrapper around these bindings refuses texts of a million characters or 200,000 tokens, and has no count().
    # The bindings carry a stub file that says what they offer.
    with warnings.catch_warnings():
        # Its import reads its data by a function that only Python 3.11 and 3.12 call deprecated.
        warnings.filterwarnings("ignore", "open_binary is deprecated", DeprecationWarning)
        bindings = importlib.import_module("bpe_openai._bindings")
    return cast(TextCounter, bindings.tokenizer_for_encoding(encoding).count)


LIBRARIES: dict[str, Callable[[str], TextCounter]] = {"rs_bpe": _rs_bpe, "bpe_openai": _bpe_openai}
"""Whichever is installed, by preference: the first loads faster and takes less memory, the second has wheels for every
Python. Both count the same."""


def _forgiving(count: TextCounter) -> TextCounter:
    """Make the counter take lone surrogates, which UTF-8 does not know and stored messages may hold."""

    def counter(text: str) -> int:
        try:
            return count(text)
        except UnicodeEncodeError:
            # As tiktoken does: pairs become the character they stand for, what is left over U+FFFD.
            return count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    return counter
