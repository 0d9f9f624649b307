"""Texts in the form that models take, and in the portions that they take at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..errors import InvalidInputError


def readable(texts: Sequence[str]) -> list[str]:
    """Return texts that every model accepts.

    Half a surrogate pair cannot be sent and becomes U+FFFD; an empty text, which models refuse, becomes a blank.

    Raises:
        InvalidInputError: Not a sequence of texts.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidInputError("texts to embed are a list of str")
    return [_whole(text) or " " for text in texts]


def _whole(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def portions(sizes: Sequence[int], *, number: int, total: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `number` items and a sum of at most `total`; a larger item stands alone."""
    start = taken = 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == number or taken + size > total):
            yield slice(start, index)
            start, taken = index, 0
        taken += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def cut(text: str, limit: int, count: Callable[[str], int]) -> str:
    """Return the beginning of a text that takes at most `limit` tokens.

    A token is at least one byte, so that most texts need not be counted.
    """
    if len(text) <= limit and len(text.encode()) <= limit:
        return text
    while (tokens := count(text)) > limit:
        # In proportion, and a little less: what is left may be denser than what was taken away.
        text = text[: min(len(text) - 1, len(text) * limit * 95 // (tokens * 100))]
    return text
