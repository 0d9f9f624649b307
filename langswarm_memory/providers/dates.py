"""Dates in a text, read relative to when it was said. What can be read in several ways gets no value."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from .libraries import load

ORDERS = ("MDY", "DMY")  # 05/06/2024 is one day in the United States and another in most of the world
SIDES = ("past", "future")  # "Friday" and "May 20" without a year are one day looking back and another looking ahead
SHIFT = timedelta(days=10)  # no multiple of a week: weekdays move otherwise than times of the day and days of a month
WEEKDAY_MOVES = frozenset({7, 14})  # days by which a weekday moves when what it is relative to moves by SHIFT
SHORT = 3  # "sat", "sun", "may", "now": words no longer than that are rather no dates

_WORD = re.compile(r"[^\W\d_]+")
_AMOUNT = re.compile(r"[$€£¥%]")
_CLOCK = re.compile(r"\d\s*[:h]\s*\d\d|\d\s*(?:[ap]\.?\s?m\b|uhr\b|h\b|o.clock)", re.IGNORECASE)
_AROUND = " ,.;:!?()[]*\"'"

_lock = threading.Lock()  # the search keeps state between calls


class Found(NamedTuple):
    """A date in a text.

    Args:
        start: Offset of the first character.
        end: Offset behind the last.
        readings: Every way to read it, in ISO 8601, earliest first: a date; with a time, and an offset, where they
            are said; ``2024-W20``, ``2024-05`` or ``2024`` where only a week, a month or a year is.
        relative: Whether it depends on the day on which it was said.
    """

    start: int
    end: int
    readings: tuple[str, ...]
    relative: bool


@cache
def known(language: str) -> bool:
    """Return whether dates of a language can be read."""
    return language in load("dateparser.data.languages_info").language_order


def find_dates(text: str, language: str, said_at: datetime) -> list[Found]:
    """Return the dates in a text.

    Times without a day, months and years by name or number without a day, and durations are no dates.

    Args:
        text: What was said.
        language: Its ISO 639 code, one that :func:`known` knows.
        said_at: When, as a local time without offset.
    """
    with _lock:
        # Each match with the text as it is written; None where there is none.
        matches = load("dateparser.search").search_dates(text, languages=[language])
        return list(_located(text, [written for written, _ in matches or ()], _Reader(language, said_at)))


def _located(text: str, written: list[str], reader: _Reader) -> Iterator[Found]:
    behind = 0
    for match in written:
        start = text.find(match, behind)
        if start < 0:  # the library normalises some scripts: what cannot be pointed at is not reported
            continue
        behind = start + len(match)
        # Some words the search takes along, its parser does not take: "am 05.06.2024".
        first, _, rest = match.partition(" ")
        readings = reader.readings(match)
        if not readings and len(first) <= SHORT and first.isalpha():
            readings = reader.readings(rest)
            match = rest if readings else match
        if readings:
            core = _core(match, readings, reader)
            at = text.index(core, start)
            yield Found(at, at + len(core), readings, reader.moves(core))


def _core(match: str, readings: tuple[str, ...], reader: _Reader) -> str:
    """Return a match without the words around it that its date does not depend on, such as "on" and "and"."""
    words = match.split(" ")
    for edge in (0, -1):
        while len(words) > 1:
            rest = words[1:] if edge == 0 else words[:-1]
            if reader.readings(" ".join(rest)) != readings:
                break
            words = rest
    return " ".join(words).strip(_AROUND)


class _Reader:
    """Reads dates relative to one instant; asks the library for each text once.

    Args:
        language: ISO 639 code.
        said_at: The instant, as a local time without offset.
    """

    def __init__(self, language: str, said_at: datetime) -> None:
        self._language = language
        self._said_at = said_at
        self._known: dict[str, tuple[str, ...]] = {}

    def readings(self, text: str) -> tuple[str, ...]:
        """Return every way to read a text as a date, in ISO 8601, earliest first."""
        if text not in self._known:
            self._known[text] = self._read_all(text) if self._may_be_date(text) else ()
        return self._known[text]

    def moves(self, text: str) -> bool:
        """Return whether a date moves along with the day on which it is said."""
        distances = self._distances(text)
        return bool(distances) and distances <= WEEKDAY_MOVES | {SHIFT.days}

    def _may_be_date(self, text: str) -> bool:
        """Return whether a text has a telling word, or digits in more than one place or beside a word."""
        if _AMOUNT.search(text):
            return False
        words = _WORD.findall(text)
        numbers = len(re.findall(r"\d+", text))
        if numbers:
            return numbers > 1 or bool(words)
        short = [word for word in words if len(word) <= SHORT and word.isascii()]
        # "after we": to the library "we" is Wednesday.
        return len(short) < len(words) and not any(self._is_weekday(word) for word in short)

    def _read_all(self, text: str) -> tuple[str, ...]:
        days = self._read(text, ["day", "month"])
        if not days and self._is_weekday(text):
            days = self._read(text, [])
        if len(days) > 1 and self._is_duration({day for day, _ in days}):
            return ()
        return tuple(sorted({_iso(day, period, _CLOCK.search(text) is not None) for day, period in days}))

    def _is_weekday(self, text: str) -> bool:
        return bool(distances := self._distances(text)) and distances <= WEEKDAY_MOVES

    def _distances(self, text: str) -> set[int]:
        """Return by how many days the readings move when what they are relative to moves by SHIFT."""
        before = sorted(day.date() for day, _ in self._read(text, []))
        after = sorted(day.date() for day, _ in self._read(text, [], SHIFT))
        if len(before) != len(after):
            return {0}
        return {(late - early).days for early, late in zip(before, after, strict=True)}

    def _is_duration(self, days: set[datetime]) -> bool:
        """Return whether it is as far back as ahead, or keeps the time of day ("24 hours", "5 years"): no date."""
        plain = [day.replace(tzinfo=None) for day in days]
        mirrored = self._said_at - min(plain) == max(plain) - self._said_at
        return mirrored or all(day.time() == self._said_at.time() for day in plain)

    def _read(self, text: str, required: list[str], shift: timedelta = timedelta()) -> set[tuple[datetime, str]]:
        """Return the instants that a text may mean, each with the period that is meant: day, week, month or year."""
        found: set[tuple[datetime, str]] = set()
        for side in SIDES:
            for order in ORDERS if self._language == "en" else (None,):  # others write days in one order
                settings = {
                    "RELATIVE_BASE": self._said_at + shift,
                    "REQUIRE_PARTS": required,
                    "PREFER_DATES_FROM": side,
                    **({} if order is None else {"DATE_ORDER": order}),
                }
                parser = load("dateparser.date").DateDataParser(languages=[self._language], settings=settings)
                data = parser.get_date_data(text)
                if data.date_obj is None:  # what it lacks, it lacks whichever way it is read
                    return found
                found.add((data.date_obj, data.period))
        return found


def _iso(day: datetime, period: str, clock: bool) -> str:
    """Return no more than was said: "next month" is a month, and "last night" has no time."""
    if period == "year":
        return f"{day.year:04}"
    if period == "month":
        return f"{day.year:04}-{day.month:02}"
    if period == "week":
        year, week, _ = day.isocalendar()
        return f"{year:04}-W{week:02}"
    return day.isoformat() if clock else day.date().isoformat()
