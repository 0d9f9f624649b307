"""Results as a table for the eye, as Markdown for the documentation, as JSON for everything else."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Figure
from benchmarks.targets import TARGETS
from benchmarks.workloads import TITLES, Outcome

STORES = {
    "postgres": "PostgreSQL",
    "sqlite-normal": "SQLite, synchronous=NORMAL",
    "sqlite-full": "SQLite, synchronous=FULL",
    "redis": "Redis",
    "mongodb": "MongoDB",
}
START, END = "<!-- bench:start -->", "<!-- bench:end -->"
HEADING = ("workload", "driver µs", "package µs", "ratio", "lowest – highest", "best/best", "asked", "aim", "")
PAGE = """# Performance

Measured by `make bench`, on your machine as well; nothing on this page comes from anywhere else.

## Method

Each workload runs on two sides: the **raw driver**, called directly, and this **package** through its public
interface. Both store the same rows with the same keys on the same disk, and both are as durable: on either side an
acknowledged message has reached the disk, or on SQLite at `NORMAL` the operating system.

The two take turns, a block of operations each, and who begins changes from round to round. The **ratio** of a round is
the raw driver's time over the package's: 1 is as fast as the driver, 0.5 takes twice as long, 2 half as long. The
table shows the median of the rounds, the lowest and the highest, and the fastest block of one side over the fastest of
the other.

## Results

{start}
{end}
"""

READING = """*Asked* is the least ratio that the project holds itself to, *aim* what a prototype of the technique has
reached. *Best/best* is the raw driver's fastest block over the package's fastest: what is left when other work disturbs
neither.

The raw driver is handed finished rows. It checks nothing, counts no tokens, decodes nothing, pools nothing:

| | called | append | batch of 100 | reading | context of 4,000 tokens |
|---|---|---|---|---|---|
| SQLite | `sqlite3` on the thread of the event loop, which it blocks | `BEGIN IMMEDIATE`, `UPDATE … RETURNING`, \
`INSERT`, `COMMIT` | the same with `executemany` | `fetchall`, tuples | a cursor that stops where the budget is spent |
| PostgreSQL | asyncpg, a connection for each writer | one prepared statement in autocommit | one prepared statement \
over arrays | prepared statements, records | a flat 200 rows, cut in Python |
| Redis | redis-py, a pool | one script | one script | one command, or one pipeline; bytes | as on PostgreSQL |
| MongoDB | motor | `find_one_and_update`, `insert_many` | the same | `find`; dicts | as on PostgreSQL |

Messages read from a store decode a column when it is first looked at. Most callers look at role and text of every
message: the rows *role and text looked at* include that. *Raw driver on a thread* is the floor of whatever leaves the
event loop free. Messages are texts of 200 to 400 characters."""


def environment() -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "processors": str(os.cpu_count()),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "SQLite": sqlite3.sqlite_version,
    }


def fsync_us(folder: Path) -> float:
    """Return the median microseconds that bringing a page to the disk takes."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(2**16))
        times = []
        for _ in range(50):
            file.seek(0)
            file.write(os.urandom(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _verdict(contest: Contest) -> str:
    target = TARGETS.get((contest.workload, contest.store))
    if target is None:
        return ""
    if contest.ratio < target.least:
        return "MISSED"
    return "aim" if contest.ratio >= (target.ambitious or target.least) else "ok"


def _row(contest: Contest) -> tuple[str, ...]:
    target = TARGETS.get((contest.workload, contest.store))
    return (
        TITLES[contest.workload],
        f"{contest.floor_us:,.0f}",
        f"{contest.package_us:,.0f}",
        f"{contest.ratio:.2f}",
        f"{min(contest.ratios):.2f} – {max(contest.ratios):.2f}",
        f"{contest.best_ratio:.2f}",
        "" if target is None else f"{target.least:g}",
        "" if target is None or target.ambitious is None else f"{target.ambitious:g}",
        _verdict(contest),
    )


def _figure(figure: Figure) -> tuple[str, ...]:
    unit = f" {figure.unit}" if figure.unit else ""
    digits = 0 if figure.unit in ("ms", "MiB") and figure.value >= 20 else 2
    missed = figure.bound is not None and figure.value > figure.bound
    return (
        figure.title,
        STORES.get(figure.store, ""),
        f"{figure.value:,.{digits}f}{unit}",
        "" if figure.bound is None else f"{figure.bound:g}{unit}",
        figure.note,
        "" if figure.bound is None else "MISSED" if missed else "ok",
    )


LEFT = frozenset({0, 8})
FIGURE_HEADING = ("measure", "store", "value", "at most", "beside it", "")
FIGURE_LEFT = frozenset({0, 1, 4, 5})


def _by_store(outcomes: Sequence[Outcome]) -> Iterable[tuple[str, list[Contest]]]:
    for store in STORES:
        contests = [o for o in outcomes if isinstance(o, Contest) and o.store == store]
        if contests:
            yield store, contests


def _figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    return [o for o in outcomes if isinstance(o, Figure)]


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return tables of fixed width."""
    parts = [f"{STORES[store]}\n{_columns(HEADING, map(_row, contests))}" for store, contests in _by_store(outcomes)]
    figures = _figures(outcomes)
    if figures:
        parts.append(_columns(FIGURE_HEADING, map(_figure, figures), left=FIGURE_LEFT))
    return "\n\n".join(parts)


def _columns(heading: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int] = LEFT) -> str:
    table = [tuple(heading), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(outcomes: Sequence[Outcome], facts: dict[str, str]) -> str:
    """Return the tables for the documentation, and what they depend on."""
    parts = ["Measured with " + ", ".join(f"{name} {value}" for name, value in facts.items()) + "."]
    for store, contests in _by_store(outcomes):
        parts.append(f"### {STORES[store]}\n\n{_pipes(HEADING, map(_row, contests))}")
    figures = _figures(outcomes)
    if figures:
        parts.append(f"### Other figures\n\n{_pipes(FIGURE_HEADING, map(_figure, figures), left=FIGURE_LEFT)}")
    parts.append(f"### Reading the tables\n\n{READING}")
    return "\n\n".join(parts)


def _pipes(heading: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int] = LEFT) -> str:
    marks = ["---" if column in left else "--:" for column in range(len(heading))]
    lines = [heading, marks, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def as_json(outcomes: Sequence[Outcome], facts: dict[str, str]) -> str:
    """Return everything, each block's time included."""
    found: list[dict[str, Any]] = []
    for outcome in outcomes:
        values = dataclasses.asdict(outcome)
        if isinstance(outcome, Contest):
            target = TARGETS.get((outcome.workload, outcome.store))
            values |= {
                "ratio": outcome.ratio,
                "best_ratio": outcome.best_ratio,
                "floor_us": outcome.floor_us,
                "package_us": outcome.package_us,
                "package_cpu_us": outcome.package_cpu_us,
                "target": None if target is None else dataclasses.asdict(target),
            }
        found.append(values)
    return json.dumps({"environment": facts, "argv": sys.argv[1:], "outcomes": found}, indent=1)


def write_docs(page: Path, table: str) -> None:
    """Put the tables between the marks of a page; a page that is not there is made, one without marks gets them."""
    text = page.read_text(encoding="utf-8") if page.exists() else PAGE.format(start=START, end=END)
    if START not in text or END not in text:
        text = f"{text.rstrip()}\n\n## Results\n\n{START}\n{END}\n"
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", encoding="utf-8")
