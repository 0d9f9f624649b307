"""SQL functions that read the same on both databases, for queries over the stored history.

calls = json_elements(MessageRow.tool_calls).table_valued("value", name="calls")
select(json_text(calls.c.value, "function", "name"), func.count()).select_from(MessageRow).join(calls, true())
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Date, Float, Text, bindparam, column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import functions
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import TableValuedAlias


class _Rows(functions.GenericFunction[Any]):
    """A function that gives rows."""

    _register = False
    inherit_cache = True
    type = Text()

    def table_valued(self, *names: Any, **options: Any) -> TableValuedAlias:
        """Return the rows as something to join: ``.join(rows, true())``; an empty or missing array gives none."""
        options.setdefault("joins_implicitly", True)  # its argument is a column of the other table
        columns = (column(name, Text()) if isinstance(name, str) else name for name in names)
        return super().table_valued(*columns, **options)


class json_elements(_Rows):
    """The elements of a JSON array column, one row each, for ``json_text``; use with ``.table_valued("value")``."""

    inherit_cache = True
    name = "json_elements"


class json_text_elements(_Rows):
    """The elements of a JSON array of text as plain text, one row each; use with ``.table_valued("value")``."""

    inherit_cache = True
    name = "json_text_elements"


class json_text(functions.GenericFunction[str]):
    """The text at a path of object keys inside a JSON value: ``json_text(value, "function", "name")``; or NULL.

    Numbers and booleans come as their JSON text. Keys without double quotes only.
    """

    inherit_cache = True
    name = "json_text"
    type = Text()

    def __init__(self, value: Any, *path: Any) -> None:
        if not path:
            raise TypeError("json_text() needs at least one key")
        # Keys become part of the text of the statement, quoted: PostgreSQL would take an expression with a parameter
        # in SELECT and the same one in GROUP BY for two different ones.
        steps = (
            bindparam(None, step, Text(), unique=True, literal_execute=True) if isinstance(step, str) else step
            for step in path
        )
        super().__init__(value, *steps)


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


class seconds_between(functions.GenericFunction[float]):
    """The seconds from one instant to another, to the microsecond: ``seconds_between(start, end)``."""

    inherit_cache = True
    name = "seconds_between"
    type = Float()


def _arguments(element: functions.FunctionElement[Any]) -> list[ColumnElement[Any]]:
    return list(element.clauses)


@compiles(json_elements, "sqlite")
@compiles(json_text_elements, "sqlite")
def _elements_sqlite(element: _Rows, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(json_elements, "postgresql")
def _json_elements_postgresql(element: json_elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"jsonb_array_elements(({compiler.process(element.clauses, **kw)})::jsonb)"


@compiles(json_text_elements, "postgresql")
def _json_text_elements_postgresql(element: json_text_elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"jsonb_array_elements_text(({compiler.process(element.clauses, **kw)})::jsonb)"


@compiles(json_text, "sqlite")
def _json_text_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    value, *path = _arguments(element)
    steps = " || ".join(f"'.\"' || {compiler.process(step, **kw)} || '\"'" for step in path)
    place = f"{compiler.process(value, **kw)}, '$' || {steps}"
    # json_extract gives 1 for true and numbers as numbers; PostgreSQL gives text.
    booleans = "WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
    return f"CASE json_type({place}) {booleans} ELSE CAST(json_extract({place}) AS TEXT) END"


@compiles(json_text, "postgresql")
def _json_text_postgresql(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    value, *path = _arguments(element)
    steps = ", ".join(compiler.process(step, **kw) for step in path)
    return f"(({compiler.process(value, **kw)})::jsonb #>> ARRAY[{steps}]::text[])"


# SQLite's own functions of time round to milliseconds, the last one of a day into the next day. Instants are stored as
# text of one width: "YYYY-MM-DD HH:MM:SS.ffffff", in UTC.


@compiles(utc_day, "sqlite")
def _utc_day_sqlite(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _utc_day_postgresql(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(({compiler.process(element.clauses, **kw)}) AT TIME ZONE 'UTC')::date"


@compiles(utc_week, "sqlite")
def _utc_week_sqlite(element: utc_week, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date(substr({compiler.process(element.clauses, **kw)}, 1, 10), 'weekday 0', '-6 days')"


@compiles(utc_week, "postgresql")
def _utc_week_postgresql(element: utc_week, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date_trunc('week', ({compiler.process(element.clauses, **kw)}) AT TIME ZONE 'UTC')::date"


@compiles(seconds_between, "sqlite")
def _seconds_between_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(instant, **kw) for instant in _arguments(element))
    whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
    return f"round({whole} + (substr({end}, 20) - substr({start}, 20)), 6)"


@compiles(seconds_between, "postgresql")
def _seconds_between_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(instant, **kw) for instant in _arguments(element))
    return f"EXTRACT(EPOCH FROM ({end}) - ({start}))::double precision"
