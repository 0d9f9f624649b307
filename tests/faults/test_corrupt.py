"""Records and files that were damaged: told as such, by their key, while everything else can be read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from langswarm_memory import CorruptRecordError, MemoryBackendError, Message, SessionMetadata, SQLiteBackend
from langswarm_memory.relational import RelationalBackend
from langswarm_memory.session import BaseMemorySession
from tests.faults.places import Place, texts

DEEP = "[" * 100_000  # deeper than any reader of JSON goes


class Damaged:
    """A backend on a database in which two sessions have two messages and two summaries each."""

    def __init__(self, backend: RelationalBackend, place: Place) -> None:
        self.backend, self._place = backend, place

    async def damage(self, table: str, column: str, value: object, where: str) -> None:
        """Write a value that the package never would."""
        if self._place.store == "sqlite":
            with sqlite3.connect(self._place.address) as connection:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
            connection.close()
            return
        other = await asyncpg.connect(self._place.address)
        await other.execute(f"UPDATE {table} SET {column} = $1 WHERE {where}", value)
        await other.close()

    async def session(self, session_id: str) -> BaseMemorySession:
        found = await self.backend.get_session(session_id)
        assert found is not None
        return found


@pytest.fixture
async def damaged(place: Place) -> AsyncIterator[Damaged]:
    async with place.backend() as backend:
        for session_id in ("bad", "good"):
            session = await backend.create_session(SessionMetadata(session_id, tags=["a"], properties={"b": 1}))
            await session.add_messages(texts("m", 2))
            await session.create_summary(force=True)
        yield Damaged(backend, place)


def anywhere(*cases: tuple[str, object]) -> list[Any]:
    return [pytest.param(column, value, id=f"{column}-{index}") for index, (column, value) in enumerate(cases)]


BAD_MESSAGES = anywhere(
    ("metadata", '{"a":'),
    ("metadata", DEEP),
    ("tool_calls", "[{]"),
    ("function_call", "nothing"),
    ("content_blocks", "["),
    ("verbatim", b"\x00\xff"),
    ("verbatim", b"[1, 2]"),
)
READ_BY = {"content_blocks": "content", "verbatim": "content"}


@pytest.mark.parametrize(("column", "value"), BAD_MESSAGES)
async def test_damaged_message_names_itself(damaged: Damaged, column: str, value: object) -> None:
    await damaged.damage("messages", column, value, "session_id = 'bad' AND message_id = 'm1'")
    first, second = await (await damaged.session("bad")).get_messages()
    assert first.to_dict()["content"] == "m0"
    with pytest.raises(CorruptRecordError, match="'m1'") as caught:
        getattr(second, READ_BY.get(column, column))
    assert "m1" in caught.value.key
    assert caught.value.__cause__ is not None
    assert not caught.value.retryable


@pytest.mark.store("sqlite")
async def test_damaged_timestamp_names_its_message(tmp_path: Path) -> None:
    place = Place("sqlite", str(tmp_path / "memory.db"))
    async with place.backend() as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_messages(texts("m", 2))
        await Damaged(backend, place).damage("messages", "timestamp", "yesterday", "message_id = 'm1'")
        first, second = await session.get_messages()
        assert first.timestamp
        with pytest.raises(CorruptRecordError, match="'m1'"):
            _ = second.timestamp


async def test_damaged_message_leaves_appending_alone(damaged: Damaged) -> None:
    await damaged.damage("messages", "metadata", "{", "session_id = 'bad'")
    session = await damaged.session("bad")
    await session.add_message(Message("user", "more", message_id="m2"))
    assert (await session.get_messages())[-1].content == "more"


async def test_damaged_message_is_not_overwritten_by_its_replay(damaged: Damaged) -> None:
    await damaged.damage("messages", "metadata", "{", "session_id = 'bad' AND message_id = 'm1'")
    session = await damaged.session("bad")
    with pytest.raises(CorruptRecordError, match="'m1'"):
        await session.add_message(Message("user", "m1", message_id="m1"))
    assert await session.count_messages() == 2


BAD_SESSIONS = anywhere(
    ("tags", "["),
    ("properties", '{"b":'),
    ("properties", DEEP),
    ("verbatim", b"\xff"),
)


@pytest.mark.parametrize(("column", "value"), BAD_SESSIONS)
async def test_damaged_session_names_itself(damaged: Damaged, column: str, value: object) -> None:
    await damaged.damage("sessions", column, value, "session_id = 'bad'")
    session = await damaged.session("bad")
    with pytest.raises(CorruptRecordError, match="'bad'"):
        getattr(session.metadata, "tags" if column == "verbatim" else column)


@pytest.mark.parametrize("value", ["nonsense", ""])
async def test_session_of_no_known_status_names_itself(damaged: Damaged, value: str) -> None:
    await damaged.damage("sessions", "status", value, "session_id = 'bad'")
    with pytest.raises(CorruptRecordError, match="'bad'"):
        await damaged.backend.get_session("bad")


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("column", ["created_at", "updated_at", "expires_at"])
async def test_session_of_no_readable_time_names_itself(tmp_path: Path, column: str) -> None:
    place = Place("sqlite", str(tmp_path / "memory.db"))
    async with place.backend() as backend:
        await backend.create_session(SessionMetadata("bad"))
        await Damaged(backend, place).damage("sessions", column, "tomorrow", "session_id = 'bad'")

        async def read() -> None:
            session = await backend.get_session("bad")
            assert session is not None
            getattr(session.metadata, column)

        with pytest.raises(CorruptRecordError, match="'bad'"):
            await read()


@pytest.mark.parametrize(("column", "value"), BAD_SESSIONS)
async def test_messages_of_a_damaged_session_can_be_read(damaged: Damaged, column: str, value: object) -> None:
    await damaged.damage("sessions", column, value, "session_id = 'bad'")
    assert [message.content for message in await (await damaged.session("bad")).get_messages()] == ["m0", "m1"]


async def summarise_more(session: BaseMemorySession) -> object:
    await session.add_message(Message("user", "more"))
    return await session.create_summary(force=True)


WRITES: dict[str, Callable[[BaseMemorySession], Awaitable[Any]]] = {
    "add_message": lambda session: session.add_message(Message("user", "more")),
    "a replay": lambda session: session.add_message(Message("user", "m1", message_id="m1")),
    "clear_messages": lambda session: session.clear_messages(),
    "create_summary": lambda session: summarise_more(session),
    "delete_session": lambda session: session.delete_session(),
}


@pytest.mark.parametrize("write", list(WRITES))
async def test_damaged_session_can_be_written_and_deleted(damaged: Damaged, write: str) -> None:
    session = await damaged.session("bad")
    await damaged.damage("sessions", "properties", "{", "session_id = 'bad'")
    assert await WRITES[write](session)


async def test_edit_of_a_damaged_session_does_not_overwrite_it(damaged: Damaged) -> None:
    session = await damaged.session("bad")
    await damaged.damage("sessions", "properties", "{", "session_id = 'bad'")
    with pytest.raises(CorruptRecordError, match="'bad'"):
        await session.update_metadata(tags=["new"])
    rows = await damaged.backend.query("SELECT properties FROM sessions WHERE session_id = 'bad'")
    assert rows == [{"properties": "{"}]


async def test_list_with_a_damaged_session_shows_the_others(damaged: Damaged) -> None:
    await damaged.damage("sessions", "properties", "{", "session_id = 'bad'")
    found = {metadata.session_id: metadata for metadata in await damaged.backend.list_sessions()}
    assert found["good"].properties == {"b": 1}
    with pytest.raises(CorruptRecordError, match="'bad'"):
        _ = found["bad"].properties


BAD_SUMMARIES = anywhere(("key_topics", "["), ("summary_type", "strange"), ("verbatim", b"\xff"))


@pytest.mark.parametrize(("column", "value"), BAD_SUMMARIES)
async def test_damaged_summary_names_itself(damaged: Damaged, column: str, value: object) -> None:
    session = await damaged.session("bad")
    (summary,) = await session.get_summaries()
    await damaged.damage("summaries", column, value, "session_id = 'bad'")
    with pytest.raises(CorruptRecordError, match=summary.summary_id):
        await session.get_summaries()
    assert len(await (await damaged.session("good")).get_summaries()) == 1


@pytest.mark.store("sqlite")
async def test_summary_of_no_readable_time_names_itself(tmp_path: Path) -> None:
    place = Place("sqlite", str(tmp_path / "memory.db"))
    async with place.backend() as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_messages(texts("m", 2))
        summary = await session.create_summary(force=True)
        assert summary is not None
        await Damaged(backend, place).damage("summaries", "start_time", "tomorrow", "true")
        with pytest.raises(CorruptRecordError, match=summary.summary_id):
            await session.get_summaries()


@pytest.mark.store("sqlite")
async def test_token_count_that_is_no_number_names_its_message(tmp_path: Path) -> None:
    place = Place("sqlite", str(tmp_path / "memory.db"))
    async with place.backend() as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_messages(texts("m", 2))
        await Damaged(backend, place).damage("messages", "token_count", "many", "message_id = 'm1'")
        with pytest.raises(CorruptRecordError, match="'m1'"):
            await session.get_recent_context(1000)
        assert len(await session.get_messages()) == 2


async def filled(path: Path) -> None:
    async with SQLiteBackend(str(path), journal_mode="DELETE") as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_messages([Message("user", "x" * 1000) for _ in range(200)])


FILES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"This is not a database. " * 1000,
    "its first page overwritten": lambda data: bytes(4096) + data[4096:],
    "cut in the middle": lambda data: data[: len(data) // 2 + 100],
    "its later pages overwritten": lambda data: data[:131_072] + b"\xa5" * (len(data) - 131_072),
}


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("kind", list(FILES))
def test_damaged_file_is_told_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "memory.db"
    asyncio.run(filled(path))
    damaged = FILES[kind](path.read_bytes())
    path.write_bytes(damaged)

    async def use() -> None:
        async with SQLiteBackend(str(path), journal_mode="DELETE", timeout=1) as backend:
            session = await backend.get_session("s")
            assert session is not None
            await session.get_messages(full_history=True)

    with pytest.raises(MemoryBackendError) as caught:
        asyncio.run(use())
    assert caught.value.__cause__ is not None
    assert not caught.value.retryable
    assert path.read_bytes() == damaged


@pytest.mark.store("sqlite")
def test_append_to_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    asyncio.run(filled(path))
    path.write_bytes(FILES["its later pages overwritten"](path.read_bytes()))

    async def use() -> list[object]:
        async with SQLiteBackend(str(path), journal_mode="DELETE", timeout=1) as backend:
            session = backend.session_class(SessionMetadata("s"), backend)
            return await asyncio.gather(*(session.add_message(each) for each in texts("m", 4)), return_exceptions=True)

    assert {type(outcome) for outcome in asyncio.run(use())} == {CorruptRecordError}
