"""Documents of LangSwarm V1 and of memswarm: a key, a text and metadata; sessions among them, or free memories."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from ...interfaces.message import Message
from ...interfaces.records import SessionMetadata
from .base import PAGE, EarlierSession, EarlierSource, Reading, Row
from .layouts import read_object
from .records import MessageReader, read_session, usable_id
from .sqlite_file import PLACE, SQLiteFile
from .v1_sessions import v1_session
from .values import Times, without

NAME = "LangSwarm V1 documents"
FREE_SESSION = "memory"
"""Session of the documents that name no conversation."""

DERIVED = "documents that repeat messages of a session: not carried a second time"
UNSPLIT = "turns of which only the joined text is left: carried as one message"

_CONTEXT_KEY = re.compile(r"(?P<context>.+):\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?")
_COLUMNS = f'key, value, metadata, rowid AS "{PLACE}"'


class Document(NamedTuple):
    """A document, and where in its store it stands."""

    place: Any
    key: Any
    text: Any
    metadata: Any


class DocumentsSource(EarlierSource):
    """Documents, wherever they are kept.

    A key ``session:<id>`` holds a whole session; ``message:<id>`` and ``conversation:<ids>`` repeat its messages, and
    are read only where the session itself is missing. Everything else belongs to the conversation that its metadata or
    its key names, or to the session ``memory``. Which document belongs to which session is kept in memory.
    """

    @abstractmethod
    def _walk(self) -> AsyncIterator[list[Document]]:
        """Yield all documents in pages, in a stable order."""

    @abstractmethod
    async def _fetch(self, places: Sequence[Any]) -> list[Document]:
        """Return the documents at these places."""

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        whole: dict[str, Any] = {}
        loose: dict[str, list[Any]] = {}
        turns: dict[str, list[Any]] = {}
        async for page in self._walk():
            for document in page:
                key = document.key if isinstance(document.key, str) else ""
                metadata = read_object(document.metadata) or {}
                session_id = str(metadata.get("session_id") or "")
                if key.startswith("session:") and read_object(metadata.get("session_data")) is not None:
                    whole[session_id or key.removeprefix("session:")] = document.place
                elif key.startswith("conversation:") and session_id:
                    turns.setdefault(session_id, []).append(document.place)
                else:
                    loose.setdefault(_session_of(key, metadata), []).append(document.place)
        for session_id, place in whole.items():
            more = loose.pop(session_id, [])
            reading.losses.add(DERIVED, len(turns.pop(session_id, [])))
            yield await self._whole(reading, session_id, place, more)
        for session_id in dict.fromkeys([*loose, *turns]):
            places, joined = loose.get(session_id, []), turns.get(session_id, [])
            reading.losses.add(DERIVED if places else UNSPLIT, len(joined))
            yield await self._loose(reading, session_id, places or joined)

    async def _whole(self, reading: Reading, session_id: str, place: Any, more: list[Any]) -> EarlierSession:
        (document,) = await self._fetch([place])
        metadata = read_object(document.metadata) or {}
        data = read_object(metadata.get("session_data")) or {}
        columns = {**without(metadata, "session_data", "type", "message_count"), **data, "session_id": session_id}
        columns["metadata"] = read_object(columns.get("metadata")) or {}
        messages = (read_object(data.get("history")) or {}).get("messages")
        listed = len(messages) if isinstance(messages, list) else 0
        others = [(document_message(found), found.place) for found in await self._fetch(more)]
        session = v1_session(reading, columns, others)
        reading.losses.add(DERIVED, listed + len(more) - session.message_count)
        return session

    async def _loose(self, reading: Reading, session_id: str, places: list[Any]) -> EarlierSession:
        first, last = [document_message(document) for document in await self._fetch([places[0], places[-1]])]
        columns = {
            "session_id": session_id,
            **reading.times_of_messages(first.get("timestamp"), last.get("timestamp")),
            "user_id": first.get("user_id"),
            "agent_id": first.get("agent_id"),
        }
        metadata = read_session(reading.record("session", columns), usable_id(session_id))
        count = 0
        for start in range(0, len(places), PAGE):
            found = await self._fetch(places[start : start + PAGE])
            count += sum([len(_split(document_message(document))) for document in found])

        async def pages() -> AsyncIterator[list[Message]]:
            reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)
            for start in range(0, len(places), PAGE):
                yield [
                    reader.read(_for_session(part, metadata), f"{document.place}.{index}")
                    for document in await self._fetch(places[start : start + PAGE])
                    for index, part in enumerate(_split(document_message(document)))
                ]

        return EarlierSession(metadata, count, pages)


class SQLiteDocumentsSource(DocumentsSource):
    """The table ``memory`` of a SQLite file, with the columns ``key``, ``value`` and ``metadata``.

    Args:
        file: The file.
        times: How times are read.
    """

    def __init__(self, file: SQLiteFile, times: Times) -> None:
        super().__init__(f"{NAME} in {file.path}", times)
        self._file = file

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def _walk(self) -> AsyncIterator[list[Document]]:
        async for page in self._file.pages(f"SELECT {_COLUMNS} FROM memory ORDER BY rowid"):
            yield [_document(row) for row in page]

    async def _fetch(self, places: Sequence[Any]) -> list[Document]:
        return [
            _document(row)
            for place in places
            for row in await self._file.rows(f"SELECT {_COLUMNS} FROM memory WHERE rowid = ?", place)
        ]


def _document(row: Row) -> Document:
    return Document(row[PLACE], row["key"], row["value"], row["metadata"])


def document_message(document: Document) -> Row:
    """Return a document as the columns of a message."""
    key, metadata = document.key, document.metadata
    found = read_object(metadata)
    given = found or {}
    message_id = given.get("message_id")
    if message_id is None:
        message_id = key.removeprefix("message:") if isinstance(key, str) else key
    role = given.get("role")
    own = ("role", "timestamp", "message_id", "session_id", "type", "user_id", "agent_id")
    return {
        "message_id": message_id,
        "role": role if isinstance(role, str) and role else "assistant",  # agents wrote these memories
        "content": document.text,
        "timestamp": given.get("timestamp") or _time_of(key),
        "metadata": without(given, *own) if found is not None else metadata,
        "user_id": given.get("user_id"),
        "agent_id": given.get("agent_id") or given.get("agent") or given.get("agent_name"),
    }


def _session_of(key: str, metadata: Row) -> str:
    for name in ("session_id", "context_id", "group_id"):
        if isinstance(metadata.get(name), str) and metadata[name]:
            return str(metadata[name])
    match = _CONTEXT_KEY.fullmatch(key)
    return match["context"] if match else FREE_SESSION


def _time_of(key: Any) -> str | None:
    match = _CONTEXT_KEY.fullmatch(key) if isinstance(key, str) else None
    return key[len(match["context"]) + 1 :] if match else None


def _split(row: Row) -> list[Row]:
    """Return a turn that was kept with question and answer apart as two messages, and anything else as it is."""
    metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
    turn = metadata if "user_input" in metadata else (read_object(row["content"]) or {})
    question, answer = turn.get("user_input"), turn.get("agent_response")
    if not isinstance(question, str) or not isinstance(answer, str):
        return [row]
    rest = {**without(turn, "user_input", "agent_response", "session_id", "timestamp"), **without(metadata, *turn)}
    common = {**row, "metadata": rest, "timestamp": row.get("timestamp") or turn.get("timestamp")}
    return [
        {**common, "role": "user", "content": question, "message_id": f"{row['message_id']}#user"},
        {**common, "role": "assistant", "content": answer, "message_id": f"{row['message_id']}#assistant"},
    ]


def _for_session(row: Row, session: SessionMetadata) -> Row:
    """Return the columns with whose they are, where that is not told by the session."""
    extra = {name: row[name] for name in ("user_id", "agent_id") if row.get(name) not in (None, getattr(session, name))}
    return {**without(row, "user_id", "agent_id"), "content": row["content"], "extra": extra}
