"""Backups: everything in one file, which appears whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import InMemoryBackend, InvalidInputError, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.errors import CorruptRecordError, StorageFullError
from langswarm_memory.migration.backup import PARTIAL, backup
from langswarm_memory.migration.restore import BackupSource, restore
from langswarm_memory.migration.stores import StoreSource
from tests.migration.conftest import Maker
from tests.migration.stored import SESSIONS, WANTED_MESSAGES, contents, conversation, fill, hashes
from tests.migration.test_transfer import kill_after, one_of_many


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.backup"


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(PARTIAL))


@pytest.mark.parametrize("kind", ["in_memory", "sqlite", "postgres", "redis"])
async def test_backup_restored_elsewhere_is_equal(
    kind: str, make: Maker, path: Path, target: BaseMemoryBackend
) -> None:
    source = await fill(make(kind))
    await backup(source, path)
    await restore(path, target)
    assert await contents(target) == await contents(source)


async def test_report_says_what_the_file_holds(source: BaseMemoryBackend, path: Path) -> None:
    report = await backup(source, path)
    assert (report.sessions, report.messages, report.summaries) == (len(SESSIONS), WANTED_MESSAGES, 12)
    assert report.size_bytes == os.stat(path).st_size


async def test_hash_of_equal_stores_is_equal(source: BaseMemoryBackend, target: BaseMemoryBackend, path: Path) -> None:
    first = await backup(source, path)
    await restore(path, target)
    assert (await backup(target, path)).sha256 == first.sha256


async def test_backup_is_a_source_with_the_hashes_of_the_store(source: BaseMemoryBackend, path: Path) -> None:
    await backup(source, path)
    opened = BackupSource(path)
    await opened.open()
    found = [json.loads(line.split(b" ", 2)[2]) for line in lines(path) if line.startswith(b"E")]
    assert [one["sha256"] for one in found] == list((await hashes(source)).values())
    counts = await opened.counts()
    assert (counts.sessions, counts.messages) == (len(SESSIONS), WANTED_MESSAGES)
    await opened.close()


def lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return gzip.GzipFile(fileobj=io.BytesIO(file.read())).read().splitlines()


async def test_gzip_reads_the_file(source: BaseMemoryBackend, path: Path) -> None:
    await backup(source, path)
    assert lines(path)[-1].startswith(b"Z ")


async def test_only_the_owner_may_read_the_file(source: BaseMemoryBackend, path: Path) -> None:
    await backup(source, path)
    assert os.stat(path).st_mode & 0o077 == 0


async def test_backup_replaces_an_older_one(source: BaseMemoryBackend, target: BaseMemoryBackend, path: Path) -> None:
    await backup(target, path)
    await backup(source, path)
    assert (await restore(path, target)).copied == len(SESSIONS)


async def test_file_that_is_no_backup_is_never_replaced(source: BaseMemoryBackend, path: Path) -> None:
    path.write_bytes(gzip.compress(b"holiday pictures"))  # noqa: ASYNC240
    with pytest.raises(InvalidInputError, match="not a backup"):
        await backup(source, path)
    assert gzip.decompress(path.read_bytes()) == b"holiday pictures"  # noqa: ASYNC240


async def test_folder_that_does_not_exist_is_said(source: BaseMemoryBackend, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="folder does not exist"):
        await backup(source, tmp_path / "missing" / "memory.backup")


async def test_failed_backup_leaves_the_older_one(source: BaseMemoryBackend, path: Path) -> None:
    await backup(source, path)
    before = path.read_bytes()  # noqa: ASYNC240
    read = source.repository.read_messages

    async def failing(session_id: str, *args: Any) -> Any:
        if session_id == "trimmed":
            raise CorruptRecordError("in_memory", "message 3")
        return await read(session_id, *args)

    source.repository.read_messages = failing  # type: ignore[method-assign]
    with pytest.raises(CorruptRecordError):
        await backup(source, path)
    assert path.read_bytes() == before  # noqa: ASYNC240
    assert leftovers(path.parent) == []


async def test_full_disk_is_told_as_such(
    source: BaseMemoryBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFullError):
        await backup(source, path)
    assert os.listdir(path.parent) == []


async def test_cancelled_backup_leaves_nothing(source: BaseMemoryBackend, path: Path) -> None:
    running = asyncio.ensure_future(backup(source, path, progress=lambda *_call: running.cancel()))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert os.listdir(path.parent) == []


CHILD = """
import asyncio, sys
from langswarm_memory import create_memory_backend
from langswarm_memory.migration.backup import backup

def progress(done, total, session_id):
    print(done, flush=True)

async def main(url, path):
    async with create_memory_backend(url) as backend:
        await backup(backend, path, progress=progress)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_backup_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "memory.backup"
    async with SQLiteBackend(db_path=str(tmp_path / "memory.db")) as source, InMemoryBackend() as target:
        await fill(source)
        await backup(source, path)
        before = path.read_bytes()
        for number in range(20):
            await one_of_many(source, f"more-{number:02}", conversation(500))
        await asyncio.to_thread(kill_after, 8, CHILD, f"sqlite:///{tmp_path / 'memory.db'}", str(path))
        assert path.read_bytes() == before
        await backup(source, path)
        await restore(path, target)
        assert await contents(target) == await contents(source)


async def test_chosen_sessions_are_all_that_is_backed_up(source: BaseMemoryBackend, path: Path) -> None:
    assert (await backup(source, path, session_ids=["odd"])).sessions == 1


async def test_source_can_be_backed_up_as_well(source: BaseMemoryBackend, path: Path) -> None:
    assert (await backup(StoreSource(source).only(["odd", "plain"]), path)).sessions == 2
