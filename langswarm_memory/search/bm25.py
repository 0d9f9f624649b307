"""Ranking by BM25 in this process: an index of texts, for stores that have none of their own.

Source of the formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; the
inverse document frequency is that of Lucene, which is never negative, among the texts that hold any of the words. The
constants are those of Anserini (Yang, Fang and Lin, 2017).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from ..repository.text_search import TextQuery, Word, WordPhrase
from .words import grams, is_unspaced, query_words, stem, tokenize

K = TypeVar("K", bound=Hashable)

K1 = 0.9
B = 0.4


def terms(text: str) -> list[str]:
    """Return what a text is found by: stems of words, single characters and pairs where there are no spaces."""
    found: list[str] = []
    for run in query_words(text):
        if is_unspaced(run):
            found += run
            found += grams(run) if len(run) > 1 else ()
        else:
            found.append(stem(run))
    return found


def matches(query: TextQuery, text: str) -> bool:
    """Return whether a text has what a query asks for; see ``TextQuery``."""
    words = tokenize(text)
    stems = [stem(word) for word in words]
    if any(_holds(words, stems, phrase) for phrase in query.excluded):
        return False
    if query.phrases:
        return all(_holds(words, stems, phrase) for phrase in query.phrases)
    return any(_holds(words, stems, (Word(one, word.prefix),)) for word in query.words for one in _alone(word))


def _alone(word: Word) -> list[str]:
    return grams(word.text) if is_unspaced(word.text) else [word.text]


def _holds(words: list[str], stems: list[str], phrase: WordPhrase) -> bool:
    wanted: list[Word] = []
    for word in phrase:
        parts = list(word.text) if is_unspaced(word.text) else [word.text]
        wanted += [Word(part, word.prefix and place == len(parts)) for place, part in enumerate(parts, 1)]
    stemmed = [stem(word.text) for word in wanted]
    for start in range(len(words) - len(wanted) + 1):
        for place, word in enumerate(wanted, start):
            if stems[place] != stemmed[place - start] and not (word.prefix and words[place].startswith(word.text)):
                break
        else:
            return True
    return False


class TextIndex(Generic[K]):
    """An inverted index of texts under keys.

    Adding costs some 0.1 ms per 100 words. A search costs the texts that hold one of its words.
    """

    def __init__(self) -> None:
        self._postings: dict[str, dict[K, int]] = {}
        self._lengths: dict[K, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __contains__(self, key: object) -> bool:
        return key in self._lengths

    def add(self, key: K, text: str) -> None:
        """Add a text under a key that has none."""
        found = Counter(terms(text))
        for term, count in found.items():
            self._postings.setdefault(term, {})[key] = count
        self._lengths[key] = length = found.total()
        self._total += length

    def discard(self, key: K, text: str) -> None:
        """Remove the text that was added under a key, if it was."""
        length = self._lengths.pop(key, None)
        if length is None:
            return
        self._total -= length
        for term in set(terms(text)):
            postings = self._postings[term]
            del postings[key]
            if not postings:
                del self._postings[term]

    def search(self, query: TextQuery, text_of: Callable[[K], str]) -> list[tuple[float, K]]:
        """Return all keys whose texts match, with scores above 0, in no order.

        Args:
            query: What to look for.
            text_of: Returns the text of a key; called for candidates that must be looked at.
        """
        scores: dict[K, float] = {}
        mean = self._total / len(self._lengths) if self._lengths else 1.0
        found = [postings for term in sorted(self._wanted(query)) if (postings := self._postings.get(term))]
        total = len(set().union(*found))
        for postings in found:
            idf = math.log(1 + (total - len(postings) + 0.5) / (len(postings) + 0.5))
            for key, count in postings.items():
                norm = K1 * (1 - B + B * self._lengths[key] / mean)
                scores[key] = scores.get(key, 0.0) + idf * count * (K1 + 1) / (count + norm)
        simple = not query.phrases and not query.excluded and not any(word.prefix for word in query.words)
        return [(score, key) for key, score in scores.items() if simple or matches(query, text_of(key))]

    def _wanted(self, query: TextQuery) -> set[str]:
        wanted: set[str] = set()
        for word in (*query.words, *(word for phrase in query.phrases for word in phrase)):
            if is_unspaced(word.text):
                wanted.update(grams(word.text))
            elif not word.prefix:
                wanted.add(stem(word.text))
            else:
                # Stems may be shorter than what the words of a text begin with.
                wanted |= {
                    term
                    for term in self._postings
                    if term.startswith(word.text) or (len(term) > 2 and word.text.startswith(term))
                }
        return wanted


def rank(query: TextQuery, documents: Iterable[tuple[K, str]]) -> list[tuple[float, K]]:
    """Return the keys of the texts that match, with scores above 0, in no order.

    Rarity is that among the texts given. Cost: every text is read.
    """
    texts = dict(documents)
    index: TextIndex[K] = TextIndex()
    for key, text in texts.items():
        index.add(key, text)
    return index.search(query, texts.__getitem__)
