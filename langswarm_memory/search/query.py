"""The query language: words, "phrases", -not, prefix*."""

from __future__ import annotations

import re

from ..errors import InvalidInputError
from ..repository.text_search import TextQuery, Word, WordPhrase
from .words import STOP_WORDS, query_words

MAX_QUERY_LENGTH = 10_000  # characters
MAX_QUERY_WORDS = 60
"""Words of a query that are looked for. SQLite gives each a bit of an integer."""

_PART = re.compile(
    r"""(?P<minus>(?<!\S)-)?            # - directly in front, at the beginning of a word
        (?: "(?P<phrase>[^"]*)" | (?P<word>[^\s"]+) )""",
    re.VERBOSE,
)
_SUGGESTION = 'a query is words, "phrases", -excluded words and prefixes*'


def parse(text: str) -> TextQuery:
    """Return what a query looks for.

    Words match in any case and inflection, and any of them suffices; the more, the better. A phrase in double quotes
    must be there. What follows a minus must not. A word with an asterisk behind it stands for all that begin so. Other
    punctuation parts words. Function words (the, of, what) are left out where there are others.

    Args:
        text: What a person typed, or a question as it is.

    Raises:
        InvalidInputError: There is nothing to look for, or too much: 10,000 characters, 60 words.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"a query is text, got {type(text).__name__}", suggestion=_SUGGESTION)
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidInputError(f"a query has at most {MAX_QUERY_LENGTH} characters")
    words: dict[Word, None] = {}
    phrases: dict[WordPhrase, None] = {}
    excluded: dict[WordPhrase, None] = {}
    for part in _PART.finditer(text):
        quoted = part["phrase"] is not None
        found = _words(part["phrase"] if quoted else part["word"])
        if not found:
            continue
        if part["minus"]:
            excluded[found] = None
        elif quoted:
            phrases[found] = None
        else:
            words |= dict.fromkeys(found)
    if not words and not phrases:
        raise InvalidInputError("a search needs at least one word to look for", suggestion=_SUGGESTION)
    telling = [word for word in words if word.prefix or word.text not in STOP_WORDS]
    query = TextQuery(
        words=tuple(telling or (() if phrases else words)), phrases=tuple(phrases), excluded=tuple(excluded)
    )
    if len(query.words) + sum(map(len, (*query.phrases, *query.excluded))) > MAX_QUERY_WORDS:
        raise InvalidInputError(f"a query has at most {MAX_QUERY_WORDS} words")
    return query


def _words(text: str) -> WordPhrase:
    prefix = text.endswith("*")
    found = query_words(text)
    return tuple(Word(word, prefix and place == len(found)) for place, word in enumerate(found, 1))
