"""``backup``, ``restore`` and ``migrate`` on the command line."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import SQLiteBackend
from langswarm_memory.cli import INTERRUPTED
from tests.cli.commands import Apart, Here
from tests.migration.stored import SESSIONS, WANTED_MESSAGES, contents, conversation, fill
from tests.migration.test_transfer import one_of_many
from tests.services import postgres


def stored(path: Path) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with SQLiteBackend(db_path=str(path)) as backend:
            return await contents(backend)

    return asyncio.run(read())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A SQLite file with every kind of session."""

    async def make() -> None:
        async with SQLiteBackend(db_path=str(tmp_path / "memory.db")) as backend:
            await fill(backend)

    asyncio.run(make())
    return tmp_path / "memory.db"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    for name in ("LANGSWARM_MEMORY_URL", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Here(capsys)


def test_migrated_store_is_equal(command: Here, path: Path, tmp_path: Path) -> None:
    out = command("migrate", f"sqlite:///{path}", f"sqlite:///{tmp_path / 'new.db'}").out
    assert out == f"migrated {len(SESSIONS)} sessions; {WANTED_MESSAGES:,} messages, 12 summaries\n"
    assert stored(tmp_path / "new.db") == stored(path)


def test_migrating_again_does_nothing(command: Here, path: Path, tmp_path: Path) -> None:
    arguments = ("migrate", f"sqlite:///{path}", f"sqlite:///{tmp_path / 'new.db'}")
    command(*arguments)
    assert command(*arguments).out == f"nothing to do: {len(SESSIONS)} sessions there already, equal\n"


def test_dry_run_makes_no_database(command: Here, path: Path, tmp_path: Path) -> None:
    ended = command("migrate", "--dry-run", "--json", path, f"sqlite:///{tmp_path / 'new.db'}")
    assert (ended.json["dry_run"], ended.json["copied"]) == (True, len(SESSIONS))
    assert not (tmp_path / "new.db").exists()


def test_dry_run_changes_no_empty_server(command: Here, path: Path, postgres_url: str) -> None:
    assert command("migrate", "--dry-run", "--json", path, postgres_url).json["copied"] == len(SESSIONS)
    assert postgres.execute(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_backup_restored_is_equal(command: Here, path: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "memory.backup", f"sqlite:///{tmp_path / 'new.db'}"
    command("backup", file, "--url", f"sqlite:///{path}")
    command("restore", file, "--url", new)
    assert stored(tmp_path / "new.db") == stored(path)


def test_backup_is_migrated_as_any_store(command: Here, path: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "memory.backup", f"sqlite:///{tmp_path / 'new.db'}"
    command("backup", file, "--url", f"sqlite:///{path}")
    assert command("migrate", file, new, "--json").json["copied"] == len(SESSIONS)


def test_backup_reports_as_json(command: Here, path: Path, tmp_path: Path) -> None:
    report = command("backup", tmp_path / "memory.backup", "--json", "--url", f"sqlite:///{path}").json
    assert (report["sessions"], report["messages"], report["dry_run"]) == (len(SESSIONS), WANTED_MESSAGES, False)


def test_backup_dry_run_writes_no_file(command: Here, path: Path, tmp_path: Path) -> None:
    out = command("backup", tmp_path / "memory.backup", "--dry-run", "--url", f"sqlite:///{path}").out
    assert out.startswith(f"would back up {len(SESSIONS)} sessions, {WANTED_MESSAGES:,} messages")
    assert not (tmp_path / "memory.backup").exists()


def test_conflict_is_named_and_fails(command: Here, path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    command("migrate", path, f"sqlite:///{new}")
    with sqlite3.connect(new) as database:
        database.execute("UPDATE sessions SET tags = '[\"mine\"]' WHERE session_id = 'odd'")
    database.close()
    ended = command.attempt("migrate", path, f"sqlite:///{new}")
    assert ended.code == 1
    assert "'odd'" in ended.err


def test_altered_backup_is_refused_and_the_store_left(command: Here, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.backup"
    command("backup", file, "--url", f"sqlite:///{path}")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    ended = command.attempt("restore", file, "--url", f"sqlite:///{tmp_path / 'new.db'}")
    assert (ended.code, "was altered" in ended.err) == (1, True)
    assert stored(tmp_path / "new.db") == {}


def test_password_of_the_source_is_not_shown(command: Here) -> None:
    ended = command.attempt("migrate", "postgresql://user:s3cret@127.0.0.1:1/none", "memory://")
    assert ended.code == 1
    assert "s3cret" not in ended.err


@pytest.mark.parametrize("arguments", [["migrate"], ["migrate", "one"], ["backup"], ["restore"]], ids=" ".join)
def test_missing_argument_is_wrong_usage(command: Here, arguments: list[str]) -> None:
    assert command.attempt(*arguments).code == 2


@pytest.mark.parametrize("name", ["backup", "restore", "migrate"])
def test_command_has_help(command: Here, name: str) -> None:
    assert "--dry-run" in command(name, "--help").out


@pytest.mark.usefixtures("interruptible")
def test_interrupted_migration_says_how_to_go_on(command: Here, tmp_path: Path) -> None:
    path, new = tmp_path / "many.db", tmp_path / "new.db"

    async def make() -> None:
        async with SQLiteBackend(db_path=str(path), synchronous="OFF") as backend:
            for number in range(20):
                await one_of_many(backend, f"s{number:03}", conversation(600))

    asyncio.run(make())
    process = Apart(tmp_path).start("migrate", f"sqlite:///{path}", f"sqlite:///{new}")
    while process.poll() is None and not has_sessions(new):
        time.sleep(0.01)  # between two looks, not for luck
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (INTERRUPTED, "error: interrupted; the same command goes on where it stopped\n")
    command("migrate", path, f"sqlite:///{new}")
    assert stored(new) == stored(path)


def has_sessions(path: Path) -> bool:
    if not path.exists():
        return False
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return bool(database.execute("SELECT count(*) FROM sessions").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are not made yet
        return False
    finally:
        database.close()
