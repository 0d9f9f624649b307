"""Messages as they come into being: drafts that are stored while they are written, and sessions that are watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .editing import MESSAGE_FIELDS
from .errors import InvalidInputError, LangSwarmMemoryError
from .interfaces.enums import MessageRole
from .interfaces.message import Message
from .interfaces.timestamps import Timestamp
from .repository.optional import Signals
from .repository.protocol import MessageQuery, SessionRecord
from .windows.bounds import position

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend
    from .session import BaseMemorySession

INTERRUPTED = "interrupted"
"""Key in a message's metadata, True while it is written and for good where the writing was broken off.

It is stored with the first piece and taken away with the last, so whatever happens to the writer, what is left of an
unfinished message says so.
"""
STREAMED_AT = "streamed_at"
"""Key in a message's metadata beside ``interrupted``: when the last piece was stored, in ISO 8601.

Taken away when the block is left, also by an exception: only a writer that died leaves it.
"""

FLUSH_SECONDS = 0.5  # between two writes of a draft: a reader sees it grow, and a store has two writes a second
PATIENCE_SECONDS = 30.0  # a draft that has not grown for so long is taken for abandoned
GAP_SECONDS = 5.0  # that a writer may take between getting a number and storing the message, where both are two steps
WATCH_PAGE = 500  # messages per read
POLL_SECONDS = 1.0  # between two looks at a store that does not tell by itself
SIGNALLED_POLL_SECONDS = 15.0  # between two looks at a store that does, in case that one signal was lost


class Draft:
    """A message that is being written. Made by ``session.draft``.

    What was written is durable ``flush_seconds`` later at most, and when the block ends. If it ends with an exception,
    a cancellation included, or the process dies, what was written so far stays as a message whose metadata has
    ``interrupted: True``.
    """

    def __init__(self, session: BaseMemorySession, message: Message, flush_seconds: float) -> None:
        self._session = session
        self._message = message
        self._flush_seconds = flush_seconds
        self._parts: list[str] = []
        self._fields: dict[str, Any] = {}
        self._seq: int | None = None
        self._unsaved = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def text(self) -> str:
        """What was written so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def seq(self) -> int:
        """Position of the message in the session; it is given when the block is entered."""
        if self._seq is None:
            raise InvalidInputError("the draft has no position yet", suggestion="use 'async with session.draft(role)'")
        return self._seq

    @property
    def message_id(self) -> str:
        """Id of the message."""
        return self._message.message_id

    def write(self, delta: str) -> None:
        """Add text. No I/O; it is stored within ``flush_seconds``.

        Raises:
            InvalidInputError: Not text, or the block has ended.
            LangSwarmMemoryError: Storing what was written before failed.
        """
        if not isinstance(delta, str):
            raise InvalidInputError(f"a draft takes text, got {type(delta).__name__}")
        self._open()
        if delta:
            self._parts.append(delta)
            self._unsaved.set()

    def update(self, **fields: Any) -> None:
        """Set fields of the message, such as ``tool_calls`` or ``metadata``; stored as text is.

        A ``content`` replaces what was written and will be written.
        """
        unknown = sorted(set(fields) - set(MESSAGE_FIELDS) | ({"message_id"} & set(fields)))
        if unknown:
            raise InvalidInputError(f"a message has no field {', '.join(unknown)} to set")
        self._open()
        self._fields |= fields
        self._unsaved.set()

    def _open(self) -> None:
        if self._seq is None or self._ended:
            raise InvalidInputError("the draft is not open", suggestion="write inside of its 'async with' block")
        if self._saving is not None and self._saving.done():
            self._saving.result()  # raises what broke it

    async def __aenter__(self) -> Self:
        [self._seq] = await self._session.add_messages([self._as(interrupted=True, growing=True)])
        self._saving = asyncio.create_task(self._save_while_open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait({self._saving})
            if kind is None and not self._saving.cancelled():
                self._saving.result()
        await self._save(interrupted=kind is not None, growing=False)

    async def flush(self) -> None:
        """Store what was written so far, now."""
        self._open()
        self._unsaved.clear()
        await self._save(interrupted=True, growing=True)

    async def _save_while_open(self) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            await self._save(interrupted=True, growing=True)
            await asyncio.sleep(self._flush_seconds)

    async def _save(self, *, interrupted: bool, growing: bool) -> None:
        message = self._as(interrupted=interrupted, growing=growing)
        fields = {name: getattr(message, name) for name in ("content", "metadata", *self._fields)}
        await self._session.edit_message(self.seq, **fields)

    def _as(self, *, interrupted: bool, growing: bool) -> Message:
        fields = {name: getattr(self._message, name) for name in MESSAGE_FIELDS}
        fields |= {"content": self.text} | self._fields
        metadata = dict(fields["metadata"])
        if interrupted:
            metadata[INTERRUPTED] = True
        if growing:
            metadata[STREAMED_AT] = self._session.backend.clock().isoformat()
        return Message(**(fields | {"metadata": metadata}))


class StreamMethods:
    """The methods of a session for messages that come into being. They hold nothing but what the session holds."""

    _backend: BaseMemoryBackend
    _id: str

    if TYPE_CHECKING:

        async def _record(self) -> SessionRecord:
            """Read the session's record."""

    def draft(
        self,
        role: MessageRole | str = MessageRole.ASSISTANT,
        *,
        message_id: str | None = None,
        flush_seconds: float = FLUSH_SECONDS,
        **fields: Any,
    ) -> Draft:
        """Return a message to write piece by piece: ``async with session.draft("assistant") as d: d.write(delta)``.

        It is stored, empty, when the block is entered, and again every `flush_seconds` while it grows, so that a crash
        loses no more than that. Cost: one write per `flush_seconds`, however many pieces.

        Args:
            role: Role of the message.
            message_id: Its id. None: a random one.
            flush_seconds: From 0.01 on: how often it is stored while it is written.
            **fields: Further fields of ``Message``.

        Raises:
            InvalidInputError: A field that a message does not have, or an interval that is none.
        """
        if isinstance(flush_seconds, bool) or not isinstance(flush_seconds, int | float) or not flush_seconds >= 0.01:
            raise InvalidInputError("flush_seconds must be a number from 0.01")
        unknown = sorted(set(fields) - set(MESSAGE_FIELDS))
        if unknown or "content" in fields:
            raise InvalidInputError(f"draft() takes no {', '.join(unknown) or 'content'}")
        if message_id is not None:
            fields["message_id"] = message_id
        fields.setdefault("timestamp", self._backend.clock())
        session: Any = self  # what mixes this in is a session
        return Draft(session, Message(role, "", **fields), float(flush_seconds))

    async def watch(
        self, after: int | Message | None = None, *, drafts: bool = False, poll_seconds: float | None = None
    ) -> AsyncGenerator[Message, None]:
        """Yield messages as they are stored, in their order, without end: leave the loop with ``break``.

        Appends of this process wake it at once, those of others where the store tells of them (PostgreSQL, Redis) at
        once too, elsewhere within `poll_seconds`. A message that is being written as a draft is yielded, with what
        follows it, when it is finished or broken off, or 30 seconds after its writer died. Messages that are edited
        later are not yielded again.

        Args:
            after: Begin behind this message or seq; 0 is the beginning. None: with what comes from now on.
            drafts: Whether a draft is yielded each time it has grown as well; its metadata has ``interrupted``.
            poll_seconds: Longest time between two looks at the store. None: 1, or 15 where it tells of appends.

        Raises:
            SessionNotFoundError: The session is or was deleted.
            MemoryBackendError: The store failed. Calling again with the last message goes on where this stopped.
        """
        if poll_seconds is not None and not (type(poll_seconds) in (int, float) and poll_seconds > 0):
            raise InvalidInputError("poll_seconds must be a number above 0")
        last = position(after, "after")
        grown: Message | None = None
        gaps = None if self._backend.features.commit_ordered else _Gaps(self._backend.clock)
        async with self._woken(poll_seconds) as wait:
            if last is None:
                last = (await self._record()).last_seq
            while True:
                page = await self._backend.perform(
                    self._backend.repository.read_messages,
                    self._id,
                    MessageQuery(after_seq=last, newest_first=False, limit=WATCH_PAGE),
                )
                held_back = False
                for message in page:
                    if gaps is not None and gaps.may_be_filled(last, message):
                        held_back = True
                        break
                    if self._is_open(message):
                        held_back = True
                        if drafts and (grown is None or grown.content != message.content):
                            yield message
                            grown = message
                        break
                    yield message
                    last, grown = message.seq or 0, None
                if held_back or len(page) < WATCH_PAGE:
                    await wait()

    def _is_open(self, message: Message) -> bool:
        if message.metadata.get(INTERRUPTED) is not True:
            return False
        try:
            since = Timestamp.fromisoformat(message.metadata[STREAMED_AT])
            return self._backend.clock() - since < timedelta(seconds=PATIENCE_SECONDS)
        except (KeyError, TypeError, ValueError):
            return False  # the key is the application's own

    @asynccontextmanager
    async def _woken(self, poll_seconds: float | None) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Give a function that waits until the session may have changed."""
        backend = self._backend
        await backend.ensure_connected()
        wake = asyncio.Event()
        async with AsyncExitStack() as stack:
            waiters = backend.watchers.setdefault(self._id, set())
            waiters.add(wake)
            stack.callback(self._unwatch, wake)
            seconds = POLL_SECONDS if poll_seconds is None else poll_seconds
            if backend.features.signals and isinstance(backend.repository, Signals):
                seconds = SIGNALLED_POLL_SECONDS if poll_seconds is None else poll_seconds
                told = await stack.enter_async_context(backend.repository.signals(self._id))
                listening = asyncio.create_task(_relay(told, wake, seconds))
                stack.push_async_callback(_cancelled, listening)

            async def wait() -> None:
                try:
                    async with asyncio.timeout(seconds):
                        await wake.wait()
                except TimeoutError:
                    return
                finally:
                    wake.clear()

            yield wait

    def _unwatch(self, wake: asyncio.Event) -> None:
        watchers = self._backend.watchers
        waiters = watchers.get(self._id, set())
        waiters.discard(wake)
        if not waiters:
            watchers.pop(self._id, None)


class _Gaps:
    """Numbers that are missing in front of a message, in stores where a slower writer may still fill them."""

    def __init__(self, clock: Callable[[], Timestamp]) -> None:
        self._clock = clock
        self._since: tuple[int, float] | None = None

    def may_be_filled(self, last: int, message: Message) -> bool:
        """Return whether to wait with a message for those in front of it; for each gap once, and not for long."""
        seq = message.seq or 0
        if seq == last + 1 or self._clock() - message.timestamp > timedelta(seconds=GAP_SECONDS):
            return False
        now = time.monotonic()
        if self._since is None or self._since[0] != last:
            self._since = last, now
        return now - self._since[1] < GAP_SECONDS


async def _relay(told: Callable[[float], Awaitable[None]], wake: asyncio.Event, seconds: float) -> None:
    while True:
        await told(seconds)
        wake.set()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, LangSwarmMemoryError):
        raise error


__all__ = ["INTERRUPTED", "STREAMED_AT", "Draft", "StreamMethods"]
