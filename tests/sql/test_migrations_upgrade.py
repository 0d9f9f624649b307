"""Upgrading a store that holds conversations: the golden databases, and a revision made up for the purpose."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.errors import MemoryBackendError, SchemaVersionError
from langswarm_memory.models import MessageRow
from langswarm_memory.repository.sql import migrate
from tests.services.postgres import PostgresService
from tests.sql.databases import CHECKOUT, Alembic, Database, config, finish
from tests.sql.golden import conversations, make

REVISIONS = sorted(migrate.known_revisions())
BEFORE = migrate.HEAD  # read now: tests give the package another
NEXT = f"{int(BEFORE) + 1:04d}"
STORES = ("sqlite", "postgres")


def furnish(revision: str, database: Database) -> None:
    """Make an empty database the golden one of a revision."""
    if database.kind == "sqlite":
        shutil.copy(make.sqlite_file(revision), database.path)
    else:
        database.run(make.postgres_script(revision).read_text(encoding="utf-8"))


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of the store that the test is for."""
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    return Database("postgres", request.getfixturevalue("postgres_url"))


@pytest.fixture
def golden(empty: Database) -> Database:
    """A store of this version's revision that holds conversations."""
    furnish(BEFORE, empty)
    return empty


both = pytest.mark.parametrize("empty", STORES, indirect=True)


def counts(database: Database) -> list[tuple[Any, ...]]:
    return database.rows(
        "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages), (SELECT count(*) FROM summaries)"
    )


GOLDEN_COUNTS = [(3, 8, 1)]


# --- golden databases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
def test_revision_has_golden_databases(revision: str) -> None:
    missing = [path.name for path in (make.sqlite_file(revision), make.postgres_script(revision)) if not path.is_file()]
    assert missing == [], "run: python -m tests.sql.golden.make"


@both
@pytest.mark.parametrize("revision", REVISIONS)
def test_golden_database_has_the_schema_of_its_revision(empty: Database, revision: str, tmp_path: Path) -> None:
    # Fails when a revision is changed that is out there already.
    command.upgrade(config(empty), revision)
    migrated = empty.catalogue()
    command.downgrade(config(empty), "base")
    empty.run("DROP TABLE langswarm_memory_version")
    furnish(revision, empty)
    assert empty.catalogue() == migrated


@both
@pytest.mark.parametrize("revision", REVISIONS)
async def test_golden_database_is_upgraded_on_connecting(empty: Database, revision: str) -> None:
    furnish(revision, empty)
    async with empty.backend():
        pass
    assert empty.revision() == migrate.HEAD


@both
@pytest.mark.parametrize("revision", REVISIONS)
async def test_golden_database_gives_its_conversations_back(empty: Database, revision: str) -> None:
    furnish(revision, empty)
    async with empty.backend() as backend:
        assert await conversations.stored(backend) == conversations.as_stored()


@both
@pytest.mark.parametrize("revision", REVISIONS)
async def test_golden_database_takes_further_messages(empty: Database, revision: str) -> None:
    furnish(revision, empty)
    async with empty.backend() as backend:
        session = await backend.get_session("order-1")
        assert session is not None
        assert await session.add_messages([Message("user", "still here", message_id="new")]) == [7]
        assert (await session.get_messages())[-1].content == "still here"


@both
@pytest.mark.parametrize("revision", REVISIONS)
async def test_golden_database_still_refuses_a_message_twice(empty: Database, revision: str) -> None:
    furnish(revision, empty)
    async with empty.backend() as backend:
        session = await backend.get_session("order-1")
        assert session is not None
        (_, messages, _), *_ = conversations.conversations()
        assert await session.add_messages(messages) == [1, 2, 3, 4, 5, 6]
    assert counts(empty) == GOLDEN_COUNTS


@pytest.mark.store("sqlite")
async def test_generator_makes_a_golden_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    await asyncio.to_thread(make.main)
    made = Database("sqlite", f"sqlite:///{make.sqlite_file(migrate.HEAD)}")
    assert (counts(made), made.revision()) == (GOLDEN_COUNTS, migrate.HEAD)


@pytest.mark.store("sqlite")
def test_generator_never_writes_over_a_golden_database() -> None:
    with pytest.raises(SystemExit, match="never written again"):
        make.main()


# --- a further revision --------------------------------------------------------------------------------------------

FURTHER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"

def upgrade():
    with op.batch_alter_table("sessions") as batch:  # altering: on SQLite by copying and dropping the table
        batch.add_column(sa.Column("mood", sa.Text(), nullable=False, server_default="calm"))
        batch.alter_column("status", server_default="active")
    {more}

def downgrade():
    with op.batch_alter_table("sessions") as batch:
        batch.alter_column("status", server_default=None)
        batch.drop_column("mood")
"""


def tree(folder: Path, more: str = "") -> Path:
    """Copy the checkout's Alembic files and give them a further revision; return the folder of alembic.ini."""
    shutil.copytree(CHECKOUT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "alembic.ini", folder)
    further = FURTHER.format(revision=NEXT, before=BEFORE, more=more)
    (folder / "alembic" / "versions" / f"{NEXT}_mood.py").write_text(further)
    return folder


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package be of a version that needs the further revision."""
    monkeypatch.setattr(migrate, "script_location", lambda: folder / "alembic")
    monkeypatch.setattr(migrate, "HEAD", NEXT)


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as of a later version, which needs another revision."""
    folder = tree(tmp_path / "newer")
    use(folder, monkeypatch)
    return folder


@both
@pytest.mark.usefixtures("newer")
async def test_older_store_is_upgraded_on_connecting(golden: Database) -> None:
    async with golden.backend():
        pass
    assert golden.revision() == NEXT
    assert golden.rows("SELECT DISTINCT mood FROM sessions") == [("calm",)]


@both
@pytest.mark.usefixtures("newer")
async def test_upgrade_on_connecting_keeps_every_row(golden: Database) -> None:
    async with golden.backend() as backend:
        assert await conversations.stored(backend) == conversations.as_stored()
    assert counts(golden) == GOLDEN_COUNTS


@both
def test_upgrade_by_command_keeps_every_row(golden: Database, newer: Path) -> None:
    Alembic(newer)(*golden.x_arguments, "upgrade", "head")
    assert (golden.revision(), counts(golden)) == (NEXT, GOLDEN_COUNTS)


@both
def test_downgrade_by_command_keeps_every_row(golden: Database, newer: Path) -> None:
    before = golden.catalogue()
    command.upgrade(config(golden), "head")
    command.downgrade(config(golden), BEFORE)
    assert counts(golden) == GOLDEN_COUNTS
    if golden.kind == "postgres":
        assert golden.catalogue() == before


@both
@pytest.mark.usefixtures("newer")
async def test_altering_a_table_keeps_its_indexes(golden: Database) -> None:
    def keys() -> list[tuple[Any, ...]]:
        found = [row for row in golden.catalogue() if row[0] in ("index", "constraint")]
        return [row for row in found if not row[2].endswith("_not_null")]  # PostgreSQL 18 names these too

    before = keys()
    async with golden.backend():
        pass
    assert keys() == before


@both
@pytest.mark.usefixtures("newer")
async def test_altering_a_table_keeps_references_to_it(golden: Database) -> None:
    async with golden.backend() as backend, backend.orm() as db:
        with pytest.raises(IntegrityError):
            await db.execute(update(MessageRow).values(session_id="nobody"))


@both
@pytest.mark.usefixtures("newer")
async def test_older_store_is_refused_without_auto_migrate(golden: Database) -> None:
    with pytest.raises(SchemaVersionError, match="langswarm-memory db upgrade") as raised:
        await golden.backend(auto_migrate=False).connect()
    assert (raised.value.found, raised.value.expected) == (BEFORE, NEXT)


@both
@pytest.mark.usefixtures("newer")
async def test_eight_tasks_upgrade_an_older_store_at_once(golden: Database) -> None:
    backends = [golden.backend() for _ in range(8)]
    await asyncio.gather(*(backend.connect() for backend in backends))
    await asyncio.gather(*(backend.create_session(SessionMetadata(f"s{n}")) for n, backend in enumerate(backends)))
    await asyncio.gather(*(backend.disconnect() for backend in backends))
    assert (golden.revision(), counts(golden)) == (NEXT, [(11, 8, 1)])


@both
def test_two_processes_upgrade_an_older_store_at_once(golden: Database, newer: Path) -> None:
    alembic = Alembic(newer)
    ends = [finish(process) for process in [alembic.start(*golden.x_arguments, "upgrade", "head") for _ in range(2)]]
    assert [end.returncode for end in ends] == [0, 0], ends
    assert (golden.revision(), counts(golden)) == (NEXT, GOLDEN_COUNTS)


@pytest.fixture
def several(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Database]]:
    """Five older stores, each in a database of its own."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            databases = [Database("sqlite", f"sqlite:///{tmp_path / f'{n}.db'}") for n in range(5)]
        else:
            server: PostgresService = request.getfixturevalue("postgres_server")
            databases = [Database("postgres", stack.enter_context(server.fresh_database())) for _ in range(5)]
        for database in databases:
            furnish(BEFORE, database)
        yield databases


@pytest.mark.parametrize("several", STORES, indirect=True)
@pytest.mark.usefixtures("newer")
async def test_several_older_stores_are_upgraded_at_once(several: list[Database]) -> None:
    # Alembic keeps the migration that runs in global variables of its module.
    backends = [database.backend() for database in several]
    await asyncio.gather(*(backend.connect() for backend in backends))
    await asyncio.gather(*(backend.disconnect() for backend in backends))
    assert [(database.revision(), counts(database)) for database in several] == [(NEXT, GOLDEN_COUNTS)] * 5


# --- a revision that fails -----------------------------------------------------------------------------------------


@both
async def test_failed_upgrade_leaves_the_store_as_it_was(
    golden: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = golden.catalogue()
    use(tree(tmp_path / "broken", more='op.execute("INSERT INTO nowhere VALUES (1)")'), monkeypatch)
    with pytest.raises(MemoryBackendError):
        await golden.backend().connect()
    assert (golden.revision(), golden.catalogue(), counts(golden)) == (BEFORE, before, GOLDEN_COUNTS)


@both
def test_failed_upgrade_by_command_leaves_the_store_as_it_was(golden: Database, tmp_path: Path) -> None:
    before = golden.catalogue()
    folder = tree(tmp_path / "broken", more='op.execute("INSERT INTO nowhere VALUES (1)")')
    assert Alembic(folder).attempt(*golden.x_arguments, "upgrade", "head").returncode != 0
    assert (golden.revision(), golden.catalogue(), counts(golden)) == (BEFORE, before, GOLDEN_COUNTS)


@both
async def test_store_can_be_upgraded_after_a_failed_attempt(
    golden: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = golden.backend()
    use(tree(tmp_path / "broken", more='op.execute("INSERT INTO nowhere VALUES (1)")'), monkeypatch)
    with pytest.raises(MemoryBackendError):
        await backend.connect()
    use(tree(tmp_path / "mended"), monkeypatch)
    await backend.connect()
    await backend.disconnect()
    assert (golden.revision(), counts(golden)) == (NEXT, GOLDEN_COUNTS)
