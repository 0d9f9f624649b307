"""Databases for the command, and the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Apart, Here
from tests.importing.conversations import SUPPORT
from tests.sql.databases import Database

SCHEMA = "My Schema-1"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSWARM_MEMORY_URL", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    return Database("postgres", request.getfixturevalue("postgres_url"))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], database: Database) -> Here:
    """The command on a database of each kind."""
    return Here(capsys, ("--url", database.url))


@pytest.fixture
def filled(command: Here) -> Here:
    """The command on a database with the three support conversations."""
    command("import", SUPPORT)
    return command


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist."""
    return f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture
def on_file(capsys: pytest.CaptureFixture[str], file_url: str) -> Here:
    """The command on a SQLite file, for facts that are the same on every database."""
    return Here(capsys, ("--url", file_url))


@pytest.fixture
def filled_file(on_file: Here) -> Here:
    """The command on a SQLite file with the three support conversations."""
    on_file("import", SUPPORT)
    return on_file


@pytest.fixture
def apart(tmp_path: Path) -> Apart:
    """The command in a process and a folder of its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Apart(folder)
