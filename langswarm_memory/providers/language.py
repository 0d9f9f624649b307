"""The language of a text and the mood of English words, both offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from .answers import NOT_KNOWN, part
from .libraries import language_identifier, load

SURE = 0.5
"""Probability from which a language is named: under it another is as likely."""

READ = 4_000  # characters read for the language; more change nothing
NO_LANGUAGE = "zxx"
"""ISO 639 code for "no linguistic content", which the identifier gives to numbers and codes."""


def language_of(text: str) -> tuple[str | None, float]:
    """Return the ISO 639 code of a text's language and its probability; None: it cannot be told."""
    # A lone surrogate cannot be encoded, and the identifier reads UTF-8.
    code, probability = language_identifier().classify(text[:READ].encode("utf-8", "replace").decode())
    return (code if probability >= SURE and code != NO_LANGUAGE else None), min(1.0, float(probability))


def language(messages: Sequence[Message]) -> dict[str, Any]:
    """Return the language that most is said in, users first: an assistant answers in theirs."""
    said = [message.text for message in messages if message.role == MessageRole.USER and message.text.strip()]
    said = said or [message.text for message in messages if message.text.strip()]
    if not said:
        return dict(NOT_KNOWN)
    code, probability = language_of("\n".join(said))
    return part(code, "py3langid", probability if code else None)


def sentiment(messages: Sequence[Message]) -> dict[str, Any]:
    """Return the mean polarity of the users' messages, from -1 to 1, and of how many it is.

    A message without one word that the lexicon rates says nothing, and is left out rather than called neutral.
    English only. The confidence is the share of the users' messages that say something.
    """
    blob = load("textblob").TextBlob
    said = [message.text for message in messages if message.role == MessageRole.USER and message.text.strip()]
    rated = [found.polarity for text in said if (found := blob(text).sentiment_assessments).assessments]
    if not rated:
        return {**NOT_KNOWN, "rated_messages": 0, "user_messages": len(said)}
    value = max(-1.0, min(1.0, sum(rated) / len(rated)))
    found = part(round(value, 4), "textblob", len(rated) / len(said))
    return {**found, "rated_messages": len(rated), "user_messages": len(said)}
