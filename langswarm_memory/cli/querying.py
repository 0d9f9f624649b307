"""``langswarm-memory query``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..backend import BaseMemoryBackend
from ..errors import UnsupportedOperationError
from ..relational import RelationalBackend
from .output import cell_text, console, json_value, print_json, print_table, safe
from .target import Target, json_option, target_options

Rows = list[dict[str, Any]]


def _parameters(_context: click.Context, _parameter: click.Parameter, given: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in given:
        name, mark, value = text.partition("=")
        if not mark or not name:
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE")
        values[name] = _value(value)
    return values


def _value(text: str) -> Any:
    """Return a JSON scalar as that, and any other text as itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, dict | list) else value


@click.command()
@click.argument("sql")
@click.option(
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parameters,
    help="Value of :NAME in the SQL. Numbers, true, false and null are such; write text that looks like one in quotes: "
    "--param 'id=\"42\"'.",
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, with a line of names.")
@target_options
@click.pass_obj
def query(target: Target, sql: str, params: dict[str, Any], as_json: bool, as_csv: bool) -> None:
    """Run SQL that reads, on the tables sessions, messages and summaries.

    \b
    langswarm-memory query "SELECT role, count(*) AS messages FROM messages GROUP BY role"
    langswarm-memory query "SELECT content FROM messages WHERE session_id = :id" --param id=order-4711

    The database refuses everything that would write.
    """  # noqa: D301 - click's mark for lines that it must not join
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")

    async def work(backend: BaseMemoryBackend) -> Rows:
        if not isinstance(backend, RelationalBackend):
            raise UnsupportedOperationError(backend.kind.value, "SQL")
        return await backend.query(sql, params or None)

    rows = target.run(work)
    if as_json:
        print_json(rows)
    elif as_csv:
        _print_csv(rows)
    elif rows:
        numeric = [name for name in rows[0] if all(_is_number(row[name]) for row in rows)]
        print_table(list(rows[0]), [list(row.values()) for row in rows], numeric=numeric)
        console().print(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}", style="dim")
    else:
        console().print("no rows", style="dim")


def _is_number(value: object) -> bool:
    return value is None or (hasattr(value, "__float__") and not isinstance(value, bool))


def _print_csv(rows: Rows) -> None:
    if not rows:
        return
    # Data for a file or a program is exact; on a terminal it must not drive it.
    shown = safe if sys.stdout.isatty() else str
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow([shown(name) for name in rows[0]])
    out.writerows([[shown(_csv_text(value)) for value in row.values()] for row in rows])


def _csv_text(value: object) -> str:
    return str(json_value(value)) if hasattr(value, "isoformat") else cell_text(value)
