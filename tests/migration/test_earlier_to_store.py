"""Data of earlier software in a store of ours: equal, once, whatever happens in between; and V1's own migrator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from langswarm_memory import SQLiteBackend
from langswarm_memory.errors import InvalidInputError
from langswarm_memory.interfaces.contracts import IMemoryMigrator
from langswarm_memory.migration.sources import detect_source
from langswarm_memory.migration.transfer import transfer
from langswarm_memory.migration.v1 import V1MemoryMigrator
from langswarm_memory.repository.documents import pack_metadata
from tests.migration.earlier import REFERENCE, Read, message_row, read_all, session_row, write
from tests.migration.test_sources_langswarm import V1_SESSIONS, v1_row

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    async with SQLiteBackend(db_path=str(tmp_path / "target.db")) as backend:
        yield backend


def traps(folder: Path) -> str:
    """Make a file with every trap."""
    late = "2025-01-09T00:00:00+02:00"
    return write(
        folder / "traps.db",
        REFERENCE.replace("message_id TEXT PRIMARY KEY", "message_id TEXT"),
        sessions=[
            session_row("s", status="hibernating", properties="{'a': nan}", tags='["x", 1]', max_messages=-1),
            session_row("expired", expires_at="2025-01-03T00:00:00", properties='{"n": NaN}'),
            session_row("empty", created_at="2025-01-01T00:00:00", updated_at="bad"),
        ],
        messages=[
            message_row("late", timestamp=late, content="nul \x00"),
            message_row("early", metadata="{'a': (1, 2)}", role="critic"),
            message_row("early", content="same id"),
            message_row(None, tool_calls='[{"id": "c"}]', metadata='{"x": Infinity, "s": "\\ud800"}'),
            message_row("cut", metadata='{"a": '),
            message_row("orphan", "lost", timestamp="2025-01-02T03:04:05"),
            message_row("x", "expired"),
        ],
    )


async def check_equal(backend: SQLiteBackend, found: dict[str, Read]) -> None:
    """Compare a store with what was read from a source, byte for byte."""
    for session_id, read in found.items():
        record = await backend.repository.fetch_session(session_id)
        assert record is not None
        assert pack_metadata(record.metadata) == pack_metadata(read.metadata)
        session = await backend.get_session(session_id)
        if session is None:  # expired: it is there, and is not given out
            continue
        stored = await session.get_messages(full_history=True)
        assert [_hashable(message) for message in stored] == [_hashable(message) for message in read.messages]
        summaries = await backend.repository.list_summaries(session_id)
        ours = {summary.summary_id: summary.summary for summary in summaries}
        assert ours == {summary.summary_id: summary.summary for summary in read.summaries}


def _hashable(message: Any) -> str:
    return json.dumps({**message.to_dict(), "token_count": None}, sort_keys=True)


@pytest.mark.parametrize("name", ["reference-0.1.4.sqlite", "reference-0.2.0.sqlite", "traps"])
async def test_every_value_arrives(name: str, target: SQLiteBackend, tmp_path: Path) -> None:
    path = traps(tmp_path) if name == "traps" else str(SAMPLES / name)
    _, found = await read_all(path)
    report = await transfer(await detect_source(path), target)
    assert (report.failures, report.copied) == ((), len(found))
    assert report.messages == sum(len(read.messages) for read in found.values())
    await check_equal(target, found)


@pytest.mark.parametrize("name", ["reference-0.2.0.sqlite", "traps"])
async def test_repeating_changes_nothing(name: str, target: SQLiteBackend, tmp_path: Path) -> None:
    path = traps(tmp_path) if name == "traps" else str(SAMPLES / name)
    first = await transfer(await detect_source(path), target)
    second = await transfer(await detect_source(path), target)
    assert (second.unchanged, second.messages, second.failures) == (first.copied, 0, ())


async def test_a_dry_run_writes_nothing_and_tells_what_would_be_lost(target: SQLiteBackend, tmp_path: Path) -> None:
    report = await transfer(await detect_source(traps(tmp_path)), target, dry_run=True)
    assert (await target.get_usage_stats()).session_count == 0
    assert report.losses == {
        "messages whose session's row is missing: carried into a session of that id": 1,
        "messages with the id of another: given one of their own": 1,
        "messages without an id: given one made of their place": 1,
        "times without a time zone: taken as UTC": 3,
        "unknown status of a session: kept as it was": 1,
        "unreadable max_messages of a session: kept as it was": 1,
        "unreadable metadata of a message: kept as it was": 1,
        "unreadable tags of a session: kept as it was": 1,
        "unreadable updated_at of a session: kept as it was": 1,
    }


async def test_a_file_that_grew_since_is_gone_on_with(target: SQLiteBackend, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    write(path, REFERENCE, sessions=[session_row()], messages=[message_row("a")])
    await transfer(await detect_source(path), target)
    write(path, "", messages=[message_row("b", content="new")])
    report = await transfer(await detect_source(path), target)
    assert (report.continued, report.messages) == (1, 1)


# --- the migrator of the documents --------------------------------------------------------------------------------


async def test_the_migrator_takes_a_file_of_v1(target: SQLiteBackend, tmp_path: Path) -> None:
    path = write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()])
    report = await V1MemoryMigrator().migrate_sqlite_adapter(path, target, batch_size=1000)
    assert (report["sessions_migrated"], report["messages_migrated"], report["errors"]) == (1, 2, [])


async def test_the_kind_alone_means_the_file_that_v1_made(
    target: SQLiteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "langswarm_sessions.db", V1_SESSIONS, sessions=[v1_row()])
    monkeypatch.chdir(tmp_path)
    report = await V1MemoryMigrator().migrate_sessions(source_backend="v1_sqlite", target_backend=target)
    assert report["session_mapping"] == {"session_0a1b2c3d": "session_0a1b2c3d"}


async def test_the_kind_alone_without_such_a_file_is_refused(
    target: SQLiteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="current folder"):
        await V1MemoryMigrator().migrate_sessions(source_backend="v1_sqlite", target_backend=target)


async def test_an_adapter_of_v1_names_its_file(target: SQLiteBackend, tmp_path: Path) -> None:
    path = write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()])
    report = await V1MemoryMigrator().migrate_sessions(SimpleNamespace(db_path=path), target)
    assert report["sessions_migrated"] == 1


async def test_messages_are_migrated_under_the_ids_of_a_mapping(target: SQLiteBackend, tmp_path: Path) -> None:
    rows = [v1_row(), v1_row(session_id="other")]
    migrator = V1MemoryMigrator(write(tmp_path / "v1.db", V1_SESSIONS, sessions=rows))
    report = await migrator.migrate_messages({"other": "new"}, target)
    session = await target.get_session("new")
    assert session is not None
    assert [message.content for message in await session.get_messages()] == ["Hi", "Hello"]
    assert (report["copied"], (await target.get_usage_stats()).session_count) == (1, 1)


async def test_the_mapping_of_migrated_sessions_leaves_nothing_to_do(target: SQLiteBackend, tmp_path: Path) -> None:
    path = write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()])
    migrator = V1MemoryMigrator()
    report = await migrator.migrate_sessions({"backend": "sqlite", "db_path": path}, target)
    again = await migrator.migrate_messages(report["session_mapping"], target)
    assert (again["unchanged"], again["messages_migrated"]) == (1, 0)


async def test_a_mapping_of_two_sessions_to_one_id_is_refused(target: SQLiteBackend) -> None:
    with pytest.raises(InvalidInputError, match="the same id"):
        await V1MemoryMigrator("v1.db").migrate_messages({"a": "c", "b": "c"}, target)


async def test_validation_against_a_backend_is_a_dry_run(target: SQLiteBackend, tmp_path: Path) -> None:
    path = write(tmp_path / "v1.db", V1_SESSIONS, sessions=[v1_row()])
    report = await V1MemoryMigrator().validate_migration({"backend": "sqlite", "db_path": path}, target)
    assert (report["dry_run"], report["messages"]) == (True, 2)
    assert (await target.get_usage_stats()).session_count == 0


@pytest.mark.parametrize(
    ("source", "after", "complete"),
    [
        ({"sessions": 2, "messages": 9}, {"total_sessions": 2, "total_messages": 9}, True),
        ({"sessions": 2, "messages": 9}, {"total_sessions": 3, "total_messages": 12}, True),
        ({"sessions": 2, "messages": 9}, {"total_sessions": 2, "total_messages": 8}, False),
        ({"sessions": 2}, {"session_count": 1}, False),
    ],
)
async def test_validation_against_statistics_compares_counts(
    source: dict[str, int], after: dict[str, int], complete: bool
) -> None:
    assert await V1MemoryMigrator().validate_migration(source, after) is complete


async def test_validation_takes_the_statistics_of_a_backend(target: SQLiteBackend) -> None:
    usage = await target.get_usage_stats()
    migrator = V1MemoryMigrator()
    assert await migrator.validate_migration(source_stats={"sessions": 0}, target_stats=usage) is True


async def test_validation_of_statistics_without_counts_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no count in common"):
        await V1MemoryMigrator().validate_migration({"a": 1}, {"b": 2})


def test_the_migrator_is_one_of_the_interface() -> None:
    assert issubclass(V1MemoryMigrator, IMemoryMigrator)
