"""Conversations in OpenAI's format, from a file into a store: resumable, and the same file twice is stored once.

The file is read twice. The first time finds what is no JSON at all, before anything is written, and how much there is;
the second time stores one conversation after the other, each checked as a whole before its first message is written.
What was stored before is found by message ids made of session and position, so that an import that was interrupted at
any moment, ``kill -9`` included, goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from ._calls import settle
from .backend import BaseMemoryBackend
from .conversation_files import is_message, read_records
from .conversations import SHAPE, Conversation, ConversationReader, ImportFailure
from .errors import (
    ConflictError,
    InvalidInputError,
    SessionExistsError,
    SessionOwnershipError,
    UnsupportedOperationError,
)
from .interfaces.contracts import IMemoryBackend, IMemorySession, ProgressCallback
from .interfaces.message import Message
from .interfaces.records import SessionMetadata
from .manager import MemoryManager
from .session import BaseMemorySession

__all__ = ["Conversation", "ImportFailure", "ImportReport", "import_conversations"]

T = TypeVar("T")

BATCH = 1_000  # messages per transaction; a conversation up to this long is stored whole or not at all
SLICE = 100  # records that are counted between two looks at whether the import was cancelled


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. Each conversation of the file counts in exactly one of four ways."""

    path: str
    conversations: int = 0
    """How many the file has."""
    imported: int = 0
    """Stored now."""
    continued: int = 0
    """Stored in part before, by an interrupted import or in a shorter form; the rest was stored now."""
    unchanged: int = 0
    """Stored before; nothing was written."""
    messages: int = 0
    """Messages stored now."""
    failures: tuple[ImportFailure, ...] = ()
    """Conversations that were not imported."""

    def raise_for_failures(self) -> None:
        """Raise the error of the first conversation that was not imported, if there is one."""
        if self.failures:
            raise self.failures[0].error


async def import_conversations(
    manager_or_backend: MemoryManager | IMemoryBackend,
    path: str | os.PathLike[str],
    progress: ProgressCallback | None = None,
    *,
    user_id: str | None = None,
) -> ImportReport:
    """Store the conversations of a file in OpenAI's format, each in a session of its own.

    The file is a JSON array or JSON lines, in UTF-8: lists of messages, or objects with ``messages`` and, as they like,
    ``id``, ``user_id``, ``agent_id``, ``workflow_id``, ``tags`` and ``created_at``; other keys become properties. One
    list of messages, or a message per line, is one conversation. ``to_openai_format()`` of the stored messages gives
    back exactly what the file has.

    The session's id is ``id``, or made of a hash of the conversation. Messages get the times of their own ``timestamp``
    or ``created_at`` (ISO 8601, UTC unless it says otherwise, or Unix time); one without gets a microsecond more than
    the one before, beginning at the conversation's ``created_at`` or now.

    Importing a file again stores nothing again; a conversation that has grown gets what is new. A session that exists
    keeps its metadata. A conversation that cannot be stored, because it is not in this format or because its session
    holds something else, stays out as a whole and is reported; the others are imported.

    Args:
        manager_or_backend: Where to; not disconnected afterwards. A manager of ``for_user`` imports for its user only.
        path: The file.
        progress: Called after every batch with the messages done, the messages of the file, and the session's id.
        user_id: Owner of the conversations that name none.

    Raises:
        InvalidInputError: The file cannot be read, is no JSON (JSON lines: its first line), or holds no conversation;
            nothing was written.
        MemoryBackendError: The store failed. Calling again goes on where this call stopped.
    """
    manager, backend = _endpoints(manager_or_backend)
    name = os.fspath(path)
    reader = ConversationReader(name, user_id, backend.token_counter, backend.clock)
    total = await _count(name)
    return await _Import(manager, reader, progress, total).run()


def _endpoints(given: MemoryManager | IMemoryBackend) -> tuple[MemoryManager, BaseMemoryBackend]:
    if isinstance(given, IMemoryBackend):
        given = MemoryManager(given, auto_cleanup=False)
    if not isinstance(given, MemoryManager):
        raise InvalidInputError(f"a manager or a backend is needed, got {type(given).__name__}")
    if not isinstance(given.backend, BaseMemoryBackend):
        raise UnsupportedOperationError(type(given.backend).__name__, "importing")
    return given, given.backend


async def _in_thread(call: Callable[..., T], *args: Any) -> T:
    # Settled: a generator that a thread still runs cannot be closed.
    return await settle(asyncio.to_thread(call, *args))


async def _count(name: str) -> int:
    """Return how many messages the file has, having seen that it can be read to its end."""
    records, total, first, shaped = read_records(name), 0, None, False
    while page := await _in_thread(lambda: list(islice(records, SLICE))):
        for record in page:
            messages = _messages_of(record.value)
            shaped = shaped or messages is not None
            total += len(messages or ())
        first = first or page[0]
    if first is not None and not shaped:
        reason = f"is not JSON: {first.problem} (line {first.line})" if first.problem else "holds no conversations"
        raise InvalidInputError(f"{name} {reason}", suggestion=SHAPE)
    return total


def _messages_of(value: Any) -> list[Any] | None:
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list) or (messages and not any(is_message(message) for message in messages)):
        return None
    return messages


# --- storing -------------------------------------------------------------------------------------------------------


class _Import:
    """One run over one file."""

    def __init__(
        self, manager: MemoryManager, reader: ConversationReader, progress: ProgressCallback | None, total: int
    ) -> None:
        self._manager, self._reader = manager, reader
        self._progress, self._total, self._done = progress, total, 0
        self._outcomes = {"imported": 0, "continued": 0, "unchanged": 0}
        self._stored = 0
        self._failures: list[ImportFailure] = []

    async def run(self) -> ImportReport:
        """Store the conversations one after the other."""
        conversations = self._reader.read()
        while (found := await _in_thread(next, conversations, None)) is not None:
            if isinstance(found, ImportFailure):
                self._failures.append(found)
                continue
            try:
                outcome = await self._store(found)
            except (ConflictError, InvalidInputError, SessionOwnershipError) as exc:
                failure = self._reader.failure(found.number, found.line, found.session_id, exc)
                self._failures.append(failure)
            else:
                self._outcomes[outcome] += 1
        return ImportReport(
            self._reader.name,
            conversations=sum(self._outcomes.values()) + len(self._failures),
            messages=self._stored,
            failures=tuple(self._failures),
            **self._outcomes,
        )

    async def _store(self, conversation: Conversation) -> str:
        session, is_new = await self._session(conversation.metadata)
        messages = conversation.messages
        missing = messages
        if not is_new and messages:
            stored = await session.get_messages(len(messages), after=0)
            missing = messages[_already(messages, stored) :]
            self._report(len(messages) - len(missing), conversation.session_id)
        for begin in range(0, len(missing), BATCH):
            batch = missing[begin : begin + BATCH]
            await session.add_messages(batch)
            self._stored += len(batch)
            self._report(len(batch), conversation.session_id)
        if is_new:
            return "imported"
        return "continued" if missing else "unchanged"

    async def _session(self, metadata: SessionMetadata) -> tuple[BaseMemorySession, bool]:
        """Return the session of a conversation and whether it was made now."""
        session: IMemorySession | None = await self._manager.get_session(metadata.session_id)
        if session is None:
            try:
                session = await self._manager.create_session(
                    metadata.session_id,
                    metadata.user_id,
                    metadata.agent_id,
                    workflow_id=metadata.workflow_id,
                    tags=metadata.tags,
                    properties=metadata.properties,
                    created_at=metadata.created_at,
                )
            except SessionExistsError:  # made meanwhile, by another import of the file
                session = await self._manager.get_session(metadata.session_id)
                if session is None:
                    raise
            else:
                return _full(session), True
        owner = session.metadata.user_id
        if metadata.user_id is not None and owner is not None and owner != metadata.user_id:
            raise SessionOwnershipError(metadata.session_id)
        return _full(session), False

    def _report(self, count: int, session_id: str) -> None:
        self._done += count
        if self._progress is not None and count:
            self._progress(self._done, self._total, session_id)


def _full(session: IMemorySession) -> BaseMemorySession:
    assert isinstance(session, BaseMemorySession)  # as its backend is one of ours
    return session


def _already(messages: Sequence[Message], stored: Sequence[Message]) -> int:
    """Return how many messages of a conversation its session needs no more.

    Messages at the beginning may be gone from the session: a store that deletes what leaves the window removes them.

    Raises:
        ConflictError: The session holds other messages among these, or one with other content.
    """
    places = {message.message_id: place for place, message in enumerate(messages)}
    last, foreign = -1, False
    for message in stored:
        place = places.get(message.message_id)
        if place is None:
            foreign = True
            continue
        if foreign or place <= last:
            raise ConflictError("its session holds other messages between those of the file")
        if _exact(message) != _exact(messages[place]):
            raise ConflictError(
                f"message {place + 1} is stored with other content",
                suggestion="give the changed conversation another id, or delete its session",
            )
        last = place
    if foreign and last + 1 < len(messages):
        raise ConflictError(
            "its session goes on with other messages than the file",
            suggestion="give the conversation another id, or delete its session",
        )
    return last + 1


def _exact(message: Message) -> str:
    return json.dumps(message.to_openai_format())
