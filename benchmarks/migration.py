"""``python -m benchmarks.migration``: moving messages between SQLite and PostgreSQL, against a raw bulk copy.

The raw side reads whole tables with the driver and writes them with COPY, or with one ``executemany`` in one
transaction: nothing checked, decoded or compared, no summaries, nothing that could be resumed. Both sides write into
new databases with the package's tables and indexes, by turns. Then processes of their own move a fifth of the messages
and all of them: their peaks of memory must be alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import stores
from benchmarks.data import START, Writer
from langswarm_memory import Message, PostgresBackend, SessionMetadata, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.migration.transfer import transfer
from langswarm_memory.repository.sql.models import MessageRow, SessionRow
from tests.services.postgres import PostgresService

ROOT = Path(__file__).resolve().parents[1]
TARGET_RATIO = 0.4
TABLES = (SessionRow.__table__, MessageRow.__table__)
CHUNK = 2_000  # rows that the raw side holds at a time
TIMES = {"created_at", "updated_at", "expires_at", "timestamp"}
PEAK = """
import asyncio, json, sys
from langswarm_memory import create_memory_backend
from langswarm_memory.migration.transfer import transfer

async def main():
    async with create_memory_backend(sys.argv[1]) as source, create_memory_backend(sys.argv[2]) as target:
        await transfer(source, target)

asyncio.run(main())
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM")))
"""


async def _fill(backend: BaseMemoryBackend, sessions: int, messages: int) -> None:
    writer = Writer()
    for number in range(sessions):
        metadata = SessionMetadata(f"session-{number:06}", f"user-{number % 20}", created_at=START)
        session = await backend.create_session(metadata)
        drafts = writer.drafts(messages)
        await session.add_messages(
            Message(d.role, d.content, d.timestamp, d.message_id, token_count=d.token_count) for d in drafts
        )


def _names(table: Any) -> list[str]:
    return [column.name for column in table.columns]


def _chunks(connection: sqlite3.Connection, table: Any) -> Iterator[list[tuple[Any, ...]]]:
    names = _names(table)
    cursor = connection.execute(f"SELECT {', '.join(names)} FROM {table.name}")
    instants = [place for place, name in enumerate(names) if name in TIMES]
    flags = [place for place, name in enumerate(names) if name == "auto_summarize"]
    while rows := cursor.fetchmany(CHUNK):
        converted = []
        for row in rows:
            values = list(row)
            for place in instants:
                if values[place] is not None:
                    values[place] = datetime.fromisoformat(values[place]).replace(tzinfo=UTC)
            for place in flags:
                values[place] = bool(values[place])
            converted.append(tuple(values))
        yield converted


async def raw_to_postgres(path: Path, url: str) -> None:
    """Copy the tables with sqlite3 and COPY."""
    connection = await asyncpg.connect(url)
    try:
        with closing(sqlite3.connect(path)) as source:
            for table in TABLES:
                for rows in _chunks(source, table):
                    await connection.copy_records_to_table(table.name, records=rows, columns=_names(table))
    finally:
        await connection.close()


async def raw_to_sqlite(url: str, path: Path) -> None:
    """Copy the tables with a cursor and executemany, in one transaction."""
    connection = await asyncpg.connect(url)
    try:
        with closing(sqlite3.connect(path)) as target:
            async with connection.transaction():
                for table in TABLES:
                    names = _names(table)
                    marks = ", ".join("?" * len(names))
                    insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
                    instants = [place for place, name in enumerate(names) if name in TIMES]
                    cursor = await connection.cursor(f"SELECT {', '.join(names)} FROM {table.name}")
                    while records := await cursor.fetch(CHUNK):
                        target.executemany(insert, [_texts(record, instants) for record in records])
            target.commit()
    finally:
        await connection.close()


def _texts(record: Any, instants: list[int]) -> tuple[Any, ...]:
    values = list(record)
    for place in instants:
        if values[place] is not None:
            values[place] = values[place].strftime("%Y-%m-%d %H:%M:%S.%f")
    return tuple(values)


@asynccontextmanager
async def _empty(backend: BaseMemoryBackend) -> AsyncIterator[BaseMemoryBackend]:
    async with backend:
        yield backend


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def _to_postgres(service: PostgresService, path: Path, expected: int) -> tuple[float, float]:
    with service.fresh_database() as url:
        async with PostgresBackend(url=url):
            pass
        raw = await _timed(lambda: raw_to_postgres(path, url))
    with service.fresh_database() as url:
        async with PostgresBackend(url=url) as target, SQLiteBackend(db_path=str(path)) as source:
            ours = await _timed(lambda: transfer(source, target))
            assert (await target.repository.stats()).messages == expected
    return raw, ours


async def _to_sqlite(folder: Path, url: str, expected: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        plain, made = Path(name, "raw.db"), Path(name, "ours.db")
        async with SQLiteBackend(db_path=str(plain)):
            pass
        raw = await _timed(lambda: raw_to_sqlite(url, plain))
        async with PostgresBackend(url=url) as source, SQLiteBackend(db_path=str(made)) as target:
            ours = await _timed(lambda: transfer(source, target))
            assert (await target.repository.stats()).messages == expected
    return raw, ours


def _peak(source: str, target: str) -> float:
    command = [sys.executable, "-c", PEAK, source, target]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _line(title: str, pairs: list[tuple[float, float]], messages: int) -> dict[str, Any]:
    ratio = statistics.median(raw / ours for raw, ours in pairs)
    best = min(raw for raw, _ in pairs) / min(ours for _, ours in pairs)
    rate = messages / statistics.median(ours for _, ours in pairs)
    print(
        f"{title:<22} {ratio:5.2f} of a raw copy (best/best {best:.2f}, target {TARGET_RATIO}); "
        f"{rate:,.0f} messages a second"
    )
    return {"title": title, "ratio": ratio, "best": best, "messages_per_second": rate, "pairs": pairs}


async def _measure(arguments: argparse.Namespace, server: str, folder: Path) -> list[dict[str, Any]]:
    service, total = PostgresService(server), arguments.sessions * arguments.messages
    paths = {"all": folder / "all.db", "fifth": folder / "fifth.db"}
    for name, path in paths.items():
        async with SQLiteBackend(db_path=str(path), synchronous="NORMAL") as backend:
            share = arguments.sessions if name == "all" else max(arguments.sessions // 5, 1)
            await _fill(backend, share, arguments.messages)
    results = []
    there = [await _to_postgres(service, paths["all"], total) for _ in range(arguments.rounds)]
    results.append(_line("SQLite to PostgreSQL", there, total))
    with service.fresh_database() as url:
        async with PostgresBackend(url=url):
            pass
        await raw_to_postgres(paths["all"], url)
        back = [await _to_sqlite(folder, url, total) for _ in range(arguments.rounds)]
    results.append(_line("PostgreSQL to SQLite", back, total))
    peaks = {}
    for name, path in paths.items():
        with service.fresh_database() as url:
            peaks[name] = _peak(f"sqlite:///{path}", url)
    print(f"peak memory            {peaks['fifth']:.0f} MiB for a fifth, {peaks['all']:.0f} MiB for all")
    results.append({"title": "peak memory, MiB", **peaks})
    return results


def main(argv: list[str] | None = None) -> int:
    """Measure and print; nothing fails because it was slow."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migration", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--messages", type=int, default=100, help="in each session")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / ".benchmarks", help="where databases lie")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    arguments = parser.parse_args(argv)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with stores.server_of("postgres") as server, tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        assert server is not None
        results = asyncio.run(_measure(arguments, server.url, Path(folder)))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
