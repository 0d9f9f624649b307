"""Checks a model's JSON answer against what was asked for. Errors name the place, never the answer's words."""

from __future__ import annotations

import json
import re
from typing import Any

from .answers import part
from .errors import InvalidAnswerError

MAX_TEXT = 4_000  # characters of one text in an answer
MAX_ITEMS = 200  # items of one list in an answer

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Checked:
    """A JSON object of an answer, read key by key.

    Args:
        data: The object.
        provider: Named in errors.
        operation: Named in errors.
        place: Where in the answer it stands.

    Raises:
        InvalidAnswerError: It is no object; also by every method, for what is missing, of another type or out of range.
    """

    def __init__(self, data: Any, provider: str, operation: str, place: str = "") -> None:
        self._provider = provider
        self._operation = operation
        self._place = place
        if not isinstance(data, dict):
            raise self.wrong("", "is no JSON object")
        self._data = data

    @classmethod
    def parse(cls, text: str, provider: str, operation: str) -> Checked:
        """Return the object that a text is, alone or in one fenced block."""
        fenced = _FENCED.match(text)
        try:
            data = json.loads(fenced[1] if fenced else text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            # Not chained: the parser's error holds the whole text.
            raise InvalidAnswerError(provider, operation, "", "is no JSON") from None
        return cls(data, provider, operation)

    def wrong(self, key: str, issue: str) -> InvalidAnswerError:
        """Return the error for a key; an empty key means the object itself."""
        place = ".".join(name for name in (self._place, key) if name)
        return InvalidAnswerError(self._provider, self._operation, place, issue)

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self._data.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise self.wrong(key, f"is no text of 1 to {MAX_TEXT} characters")
        return value

    def text_or_none(self, key: str) -> str | None:
        """Return a text, or None where the model knows none."""
        return None if self._data.get(key) is None else self.text(key)

    def number(self, key: str, low: float, high: float) -> float:
        """Return a number in a range, both ends included."""
        value = self._data.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(key, f"is no number from {low:g} to {high:g}")
        return float(value)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of the texts given."""
        value = self._data.get(key)
        if value not in choices:
            raise self.wrong(key, "is none of " + ", ".join(choices))
        return str(value)

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        found = self._list(key)
        if not all(isinstance(value, str) and value.strip() and len(value) <= MAX_TEXT for value in found):
            raise self.wrong(key, f"is no list of texts of 1 to {MAX_TEXT} characters")
        return found

    def objects(self, key: str) -> list[Checked]:
        """Return a list of objects."""
        place = ".".join(name for name in (self._place, key) if name)
        return [
            Checked(value, self._provider, self._operation, f"{place}[{index}]")
            for index, value in enumerate(self._list(key))
        ]

    def part(self, key: str, kind: str, method: str, choices: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return a judgement: an object of ``value`` and ``confidence``. A null value is one that is not known.

        Args:
            key: Its name.
            kind: ``text``, ``texts``, ``polarity`` (a number from -1 to 1), ``bool`` or ``choice``.
            method: What made it.
            choices: The values of a choice.
        """
        place = ".".join(name for name in (self._place, key) if name)
        inner = Checked(self._data.get(key), self._provider, self._operation, place)
        if inner._data.get("value") is None:
            return part(None, None, None)
        return part(inner._value(kind, choices), method, inner.number("confidence", 0, 1))

    def _value(self, kind: str, choices: tuple[str, ...]) -> Any:
        if kind == "text":
            return self.text("value")
        if kind == "texts":
            return self.texts("value")
        if kind == "polarity":
            return self.number("value", -1, 1)
        if kind == "choice":
            return self.choice("value", choices)
        value = self._data["value"]
        if not isinstance(value, bool):
            raise self.wrong("value", "is neither true nor false")
        return value

    def _list(self, key: str) -> list[Any]:
        value = self._data.get(key)
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise self.wrong(key, f"is no list of at most {MAX_ITEMS} items")
        return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
