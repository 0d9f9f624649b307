"""SQLite files of langswarm-memory 0.1 and 0.2: real ones, and ones with every trap."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langswarm_memory.errors import StorageUnavailableError
from langswarm_memory.interfaces.enums import SessionStatus
from langswarm_memory.interfaces.timestamps import Timestamp
from langswarm_memory.migration.sources import detect_source
from tests.migration.earlier import AT, REFERENCE, digest, exact, message_row, names_in, read_all, session_row, write

SAMPLES = Path(__file__).parent / "samples"
VERSIONS = ("0.1.4", "0.2.0")


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_message_of_a_real_file_is_the_one_that_was_given(version: str) -> None:
    expected = json.loads((SAMPLES / f"reference-{version}.json").read_text())
    _, found = await read_all(SAMPLES / f"reference-{version}.sqlite")
    for conversation in expected:
        messages = found[conversation["session_id"]].messages
        assert [exact(message.to_dict()) for message in messages] == [
            exact(as_read(message)) for message in conversation["messages"]
        ]


def as_read(given: dict[str, Any]) -> dict[str, Any]:
    """Return a message as the package gave it, with the time in UTC and the links of tools beside the metadata."""
    read = {**given, "timestamp": Timestamp.parse(given["timestamp"], naive_is_utc=True).isoformat()}
    for name, key in (("tool_call_id", "tool_call_id"), ("name", "tool_name")):
        if key in given.get("metadata", {}):
            read[name] = given["metadata"][key]
    return read


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_session_of_a_real_file_is_the_one_that_was_given(version: str) -> None:
    expected = json.loads((SAMPLES / f"reference-{version}.json").read_text())
    _, found = await read_all(SAMPLES / f"reference-{version}.sqlite")
    assert list(found) == [conversation["session_id"] for conversation in expected]
    for conversation in expected:
        metadata = found[conversation["session_id"]].metadata
        for name in ("user_id", "agent_id", "workflow_id", "status", "max_messages", "max_tokens", "auto_summarize"):
            assert getattr(metadata, name) == conversation[name]
        assert exact([metadata.tags, metadata.properties]) == exact([conversation["tags"], conversation["properties"]])
        assert metadata.created_at == Timestamp.parse(conversation["created_at"], naive_is_utc=True)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_summaries_of_a_real_file_are_carried(version: str) -> None:
    expected = json.loads((SAMPLES / f"reference-{version}.json").read_text())
    _, found = await read_all(SAMPLES / f"reference-{version}.sqlite")
    for conversation in expected:
        read = found[conversation["session_id"]].summaries
        assert [[item.summary_id, item.summary, item.key_topics] for item in read] == conversation["summaries"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_reading_leaves_the_file_and_its_folder_as_they_are(version: str, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.write_bytes((SAMPLES / f"reference-{version}.sqlite").read_bytes())
    before = digest(path)
    await read_all(path)
    assert digest(path) == before
    assert names_in(tmp_path) == ["old.db"]


async def test_a_file_in_wal_mode_gets_no_files_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "old.db", "PRAGMA journal_mode=WAL;" + REFERENCE, sessions=[session_row()])
    await read_all(path)
    assert names_in(tmp_path) == ["old.db"]


async def test_what_is_only_in_the_log_of_a_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "old.db", "PRAGMA journal_mode=WAL;" + REFERENCE, sessions=[session_row()])
    writer = sqlite3.connect(path)
    try:
        writer.execute("INSERT INTO messages VALUES ('m', 's', 'user', 'in the log', ?, 1, NULL, NULL, NULL)", (AT,))
        writer.commit()
        _, found = await read_all(path)
    finally:
        writer.close()
    assert found["s"].texts == ["in the log"]


async def test_messages_come_in_the_order_of_their_insertion(tmp_path: Path) -> None:
    days = (5, 1, 9, 3)
    rows = [message_row(f"m{day}", content=f"{day}", timestamp=f"2025-01-0{day}T00:00:00+00:00") for day in days]
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert found["s"].texts == ["5", "1", "9", "3"]


async def test_messages_without_a_session_are_carried_into_one_of_that_id(tmp_path: Path) -> None:
    rows = [message_row("a", "lost", timestamp="2025-02-01T00:00:00"), message_row("b", "lost")]
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert [message.message_id for message in found["lost"].messages] == ["a", "b"]
    assert found["lost"].metadata.created_at == datetime(2025, 2, 1, tzinfo=UTC)
    assert found["lost"].metadata.properties == {}
    assert counts.losses["messages whose session's row is missing: carried into a session of that id"] == 2


async def test_a_summary_without_a_session_is_carried(tmp_path: Path) -> None:
    row = {"summary_id": "x", "session_id": "lost", "summary": "All of it.", "message_count": 3}
    times = {"start_time": AT, "end_time": AT, "created_at": AT}
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, summaries=[row | times]))
    assert [summary.summary for summary in found["lost"].summaries] == ["All of it."]


async def test_naive_times_are_utc(tmp_path: Path) -> None:
    rows = [message_row("m", timestamp="2025-07-01T12:00:00.000001")]
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert found["s"].messages[0].timestamp == datetime(2025, 7, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert counts.losses == {"times without a time zone: taken as UTC": 1}


async def test_naive_times_are_in_the_zone_that_is_told(tmp_path: Path) -> None:
    rows = [message_row("m", timestamp="2025-07-01T12:00:00")]
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows)
    _, found = await read_all({"backend": "sqlite", "db_path": path, "naive_timezone": "Europe/Rome"})
    assert found["s"].messages[0].timestamp == datetime(2025, 7, 1, 10, tzinfo=UTC)


async def test_a_url_tells_the_zone_in_its_query(tmp_path: Path) -> None:
    rows = [message_row("m", timestamp="2025-07-01T12:00:00")]
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows)
    _, found = await read_all(f"sqlite:///{path}?naive_timezone=America/New_York")
    assert found["s"].messages[0].timestamp == datetime(2025, 7, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": NaN, "b": -Infinity, "c": 1e22, "d": 1.0}', '{"a": NaN, "b": -Infinity, "c": 1e+22, "d": 1.0}'),
        ('{"a": "\\u0000 \\ud800"}', '{"a": "\\u0000 \\ud800"}'),
        ("{'a': (1, None), 'b': True}", '{"a": [1, null], "b": true}'),
        ("{'a': nan, 'b': -inf}", '{"a": NaN, "b": -Infinity}'),
        ("{'at': datetime.datetime(2025, 1, 2, 3, 4)}", '{"at": "2025-01-02T03:04:00"}'),
        ("{'a': {1: 'x'}}", '{"a": {"1": "x"}}'),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
    ],
)
async def test_metadata_is_read_in_whatever_notation(tmp_path: Path, text: str, value: str) -> None:
    rows = [message_row("m", metadata=text)]
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert exact(found["s"].messages[0].metadata) == value
    assert counts.losses == {}


@pytest.mark.parametrize(
    "text",
    ['{"a": ', "[1, 2]", "{'a': __import__('os').getpid()}", "not json", "[" * 600 + "]" * 600, "9" * 5000],
)
async def test_metadata_that_cannot_be_read_is_kept_as_text(tmp_path: Path, text: str) -> None:
    rows = [message_row("m", metadata=text), message_row("n")]
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert [message.metadata for message in found["s"].messages] == [{"original": {"metadata": text}}, {}]
    assert counts.losses == {"unreadable metadata of a message: kept as it was": 1}


async def test_each_column_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    row = message_row("m", role="", token_count=-3, tool_calls='{"id": 1}', function_call="[", timestamp="yesterday")
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=[row]))
    message = found["s"].messages[0]
    assert message.metadata == {
        "original": {
            "role": "",
            "token_count": -3,
            "tool_calls": '{"id": 1}',
            "function_call": "[",
            "timestamp": "yesterday",
        }
    }
    assert (message.role, message.token_count, message.tool_calls) == ("unknown", None, None)
    assert sum(counts.losses.values()) == 6  # each column, and the time that the message was given


async def test_a_message_without_a_time_gets_that_of_the_one_before(tmp_path: Path) -> None:
    rows = [message_row("a", timestamp="2025-06-01T00:00:00+00:00"), message_row("b", timestamp="")]
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert found["s"].messages[1].timestamp == datetime(2025, 6, 1, tzinfo=UTC)


async def test_a_role_that_is_not_known_is_kept(tmp_path: Path) -> None:
    rows = [message_row("m", role="critic")]
    counts, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert (found["s"].messages[0].role, counts.losses) == ("critic", {})


@pytest.mark.parametrize(
    ("status", "now", "properties"),
    [
        ("paused", SessionStatus.PAUSED, {}),
        ("inactive", SessionStatus.PAUSED, {}),
        ("hibernating", SessionStatus.ACTIVE, {"original": {"status": "hibernating"}}),
    ],
)
async def test_a_status_becomes_one_of_today(
    tmp_path: Path, status: str, now: SessionStatus, properties: dict[str, Any]
) -> None:
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row(status=status)])
    _, found = await read_all(path)
    assert (found["s"].metadata.status, found["s"].metadata.properties) == (now, properties)


async def test_a_message_without_an_id_gets_the_same_one_in_every_run(tmp_path: Path) -> None:
    rows = [message_row(None), message_row(None), message_row("")]
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows)
    counts, first = await read_all(path)
    _, second = await read_all(path)
    assert first["s"].messages == second["s"].messages
    assert counts.losses == {"messages without an id: given one made of their place": 3}


async def test_a_second_message_of_an_id_gets_one_of_its_own(tmp_path: Path) -> None:
    rows = [message_row("m", content="one"), message_row("m", content="two"), message_row("m", "t")]
    schema = REFERENCE.replace("message_id TEXT PRIMARY KEY", "message_id TEXT")
    path = write(tmp_path / "old.db", schema, sessions=[session_row(), session_row("t")], messages=rows)
    counts, found = await read_all(path)
    assert found["s"].texts == ["one", "two"]
    assert [message.message_id for message in found["t"].messages] == ["m"]
    assert counts.losses == {"messages with the id of another: given one of their own": 1}


@pytest.mark.parametrize("session_id", ["", "x" * 600, "nul\x00", b"\xff\x00", None])
async def test_a_session_whose_id_no_store_can_hold_gets_another(tmp_path: Path, session_id: Any) -> None:
    rows = [message_row("m", session_id)]
    schema = REFERENCE.replace("session_id TEXT NOT NULL", "session_id TEXT")
    path = write(tmp_path / "old.db", schema, sessions=[session_row(session_id)], messages=rows)
    _, found = await read_all(path)
    assert [message.message_id for read in found.values() for message in read.messages] == ["m"]


async def test_bytes_in_a_text_column_are_read_as_text(tmp_path: Path) -> None:
    rows = [message_row("m", content="blob äß".encode()), message_row("n", content=b"\xff\xfe")]
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert found["s"].texts == ["blob äß", "\udcff\udcfe"]


async def test_text_that_is_no_utf_8_can_be_had_back(tmp_path: Path) -> None:
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=[message_row("m")])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE messages SET content = CAST(x'61ff62' AS TEXT)")
    connection.commit()
    connection.close()
    _, found = await read_all(path)
    assert found["s"].texts[0].encode("utf-8", "surrogateescape") == b"a\xffb"


async def test_a_column_that_the_package_never_had_is_kept(tmp_path: Path) -> None:
    schema = REFERENCE.replace("tool_calls TEXT,", "tool_calls TEXT, rating INTEGER,")
    rows = [message_row("m", rating=5)]
    _, found = await read_all(write(tmp_path / "old.db", schema, sessions=[session_row()], messages=rows))
    assert found["s"].messages[0].metadata == {"rating": 5}


async def test_long_histories_come_in_pages(tmp_path: Path) -> None:
    rows = [message_row(f"m{number}", content=str(number)) for number in range(1203)]
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert found["s"].texts == [str(number) for number in range(1203)]


async def test_a_message_of_many_megabytes_is_read(tmp_path: Path) -> None:
    rows = [message_row(f"m{number}", content="x" * 6_000_000) for number in range(2)]
    _, found = await read_all(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    assert [len(text) for text in found["s"].texts] == [6_000_000, 6_000_000]


async def test_a_file_without_the_index_is_read_in_one_walk_per_session_at_most(tmp_path: Path) -> None:
    schema = REFERENCE.replace("CREATE INDEX idx_messages_session_id ON messages (session_id);", "")
    rows = [message_row(f"m{number}", f"s{number % 3}", content=str(number)) for number in range(9)]
    sessions = [session_row(f"s{number}") for number in range(3)]
    _, found = await read_all(write(tmp_path / "old.db", schema, sessions=sessions, messages=rows))
    assert found["s1"].texts == ["1", "4", "7"]


_junk = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20).filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text)),
    st.binary(max_size=20),
    st.sampled_from(["{}", "[]", "[[]]", "null", '"x"', "{'a': b'x'}", "1e400", AT, "0001-01-01T00:00:00+14:00"]),
)
_LOOSE = REFERENCE.replace(" NOT NULL", "").replace(" TEXT", "").replace(" PRIMARY KEY", "").replace(" INTEGER", "")
_COLUMNS = {
    "sessions": "user_id agent_id workflow_id status max_messages max_tokens auto_summarize summary_threshold "
    "created_at updated_at expires_at tags properties",
    "messages": "message_id role content timestamp token_count metadata function_call tool_calls",
    "summaries": "summary_id summary message_count start_time end_time key_topics created_at",
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_stands_in_the_columns_no_message_is_dropped(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "old.db"
    path.unlink(missing_ok=True)
    tables = {
        table: [
            {"session_id": "s", **{name: data.draw(_junk, label=name) for name in names.split()}}
            for _ in range(1 if table == "sessions" else 3)
        ]
        for table, names in _COLUMNS.items()
    }
    _, found = await read_all(write(path, _LOOSE, **tables))
    assert (len(found["s"].messages), len(found["s"].summaries)) == (3, 3)


async def test_reading_may_be_left_in_the_middle(tmp_path: Path) -> None:
    rows = [message_row(f"m{number}") for number in range(1203)]
    source = await detect_source(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()], messages=rows))
    await source.open()
    async for session in source.sessions():
        async for _ in session.pages():
            break
        break
    await source.close()


async def test_a_source_may_be_opened_again(tmp_path: Path) -> None:
    source = await detect_source(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()]))
    for _ in range(2):
        await source.open()
        await source.open()
        assert [session.metadata.session_id async for session in source.sessions()] == ["s"]
        await source.close()
        await source.close()


async def test_a_source_that_is_not_open_says_so(tmp_path: Path) -> None:
    source = await detect_source(write(tmp_path / "old.db", REFERENCE, sessions=[session_row()]))
    with pytest.raises(StorageUnavailableError, match="open the source first"):
        await source.counts()


async def test_a_file_that_changes_under_the_reader_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "old.db", "PRAGMA journal_mode=WAL;" + REFERENCE, sessions=[session_row()])
    source = await detect_source(path)
    await source.open()
    try:
        write(Path(path), "", sessions=[session_row("t")])  # closing it puts the log into the file
        with pytest.raises(StorageUnavailableError, match="written to while it was read"):
            await source.counts()
    finally:
        await source.close()


async def test_a_locked_file_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langswarm_memory.migration.sources.sqlite_file.BUSY_SECONDS", 0.0)
    path = write(tmp_path / "old.db", REFERENCE, sessions=[session_row()])
    writer = sqlite3.connect(path)
    try:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailableError, match="another program uses the file"):
            await detect_source(path)
    finally:
        writer.close()
