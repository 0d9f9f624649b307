"""Words of a text, as searching sees them: letters and digits, case-folded; each CJK character is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Scripts written without spaces: Thai, Lao, Khmer, kana, Han. A dictionary would be needed to tell their words.
UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_RUN = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def tokenize(text: str) -> list[str]:
    """Return the words of a text in their order, case-folded; of scripts without spaces each character is one."""
    return _WORD.findall(text.casefold())


def query_words(text: str) -> list[str]:
    """Return the words of a query in their order, case-folded; what has no spaces stays together."""
    return _RUN.findall(text.casefold())


def spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text, as :func:`tokenize` tells them, with where they begin and end."""
    for found in _WORD.finditer(text):
        yield found[0].casefold(), found.start(), found.end()


def is_unspaced(text: str) -> bool:
    """Return whether a text has characters of scripts that are written without spaces."""
    return _UNSPACED.search(text) is not None


def grams(run: str, size: int = 2) -> list[str]:
    """Return the overlapping stretches of a run of characters, its stand-in for words; a shorter run is one."""
    return [run[place : place + size] for place in range(len(run) - size + 1)] or [run]


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    import snowballstemmer

    stem: Callable[[str], str] = snowballstemmer.stemmer("english").stemWord
    return lru_cache(maxsize=65_536)(stem)  # pure Python: 10 us a word, and texts repeat their words


def stem(word: str) -> str:
    """Return what the inflections of an English word have in common; other words as they are."""
    return _stemmer()(word) if word.isascii() else word


# The function words of English, as in the list that comes with the Snowball stemmers. They tell nothing about a text.
STOP_WORDS = frozenset(
    """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it
    its itself they them their theirs themselves what which who whom this that these those am is are was were be been
    being have has had having do does did doing would should could ought a an the and but if or because as until while
    of at by for with about against between into through during before after above below to from up down in out on off
    over under again further then once here there when where why how all any both each few more most other some such no
    nor not only own same so than too very can will just don s t re ve ll d m
    """.split()  # noqa: SIM905  # a list of them would be a page
)
