"""The migration tree: one line of revisions, and its end is what the models say, on both databases."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from langswarm_memory.models import Base
from langswarm_memory.repository.sql import migrate
from tests.sql.conftest import SCHEMA
from tests.sql.databases import CHECKOUT, Database, config, create, upgrade

VERSIONS = CHECKOUT / "alembic" / "versions"
OURS = ["embeddings", "index_states", "messages", "sessions", "summaries"]


@pytest.fixture
def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(migrate.alembic_config())


def test_tree_has_one_head(scripts: ScriptDirectory) -> None:
    assert len(scripts.get_heads()) == 1


def test_head_constant_is_the_head_of_the_tree(scripts: ScriptDirectory) -> None:
    assert scripts.get_heads() == [migrate.HEAD]


def test_tree_has_no_branches(scripts: ScriptDirectory) -> None:
    assert scripts.get_bases() == ["0001"]
    assert [script.revision for script in scripts.walk_revisions() if script.is_branch_point] == []


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_revision_is_in_the_file_that_bears_its_number(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert path.stem.startswith(f"{module.revision}_")


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_revision_says_what_it_serves_and_costs(path: Path) -> None:
    text = path.read_text()
    assert "\nServes: " in text
    assert "Cost" in text


def test_alembic_folder_is_not_a_package() -> None:
    # From the checkout it would be imported in place of the library.
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()


def differences(database: Database) -> list[Any]:
    """Return what Alembic would change to make the database what the models say."""
    found: list[Any] = []

    def compare(connection: Connection) -> None:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _parents: name in OURS if kind == "table" else name != "messages_text",
        }
        context = MigrationContext.configure(connection, opts=options)
        found.extend(compare_metadata(context, Base.metadata))

    on_connection(database, compare)
    return found


def on_connection(database: Database, work: Callable[[Connection], None]) -> None:
    """Call `work` with a connection for which the schema of the database is the default one."""
    if database.kind == "sqlite":
        engine = create_engine(database.url, poolclass=NullPool)
        with engine.connect() as connection:
            work(connection)
        return

    async def run() -> None:
        path = f'"{database.schema or "public"}"'
        server = create_async_engine(
            database.url.replace("postgresql://", "postgresql+asyncpg://"),
            poolclass=NullPool,
            connect_args={"server_settings": {"search_path": path}},
        )
        async with server.connect() as connection:
            await connection.run_sync(work)
        await server.dispose()

    asyncio.run(run())


MADE_BY = {"migrations": upgrade, "models": create}


@pytest.mark.parametrize("make", MADE_BY.values(), ids=MADE_BY)
def test_made_database_is_what_the_models_say(database: Database, make: Callable[[Database], None]) -> None:
    make(database)
    assert differences(database) == []


def test_a_database_that_differs_from_the_models_is_noticed(database: Database) -> None:
    upgrade(database)
    index = database.quoted("ix_sessions_expires_at")
    database.run(f"DROP INDEX {index}; ALTER TABLE {database.quoted('messages')} DROP COLUMN name")
    assert {difference[0] for difference in differences(database)} == {"add_column", "add_index"}


def test_migrations_and_models_make_the_same_schema_in_sqlite(tmp_path: Path) -> None:
    migrated, new = (Database("sqlite", f"sqlite:///{tmp_path / name}") for name in ("migrated.db", "new.db"))
    upgrade(migrated)
    create(new)
    assert migrated.catalogue() == new.catalogue()


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_migrations_and_models_make_the_same_schema_in_postgres(postgres_server: Any, schema: str | None) -> None:
    with postgres_server.fresh_database() as one, postgres_server.fresh_database() as other:
        migrated, new = Database("postgres", one, schema), Database("postgres", other, schema)
        upgrade(migrated)
        create(new)
        assert migrated.catalogue() == new.catalogue()


PARTIAL = {"ix_sessions_expires_at": "expires_at IS NOT NULL", "ix_messages_system": "developer"}


@pytest.mark.parametrize("name", PARTIAL)
def test_catalogue_shows_the_condition_of_a_partial_index(database: Database, name: str) -> None:
    upgrade(database)
    (definition,) = (row[3] for row in database.catalogue() if name in row[1:3] and row[0] == "index")
    assert PARTIAL[name] in definition


def test_catalogue_shows_the_defaults(database: Database) -> None:
    upgrade(database)
    assert any("revision" in str(row) and "default 1" in str(row).lower() for row in database.catalogue())


def test_down_leaves_nothing_but_the_version_table(database: Database) -> None:
    upgrade(database)
    command.downgrade(config(database), "base")
    assert database.tables() == {database.table("langswarm_memory_version")}


def test_up_and_down_twice_ends_where_it_began(database: Database) -> None:
    upgrade(database)
    first = database.catalogue()
    for _ in range(2):
        command.downgrade(config(database), "base")
        upgrade(database)
    assert database.catalogue() == first


def test_version_table_names_the_head(database: Database) -> None:
    upgrade(database)
    assert database.revision() == migrate.HEAD


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    upgrade(database)
    before = database.catalogue()
    upgrade(database)
    assert (database.catalogue(), database.revision()) == (before, migrate.HEAD)


def test_database_migrated_down_to_nothing_is_made_anew(database: Database) -> None:
    upgrade(database)
    before = database.catalogue()
    command.downgrade(config(database), "base")
    create(database)
    assert (database.catalogue(), database.revision()) == (before, migrate.HEAD)


def test_generated_revision_makes_what_the_models_say(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What autogenerate writes is where a developer begins: it has to be importable, and complete.
    tree = tmp_path / "tree"
    shutil.copytree(CHECKOUT / "alembic", tree, ignore=shutil.ignore_patterns("versions", "__pycache__"))
    (tree / "versions").mkdir()
    monkeypatch.setattr(migrate, "script_location", lambda: tree)
    command.revision(config(database), "all of it", autogenerate=True, rev_id="0001")
    (written,) = (tree / "versions").glob("*.py")
    assert "langswarm_memory" not in written.read_text()
    upgrade(database)
    assert differences(database) == []
