"""Conversations in a file: JSON or JSON lines, one record after the other, in flat memory.

A record is what the file holds about one conversation: a list of messages, or an object with ``messages``. Which of
these a file has, the reader finds out by itself:

* an array of records, or one array of messages, which is one record;
* a record per line (JSON lines), or one object over several lines;
* a message per line, which together are one record.

Only one record is held at a time, also of an array.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple, NoReturn, TextIO

from .errors import InvalidInputError

CHUNK = 1 << 16  # characters read at a time; doubled while one value goes on
LONGEST_TOKEN = 16  # an error so close to the end of what was read may be a word, number or escape that was cut off
LINES = (".jsonl", ".ndjson")

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The encodings that a file may begin with the mark of; without one it is UTF-8."""

_SPACE = re.compile(r"[ \t\n\r]*")


class Record(NamedTuple):
    """What a file holds about one conversation."""

    value: Any
    line: int
    """The line it begins in, from 1."""
    problem: str | None = None
    """Why this line is no JSON; the value is None then."""


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yield the records of a file.

    A line of JSON lines that is no JSON becomes a record with a problem, and reading goes on behind it.

    Raises:
        InvalidInputError: The file cannot be opened, is empty, is no text, or is no JSON and cannot be read on.
    """
    name = os.fspath(path)
    try:
        with _open(name) as file:
            scanner = _Scanner(file, name)
            first = scanner.peek()
            if first == "[":
                yield from _array(scanner)
            elif first == "{":
                yield from _objects(scanner)
            elif first:
                scanner.fail("it begins with neither '[' nor '{'")
            else:
                raise InvalidInputError(f"{name} is empty")
    except UnicodeError as exc:
        raise InvalidInputError(f"{name} is not UTF-8 text", suggestion="save it as UTF-8") from exc
    except OSError as exc:
        raise InvalidInputError(f"cannot read {name}: {exc.strerror or type(exc).__name__}") from exc


def is_message(value: object) -> bool:
    """Return whether a value is a message rather than a conversation."""
    return isinstance(value, dict) and "role" in value and "messages" not in value


def _open(name: str) -> TextIO:
    with open(name, "rb") as file:
        start = file.read(4)
    encoding = next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "utf-8")
    return open(name, encoding=encoding)


def _array(scanner: _Scanner) -> Iterator[Record]:
    begin = scanner.line
    scanner.step()
    count, messages = 0, list[Any]()
    if scanner.peek() == "]":
        scanner.step()
    else:
        for value, line in _elements(scanner):
            # The first element tells whether this array is a conversation or a list of them.
            if is_message(value) if count == 0 else messages:
                messages.append(value)
            else:
                yield Record(value, line)
            count += 1
    if messages:
        yield Record(messages, begin)
    if scanner.peek():
        if count and not messages:
            scanner.fail("there is more behind the end of the array")
        if not count:
            yield Record([], begin)
        yield from _lines(scanner)


def _elements(scanner: _Scanner) -> Iterator[tuple[Any, int]]:
    while True:
        scanner.peek()
        line = scanner.line
        yield scanner.value(), line
        follower = scanner.peek()
        if follower not in (",", "]"):
            scanner.fail("it ends in the middle of an array" if not follower else "',' or ']' is missing")
        scanner.step()
        if follower == "]":
            return


def _objects(scanner: _Scanner) -> Iterator[Record]:
    # JSON lines if the first line is a whole object: formatted JSON has its first line break inside.
    lines = scanner.name.lower().endswith(LINES) or _decode(scanner.look_at_line())[1] is None
    records = _lines(scanner) if lines else _values(scanner)
    first = next(records)
    if not is_message(first.value):
        yield first
        yield from records
        return
    messages = [first.value]
    for record in records:
        if record.problem is not None:  # the lines are one conversation: it cannot be read without this one
            raise InvalidInputError(f"{scanner.name} is not JSON: {record.problem} (line {record.line})")
        messages.append(record.value)
    yield Record(messages, first.line)


def _lines(scanner: _Scanner) -> Iterator[Record]:
    while scanner.peek():
        line = scanner.line
        value, problem = _decode(scanner.take_line())
        yield Record(value, line, problem)


def _values(scanner: _Scanner) -> Iterator[Record]:
    while scanner.peek():
        line = scanner.line
        yield Record(scanner.value(), line)


def _decode(text: str) -> tuple[Any, str | None]:
    """Return the value of a whole text, or what is wrong with it. No message quotes the text."""
    try:
        return json.loads(text), None
    except json.JSONDecodeError as exc:
        return None, f"{exc.msg} at column {exc.colno}"
    except (ValueError, RecursionError) as exc:
        return None, _limit(exc)


def _limit(error: ValueError | RecursionError) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else "an integer has too many digits"


class _Scanner:
    """A text file, value by value. Holds what was read and not yet used."""

    def __init__(self, file: TextIO, name: str) -> None:
        self.name = name
        self.line = 1
        self._file = file
        self._text = ""
        self._at = 0
        self._column = 1  # of the text at _at; the beginning of its line may be gone from _text
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Skip white space and return the next character; "" at the end of the file."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._advance(match.end() if match else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(CHUNK):
                return ""

    def step(self) -> None:
        """Use up one character."""
        self._advance(self._at + 1)

    def value(self) -> Any:
        """Use up one JSON value and return it."""
        size = CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as exc:
                place = exc.pos - self._at
                if not self._is_cut(exc.pos) or not self._read(size):
                    at = self._at + place  # reading has moved the text, also where nothing was left to read
                    if self._is_end(at):
                        self.fail("it ends in the middle of a value")
                    self.fail(exc.msg, at)
                size *= 2
            except (ValueError, RecursionError) as exc:
                self.fail(_limit(exc))
            else:
                if end == len(self._text) and self._text[-1] not in '}]"' and self._read(size):
                    continue  # a number may go on
                self._advance(end)
                return value

    def look_at_line(self) -> str:
        """Return the text up to the next line break, without using it up."""
        size = CHUNK
        found = self._text.find("\n", self._at)
        while found < 0:
            kept = len(self._text) - self._at
            if not self._read(size):
                found = len(self._text)
                break
            found = self._text.find("\n", kept)
            size *= 2
        return self._text[self._at : found]

    def take_line(self) -> str:
        """Use up the text up to the next line break and return it."""
        text = self.look_at_line()
        self._advance(self._at + len(text))
        return text

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        """Raise the error that names the file and the place."""
        at = self._at if at is None else at
        line = self.line + self._text.count("\n", self._at, at)
        last = self._text.rfind("\n", self._at, at)
        column = self._column + at - self._at if last < 0 else at - last
        raise InvalidInputError(f"{self.name} is not JSON: {problem} (line {line}, column {column})") from None

    def _is_cut(self, at: int) -> bool:
        """Return whether an error may come of text that was not read yet."""
        return at >= len(self._text) - LONGEST_TOKEN or self._is_end(at)

    def _is_end(self, at: int) -> bool:
        """Return whether an error comes of the text ending there, be it in a string that begins there."""
        if not self._text[at:].strip():
            return True
        if self._text[at] != '"':
            return False
        try:
            scanstring(self._text, at + 1)
        except json.JSONDecodeError as exc:
            return exc.pos == at  # no end of this string
        return False

    def _advance(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        last = self._text.rfind("\n", self._at, to)
        self._column = self._column + to - self._at if last < 0 else to - last
        self._at = to

    def _read(self, size: int) -> bool:
        read = self._file.read(size)
        self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)
