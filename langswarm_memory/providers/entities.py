"""Entities whose form can be proven offline: e-mail addresses, URLs, telephone numbers and dates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from .answers import EXACT, SPEAKERS, entity, mention
from .dates import find_dates, known
from .language import language, language_of
from .libraries import load

ENTITY_TYPES = ("email", "url", "phone", "date")
"""What can be found without a model. Persons, places, organisations and products cannot."""

READ = 20_000  # characters of one message that are searched; tool output can be endless
OWN_LANGUAGE = 200  # characters from which a message is long enough to tell its language from it alone

_EMAIL = re.compile(r"(?<![\w.+@-])[\w+-]+(?:\.[\w+-]+)*@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}(?![\w@])")
_URL = re.compile(r"\b(?:https?|ftp)://[^\s<>\"'`\\]+", re.IGNORECASE)
_ENDINGS = ".,;:!?*_~"
_BRACKETS = {")": "(", "]": "[", "}": "{"}


class Span(NamedTuple):
    """An entity where it is written: offsets into the text, and what :func:`~.answers.entity` takes."""

    start: int
    end: int
    kind: str
    value: str | None
    candidates: tuple[str, ...]
    method: str
    confidence: float
    unknown: tuple[str, ...]


def find_entities(messages: Sequence[Message], *, region: str | None, timezone: tzinfo) -> list[dict[str, Any]]:
    """Return the entities of a conversation in the order in which they first occur, each once with its mentions.

    Args:
        messages: The conversation; instructions are not searched, tool output for everything but dates.
        region: Country whose telephone numbers may stand without country code, as ISO 3166 code; None: none may.
        timezone: Where the users are: "tomorrow" is the day after the message's, there.
    """
    spoken = [message for message in messages if message.role in SPEAKERS]
    common = language(spoken)["value"] if spoken else None
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for message in messages:
        if message.role in SYSTEM_ROLES:
            continue
        text = message.text[:READ]
        spans = [*_urls(text), *_emails(text), *_phones(text, region)]
        if message.role in SPEAKERS:
            spans += _dates(message, text, common, timezone)
        for span in sorted(_apart(spans)):
            written = text[span.start : span.end]
            key = (span.kind, span.value if span.value is not None else f"{written}\n{span.candidates}")
            one = found.get(key)
            if one is None:
                one = found[key] = entity(
                    span.kind,
                    written,
                    span.value,
                    method=span.method,
                    confidence=span.confidence,
                    candidates=span.candidates,
                    unknown=span.unknown,
                )
            mention(one, message, span.start, span.end)
    return list(found.values())


def _apart(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans that lie in no span before them: an address inside a URL is part of the URL."""
    taken: list[Span] = []
    for span in spans:
        if not any(span.start < other.end and other.start < span.end for other in taken):
            taken.append(span)
            yield span


def _urls(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        url = match.group()
        while url and (url[-1] in _ENDINGS or url.count(url[-1]) > url.count(_BRACKETS.get(url[-1], url[-1]))):
            url = url[:-1]
        if not url.endswith("/") or url.count("/") > 2:
            yield Span(match.start(), match.start() + len(url), "url", url, (), "pattern", EXACT, ("exists",))


def _emails(text: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(text):
        local, _, domain = match.group().rpartition("@")
        value = f"{local}@{domain.lower()}"  # only the domain is the same in either case (RFC 5321, section 2.4)
        yield Span(match.start(), match.end(), "email", value, (), "pattern", EXACT, ("exists",))


def _phones(text: str, region: str | None) -> Iterator[Span]:
    phonenumbers = load("phonenumbers")
    e164 = phonenumbers.PhoneNumberFormat.E164
    for match in phonenumbers.PhoneNumberMatcher(text, region):
        value = phonenumbers.format_number(match.number, e164)
        yield Span(match.start, match.end, "phone", value, (), "phonenumbers", EXACT, ("exists",))


def _dates(message: Message, text: str, common: str | None, timezone: tzinfo) -> Iterator[Span]:
    spoken = (language_of(text)[0] if len(text) >= OWN_LANGUAGE else None) or common
    if spoken is None or not known(spoken):
        return
    local = message.timestamp.astimezone(timezone)
    said_at = datetime.combine(local.date(), local.time())  # a plain one: the library compares it with plain ones
    for date in find_dates(text, spoken, said_at):
        readings = date.readings
        yield Span(
            date.start,
            date.end,
            "date",
            readings[0] if len(readings) == 1 else None,
            readings if len(readings) > 1 else (),
            "dateparser, relative to the message" if date.relative else "dateparser",
            1 / len(readings),
            ("value",) if len(readings) > 1 else (),
        )
