"""Values as earlier software wrote them: JSON, Python's own notation, texts that are no UTF-8, times of any form."""

from __future__ import annotations

import ast
import json
import math
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...errors import InvalidInputError, MemoryConfigurationError
from ...interfaces.timestamps import Timestamp
from ...repository.values import check_json

PLACES = uuid.UUID("5b0c6a0e-4f0b-5d0e-9d53-0d0f5f3a7c11")
"""Namespace of the ids given where a source has none: the same place gets the same id in every run."""

MAX_NOTATION = 1_000_000  # characters; Python's parser needs a hundred times the memory of the text
MILLISECONDS_FROM = 100_000_000_000  # numbers above are milliseconds: as seconds, they begin in the year 5138
_NUMBERS = {"nan": math.nan, "inf": math.inf}


@dataclass(frozen=True, slots=True)
class Times:
    """How times are read.

    Args:
        zone: What times without an offset are given in. None: the zone of this computer.
        default: The time of what has none and stands beside nothing that has one. Always the same, never the present:
            else a migration that is repeated would find other sessions than it made.
    """

    zone: tzinfo | None = UTC
    default: Timestamp = field(default_factory=lambda: Timestamp.of(datetime(1970, 1, 1, tzinfo=UTC)))


class Losses(Counter[str]):
    """By reason: how many records are not carried over exactly as they were."""

    def add(self, reason: str, count: int = 1) -> None:
        """Count records for a reason."""
        if count:
            self[reason] += count


class UnreadableError(ValueError):
    """A value is neither JSON nor Python's notation."""


def place_id(*place: object) -> str:
    """Return the id of a place in a source: the same for the same place, whenever it is read."""
    name = "\x00".join(str(part) for part in place)
    return str(uuid.uuid5(PLACES, name.encode("utf-8", "backslashreplace").decode()))


def decode_text(raw: bytes) -> str:
    """Return text whatever the bytes: what is no UTF-8 becomes lone surrogates, from which it can be had back."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape")


def plain(value: Any) -> Any:
    """Return any value of a driver's as JSON, to be kept as it was."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return decode_text(bytes(value))
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        check_json(value, "value")
    except InvalidInputError:
        return repr(value)
    return value


def parse_value(text: str) -> Any:
    """Return the JSON value of a text in JSON or in Python's notation (``str()`` of a dict). Runs no code.

    Raises:
        UnreadableError: Neither, or nested too deep to be stored.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _parse_notation(text)
    try:
        check_json(value, "value")
    except InvalidInputError as exc:
        raise UnreadableError("no JSON value") from exc
    return value


def _parse_notation(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[", "(")) or len(text) > MAX_NOTATION:
        raise UnreadableError("neither JSON nor Python's notation")
    try:
        tree = _Notation().visit(ast.parse(text.strip(), mode="eval"))
        return _as_json(ast.literal_eval(tree))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, OverflowError) as exc:
        raise UnreadableError("neither JSON nor Python's notation") from exc


class _Notation(ast.NodeTransformer):
    """Writes as constants what ``str()`` of a dict holds beside literals: nan, inf and datetimes."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NUMBERS[node.id]) if node.id in _NUMBERS else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = ast.unparse(node.func)
        if name not in ("datetime.datetime", "datetime"):
            return node
        zones = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "tzinfo"]
        numbers = [ast.literal_eval(argument) for argument in node.args]
        if len(node.keywords) != len(zones) or any(zone not in ("datetime.timezone.utc", "UTC") for zone in zones):
            return node
        return ast.Constant(datetime(*numbers).replace(tzinfo=UTC if zones else None).isoformat())


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _as_json(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(child) for child in value]
    if isinstance(value, set | frozenset):
        return sorted((_as_json(child) for child in value), key=repr)
    if isinstance(value, bytes):
        return decode_text(value)
    return value


def parse_time(value: Any, zone: tzinfo | None) -> tuple[Timestamp, bool]:
    """Return an instant, and whether it was naive.

    Args:
        value: ISO 8601 text, a datetime, or a number of seconds (or milliseconds) since 1970.
        zone: What a time without an offset is given in. None: the zone of this computer.

    Raises:
        InvalidInputError: None of these, or outside the years 1 to 9999.
    """
    if isinstance(value, bytes):
        value = decode_text(value)
    if isinstance(value, str):
        value = _from_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value / 1000 if abs(value) >= MILLISECONDS_FROM else value, UTC)
        except (ValueError, OverflowError, OSError) as exc:
            raise InvalidInputError("not an instant") from exc
    if not isinstance(value, datetime):
        raise InvalidInputError("not an instant")
    naive = value.tzinfo is None
    if naive and zone is not None:
        value = value.replace(tzinfo=zone)
    return Timestamp.of(value), naive


def _from_text(text: str) -> datetime | float:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError("not an ISO 8601 date and time") from None


def read_zone(option: str | tzinfo | None) -> tzinfo | None:
    """Return the zone that an option names: ``"utc"`` (and None), ``"local"`` (returned as None), or ``"Europe/Rome"``.

    Raises:
        MemoryConfigurationError: No such zone.
    """
    if isinstance(option, tzinfo):
        return option
    if option is None or str(option).lower() == "utc":
        return UTC
    if str(option).lower() == "local":
        return None
    try:
        return ZoneInfo(str(option))
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise MemoryConfigurationError(
            f"naive_timezone {option!r} is not known", suggestion="use 'utc', 'local' or a name such as 'Europe/Rome'"
        ) from exc


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return what a row has beside these columns, where it has a value."""
    return {name: value for name, value in row.items() if name not in names and value is not None}
