"""Restoring: verified before it is written, twice is once, and no byte of the file may differ."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langswarm_memory import InMemoryBackend, InvalidInputError, Message, SessionMetadata
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.migration import archive
from langswarm_memory.migration.backup import backup
from langswarm_memory.migration.restore import BackupSource, is_backup, restore
from tests.migration.stored import SESSIONS, at, contents, conversation


@pytest.fixture
async def path(source: BaseMemoryBackend, tmp_path: Path) -> Path:
    """A backup of every kind of session."""
    await backup(source, tmp_path / "memory.backup")
    return tmp_path / "memory.backup"


@pytest.fixture
async def small(tmp_path: Path) -> bytes:
    """The bytes of a small backup."""
    async with InMemoryBackend() as backend:
        for name in ("a", "b"):
            session = await backend.create_session(SessionMetadata(name, created_at=at(0)))
            await session.add_messages(conversation(3))
        await session.create_summary()
        await backup(backend, tmp_path / "small.backup")
    return (tmp_path / "small.backup").read_bytes()


async def refused(data: bytes, path: Path) -> str:
    """Restore bytes as a file, which must be refused with an empty target; return the error's text."""
    path.write_bytes(data)  # noqa: ASYNC240
    async with InMemoryBackend() as target:
        with pytest.raises(InvalidInputError) as caught:
            await restore(path, target)
        assert await contents(target) == {}
    return str(caught.value)


async def test_restoring_again_changes_nothing(path: Path, target: BaseMemoryBackend) -> None:
    await restore(path, target)
    before = await contents(target)
    report = await restore(path, target)
    assert (report.unchanged, report.messages) == (len(SESSIONS), 0)
    assert await contents(target) == before


async def test_restore_into_the_store_it_came_from_changes_nothing(path: Path, source: BaseMemoryBackend) -> None:
    assert (await restore(path, source)).unchanged == len(SESSIONS)


async def test_deleted_session_comes_back(path: Path, source: BaseMemoryBackend) -> None:
    before = await contents(source)
    await source.delete_session("odd")
    report = await restore(path, source)
    assert (report.copied, report.unchanged) == (1, len(SESSIONS) - 1)
    assert await contents(source) == before


async def test_session_that_holds_something_else_is_left_alone(path: Path, target: BaseMemoryBackend) -> None:
    session = await target.create_session(SessionMetadata("odd"))
    await session.add_message(Message("user", "mine"))
    report = await restore(path, target)
    assert [failure.session_id for failure in report.conflicts] == ["odd"]
    assert [message.content for message in await session.get_messages()] == ["mine"]


async def test_dry_run_writes_nothing(path: Path, target: BaseMemoryBackend) -> None:
    assert (await restore(path, target, dry_run=True)).copied == len(SESSIONS)
    assert await contents(target) == {}


async def test_chosen_sessions_are_all_that_is_restored(path: Path, target: BaseMemoryBackend) -> None:
    assert (await restore(path, target, session_ids=["odd", "long"])).copied == 2
    assert sorted(await contents(target)) == ["long", "odd"]


# --- files that are refused ----------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_file_with_any_byte_changed_is_refused(small: bytes, tmp_path: Path, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(small) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != small[place]))
    await refused(small[:place] + bytes([value]) + small[place + 1 :], tmp_path / "altered.backup")


async def test_file_with_any_bit_of_any_byte_flipped_is_no_sealed_one(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "altered.backup"
    path.write_bytes(small)
    with path.open("rb") as file:
        assert archive.is_sealed(file)
    for place in range(len(small)):
        path.write_bytes(small[:place] + bytes([small[place] ^ 1 << place % 8]) + small[place + 1 :])
        with path.open("rb") as file:
            assert not archive.is_sealed(file), place


async def test_file_cut_at_any_byte_is_refused(small: bytes, tmp_path: Path) -> None:
    for length in range(0, len(small), 7):
        await refused(small[:length], tmp_path / "cut.backup")


def records_of(data: bytes) -> list[tuple[str, bytes]]:
    lines = gzip.decompress(data).splitlines()
    return [(line[:1].decode(), line.split(b" ", 2)[2]) for line in lines]


def packed(records: list[tuple[str, bytes]]) -> bytes:
    packer = archive.Packer()
    return packer.add(records) + packer.end()


async def test_file_cut_at_any_record_is_refused_and_the_record_named(small: bytes, tmp_path: Path) -> None:
    records = records_of(small)
    assert packed(records) == small
    for count in range(1, len(records)):
        text = await refused(packed(records[:count]), tmp_path / "cut.backup")
        assert f"ends before record {count + 1}" in text


async def test_first_altered_record_is_named(small: bytes, tmp_path: Path) -> None:
    lines = gzip.decompress(small).splitlines(keepends=True)
    for number in range(2, len(lines) + 1):
        altered = list(lines)
        altered[number - 1] = altered[number - 1].replace(b'"', b"'", 1)
        whole = gzip.compress(b"".join(altered))
        whole += archive.seal(hashlib.sha256(whole).digest())
        assert f"record {number} was altered" in await refused(whole, tmp_path / "altered.backup")


@pytest.mark.parametrize("change", ["left out", "moved", "twice"])
async def test_records_that_are_not_in_their_order_are_refused(change: str, small: bytes, tmp_path: Path) -> None:
    lines = gzip.decompress(small).splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith(b"M"))
    if change == "left out":
        del lines[place]
    elif change == "moved":
        lines[place : place + 2] = reversed(lines[place : place + 2])
    else:
        lines.insert(place, lines[place])
    whole = gzip.compress(b"".join(lines))
    whole += archive.seal(hashlib.sha256(whole).digest())
    wrong = place + 2 if change == "twice" else place + 1
    assert f"record {wrong} was altered" in await refused(whole, tmp_path / "altered.backup")


async def test_counts_that_are_not_true_are_refused(small: bytes, tmp_path: Path) -> None:
    records = records_of(small)
    for number, (kind, body) in enumerate(records, 1):
        if kind in "EZ":
            values = json.loads(body)
            false = [*records]
            false[number - 1] = (kind, json.dumps({**values, "messages": values["messages"] + 1}).encode())
            assert f"record {number} was altered" in await refused(packed(false), tmp_path / "false.backup")


async def test_damage_in_the_compressed_bytes_names_a_record(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())  # noqa: ASYNC240
    data[len(data) // 2] ^= 0xFF
    text = await refused(bytes(data), tmp_path / "damaged.backup")
    number = int(text.partition("record ")[2].split()[0])
    assert number > 10


@pytest.mark.parametrize(
    "data",
    [b"", b"SQLite format 3\x00" + b"\x00" * 500, b"{}", gzip.compress(b"holiday pictures"), zlib.compress(b"x" * 99)],
    ids=["empty", "database", "JSON", "gzip", "zlib"],
)
async def test_foreign_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    text = await refused(data, path)
    assert "not a backup" in text or "ends before record 1" in text
    assert not is_backup(path)


async def test_missing_file_is_refused(tmp_path: Path, target: BaseMemoryBackend) -> None:
    with pytest.raises(InvalidInputError, match="cannot read"):
        await restore(tmp_path / "missing", target)


async def test_newer_format_is_refused_with_what_to_do(small: bytes, tmp_path: Path) -> None:
    records = records_of(small)
    head = json.loads(records[0][1])
    records[0] = ("H", json.dumps({**head, "version": archive.VERSION + 1}).encode())
    text = await refused(packed(records), tmp_path / "newer.backup")
    assert "format version 2" in text
    assert "upgrade" in text


async def test_source_that_is_not_open_says_so(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not open"):
        await BackupSource(path).counts()
