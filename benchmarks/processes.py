"""What a process pays for the package: importing it, its first append, its memory. Each in a new interpreter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contest import Figure
from benchmarks.targets import FIRST_APPEND_MS, IMPORT_MS, RSS_MIB

ROOT = Path(__file__).resolve().parents[1]

NOTHING = "pass"
IMPORT = "import langswarm_memory"
SQLALCHEMY = "import sqlalchemy.orm, sqlalchemy.ext.asyncio, aiosqlite"
FIRST_APPEND = """
import time
start = time.perf_counter()
import asyncio, json, sys
from langswarm_memory import Message, create_memory_manager

async def main():
    async with create_memory_manager("sqlite", db_path=sys.argv[1]) as manager:
        session = await manager.get_or_create_session("first")
        await session.add_message(Message("user", "The first message."))
        return time.perf_counter() - start

elapsed = asyncio.run(main())
try:
    # Not getrusage: what it calls the peak includes that of the process this one was forked from.
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps([elapsed * 1e3, peak]))
"""


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Measure with so many interpreters of each kind, by turns; `folder` is for databases."""
    programs = {"nothing": NOTHING, "import": IMPORT, "sqlalchemy": SQLALCHEMY}
    spans: dict[str, list[float]] = {name: [] for name in programs}
    for name in programs:
        _run(programs[name])  # compiles what is not compiled yet
    for _ in range(rounds):
        for name, work in programs.items():
            start = time.perf_counter()
            _run(work)
            spans[name].append((time.perf_counter() - start) * 1e3)
    empty = statistics.median(spans["nothing"])
    more = statistics.median(a - b for a, b in zip(spans["import"], spans["nothing"], strict=True))
    alchemy = statistics.median(a - b for a, b in zip(spans["sqlalchemy"], spans["nothing"], strict=True))
    figures = [
        Figure(
            "process",
            "",
            "import langswarm_memory, more than an empty interpreter",
            more,
            "ms",
            IMPORT_MS,
            f"empty interpreter {empty:.0f} ms; importing SQLAlchemy and its driver {alchemy:.0f} ms",
        )
    ]
    for kind in ("new", "existing"):
        runs = []
        for number in range(rounds + 1):
            path = folder / ("existing.db" if kind == "existing" else f"new-{number}.db")
            runs.append(json.loads(_run(FIRST_APPEND, str(path))))
        elapsed = statistics.median(run[0] for run in runs[1:])
        peak = statistics.median(run[1] for run in runs[1:])
        bound = FIRST_APPEND_MS if kind == "existing" else None
        title = f"import to first durable append, {kind} SQLite database"
        figures.append(Figure("process", "sqlite-full", title, elapsed, "ms", bound))
        if kind == "existing":
            title = "peak memory of a process that appends once"
            figures.append(Figure("process", "sqlite-full", title, peak, "MiB", RSS_MIB))
    return figures


def _run(work: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", work, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout
