"""What connecting does to a database: makes the tables, leaves them, or refuses; alone or in company."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from langswarm_memory.errors import MemoryConfigurationError, SchemaVersionError
from langswarm_memory.repository.sql.migrate import HEAD, LOCK_KEY
from tests.sql.databases import CHECKOUT, Database, converse, finish, our_tables, role, texts_of

NEWER = "9999"


async def open_and_close(database: Database, **options: object) -> None:
    async with database.backend(**options):
        pass


def write_revision(database: Database, revision: str) -> None:
    database.run(f"UPDATE {database.quoted('langswarm_memory_version')} SET version_num = '{revision}'")


async def test_new_database_gets_its_tables(database: Database) -> None:
    await open_and_close(database)
    assert (database.tables(), database.revision()) == (our_tables(database), HEAD)


async def test_messages_outlive_the_connection(database: Database) -> None:
    async with database.backend() as backend:
        await converse(backend, "s", ["kept"])
    async with database.backend(auto_migrate=False) as backend:
        assert await texts_of(backend, "s") == ["kept"]


async def test_opening_without_auto_migrate_refuses_an_empty_database(database: Database) -> None:
    with pytest.raises(SchemaVersionError, match="langswarm-memory db upgrade") as raised:
        await open_and_close(database, auto_migrate=False)
    assert (raised.value.found, raised.value.expected) == (None, HEAD)


async def test_refusal_of_an_empty_database_makes_no_tables(database: Database) -> None:
    with pytest.raises(SchemaVersionError):
        await open_and_close(database, auto_migrate=False)
    assert database.tables() == set()


async def test_newer_database_is_refused(database: Database) -> None:
    await open_and_close(database)
    write_revision(database, NEWER)
    with pytest.raises(SchemaVersionError, match="upgrade langswarm-memory") as raised:
        await open_and_close(database)
    assert (raised.value.found, raised.value.expected) == (NEWER, HEAD)


async def test_refusal_of_a_newer_database_cannot_be_retried(database: Database) -> None:
    await open_and_close(database)
    write_revision(database, NEWER)
    with pytest.raises(SchemaVersionError) as raised:
        await open_and_close(database)
    assert not raised.value.retryable


async def test_newer_database_is_left_as_it_is(database: Database) -> None:
    async with database.backend() as backend:
        await converse(backend, "s", ["kept"])
    write_revision(database, NEWER)
    with pytest.raises(SchemaVersionError):
        await open_and_close(database)
    assert database.revision() == NEWER
    assert database.rows(f"SELECT content FROM {database.quoted('messages')}") == [("kept",)]


async def test_backend_that_was_refused_connects_once_the_reason_is_gone(database: Database) -> None:
    backend = database.backend(auto_migrate=False)
    with pytest.raises(SchemaVersionError):
        await backend.connect()
    await open_and_close(database)
    await backend.connect()
    await converse(backend, "s", ["kept"])
    assert await texts_of(backend, "s") == ["kept"]
    await backend.disconnect()


FOREIGN = {
    "table": "CREATE TABLE {name} (id text PRIMARY KEY)",
    "view": "CREATE VIEW {name} AS SELECT 1 AS id",
}


@pytest.mark.parametrize("statement", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("name", ["sessions", "messages", "summaries"])
async def test_foreign_table_of_our_name_is_refused(database: Database, name: str, statement: str) -> None:
    if database.schema:
        database.run(f'CREATE SCHEMA "{database.schema}"')
    database.run(statement.format(name=database.quoted(name)))
    before = database.tables()
    with pytest.raises(MemoryConfigurationError, match=name):
        await open_and_close(database)
    assert database.tables() == before


async def test_foreign_table_of_another_name_is_left_alone(database: Database) -> None:
    database.run("CREATE TABLE bookings (id integer); INSERT INTO bookings VALUES (7)")
    await open_and_close(database)
    assert database.rows("SELECT id FROM bookings") == [(7,)]


async def test_foreign_table_elsewhere_on_the_search_path_is_not_ours(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    database.run("CREATE SCHEMA app; CREATE TABLE public.sessions (id integer)")
    await open_and_close(database, server_settings={"search_path": "app, public"})
    assert {name for name in database.tables() if name.startswith("app.")} == {
        name.replace("public.", "app.") for name in our_tables(database)
    }


async def test_two_schemas_of_one_database_are_two_stores(postgres_url: str) -> None:
    for schema in ("one", "other"):
        async with Database("postgres", postgres_url, schema).backend() as backend:
            await converse(backend, "s", [schema])
    async with Database("postgres", postgres_url, "one").backend() as backend:
        assert await texts_of(backend, "s") == ["one"]


@pytest.mark.parametrize("schema", ['we"ird :name% 1', "größe", "select"])
async def test_any_schema_name_is_quoted(postgres_url: str, schema: str) -> None:
    async with Database("postgres", postgres_url, schema).backend() as backend:
        await converse(backend, "s", ["kept"])
        assert await texts_of(backend, "s") == ["kept"]
        assert await backend.query("SELECT content FROM messages") == [{"content": "kept"}]
        assert await backend.vacuum_database()
        assert (await backend.get_usage_stats()).storage_size_bytes > 0


async def test_role_that_may_only_read_and_append_opens_a_store(postgres_url: str) -> None:
    database = Database("postgres", postgres_url, "memory")
    async with database.backend() as backend:
        await converse(backend, "s", ["kept"])
    with role(postgres_url, "p") as (name, url):
        database.run(
            f"GRANT USAGE ON SCHEMA memory TO {name};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA memory TO {name}"
        )
        async with Database("postgres", url, "memory").backend() as backend:
            await converse(backend, "other", ["appended"])
            assert [await texts_of(backend, found) for found in ("s", "other")] == [["kept"], ["appended"]]


async def test_store_that_is_up_to_date_is_opened_without_the_lock(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    await open_and_close(database)
    async with database.backend() as holder, holder.orm() as db:
        await db.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        await open_and_close(database, command_timeout=10.0)


@pytest.mark.store("sqlite")
async def test_file_that_is_up_to_date_is_opened_beside_a_writer(tmp_path: Path) -> None:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    async with database.backend() as holder, holder.orm(write=True), database.backend(timeout=0.0) as backend:
        assert await backend.query("SELECT count(*) AS n FROM sessions") == [{"n": 0}]


# --- in company ----------------------------------------------------------------------------------------------------


async def test_eight_tasks_open_a_new_database_at_once(database: Database) -> None:
    backends = [database.backend() for _ in range(8)]
    await asyncio.gather(*(backend.connect() for backend in backends))
    await asyncio.gather(*(converse(backend, f"s{n}", ["kept"]) for n, backend in enumerate(backends)))
    assert [await texts_of(backends[0], f"s{n}") for n in range(8)] == [["kept"]] * 8
    await asyncio.gather(*(backend.disconnect() for backend in backends))
    assert database.revision() == HEAD


async def test_eight_tasks_use_one_new_backend_at_once(database: Database) -> None:
    async with database.backend() as backend:
        await asyncio.gather(*(converse(backend, f"s{n}", ["kept"]) for n in range(8)))
        assert [await texts_of(backend, f"s{n}") for n in range(8)] == [["kept"]] * 8


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_opening_at_once_does_not_depend_on_the_default_isolation(postgres_url: str, level: str) -> None:
    database = Database("postgres", postgres_url, "app")
    settings = {"default_transaction_isolation": level}
    await asyncio.gather(*(open_and_close(database, server_settings=settings) for _ in range(8)))
    assert database.revision() == HEAD


OPENER = """
import asyncio, json, sys
from tests.sql.databases import Database, converse

database, name = Database(*json.loads(sys.argv[1])), sys.argv[2]

async def main():
    async with database.backend() as backend:
        await converse(backend, name, ["kept"])

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


def test_two_processes_open_a_new_database_at_once(database: Database) -> None:
    place = json.dumps([database.kind, database.url, database.schema])
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPENER, place, f"s{n}"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # both have imported everything and wait
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [finish(process) for process in processes]
    assert [end.returncode for end in ends] == [0, 0], ends
    names = database.rows(f"SELECT session_id FROM {database.quoted('messages')} ORDER BY session_id")
    assert (names, database.revision()) == ([("s0",), ("s1",)], HEAD)
