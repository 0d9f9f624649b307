"""The migrator of the documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory import ConflictError, InvalidInputError, SessionMetadata, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.migration.backup import backup
from langswarm_memory.migration.migrator import MemoryMigrator
from langswarm_memory.migration.opening import open_source
from tests.migration.stored import SESSIONS, WANTED_MESSAGES, contents, fill


async def test_migration_reports_in_the_words_of_the_documents(
    source: BaseMemoryBackend, target: BaseMemoryBackend
) -> None:
    report = await MemoryMigrator().migrate_from_v1(source, target)
    assert report["success"] is True
    assert (report["sessions_migrated"], report["messages_migrated"]) == (len(SESSIONS), WANTED_MESSAGES)
    assert await contents(target) == await contents(source)


async def test_validation_writes_nothing(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    report = await MemoryMigrator().validate_migration(source, target)
    assert (report["dry_run"], report["copied"]) == (True, len(SESSIONS))
    assert await contents(target) == {}


async def test_validation_after_a_migration_finds_everything_equal(
    source: BaseMemoryBackend, target: BaseMemoryBackend
) -> None:
    migrator = MemoryMigrator()
    await migrator.migrate_from_v1(source, target)
    assert (await migrator.validate_migration(source, target))["unchanged"] == len(SESSIONS)


async def test_backup_and_restore_answer_true(
    source: BaseMemoryBackend, target: BaseMemoryBackend, tmp_path: Path
) -> None:
    path, migrator = str(tmp_path / "memory.backup"), MemoryMigrator()
    assert await migrator.backup_data(source, path) is True
    assert await migrator.restore_data(target, path) is True
    assert await contents(target) == await contents(source)


async def test_restore_that_met_a_conflict_raises_it(
    source: BaseMemoryBackend, target: BaseMemoryBackend, tmp_path: Path
) -> None:
    path, migrator = str(tmp_path / "memory.backup"), MemoryMigrator()
    await migrator.backup_data(source, path)
    await target.create_session(SessionMetadata("odd", tags=["mine"]))
    with pytest.raises(ConflictError):
        await migrator.restore_data(target, path)


@pytest.mark.parametrize("form", ["path", "url", "mapping", "backup", "backend"])
async def test_source_is_named_in_any_form(form: str, tmp_path: Path, target: BaseMemoryBackend) -> None:
    path, saved = tmp_path / "memory.db", tmp_path / "memory.backup"
    async with SQLiteBackend(db_path=str(path)) as made:
        await fill(made)
        await backup(made, saved)
        given = {
            "path": path,
            "url": f"sqlite:///{path}",
            "mapping": {"backend": "sqlite", "db_path": str(path)},
            "backup": saved,
            "backend": made,
        }[form]
        report = await MemoryMigrator().migrate_from_v1(given, target)
    assert report["copied"] == len(SESSIONS)


async def test_unknown_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of ours")
    with pytest.raises(InvalidInputError):
        await open_source(path)
