"""Values on their way into a statement: never as text of it. No parameter has the name of a reserved word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter, StructQueryParameter

Parameter = ScalarQueryParameter | ArrayQueryParameter


def text(name: str, value: str | None) -> Parameter:
    """Return a parameter of text."""
    return ScalarQueryParameter(name, "STRING", value)


def number(name: str, value: int | None) -> Parameter:
    """Return a parameter of a whole number."""
    return ScalarQueryParameter(name, "INT64", value)


def instant(name: str, value: datetime | None) -> Parameter:
    """Return a parameter of an instant."""
    return ScalarQueryParameter(name, "TIMESTAMP", value)


def texts(name: str, values: Sequence[str]) -> Parameter:
    """Return a parameter of several texts, or none."""
    return ArrayQueryParameter(name, "STRING", list(values))


def numbers(name: str, values: Sequence[int]) -> Parameter:
    """Return a parameter of several whole numbers, or none."""
    return ArrayQueryParameter(name, "INT64", list(values))


def values(columns: Mapping[str, str], row: Mapping[str, Any]) -> list[Parameter]:
    """Return a parameter for each value of a row, named as its column."""
    return [ScalarQueryParameter(name, columns[name], value) for name, value in row.items()]


def rows(name: str, columns: Mapping[str, str], given: Sequence[Mapping[str, Any]]) -> Parameter:
    """Return a parameter of rows, at least one."""
    return ArrayQueryParameter(name, "STRUCT", [StructQueryParameter(None, *values(columns, row)) for row in given])
