"""Sessions of LangSwarm V1: each one JSON of ``metadata`` and ``history``, in a row or in a document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from .base import PAGE, EarlierSession, EarlierSource, Reading, Row
from .layouts import MESSAGE_COLUMNS
from .records import MessageReader, read_session, read_summary, usable_id
from .sqlite_file import PLACE, SQLiteFile
from .values import Times, UnreadableError, parse_value, place_id, plain, without

NAME = "LangSwarm V1 sessions"
UNREADABLE_HISTORY = "unreadable history of a session: kept as it was"
UNREADABLE_ENTRY = "unreadable message of a history: its text is kept"

_TAKEN = (
    "user_id",
    "session_id",
    "created_at",
    "updated_at",
    "status",
    "tags",
    "custom_metadata",
    "summarization_enabled",
    "message_count",
    "total_tokens",
)


class V1SessionsSource(EarlierSource):
    """The table ``sessions`` of V1, one row per session with its whole history inside."""

    def __init__(self, file: SQLiteFile, times: Times) -> None:
        super().__init__(f"{NAME} in {file.path}", times)
        self._file = file

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        # Not the histories: a page of them would be as large as that many conversations.
        places = f'SELECT rowid AS "{PLACE}" FROM sessions ORDER BY created_at, session_id'
        async for page in self._file.pages(places):
            for place in page:
                found = await self._file.rows("SELECT * FROM sessions WHERE rowid = ?", place[PLACE])
                for row in found:
                    yield v1_session(reading, row)


def v1_session(reading: Reading, row: Row, more: Sequence[tuple[Row, object]] = ()) -> EarlierSession:
    """Return a session from its row; ``metadata`` and ``history`` are JSON or its text.

    Args:
        reading: The pass over the source.
        row: Columns of V1's table.
        more: Messages found elsewhere, each with its place, that the history lacks.
    """
    found: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for name in ("metadata", "history"):
        value = row.get(name)
        try:
            parsed = parse_value(value) if isinstance(value, str) and value else value or {}
            if not isinstance(parsed, dict):
                raise UnreadableError("no JSON object")
        except UnreadableError:
            reading.losses.add(UNREADABLE_HISTORY if name == "history" else f"unreadable {name} of a session: kept")
            kept[name], parsed = plain(value), {}
        found[name] = parsed
    given, history = found["metadata"], found["history"]
    messages = history.get("messages")
    if not isinstance(messages, list):
        if messages is not None:
            kept["messages"] = messages
            reading.losses.add(UNREADABLE_HISTORY)
        messages = []
    columns = _session_columns(row, given, history, kept, len(messages))
    session_id = usable_id(columns["session_id"], row.get(PLACE))
    metadata = read_session(reading.record("session", columns), session_id)
    entries: list[tuple[Row, object]] = [
        (_message_columns(entry, reading), place) for place, entry in enumerate(messages)
    ]
    present = {entry.get("message_id") for entry, _ in entries}
    entries += [(entry, place) for entry, place in more if entry.get("message_id") not in present]

    async def pages() -> AsyncIterator[list[Message]]:
        reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)
        for start in range(0, len(entries), PAGE):
            yield [reader.read(entry, place) for entry, place in entries[start : start + PAGE]]

    async def summaries() -> Sequence[ConversationSummary]:
        return _summaries(reading, metadata, given, history, entries)

    return EarlierSession(metadata, len(entries), pages, summaries)


def _session_columns(
    row: Row, given: dict[str, Any], history: dict[str, Any], kept: dict[str, Any], present: int
) -> Row:
    session_id = row.get("session_id")
    custom = given.get("custom_metadata")
    columns: Row = {
        "session_id": given.get("session_id") if session_id in (None, "") else session_id,
        "tags": given.get("tags"),
        "properties": custom,
        "auto_summarize": given.get("summarization_enabled"),
    }
    # The columns beside the JSON are what V1 searched by; both are written together.
    for name in ("user_id", "status", "created_at", "updated_at"):
        columns[name] = row.get(name) if row.get(name) not in (None, "") else given.get(name)
    extra = {
        **without(row, *_TAKEN, "metadata", "history", PLACE),
        **without(given, *_TAKEN),
        **without(history, "session_id", "messages", "summary", "total_tokens"),
    }
    total = given.get("message_count")
    if isinstance(total, int) and total > present and history.get("summary"):
        extra["message_count"] = total  # some were replaced by the summary
    if kept:
        extra["unreadable"] = kept
    columns["extra"] = extra
    return columns


def _message_columns(entry: Any, reading: Reading) -> Row:
    if not isinstance(entry, dict):
        reading.losses.add(UNREADABLE_ENTRY)
        return {"role": "unknown", "content": entry if isinstance(entry, str) else repr(entry)}
    columns = {name: entry.get(name) for name in MESSAGE_COLUMNS if name not in ("message_id", "extra", "session_id")}
    columns["message_id"] = entry.get("id", entry.get("message_id"))
    columns["extra"] = without(entry, "id", *MESSAGE_COLUMNS)
    return columns


def _summaries(
    reading: Reading,
    session: SessionMetadata,
    given: dict[str, Any],
    history: dict[str, Any],
    entries: Sequence[tuple[Row, object]],
) -> list[ConversationSummary]:
    text = history.get("summary")
    if not text:
        return []
    total = given.get("message_count")
    replaced = max(0, total - len(entries)) if isinstance(total, int) else 0
    row = {
        "summary": text,
        "summary_id": place_id("summary", session.session_id),
        "message_count": replaced,
        "start_time": session.created_at,
        "end_time": history.get("truncated_at") or session.updated_at,
    }
    return [read_summary(reading.record("summary", row), session, 0)]
