"""Conversations in OpenAI's format, out of a file: checked as a whole, as they will be stored."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .conversation_files import read_records
from .errors import ConflictError, InvalidInputError, LangSwarmMemoryError, SessionOwnershipError
from .incoming import counted
from .interfaces.message import Message
from .interfaces.records import SessionMetadata
from .interfaces.timestamps import Timestamp, now
from .repository import codec
from .tokens import TokenCounter, estimate_tokens

MICROSECOND = timedelta(microseconds=1)
MILLISECONDS_FROM = 1e11  # as seconds this is the year 5138, as milliseconds 1973

ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "langswarm-memory:import")

ID_KEYS = ("id", "session_id")
SESSION_KEYS = ("user_id", "agent_id", "workflow_id", "tags", "messages")
"""Keys of a conversation that become fields of the session. All others become its properties."""

TIME_KEYS = ("timestamp", "created_at")

SHAPE = "a conversation is a list of messages, or an object with 'messages'; a message is an object with 'role'"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of a file, checked and ready to be stored."""

    number: int
    """Its place in the file, from 1."""
    line: int
    """The line it begins in, from 1."""
    metadata: SessionMetadata
    messages: list[Message]
    given: list[dict[str, Any]]
    """The messages as the file has them."""

    @property
    def session_id(self) -> str:
        """Id of the session it is stored in."""
        return self.metadata.session_id


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A conversation that was not imported, and why."""

    number: int
    """Its place in the file, from 1."""
    line: int
    """The line it begins in, from 1."""
    session_id: str | None
    """None where it could not be read so far."""
    error: LangSwarmMemoryError
    """An ``InvalidInputError``, ``ConflictError`` or ``SessionOwnershipError`` that names file and place."""


def read_conversations(
    path: str | os.PathLike[str], *, user_id: str | None = None, token_counter: TokenCounter = estimate_tokens
) -> Iterator[Conversation]:
    """Yield the conversations of a file as ``import_conversations`` would store them, one at a time.

    Args:
        path: The file.
        user_id: Owner of the conversations that name none.
        token_counter: Counts the messages.

    Raises:
        InvalidInputError: The file or one of its conversations cannot be read.
    """
    for found in ConversationReader(os.fspath(path), user_id, token_counter, now).read():
        if isinstance(found, ImportFailure):
            raise found.error
        yield found


@dataclass(frozen=True, slots=True)
class ConversationReader:
    """Makes conversations of the records of a file.

    Args:
        name: Path of the file.
        user_id: Owner of the conversations that name none.
        token_counter: Counts the messages.
        clock: Dates conversations that are not dated.
    """

    name: str
    user_id: str | None
    token_counter: TokenCounter
    clock: Callable[[], Timestamp]

    def __post_init__(self) -> None:
        codec.check_optional_id(self.user_id, "user_id")

    def read(self) -> Iterator[Conversation | ImportFailure]:
        """Yield every conversation, or why it is none."""
        for number, record in enumerate(read_records(self.name), 1):
            session_id = None
            try:
                if record.problem is not None:
                    raise InvalidInputError(f"it is not JSON: {record.problem}")
                fields, given = _fields(record.value)
                session_id = fields["session_id"]
                yield self._conversation(number, record.line, fields, given)
            except InvalidInputError as exc:
                yield self.failure(number, record.line, session_id, exc)

    def _conversation(self, number: int, line: int, fields: dict[str, Any], given: list[Any]) -> Conversation:
        if fields["user_id"] is None:
            fields["user_id"] = self.user_id
        if fields["created_at"] is None:
            fields["created_at"] = _time_of(given[0] if given else None) or self.clock()
        metadata = SessionMetadata(**fields)
        codec.encode_metadata(metadata)
        messages = _messages(metadata.session_id, given, fields["created_at"], self.token_counter)
        return Conversation(number, line, metadata, messages, given)

    def failure(
        self,
        number: int,
        line: int,
        session_id: str | None,
        error: ConflictError | InvalidInputError | SessionOwnershipError,
    ) -> ImportFailure:
        """Return the failure of a conversation, its error naming the place."""
        session = f", session {session_id!r}" if session_id is not None else ""
        _name_place(error, f"{self.name}: conversation {number} (line {line}{session})")
        return ImportFailure(number, line, session_id, error)


def _fields(value: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the fields of a session, and its messages as they are."""
    record = {"messages": value} if isinstance(value, list) else value
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        raise InvalidInputError("it is no conversation", suggestion=SHAPE)
    fields: dict[str, Any] = {name: _id(record, name) for name in ("user_id", "agent_id", "workflow_id")}
    named = next((name for name in ID_KEYS if record.get(name) is not None), ID_KEYS[0])
    fields["session_id"] = _id(record, named) or _hashed(record)
    fields["tags"] = record.get("tags")
    fields["created_at"] = _instant(record.get("created_at"))
    used = {*SESSION_KEYS, named}
    if fields["created_at"] is not None:
        used.add("created_at")
    fields["properties"] = {key: item for key, item in record.items() if key not in used}
    return fields, record["messages"]


def _id(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if type(value) is int:  # data sets number their conversations
        return str(value)
    return codec.check_optional_id(value, name)


def _hashed(record: dict[str, Any]) -> str:
    try:
        text = json.dumps(record)
    except RecursionError as exc:
        raise InvalidInputError("it is nested too deep") from exc
    return f"import-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _messages(session_id: str, given: list[Any], begin: Timestamp, counter: TokenCounter) -> list[Message]:
    """Return the messages, checked as the store will check them."""
    ids = uuid.uuid5(ID_NAMESPACE, session_id)
    at: Timestamp | None = None
    messages = []
    for place, data in enumerate(given, 1):
        at = _time_of(data) or (begin if at is None else _later(at))
        try:
            message = Message.from_openai(data, timestamp=at, message_id=str(uuid.uuid5(ids, str(place))))
            message = counted(message, counter)
            codec.encode_message(message)
        except InvalidInputError as exc:
            _name_place(exc, f"message {place}")
            raise
        messages.append(message)
    return messages


def _time_of(data: Any) -> Timestamp | None:
    if not isinstance(data, dict):
        return None
    return next((at for key in TIME_KEYS if (at := _instant(data.get(key))) is not None), None)


def _instant(value: Any) -> Timestamp | None:
    """Return the instant of an ISO 8601 text or of Unix time in seconds or milliseconds; None for anything else.

    Such a key stays where it is: in the message, or in the session's properties.
    """
    try:
        if isinstance(value, str):
            return Timestamp.parse(value, naive_is_utc=True)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1_000 if abs(value) >= MILLISECONDS_FROM else value
            return Timestamp.of(datetime.fromtimestamp(seconds, UTC))
    except (InvalidInputError, ValueError, OverflowError, OSError):
        return None
    return None


def _later(at: Timestamp) -> Timestamp:
    try:
        return Timestamp.of(at + MICROSECOND)
    except OverflowError:  # the last instant there is
        return at


def _name_place(error: LangSwarmMemoryError, place: str) -> None:
    error.message = f"{place}: {error.message}"
    error.args = (error.message,)
