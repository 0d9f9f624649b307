"""No room left: the call says so, writes nothing, and works again when there is room."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Engine, event

from langswarm_memory import Message, SessionMetadata, StorageFullError
from langswarm_memory.relational import RelationalBackend
from tests.faults.places import Place, history, texts

LARGE = "x" * 20_000  # five pages of SQLite
NO_BOUND = 2**30  # pages


@contextmanager
def full_at(pages: int) -> Iterator[Callable[[], None]]:
    """Let databases of SQLite grow to so many pages only; yield a function that makes room again.

    The bound belongs to a connection, and the backend's own are reached where SQLAlchemy makes them.
    """
    made: list[sqlite3.Connection] = []

    def connected(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA max_page_count={pages}")
            made.append(connection)

    event.listen(Engine, "connect", connected)
    try:
        yield lambda: made[0].execute(f"PRAGMA max_page_count={NO_BOUND}").close()  # the first one made is the writer
    finally:
        event.remove(Engine, "connect", connected)


class Room:
    """A backend whose database can be made full."""

    def __init__(self, backend: RelationalBackend, fill: Callable[[], Any], free: Callable[[], Any]) -> None:
        self.backend, self.fill, self.free = backend, fill, free


@pytest.fixture
async def room(place: Place) -> AsyncIterator[Room]:
    if place.store == "sqlite":
        with full_at(60) as free:
            async with place.backend() as backend:
                await backend.create_session(SessionMetadata("s"))
                yield Room(backend, lambda: fill(backend), free)
        return
    connection = await asyncpg.connect(place.address)
    async with place.backend() as backend:
        await backend.create_session(SessionMetadata("s"))
        # The server has no bound of its own; what it would say is said by a trigger.
        await connection.execute(
            "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
        )
        for table in ("sessions", "messages", "summaries"):
            await connection.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION full()"
            )

        async def switch(state: str) -> None:
            for table in ("sessions", "messages", "summaries"):
                await connection.execute(f"ALTER TABLE {table} {state} TRIGGER full_{table}")

        await switch("DISABLE")
        yield Room(backend, lambda: switch("ENABLE"), lambda: switch("DISABLE"))
    await connection.close()


async def fill(backend: RelationalBackend) -> None:
    """Append until there is no room for a small message either."""
    session = await backend.get_session("s")
    assert session is not None
    number = 0
    for size in (LARGE, "x"):
        try:
            while True:
                await session.add_message(Message("user", size, message_id=f"fill{number}"))
                number += 1
        except StorageFullError:
            continue


async def stored(backend: RelationalBackend) -> list[str]:
    return [message.message_id for message in await history(backend) if not message.message_id.startswith("fill")]


async def free(room: Room) -> None:
    made = room.free()
    if made is not None:
        await made


async def test_message_without_room_is_refused_with_its_cause(room: Room) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await room.fill()
    with pytest.raises(StorageFullError) as caught:
        await session.add_message(Message("user", LARGE))
    assert caught.value.retryable
    assert caught.value.__cause__ is not None
    assert LARGE[:20] not in str(caught.value)
    assert await stored(room.backend) == []


async def test_batch_without_room_leaves_nothing_behind(room: Room) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await room.fill()
    batch = [*texts("m", 3), *(Message("user", LARGE) for _ in range(20))]
    with pytest.raises(StorageFullError):
        await session.add_messages(batch)
    assert await stored(room.backend) == []


async def test_concurrent_messages_without_room_are_stored_or_refused(room: Room) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await room.fill()
    messages = [Message("user", LARGE, message_id=f"m{n}") for n in range(16)]
    outcomes = await asyncio.gather(*(session.add_message(each) for each in messages), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageFullError}
    assert await stored(room.backend) == []


async def test_reads_go_on_without_room(room: Room) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await session.add_messages(texts("m", 2))
    await room.fill()
    assert await stored(room.backend) == ["m0", "m1"]
    assert len(await room.backend.list_sessions()) == 1
    assert (await room.backend.health_check())["status"] == "healthy"


@pytest.mark.parametrize("call", ["create_session", "create_summary", "update_metadata"])
async def test_other_writes_without_room_are_refused(room: Room, call: str) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await session.add_message(Message("user", "Hello there."))
    await room.fill()
    calls = {
        "create_session": lambda: room.backend.create_session(SessionMetadata("t", properties={"large": LARGE})),
        "create_summary": lambda: long_summary(room.backend),
        "update_metadata": lambda: session.update_metadata(large=LARGE),
    }
    with pytest.raises(StorageFullError):
        await calls[call]()
    assert (await session.refresh()).properties == {}
    assert await room.backend.get_session("t") is None
    assert await session.get_summaries() == []


async def long_summary(backend: RelationalBackend) -> None:
    session = await backend.get_session("s")
    assert session is not None
    backend.summarizer = lambda previous, messages: type("Digest", (), {"text": LARGE, "key_topics": []})
    await session.create_summary(force=True)


async def test_repeated_call_succeeds_when_there_is_room_again(room: Room) -> None:
    session = await room.backend.get_session("s")
    assert session is not None
    await room.fill()
    messages = [Message("user", LARGE, message_id=f"m{n}") for n in range(3)]
    with pytest.raises(StorageFullError):
        await session.add_messages(messages)
    await free(room)
    await session.add_messages(messages)
    assert await stored(room.backend) == ["m0", "m1", "m2"]


@pytest.mark.store("sqlite")
async def test_deleting_makes_room(tmp_path: Path) -> None:
    with full_at(60):
        async with Place("sqlite", str(tmp_path / "memory.db")).backend() as backend:
            session = await backend.create_session(SessionMetadata("s"))
            await fill(backend)
            await session.clear_messages()
            assert await session.add_message(Message("user", LARGE))


ON_A_FULL_DISK = """
import asyncio, json, os, sys
from langswarm_memory import Message, SessionMetadata, SQLiteBackend, StorageFullError

async def main(folder):
    filler = os.path.join(folder, "filler")
    with open(filler, "wb") as file:
        file.write(bytes(600_000))
    acknowledged, refused = [], []
    async with SQLiteBackend(os.path.join(folder, "memory.db")) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        while len(refused) < 3:
            batch = [Message("user", "x" * 5_000) for _ in range(4)]
            try:
                await session.add_messages(batch)
            except StorageFullError:
                refused += [message.message_id for message in batch]
            else:
                acknowledged += [message.message_id for message in batch]
        os.remove(filler)
        again = Message("user", "after")
        await session.add_message(again)
    async with SQLiteBackend(os.path.join(folder, "memory.db")) as backend:
        session = await backend.get_session("s")
        found = [message.message_id for message in await session.get_messages(full_history=True)]
        print(json.dumps(found == acknowledged + [again.message_id]))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.store("sqlite")
def test_full_disk_is_survived(tmp_path: Path) -> None:
    """A disk of one megabyte, in a mount namespace of the process's own: it is gone with the process."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine allows no mount namespaces; run as root or allow user namespaces")
    done = subprocess.run(
        [*alone, "sh", "-c", mount, str(tmp_path), sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is True
