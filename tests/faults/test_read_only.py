"""Databases that take no writes: writes say so, reads go on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from langswarm_memory import (
    Message,
    PostgresBackend,
    SessionMetadata,
    SQLiteBackend,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from tests.faults.places import history, texts
from tests.services.host import Account

AS_SOMEBODY = """
import asyncio, json, os, sys
from langswarm_memory import LangSwarmMemoryError, Message, MemoryManager, SQLiteBackend

async def use(path):
    answers = {}
    async def note(name, call):
        try:
            answers[name] = repr(await call)
        except LangSwarmMemoryError as exc:
            answers[name] = type(exc).__name__
    backend = SQLiteBackend(path, timeout=1)
    manager = MemoryManager(backend)
    await note("connect", backend.connect())
    if backend.is_connected and (session := await manager.get_session("s")) is not None:
        answers["read"] = [message.content for message in await session.get_messages()]
        await note("list", backend.list_sessions())
        await note("add_message", session.add_message(Message("user", "no")))
        await note("add_messages", session.add_messages([Message("user", "no"), Message("user", "no")]))
        await note("update_metadata", session.update_metadata(tags=["a"]))
        await note("clear_messages", session.clear_messages())
        await note("create_session", manager.create_session("t"))
        await note("delete_session", manager.delete_session("s"))
        answers["read again"] = [message.content for message in await session.get_messages()]
    await manager.stop()
    return answers

async def main(path, uid):
    if uid:
        # What is imported on first use must be imported now: the account may be unable to reach the interpreter.
        async with SQLiteBackend(":memory:") as backend:
            await MemoryManager(backend).create_session("s")
        await use(":memory:")
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    print(json.dumps(await use(path)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account can reach; pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="langswarm-read-only-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def make(path: Path, **options: Any) -> None:
    async def fill() -> None:
        async with SQLiteBackend(str(path), **options) as backend:
            session = await backend.create_session(SessionMetadata("s"))
            await session.add_messages(texts("m", 2))

    asyncio.run(fill())


def as_somebody(path: Path) -> dict[str, Any]:
    """Use the database in a process to which file modes apply, as they do not to root, and report what came of it."""
    account = Account.needed()
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY, str(path), "" if account is None else str(account.uid)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=path.parent,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


REFUSED = dict.fromkeys(
    ["add_message", "add_messages", "update_metadata", "clear_messages", "create_session", "delete_session"],
    "StorageReadOnlyError",
)


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_read_only_file_is_read_and_takes_no_writes(folder: Path, journal_mode: str) -> None:
    path = folder / "memory.db"
    make(path, journal_mode=journal_mode)
    path.chmod(0o444)
    folder.chmod(0o777)  # the journal may be made: it is the file itself that is read-only
    answers = as_somebody(path)
    assert answers["read"] == answers["read again"] == ["m0", "m1"]
    assert {name: answers[name] for name in REFUSED} == REFUSED


@pytest.mark.store("sqlite")
def test_read_only_folder_is_read_and_takes_no_writes(folder: Path) -> None:
    path = folder / "memory.db"
    make(path, journal_mode="DELETE")
    path.chmod(0o444)
    folder.chmod(0o555)
    answers = as_somebody(path)
    assert answers["read"] == answers["read again"] == ["m0", "m1"]
    assert {name: answers[name] for name in REFUSED} == REFUSED


@pytest.mark.store("sqlite")
def test_new_database_in_a_read_only_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o555)
    assert as_somebody(folder / "memory.db") == {"connect": "StorageUnavailableError"}
    assert os.listdir(folder) == []


@pytest.mark.store("sqlite")
async def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    backend = SQLiteBackend(str(tmp_path / "file" / "memory.db"))
    with pytest.raises(StorageUnavailableError) as caught:
        await backend.connect()
    assert isinstance(caught.value.__cause__, OSError)


@pytest.fixture
async def read_only(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """A backend on a database that was filled and then made read-only."""
    async with PostgresBackend(postgres_url) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_messages(texts("m", 2))
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"ALTER DATABASE {urlsplit(postgres_url).path[1:]} SET default_transaction_read_only = on")
    await connection.close()
    async with PostgresBackend(postgres_url) as backend:
        yield backend


async def test_read_only_server_is_read(read_only: PostgresBackend) -> None:
    assert [message.content for message in await history(read_only)] == ["m0", "m1"]
    assert len(await read_only.list_sessions()) == 1
    assert (await read_only.health_check())["status"] == "healthy"


@pytest.mark.parametrize(
    "write",
    ["add_message", "add_messages", "update_metadata", "clear_messages", "create_summary", "create_session", "delete"],
)
async def test_read_only_server_takes_no_writes(read_only: PostgresBackend, write: str) -> None:
    session = await read_only.get_session("s")
    assert session is not None
    writes: dict[str, Callable[[], Awaitable[Any]]] = {
        "add_message": lambda: session.add_message(Message("user", "no")),
        "add_messages": lambda: session.add_messages(texts("n", 2)),
        "update_metadata": lambda: session.update_metadata(tags=["a"]),
        "clear_messages": session.clear_messages,
        "create_summary": lambda: session.create_summary(force=True),
        "create_session": lambda: read_only.create_session(SessionMetadata("t")),
        "delete": lambda: read_only.delete_session("s"),
    }
    with pytest.raises(StorageReadOnlyError) as caught:
        await writes[write]()
    assert not caught.value.retryable
    assert caught.value.__cause__ is not None


async def test_concurrent_messages_to_a_read_only_server_are_all_refused(read_only: PostgresBackend) -> None:
    session = await read_only.get_session("s")
    assert session is not None
    calls = (session.add_message(each) for each in texts("n", 8))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageReadOnlyError}
