"""Digests: what a summarizer returns, and the built-in ones, which choose sentences and need no model."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from .._lazy import installed
from ..errors import MissingDependencyError
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message

MAX_SENTENCES = 6
MAX_TOPICS = 8
MAX_SENTENCE = 300  # characters kept of one sentence; tool output can be one endless "sentence"
MAX_RANKED = 400  # sentences that the ranking looks at: its time grows with the square of them


class Digest(NamedTuple):
    """What a summarizer returns."""

    text: str
    key_topics: list[str]


class Summarizer(Protocol):
    """Condenses a stretch of conversation: a function, or an async one.

    A plain function runs in a thread, so that it may block.
    """

    def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest | Awaitable[Digest]:
        """Return the digest of `messages`, which follow on what `previous` tells."""


_WORD = re.compile(r"[^\W\d_]{3,}")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_COMMON = """
a about after all also am an and any are as at be because been before being but by can could did do does doing
don for from further get got had has have having he her here hers him his how i if in into is it its just know
let like me more most my need no nor not now of off ok okay on once only or other our out over own please same
she should so some such sure than thank thanks that the their them then there these they this those through to
too under until up us use very want was we well were what when where which while who why will with would yes
you your
"""
_STOPWORDS = frozenset(_COMMON.split())


class _Sentences:
    """The sentences of users and assistants, and the lines of the summary before, with the words that tell."""

    def __init__(self, previous: str | None, messages: Sequence[Message]) -> None:
        self.said: list[tuple[str | None, str]] = [
            (None, line) for line in (previous or "").splitlines() if line.strip()
        ]
        for message in messages:
            if message.role in (MessageRole.USER, MessageRole.ASSISTANT):
                parts = (part.strip()[:MAX_SENTENCE] for part in _SENTENCE.split(message.text))
                self.said += [(message.role, part) for part in parts if part]
        self.words = [
            [word for word in map(str.lower, _WORD.findall(text)) if word not in _STOPWORDS] for _, text in self.said
        ]
        self.frequency = Counter(word for found in self.words for word in dict.fromkeys(found))

    def densest(self, count: int) -> list[int]:
        """Return which sentences hold the conversation's own words most densely, in their order."""
        scores = [
            (sum(self.frequency[word] for word in dict.fromkeys(found)) / (len(found) + 4), -index)
            for index, found in enumerate(self.words)
        ]
        return sorted(sorted(range(len(self.said)), key=lambda index: scores[index], reverse=True)[:count])

    def digest(self, chosen: Sequence[int]) -> Digest:
        """Return the chosen sentences, each with who said it, and the words that most sentences hold."""
        lines = []
        for index in chosen:
            role, text = self.said[index]
            lines.append(text if role is None else f"{getattr(role, 'value', role).capitalize()}: {text}")
        return Digest("\n".join(lines), [word for word, _ in self.frequency.most_common(MAX_TOPICS)])


def extractive_digest(previous: str | None, messages: Sequence[Message]) -> Digest:
    """Pick the sentences that hold the conversation's own words most densely, in their order, and name those words.

    Sentences of users and assistants only. Needs no model and no network; a few milliseconds per hundred messages.
    """
    sentences = _Sentences(previous, messages)
    return sentences.digest(sentences.densest(MAX_SENTENCES))


class RankedSummarizer:
    """Picks sentences by latent semantic analysis (``sumy``), so that each tells of another topic.

    Needs the extra ``summaries``, no model and no network: sentences and words are found here, not with the data that
    ``nltk`` downloads. Where a stretch is too short for the analysis, it chooses as :func:`extractive_digest` does.

    Args:
        language: Whose word endings are cut off; one that sumy has a stemmer for.
        sentences: How many sentences a summary has.

    Raises:
        MissingDependencyError: The extra is not installed.
    """

    def __init__(self, language: str = "english", *, sentences: int = MAX_SENTENCES) -> None:
        for package in ("sumy", "numpy"):
            if not installed(package):
                raise MissingDependencyError(package, extra="summaries")
        self._language = language
        self._count = sentences

    def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        """Return the digest.

        Raises:
            LookupError: sumy knows no such language.
        """
        # Here and not above: the import takes most of a second.
        from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
        from sumy.nlp.stemmers import Stemmer
        from sumy.summarizers.lsa import LsaSummarizer

        stem = Stemmer(self._language)
        sentences = _Sentences(previous, messages)
        looked_at = sentences.densest(MAX_RANKED)
        stems = [[stem(word) for word in sentences.words[index]] for index in looked_at]
        if len(looked_at) <= self._count or len({stem for found in stems for stem in found}) < len(looked_at):
            return sentences.digest(sentences.densest(self._count))
        # The text of a sentence is its number: sumy takes two sentences of equal text for one.
        numbered = [Sentence(str(index), _Words(found)) for index, found in zip(looked_at, stems, strict=True)]
        ranked = LsaSummarizer()(ObjectDocumentModel([Paragraph(numbered)]), self._count)
        return sentences.digest(sorted(int(str(sentence)) for sentence in ranked))


class _Words:
    """What sumy takes for a tokenizer: the words of one sentence, found already."""

    def __init__(self, words: list[str]) -> None:
        self._words = tuple(words)

    def to_words(self, _text: str) -> tuple[str, ...]:
        return self._words


@functools.cache
def _best() -> Callable[[str | None, Sequence[Message]], Digest]:
    return RankedSummarizer() if installed("sumy") and installed("numpy") else extractive_digest


def default_digest(previous: str | None, messages: Sequence[Message]) -> Digest:
    """Digest as :class:`RankedSummarizer` where its extra is installed, else as :func:`extractive_digest`."""
    return _best()(previous, messages)
