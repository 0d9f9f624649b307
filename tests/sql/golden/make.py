"""Write the golden databases of the present revision: run ``python -m tests.sql.golden.make`` from the checkout.

Once per revision, with the code that made it. A golden database is never written again: it stands for the stores that
are out there. The one for PostgreSQL is a script, made from the one for SQLite, so that no server is needed.
"""

from __future__ import annotations

import asyncio
import io
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from sqlalchemy import Boolean, Table

from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.models import Base
from langswarm_memory.repository.sql.migrate import HEAD, alembic_config
from langswarm_memory.repository.sql.types import UTCDateTime
from tests.sql.golden.conversations import clock, store

FOLDER = Path(__file__).parent
PAGE_BYTES = 512  # the smallest: the tables are nearly empty


def sqlite_file(revision: str) -> Path:
    return FOLDER / f"{revision}.sqlite"


def postgres_script(revision: str) -> Path:
    return FOLDER / f"{revision}.postgres.sql"


async def write_sqlite(path: Path) -> None:
    async with SQLiteBackend(db_path=str(path), clock=clock) as backend:
        await store(backend)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("VACUUM")


def write_postgres(path: Path, source: Path) -> None:
    ddl = io.StringIO()
    config = alembic_config("postgresql://")
    config.output_buffer = ddl
    command.upgrade(config, "head", sql=True)
    with closing(sqlite3.connect(source)) as connection:
        rows = [line for table in Base.metadata.sorted_tables for line in inserts(connection, table)]
    path.write_text("\n".join([ddl.getvalue().strip(), "", *rows, ""]), encoding="utf-8")


def inserts(connection: sqlite3.Connection, table: Table) -> list[str]:
    names = [column.name for column in table.columns]
    lines = []
    for row in connection.execute(f"SELECT {', '.join(names)} FROM {table.name} ORDER BY 1, 2"):
        values = (literal(column.type, value) for column, value in zip(table.columns, row, strict=True))
        lines.append(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(values)});")
    return lines


def literal(kind: object, value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(kind, Boolean):
        return "true" if value else "false"
    if isinstance(kind, UTCDateTime):
        return f"'{value}+00'"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def main() -> None:
    file, script = sqlite_file(HEAD), postgres_script(HEAD)
    if file.exists() or script.exists():
        raise SystemExit(f"the golden databases of {HEAD} are there already; they are never written again")
    asyncio.run(write_sqlite(file))
    write_postgres(script, file)
    print(f"{file.name} {file.stat().st_size} bytes, {script.name} {script.stat().st_size} bytes")


if __name__ == "__main__":
    main()
