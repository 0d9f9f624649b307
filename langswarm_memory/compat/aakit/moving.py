"""Copying one memory into another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...backend import BaseMemoryBackend
from ...errors import InvalidInputError, LangSwarmMemoryError, SessionNotFoundError
from ...interfaces.contracts import IMemoryBackend
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...migration.source import SourceCounts
from ...migration.stores import StoreSource
from ...migration.transfer import transfer
from .memory import MemoryBackend
from .messages import Message


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """What :func:`migrate_memory` did."""

    success: bool
    """Whether every session was copied."""
    total_sessions: int
    """Sessions of the source that the target holds now."""
    total_messages: int
    """Messages written."""
    failed_sessions: list[str] = field(default_factory=list)
    duration: float = 0.0
    """Seconds."""
    errors: list[str] = field(default_factory=list)
    """One per failed session, in the same order."""


async def migrate_memory(
    source: IMemoryBackend,
    target: IMemoryBackend,
    session_ids: Iterable[str] | None = None,
    batch_size: int = 100,
) -> MigrationResult:
    """Copy sessions with their messages and summaries; ids, order, times and metadata stay.

    Copying again changes nothing, and goes on where a run was interrupted. A session of the target that holds something
    else under the same id is reported, never changed. Both memories stay connected.

    To and from a memory of a user's own class only messages are copied, those that are not there by their ids; and of
    such a source, whose sessions cannot be listed, the sessions named or made through that object.

    Args:
        source: Where from.
        target: Where to.
        session_ids: Only these; one that does not exist is reported. None: all.
        batch_size: Messages per transaction.

    Raises:
        InvalidInputError: A wrong batch size, or source and target are the same.
        MemoryBackendError: A store failed. Calling again goes on where this call stopped.
    """
    begin = time.perf_counter()
    if source is target:
        raise InvalidInputError("source and target are the same memory")
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidInputError("batch_size must be a positive int")
    wanted = None if session_ids is None else list(dict.fromkeys(session_ids))
    if isinstance(source, BaseMemoryBackend):
        await source.ensure_connected()  # else the transfer would disconnect it at its end
    done = await (
        _save(source, target, wanted, batch_size) if _is_own(target) else _store(source, target, wanted, batch_size)
    )
    failures = [*done.failures, *((one, SessionNotFoundError(one)) for one in await _missing(source, wanted or []))]
    return MigrationResult(
        success=not failures,
        total_sessions=done.sessions,
        total_messages=done.messages,
        failed_sessions=[session_id for session_id, _ in failures],
        duration=time.perf_counter() - begin,
        errors=[str(error) for _, error in failures],
    )


@dataclass(slots=True)
class _Done:
    sessions: int = 0
    messages: int = 0
    failures: list[tuple[str, LangSwarmMemoryError]] = field(default_factory=list)


def _is_own(memory: IMemoryBackend) -> bool:
    """Return whether a memory is of a user's own class, over none of our stores."""
    return isinstance(memory, MemoryBackend) and not isinstance(memory, BaseMemoryBackend)


async def _missing(source: IMemoryBackend, session_ids: list[str]) -> list[str]:
    if isinstance(source, BaseMemoryBackend):  # expired sessions are copied too
        fetch = source.repository.fetch_session
        return [one for one in session_ids if await source.perform(fetch, one) is None]
    return [one for one in session_ids if await source.get_session(one) is None]


async def _store(source: IMemoryBackend, target: IMemoryBackend, wanted: list[str] | None, batch_size: int) -> _Done:
    reading = (
        _OwnSource(source, wanted, batch_size) if isinstance(source, MemoryBackend) and _is_own(source) else source
    )
    report = await transfer(reading, target, session_ids=wanted, batch_size=batch_size)
    sessions = report.copied + report.continued + report.unchanged + report.ahead
    return _Done(sessions, report.messages, [(one.session_id, one.error) for one in report.failures])


async def _save(source: IMemoryBackend, target: Any, wanted: list[str] | None, batch_size: int) -> _Done:
    if isinstance(source, MemoryBackend) and _is_own(source):
        reading: Any = _OwnSource(source, wanted, batch_size)
    else:
        reading = StoreSource(source, session_ids=wanted, page_size=batch_size)
    done = _Done()
    async for session in reading.sessions():
        session_id = session.metadata.session_id
        stored = list(await target.load(session_id))
        known = {message.message_id for message in stored}
        async for page in session.pages():
            new = [Message.of(message) for message in page if message.message_id not in known]
            if new:
                stored += new
                await target.save(session_id, stored if target.save_replaces else new)
                done.messages += len(new)
        done.sessions += 1
    return done


class _OwnSource:
    """The sessions of a memory of a user's own class, as a source."""

    def __init__(self, memory: MemoryBackend, session_ids: list[str] | None, page_size: int) -> None:
        self._memory, self._page_size = memory, page_size
        self._ids = list(memory.known_sessions) if session_ids is None else session_ids
        if session_ids is None and not self._ids:
            raise InvalidInputError(f"{type(memory).__name__} cannot list its sessions", suggestion="pass session_ids")
        self.name = type(memory).__name__

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing."""

    async def counts(self) -> SourceCounts:
        """Return how much there is."""
        found = [session.message_count async for session in self.sessions()]
        return SourceCounts(len(found), sum(found))

    async def sessions(self) -> AsyncIterator[_OwnSession]:
        """Yield the sessions that there are."""
        for session_id in self._ids:
            found = await self._memory.get_session(session_id)
            if found is not None:
                yield _OwnSession(found.metadata, list(await self._memory.load(session_id)), self._page_size)


class _OwnSession:
    """One session of such a source; a memory of that kind hands it out whole."""

    def __init__(self, metadata: SessionMetadata, messages: list[Message], page_size: int) -> None:
        self.metadata, self._messages, self._page_size = metadata, messages, page_size
        self.message_count = len(messages)

    async def pages(self) -> AsyncIterator[list[Any]]:
        """Yield the messages in pages."""
        for begin in range(0, len(self._messages), self._page_size):
            yield self._messages[begin : begin + self._page_size]

    async def summaries(self) -> Sequence[ConversationSummary]:
        """Return nothing: there are none."""
        return ()
