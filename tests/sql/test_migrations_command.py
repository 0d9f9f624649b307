"""The alembic command, as somebody runs it in the checkout: on both databases, online and offline."""

from __future__ import annotations

import functools
import io
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from langswarm_memory.repository.sql.migrate import HEAD
from tests.services import postgres
from tests.sql.conftest import SCHEMA
from tests.sql.databases import (
    CHECKOUT,
    Alembic,
    Database,
    config,
    converse,
    create,
    finish,
    our_tables,
    role,
    texts_of,
    upgrade,
)


def told_by_environment(database: Database) -> tuple[Alembic, list[str]]:
    """Return the command with the URL in LANGSWARM_MEMORY_URL, and its arguments."""
    schema = ["-x", f"schema={database.schema}"] if database.schema else []
    return Alembic(variables={"LANGSWARM_MEMORY_URL": database.url}), schema


def test_upgrade_told_by_option_makes_the_schema(database: Database, alembic: Alembic) -> None:
    alembic(*database.x_arguments, "upgrade", "head")
    assert (database.tables(), database.revision()) == (our_tables(database), HEAD)


def test_upgrade_told_by_environment_makes_the_schema(database: Database) -> None:
    alembic, arguments = told_by_environment(database)
    alembic(*arguments, "upgrade", "head")
    assert (database.tables(), database.revision()) == (our_tables(database), HEAD)


def test_option_wins_over_environment(tmp_path: Path) -> None:
    told, other = (Database("sqlite", f"sqlite:///{tmp_path / name}") for name in ("told.db", "other.db"))
    Alembic(variables={"LANGSWARM_MEMORY_URL": other.url})(*told.x_arguments, "upgrade", "head")
    assert not other.path.exists()


def test_check_finds_nothing_in_a_database_of_the_package(database: Database, alembic: Alembic) -> None:
    create(database)
    assert "No new upgrade operations" in alembic(*database.x_arguments, "check")


def test_check_finds_a_missing_index(database: Database) -> None:
    create(database)
    database.run(f"DROP INDEX {database.quoted('ix_sessions_expires_at')}")
    with pytest.raises(CommandError, match="ix_sessions_expires_at"):
        command.check(config(database))


def test_check_finds_an_index_of_ours_that_the_models_lack(database: Database) -> None:
    create(database)
    database.run(f"CREATE INDEX ix_messages_name ON {database.quoted('messages')} (name)")
    with pytest.raises(CommandError, match="ix_messages_name"):
        command.check(config(database))


def test_check_leaves_an_index_of_somebody_else_alone(database: Database) -> None:
    create(database)
    database.run(f"CREATE INDEX my_messages_name ON {database.quoted('messages')} (name)")
    command.check(config(database))


def test_check_of_an_empty_database_makes_nothing(database: Database) -> None:
    with pytest.raises(CommandError, match="not up to date"):
        command.check(config(database))
    assert database.tables() == set()


def test_downgrade_removes_the_tables(database: Database, alembic: Alembic) -> None:
    create(database)
    alembic(*database.x_arguments, "downgrade", "base")
    assert database.tables() == {database.table("langswarm_memory_version")}


def test_current_names_the_revision(database: Database) -> None:
    create(database)
    told = config(database)
    told.stdout = printed = io.StringIO()
    command.current(told)
    assert printed.getvalue().split() == [HEAD, "(head)"]


def test_current_makes_no_schema(postgres_url: str) -> None:
    command.current(config(Database("postgres", postgres_url, "misspelt")))
    names = Database("postgres", postgres_url).rows("SELECT nspname FROM pg_namespace WHERE nspname = 'misspelt'")
    assert names == []


def test_two_upgrades_at_once_both_succeed(database: Database, alembic: Alembic) -> None:
    running = [alembic.start(*database.x_arguments, "upgrade", "head") for _ in range(2)]
    ends = [finish(process) for process in running]
    assert [end.returncode for end in ends] == [0, 0], ends
    assert (database.tables(), database.revision()) == (our_tables(database), HEAD)


# --- offline -------------------------------------------------------------------------------------------------------


@functools.cache
def offline(kind: str, schema: str | None, *arguments: str) -> str:
    """Return the SQL of a command; it says nothing of where the database is."""
    url = "sqlite:///nowhere.db" if kind == "sqlite" else "postgresql://nobody@host.invalid/none"
    return Alembic()(*Database(kind, url, schema).x_arguments, *arguments, "--sql")


def up(database: Database) -> str:
    return offline(database.kind, database.schema, "upgrade", "head")


def down(database: Database) -> str:
    return offline(database.kind, database.schema, "downgrade", f"{HEAD}:base")


def test_offline_sql_makes_the_schema_that_online_makes(database: Database) -> None:
    database.run(up(database))
    made_offline = database.catalogue()
    database.run(down(database))
    upgrade(database)
    assert made_offline == database.catalogue()


@pytest.mark.parametrize(
    "database",
    [
        pytest.param(Database("sqlite", "sqlite:///nowhere.db"), id="sqlite"),
        pytest.param(Database("postgres", "postgresql://u:p%25@host.invalid/db", SCHEMA), id="postgres"),
    ],
)
def test_offline_sql_told_by_environment_is_the_same(database: Database) -> None:
    alembic, arguments = told_by_environment(database)
    assert alembic(*arguments, "upgrade", "head", "--sql") == up(database)


async def test_database_made_offline_is_used_without_migrating(database: Database) -> None:
    database.run(up(database))
    async with database.backend(auto_migrate=False) as backend:
        await converse(backend, "s", ["kept"])
        assert await texts_of(backend, "s") == ["kept"]


def test_offline_downgrade_removes_the_tables(database: Database) -> None:
    create(database)
    database.run(down(database))
    assert (database.tables(), database.revision()) == ({database.table("langswarm_memory_version")}, None)


def test_offline_sql_leaves_the_search_path_of_its_reader(postgres_url: str) -> None:
    database = Database("postgres", postgres_url, SCHEMA)
    database.run(up(database) + "\nCREATE TABLE mine (id integer);")
    assert "public.mine" in database.tables()


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("name", ["with space/100% ü 日本.db", "a%20b.db", "plus+and&.db"])
async def test_command_and_backend_read_a_path_alike(name: str, tmp_path: Path, alembic: Alembic) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    database = Database("sqlite", f"sqlite:///{path}")
    alembic(*database.x_arguments, "upgrade", "head")
    async with database.backend(auto_migrate=False) as backend:
        await converse(backend, "s", ["kept"])
    assert [found.name for found in path.parent.iterdir() if found.suffix == ".db"] == [path.name]


@pytest.mark.parametrize("told", ["by option", "by environment"])
def test_password_with_percent_signs_is_taken(postgres_url: str, alembic: Alembic, told: str) -> None:
    with role(postgres_url, "p%25 w/ö@:%s") as (name, url):
        postgres.execute(postgres_url, f"GRANT CREATE ON SCHEMA public TO {name}")
        database = Database("postgres", url)
        arguments = database.x_arguments
        if told == "by environment":
            alembic, arguments = told_by_environment(database)
        alembic(*arguments, "upgrade", "head")
        assert Database("postgres", postgres_url).revision() == HEAD


def test_role_without_rights_on_the_database_upgrades_its_own_schema(postgres_url: str) -> None:
    with role(postgres_url, "p") as (name, url):
        postgres.execute(postgres_url, f"CREATE SCHEMA given AUTHORIZATION {name}")
        database = Database("postgres", url, "given")
        upgrade(database)
        assert database.revision() == HEAD


async def test_role_without_rights_on_the_database_opens_its_own_schema(postgres_url: str) -> None:
    with role(postgres_url, "p") as (name, url):
        postgres.execute(postgres_url, f"CREATE SCHEMA given AUTHORIZATION {name}")
        async with Database("postgres", url, "given").backend() as backend:
            await converse(backend, "s", ["kept"])
            assert await texts_of(backend, "s") == ["kept"]


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql+asyncpg://", "postgresql+psycopg://"])
def test_every_spelling_of_the_scheme_is_taken(postgres_url: str, scheme: str) -> None:
    upgrade(Database("postgres", postgres_url.replace("postgresql://", scheme)))
    assert Database("postgres", postgres_url).revision() == HEAD


def test_query_of_the_url_is_read_as_the_backend_reads_it(postgres_url: str) -> None:
    upgrade(Database("postgres", f"{postgres_url}?sslmode=prefer&application_name=a%20b"))
    assert Database("postgres", postgres_url).revision() == HEAD


WRONG = {
    "no migrations for this URL": "redis://h:se-cret@host/0",
    "cannot be read": "postgresql://u:pass:se-cret@host:po-rt/db",
    "three slashes": "sqlite://se-cret.db",
    "'sslcert' is not supported": "postgresql://host/db?sslcert=se-cret",
}


@pytest.mark.parametrize(("message", "url"), WRONG.items(), ids=WRONG)
def test_wrong_url_is_told_without_quoting_it(message: str, url: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        command.upgrade(config(Database("wrong", url)), "head")
    assert "se-cret" not in str(raised.value)


def test_missing_url_is_told_in_one_line(alembic: Alembic) -> None:
    done = alembic.attempt("upgrade", "head")
    assert done.returncode != 0
    assert "set LANGSWARM_MEMORY_URL or pass -x url=" in done.stderr
    assert "Traceback" not in done.stderr


# --- other trees ---------------------------------------------------------------------------------------------------


@pytest.mark.store("sqlite")
def test_checkout_brings_its_own_package(tmp_path: Path) -> None:
    # Tree and models belong together, whatever version is installed.
    checkout = tmp_path / "check out ü"
    for name in ("alembic", "langswarm_memory"):
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "alembic.ini", checkout)
    module = checkout / "langswarm_memory" / "repository" / "sql" / "migrate.py"
    module.write_text(module.read_text().replace('"langswarm_memory_version"', '"version_of_the_copy"'))
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    Alembic(checkout)(*database.x_arguments, "upgrade", "head")
    assert "version_of_the_copy" in database.tables()


HOST_ENV = """
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def work(connection):
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(context.config.attributes["host_url"])
    async with engine.connect() as connection:
        await connection.run_sync(work)
    await engine.dispose()

asyncio.run(main())
"""

HOST_REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "a1b2c3", None

def upgrade():
    op.create_table("bookings", sa.Column("id", sa.Integer(), primary_key=True))
"""


@pytest.fixture
def host(database: Database, tmp_path: Path) -> Config:
    """An application with a migration tree of its own, upgraded on the same database."""
    folder = tmp_path / "host"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(HOST_ENV)
    (folder / "versions" / "a1b2c3.py").write_text(HOST_REVISION)
    host = Config()
    host.set_main_option("script_location", str(folder))
    url = database.url.replace("sqlite://", "sqlite+aiosqlite://").replace("postgresql://", "postgresql+asyncpg://")
    host.attributes["host_url"] = url
    command.upgrade(host, "head")
    return host


def tables_of_the_host(database: Database) -> set[str]:
    place = "" if database.kind == "sqlite" else "public."
    return {f"{place}bookings", f"{place}alembic_version"}


@pytest.mark.usefixtures("host")
def test_host_application_keeps_its_own_version(database: Database) -> None:
    upgrade(database)
    assert database.tables() == our_tables(database) | tables_of_the_host(database)
    assert database.rows("SELECT version_num FROM alembic_version") == [("a1b2c3",)]


@pytest.mark.usefixtures("host")
def test_package_creates_its_tables_beside_those_of_a_host(database: Database) -> None:
    create(database)
    assert (database.tables(), database.revision()) == (our_tables(database) | tables_of_the_host(database), HEAD)


def test_host_application_finds_its_own_version(database: Database, host: Config) -> None:
    upgrade(database)
    command.upgrade(host, "head")  # nothing to do, and no revision of ours that it cannot find
    assert database.revision() == HEAD


@pytest.mark.usefixtures("host")
def test_tables_of_a_host_application_are_no_difference(database: Database) -> None:
    upgrade(database)
    command.check(config(database))


@pytest.mark.usefixtures("host")
def test_downgrade_leaves_a_host_application_alone(database: Database) -> None:
    upgrade(database)
    command.downgrade(config(database), "base")
    assert database.tables() == {database.table("langswarm_memory_version")} | tables_of_the_host(database)


def test_upgrade_over_foreign_tables_changes_nothing(database: Database) -> None:
    if database.schema:
        database.run(f'CREATE SCHEMA "{database.schema}"')
    database.run(f"CREATE TABLE {database.quoted('messages')} (id integer)")
    with pytest.raises(DBAPIError):
        upgrade(database)
    assert database.tables() == {database.table("messages")}
