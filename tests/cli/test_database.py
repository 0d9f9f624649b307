"""`langswarm-memory db`: as the alembic command of the checkout, from an installed package and from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory.repository.sql.migrate import HEAD
from tests.cli.commands import Apart, Here
from tests.importing.conversations import SUPPORT
from tests.services import postgres
from tests.sql.databases import Alembic, Database, our_tables

SCHEMA = "My Schema-1"


@pytest.fixture(params=["sqlite", "postgres", "postgres-schema"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind, and a schema whose name has to be quoted."""
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    url: str = request.getfixturevalue("postgres_url")
    return Database("postgres", url, SCHEMA if request.param == "postgres-schema" else None)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], database: Database) -> Here:
    schema = () if database.schema is None else ("--schema", database.schema)
    return Here(capsys, ("--url", database.url, *schema))


def test_upgrade_makes_the_schema(command: Here, database: Database) -> None:
    command("db", "upgrade")
    assert (database.tables(), database.revision()) == (our_tables(database), HEAD)


def test_upgrade_makes_what_alembic_makes(command: Here, database: Database) -> None:
    command("db", "upgrade")
    ours = database.catalogue()
    command("db", "downgrade", "base")
    Alembic()(*database.x_arguments, "upgrade", "head")
    assert ours == database.catalogue()


def test_upgrade_says_what_it_did(command: Here) -> None:
    assert command("db", "upgrade").out.endswith(f": from revision none to {HEAD}\n")


def test_second_upgrade_says_that_there_was_nothing(command: Here) -> None:
    command("db", "upgrade")
    assert command("db", "upgrade").out.endswith(f" is at revision {HEAD} already\n")


def test_upgrade_makes_the_folder_of_a_file(on_file: Here, tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "memory.db"
    on_file("db", "upgrade", "--url", f"sqlite:///{file}")
    assert file.exists()


def test_upgrade_over_foreign_tables_is_refused(command: Here, database: Database) -> None:
    if database.schema:
        database.run(f'CREATE SCHEMA "{database.schema}"')
    database.run(f"CREATE TABLE {database.quoted('messages')} (id integer)")
    ended = command.attempt("db", "upgrade")
    assert (ended.code, "that this package did not make" in ended.err) == (1, True)
    assert database.tables() == {database.table("messages")}


def test_two_upgrades_at_once_both_succeed(apart: Apart, database: Database) -> None:
    schema = ["--schema", database.schema] if database.schema else []
    running = [apart.start("db", "upgrade", "--url", database.url, *schema) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert ([process.returncode for process in running], errors) == ([0, 0], ["", ""])
    assert database.revision() == HEAD


def test_downgrade_removes_the_tables(command: Here, database: Database) -> None:
    command("import", SUPPORT)
    command("db", "downgrade", "base")
    assert database.tables() == {database.table("langswarm_memory_version")}


def test_downgrade_by_a_step(command: Here, database: Database) -> None:
    command("db", "upgrade")
    command("db", "downgrade", "-1")
    assert database.revision() == "0001"


def test_database_that_was_downgraded_is_upgraded_again(command: Here, database: Database) -> None:
    command("db", "upgrade")
    command("db", "downgrade", "base")
    command("db", "upgrade")
    assert database.revision() == HEAD


def test_current_names_the_revision(command: Here) -> None:
    command("db", "upgrade")
    assert command("db", "current").out == f"{HEAD} (head)\n"


def test_current_of_an_empty_database(command: Here, database: Database) -> None:
    if database.kind == "sqlite":
        database.path.touch()
    assert command("db", "current").out == "none\n"


def test_history_begins_with_the_head(command: Here) -> None:
    first = command("db", "history").out.splitlines()[0]
    assert f"-> {HEAD} (head)  " in first


def test_check_of_a_database_of_the_package(command: Here) -> None:
    command("import", SUPPORT)
    assert "is up to date" in command("db", "check").out


def test_check_of_an_empty_database(command: Here, database: Database) -> None:
    if database.kind == "sqlite":
        database.path.touch()
    ended = command.attempt("db", "check")
    assert (ended.code, ended.out) == (1, "")
    assert f"is at revision none, this version needs {HEAD}; run 'langswarm-memory db upgrade'" in ended.err


def test_check_of_a_database_of_a_newer_version(command: Here, database: Database) -> None:
    command("db", "upgrade")
    database.run(f"UPDATE {database.quoted('langswarm_memory_version')} SET version_num = '9999'")
    ended = command.attempt("db", "check")
    assert (ended.code, "is at revision 9999" in ended.err) == (1, True)


def test_check_finds_a_missing_index(command: Here, database: Database) -> None:
    command("db", "upgrade")
    database.run(f"DROP INDEX {database.quoted('ix_sessions_expires_at')}")
    ended = command.attempt("db", "check")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "ix_sessions_expires_at" in ended.err


@pytest.mark.parametrize("arguments", [["check"], ["current"], ["downgrade", "base"]])
def test_looking_makes_no_file(on_file: Here, arguments: list[str], tmp_path: Path) -> None:
    ended = on_file.attempt("db", *arguments)
    assert (ended.code, "there is no database" in ended.err) == (1, True)
    assert not (tmp_path / "memory.db").exists()


@pytest.mark.parametrize("arguments", [["check"], ["current"]])
def test_looking_makes_no_schema(capsys: pytest.CaptureFixture[str], postgres_url: str, arguments: list[str]) -> None:
    Here(capsys).attempt("db", *arguments, "--url", postgres_url, "--schema", "misspelt")
    found = Database("postgres", postgres_url).rows("SELECT 1 FROM pg_namespace WHERE nspname = 'misspelt'")
    assert found == []


# --- offline -------------------------------------------------------------------------------------------------------


def test_sql_makes_what_upgrade_makes(command: Here, database: Database) -> None:
    script = command("db", "upgrade", "--sql").out
    assert database.tables() == set()
    database.run(script)
    offline = database.catalogue()
    command("db", "downgrade", "base")
    command("db", "upgrade")
    assert offline == database.catalogue()


def test_sql_of_a_downgrade_removes_the_tables(command: Here, database: Database) -> None:
    command("db", "upgrade")
    database.run(command("db", "downgrade", "base", "--sql").out)
    assert database.tables() == {database.table("langswarm_memory_version")}


@pytest.mark.store("postgres")
def test_sql_needs_no_server(on_file: Here) -> None:
    script = on_file("db", "upgrade", "--sql", "--url", "postgresql://nobody@host.invalid/none").out
    assert "CREATE TABLE sessions" in script


def test_sql_needs_no_file(on_file: Here, tmp_path: Path) -> None:
    on_file("db", "upgrade", "--sql")
    assert not (tmp_path / "memory.db").exists()


# --- from elsewhere ------------------------------------------------------------------------------------------------


@pytest.mark.store("sqlite")
def test_migrations_are_found_from_any_folder(apart: Apart) -> None:
    assert apart("db", "upgrade", "--url", "sqlite:///here.db").code == 0
    assert Database("sqlite", f"sqlite:///{apart.folder / 'here.db'}").revision() == HEAD


@pytest.mark.store("sqlite")
def test_path_is_read_as_the_backend_reads_it(on_file: Here, tmp_path: Path) -> None:
    file = tmp_path / "with space" / "100% ü 日本.db"
    options = ("--url", f"sqlite:///{file}")
    on_file("db", "upgrade", *options)
    on_file("import", SUPPORT, *options)
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".db"] == [file.name]
    assert "is up to date" in on_file("db", "check", *options).out


def test_schema_is_heeded_by_every_command(command: Here, database: Database) -> None:
    command("import", SUPPORT)
    assert command("query", "SELECT count(*) AS n FROM messages", "--json").json == [{"n": 61}]
    assert database.rows(f"SELECT count(*) FROM {database.quoted('messages')}") == [(61,)]


def test_role_without_rights_is_told_in_one_line(capsys: pytest.CaptureFixture[str], postgres_url: str) -> None:
    postgres.execute(postgres_url, "CREATE ROLE reader LOGIN")
    try:
        url = postgres_url.replace("postgres@", "reader@")
        ended = Here(capsys).attempt("db", "upgrade", "--url", url)
    finally:
        postgres.execute(postgres_url, "DROP ROLE reader")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("arguments", [["upgrade", "nonsense"], ["downgrade", "nonsense"], ["downgrade", "-9"]])
def test_unknown_revision_is_told_in_one_line(on_file: Here, arguments: list[str]) -> None:
    on_file("db", "upgrade")
    ended = on_file.attempt("db", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


def test_store_without_migrations_is_told_in_one_line(on_file: Here) -> None:
    ended = on_file.attempt("db", "upgrade", "--url", "memory://")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
