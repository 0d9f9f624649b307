"""docs/migrations.md: what the tests of the blocks cannot run, because it would change the checkout."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from pathlib import Path

import pytest
from alembic import command

from langswarm_memory.repository.sql import migrate
from tests.docs import pages
from tests.sql.databases import CHECKOUT, Alembic, Database, config
from tests.sql.golden import conversations, make

PAGE = "docs/migrations.md"
BEFORE = migrate.HEAD  # read now: tests give the package another
NEXT = f"{int(BEFORE) + 1:04d}"


def blocks_with(text: str) -> list[str]:
    return [block.text for block in pages.blocks(PAGE) if text in block.text]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, as far as revisions are concerned."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("alembic", "langswarm_memory"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    shutil.copy(CHECKOUT / "alembic.ini", folder)
    return folder


@pytest.mark.store("sqlite")
def test_commands_make_the_revision_that_the_page_names(checkout: Path) -> None:
    (text,) = blocks_with("--autogenerate")
    for line in text.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "alembic"
        Alembic(checkout)(*arguments)
    (named,) = re.findall(r"`alembic/versions/(\w+\.py)`", pages.read(PAGE))
    assert (checkout / "alembic" / "versions" / named).is_file()


@pytest.fixture
def with_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package with the revision that the page prints."""
    (text,) = blocks_with("def upgrade")
    (checkout / "alembic" / "versions" / f"{NEXT}_as_printed.py").write_text(text)
    monkeypatch.setattr(migrate, "script_location", lambda: checkout / "alembic")
    monkeypatch.setattr(migrate, "HEAD", NEXT)


@pytest.fixture(params=["sqlite", "postgres"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A store of this version's revision that holds conversations."""
    if request.param == "sqlite":
        database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
        shutil.copy(make.sqlite_file(BEFORE), database.path)
        return database
    database = Database("postgres", request.getfixturevalue("postgres_url"))
    database.run(make.postgres_script(BEFORE).read_text(encoding="utf-8"))
    return database


def test_printed_revision_is_the_next_one() -> None:
    (text,) = blocks_with("def upgrade")
    assert f'revision = "{NEXT}"\ndown_revision = "{BEFORE}"\n' in text


def test_page_lists_every_revision() -> None:
    listed = re.findall(r"^\| `(\d{4})` \|", pages.read(PAGE), re.MULTILINE)
    assert listed == sorted(migrate.known_revisions())


@pytest.mark.usefixtures("with_revision")
async def test_printed_revision_keeps_every_conversation(golden: Database) -> None:
    async with golden.backend() as backend:
        assert await conversations.stored(backend) == conversations.as_stored()
    assert golden.rows("SELECT DISTINCT mood FROM sessions") == [("calm",)]


@pytest.mark.usefixtures("with_revision")
def test_printed_revision_can_be_undone(golden: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        command.upgrade(config(golden), "head")
        command.downgrade(config(golden), BEFORE)
    monkeypatch.setattr(migrate, "HEAD", BEFORE)

    async def read() -> object:
        async with golden.backend(auto_migrate=False) as backend:
            return await conversations.stored(backend)

    assert asyncio.run(read()) == conversations.as_stored()


def test_golden_databases_are_written_by_the_command_of_the_page() -> None:
    (text,) = blocks_with("golden")
    assert text.split() == ["python", "-m", make.__name__]
