"""Where in a text the words of a query stand: a snippet around them, and their places in it."""

from __future__ import annotations

from typing import NamedTuple

from ..repository.text_search import TextQuery
from .words import is_unspaced, spans, stem

SNIPPET_LENGTH = 240  # characters; a line or three on a screen
ELLIPSIS = "…"


class Highlight(NamedTuple):
    """A piece of a text, and what in it was looked for."""

    text: str
    """The piece, with an ellipsis where the text goes on."""
    spans: tuple[tuple[int, int], ...]
    """Begin (inclusive) and end (exclusive) of each match in ``text``, in characters."""

    def marked(self, before: str = "**", after: str = "**") -> str:
        """Return the piece with marks around each match."""
        parts, last = [], 0
        for start, end in self.spans:
            parts += [self.text[last:start], before, self.text[start:end], after]
            last = end
        return "".join([*parts, self.text[last:]])


def highlight(query: TextQuery, text: str, length: int = SNIPPET_LENGTH) -> Highlight:
    """Return the piece of a text that has the most of a query.

    Args:
        query: What was looked for.
        text: The text.
        length: Characters of the piece, at most; the ellipses come on top.
    """
    found = _found(query, text)
    start, end = _window(text, found, length)
    begin, finish = ELLIPSIS if start > 0 else "", ELLIPSIS if end < len(text) else ""
    moved = len(begin) - start
    inside = tuple((low + moved, high + moved) for low, high in found if start <= low and high <= end)
    return Highlight(begin + text[start:end] + finish, inside)


def _found(query: TextQuery, text: str) -> list[tuple[int, int]]:
    words = [*query.words, *(word for phrase in query.phrases for word in phrase)]
    stems = {stem(word.text) for word in words if not is_unspaced(word.text)}
    characters = {character for word in words if is_unspaced(word.text) for character in word.text}
    prefixes = tuple(word.text for word in words if word.prefix)
    merged: list[tuple[int, int]] = []
    for word, start, end in spans(text):
        if word in characters and merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        elif word in characters or stem(word) in stems or (prefixes and word.startswith(prefixes)):
            merged.append((start, end))
    return merged


def _window(text: str, found: list[tuple[int, int]], length: int) -> tuple[int, int]:
    if len(text) <= length or not found:
        return 0, min(len(text), length)
    best, first = (0, 0), 0
    for last, (_, end) in enumerate(found):  # the stretch that holds the most matches
        while end - found[first][0] > length and first < last:
            first += 1
        if last - first + 1 > best[1] - best[0]:
            best = (first, last + 1)
    low, high = found[best[0]][0], found[best[1] - 1][1]
    start = max(0, min(low - (length - (high - low)) // 2, len(text) - length))
    end = start + length
    # Words are not cut in two where that can be helped.
    if start > 0 and (space := text.find(" ", start, low)) >= 0:
        start = space + 1
    if end < len(text) and (space := text.rfind(" ", high, end)) >= 0:
        end = space
    return start, max(end, min(high, start + length))
