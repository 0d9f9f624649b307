"""docs/data-model.md names every column and index of the models, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Column, Index, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from langswarm_memory.interfaces.enums import SessionStatus, SummaryType
from langswarm_memory.models import Base
from langswarm_memory.repository.sql.models import FILLFACTOR
from tests.docs import pages

PAGE = "docs/data-model.md"
TABLES: dict[str, Table] = dict(Base.metadata.tables)
NEVER = "–"


def rows_under(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its head."""
    section = pages.read(PAGE).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip().strip("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def documented(table: str) -> dict[str, list[str]]:
    return {name.strip("` "): cells for name, *cells in rows_under(table)}


def columns() -> list[Any]:
    return [pytest.param(column, id=str(column)) for table in TABLES.values() for column in table.columns]


def type_of(column: Column[Any], dialect: Dialect) -> str:
    return str(column.type.compile(dialect)).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")


def test_page_has_a_section_for_every_table() -> None:
    headings = re.findall(r"^## (.+)$", pages.read(PAGE), re.MULTILINE)
    assert headings == [*TABLES, "Verbatim", "Indexes"]


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_those_of_the_model_in_their_order(table: str) -> None:
    assert list(documented(table)) == [column.name for column in TABLES[table].columns]


@pytest.mark.parametrize("column", columns())
def test_column_has_the_types_of_the_model(column: Column[Any]) -> None:
    on_sqlite, on_postgres, *_ = documented(column.table.name)[column.name]
    dialects: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())
    assert [on_sqlite, on_postgres] == [f"`{type_of(column, dialect)}`" for dialect in dialects]


@pytest.mark.parametrize("column", columns())
def test_column_says_what_null_means_where_it_can_be(column: Column[Any]) -> None:
    _, _, meaning, null = documented(column.table.name)[column.name]
    assert meaning
    assert (null == NEVER) == (not column.nullable)
    assert null


@pytest.mark.parametrize("column", columns())
def test_column_says_its_default(column: Column[Any]) -> None:
    meaning = documented(column.table.name)[column.name][2]
    default: Any = column.server_default
    assert re.findall(r"default (\w+)", meaning) == ([] if default is None else [default.arg.text])


def documented_indexes() -> dict[str, tuple[str, bool, str]]:
    """Return name → (table and columns, unique, condition)."""
    found = {}
    for name, place, unique, condition, serves in rows_under("Indexes"):
        assert serves, name
        found[name.strip("` ")] = (place.strip("`"), unique == "yes", condition.strip("`"))
    return found


def indexes_of_the_models() -> dict[str, tuple[str, bool, str]]:
    found: dict[str, tuple[str, bool, str]] = {}
    for table in TABLES.values():
        key = [column.name for column in table.primary_key.columns]
        found[str(table.primary_key.name)] = (f"{table.name} ({', '.join(key)})", True, "")
        for index in table.indexes:
            names = ", ".join(column.name for column in index.columns)
            found[str(index.name)] = (f"{table.name} ({names})", bool(index.unique), condition_of(index))
    return found


def condition_of(index: Index) -> str:
    conditions = {str(index.dialect_options[name].get("where")) for name in ("sqlite", "postgresql")}
    (condition,) = conditions
    return "" if condition == "None" else condition


def test_indexes_are_those_of_the_models() -> None:
    assert documented_indexes() == indexes_of_the_models()


def test_fill_factor_is_that_of_the_model() -> None:
    (percent,) = re.findall(r"filled to (\d+) percent", pages.read(PAGE))
    assert f"fillfactor = {percent}" in FILLFACTOR


def test_statuses_are_those_of_the_package() -> None:
    meaning = documented("sessions")["status"][2].partition(";")[0]
    assert re.findall(r"`(\w+)`", meaning) == [status.value for status in SessionStatus]


def test_summary_types_are_those_of_the_package() -> None:
    assert re.findall(r"`(\w+)`", documented("summaries")["summary_type"][2]) == [kind.value for kind in SummaryType]
