"""SQL functions that read the same on both databases, for queries over the stored history.

calls = json_elements(MessageRow.tool_calls).table_valued("value", name="calls")
select(json_text(calls.c.value, "function", "name"), func.count()).select_from(MessageRow, calls)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Date, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import functions
from sqlalchemy.sql.compiler import SQLCompiler


class json_elements(functions.GenericFunction[Any]):
    """The elements of a JSON array column, one row each; use with ``.table_valued("value", name=...)``."""

    inherit_cache = True
    name = "json_elements"
    type = Text()


class json_text(functions.GenericFunction[str]):
    """The text at a path of object keys inside a JSON value: ``json_text(value, "function", "name")``; or NULL."""

    inherit_cache = True
    name = "json_text"
    type = Text()


class utc_day(functions.GenericFunction[Any]):
    """The calendar day of an instant, in UTC."""

    inherit_cache = True
    name = "utc_day"
    type = Date()


class utc_week(functions.GenericFunction[Any]):
    """The Monday of an instant's week, in UTC."""

    inherit_cache = True
    name = "utc_week"
    type = Date()


def _arguments(element: functions.FunctionElement[Any]) -> list[ColumnElement[Any]]:
    return list(element.clauses)


@compiles(json_elements, "sqlite")
def _json_elements_sqlite(element: json_elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(json_elements, "postgresql")
def _json_elements_postgresql(element: json_elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"jsonb_array_elements(({compiler.process(element.clauses, **kw)})::jsonb)"


@compiles(json_text, "sqlite")
def _json_text_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    value, *path = _arguments(element)
    steps = " || ".join(f"'.\"' || {compiler.process(step, **kw)} || '\"'" for step in path)
    return f"json_extract({compiler.process(value, **kw)}, '$' || {steps})"


@compiles(json_text, "postgresql")
def _json_text_postgresql(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    value, *path = _arguments(element)
    steps = ", ".join(compiler.process(step, **kw) for step in path)
    return f"(({compiler.process(value, **kw)})::jsonb #>> ARRAY[{steps}])"


@compiles(utc_day, "sqlite")
def _utc_day_sqlite(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)})"


@compiles(utc_day, "postgresql")
def _utc_day_postgresql(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(({compiler.process(element.clauses, **kw)}) AT TIME ZONE 'UTC')::date"


@compiles(utc_week, "sqlite")
def _utc_week_sqlite(element: utc_week, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)}, 'weekday 0', '-6 days')"


@compiles(utc_week, "postgresql")
def _utc_week_postgresql(element: utc_week, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date_trunc('week', ({compiler.process(element.clauses, **kw)}) AT TIME ZONE 'UTC')::date"
