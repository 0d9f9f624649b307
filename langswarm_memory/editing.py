"""Editing history: messages changed, deleted, taken back, and conversations that branch.

Each method reads, computes the change, and has the store carry it out only if nothing was changed meanwhile; otherwise
it reads again. So two editors never lose each other's work, and a change is seen whole or not at all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConflictError, InvalidInputError, LangSwarmMemoryError
from .incoming import counted
from .interfaces.enums import SessionStatus
from .interfaces.message import Message, new_id
from .interfaces.records import ConversationSummary, SessionMetadata, changed_metadata
from .repository import codec
from .repository.matching import stretches
from .repository.optional import CopiesMessages
from .repository.protocol import MessageQuery, Rewrite, SessionRecord
from .summaries.coverage import coverage_of, in_use, strategy_of
from .summaries.verify import withdraw_touched

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend
    from .session import BaseMemorySession

T = TypeVar("T")

REWRITE_TRIES = 16  # times a change is computed again when another came first
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.2  # seconds between two tries, at most
LOOKUP_PAGE = 500  # messages read at a time, going back, to find one by its id
FORKED_FROM = "forked_from"
FORKED_AT_SEQ = "forked_at_seq"
MESSAGE_FIELDS = tuple(field.name for field in fields(Message) if field.init)
EDITABLE = frozenset(MESSAGE_FIELDS) - {"message_id"}


class EditMethods:
    """The methods of a session that change what was said. They hold nothing but what the session holds."""

    _backend: BaseMemoryBackend
    _id: str

    if TYPE_CHECKING:

        async def _record(self) -> SessionRecord:
            """Read the session's record."""

        def iter_messages(self) -> AsyncIterator[Message]:
            """Yield the whole history."""

    async def pop_message(self) -> Message | None:
        """Delete the newest message and return it. None: there is none.

        Of many callers at once each gets another message, and a message that is appended meanwhile is seen. Summaries
        that cover it are no longer used.

        Raises:
            SessionNotFoundError: The session was deleted, or has expired (``SessionExpiredError``).
            ConflictError: Other writers were first, many times in a row; nothing was deleted.
        """

        async def change() -> Message | None:
            record = await self._record()
            newest = await self._read_messages(MessageQuery(limit=1))
            if newest:
                await self._rewrite(Rewrite(edits=record.edits, last_seq=record.last_seq, removed=(newest[0],)))
            return newest[0] if newest else None

        return await self._repeated(change)

    async def edit_message(self, message: Message | str | int, **changes: Any) -> Message:
        """Change fields of a stored message and return it as it is stored now. Its id and place stay.

        Edits of different fields at the same time both hold. Tokens are counted again unless ``token_count`` is given.
        Summaries that cover the message are no longer used.

        Args:
            message: The message, its seq, or its id. By an id alone, history is read back to it.
            **changes: Fields of ``Message`` but ``message_id``.

        Raises:
            InvalidInputError: No such field, or a value that cannot be stored; nothing was changed.
            ConflictError: There is no such message (not ``retryable``), or other writers were first, many times.
            SessionNotFoundError: The session was deleted, or has expired (``SessionExpiredError``).
        """
        unknown = sorted(set(changes) - EDITABLE)
        if unknown or not changes:
            raise InvalidInputError(
                f"a message has no field {', '.join(unknown)} to change" if unknown else "edit_message changes nothing",
                suggestion=f"name one or more of {', '.join(sorted(EDITABLE))}",
            )

        async def change() -> Message:
            record = await self._record()
            found = await self._find([message])
            if not found:
                raise ConflictError("there is no such message in the session", suggestion="read the session again")
            edited = self._edited(found[0], changes)
            await self._rewrite(Rewrite(edits=record.edits, replaced=((found[0], edited),)))
            return edited.numbered(found[0].seq or 0)

        return await self._repeated(change)

    async def delete_messages(self, messages: Iterable[Message | str | int]) -> int:
        """Delete messages for good, all of them at once, and return how many there were.

        Summaries that cover one of them are no longer used. Those that are not there are passed over.

        Args:
            messages: Messages, their seqs, or their ids.

        Raises:
            SessionNotFoundError: The session was deleted, or has expired (``SessionExpiredError``).
            ConflictError: Other writers were first, many times in a row; nothing was deleted.
        """
        if isinstance(messages, Message | str | int) or not isinstance(messages, Iterable):
            raise InvalidInputError("delete_messages takes a list of messages, of seqs or of ids")
        wanted = list(messages)

        async def change() -> int:
            record = await self._record()
            found = await self._find(wanted)
            if found:
                await self._rewrite(Rewrite(edits=record.edits, removed=tuple(found)))
            return len(found)

        return await self._repeated(change)

    async def rewind(self, to_seq: int | Message) -> int:
        """Delete everything behind a message and return how many messages that were.

        Numbers are not given again: the next message gets a higher seq than any before. Cost: what is deleted is read.

        Args:
            to_seq: The last message to stay, or its seq. 0: none stays.

        Raises:
            SessionNotFoundError: The session was deleted, or has expired (``SessionExpiredError``).
            ConflictError: Other writers were first, many times in a row; nothing was deleted.
        """
        last = _seq_of(to_seq, "to_seq")

        async def change() -> int:
            record = await self._record()
            found = await self._read_messages(MessageQuery(after_seq=last))
            if found:
                await self._rewrite(Rewrite(edits=record.edits, last_seq=record.last_seq, removed=tuple(found)))
            return len(found)

        return await self._repeated(change)

    async def fork(
        self, at_seq: int | Message | None = None, *, session_id: str | None = None, **metadata: Any
    ) -> BaseMemorySession:
        """Return a new session that begins with a copy of this one's messages; both then go their own ways.

        It belongs to the same user and agent, has the same limits, tags and properties, and in its properties
        ``forked_from`` and ``forked_at_seq``. Messages keep ids, times and contents, and are numbered from 1. Summaries
        of what was copied go with it where the numbers are the same. Cost: one statement on SQL, elsewhere the messages
        are read and stored in one batch.

        Args:
            at_seq: The last message to copy, or its seq. None: all.
            session_id: Id of the new session. None: a random one.
            **metadata: What shall differ, as ``update_metadata`` takes it.

        Raises:
            SessionExistsError: The id is taken.
            SessionNotFoundError: This session was deleted.
            InvalidInputError: A value that cannot be stored.
        """
        through = None if at_seq is None else _seq_of(at_seq, "at_seq")
        backend = self._backend
        record = await self._record()
        if through is None:
            through = record.last_seq
        forked = self._forked(record.metadata, new_id() if session_id is None else session_id, through, metadata)
        repository = backend.repository
        if isinstance(repository, CopiesMessages):
            made = await backend.perform(repository.copy_session, self._id, forked, through_seq=through)
        else:
            made = await self._copied(forked, through)
        session = backend.session_of(made)
        await self._copy_summaries(session, made, through)
        return session

    def _forked(
        self, metadata: SessionMetadata, session_id: str, through: int, changes: dict[str, Any]
    ) -> SessionMetadata:
        fixed = sorted({"created_at", "updated_at"} & set(changes))
        if fixed:
            raise InvalidInputError(f"a fork cannot set {', '.join(fixed)}")
        now = self._backend.clock()
        own = {"session_id": session_id, "created_at": now, "updated_at": now, "status": SessionStatus.ACTIVE}
        changes = {**own, "expires_at": self._backend.expiry(now), **changes}
        forked = changed_metadata(metadata, changes)
        forked.properties = {**forked.properties, FORKED_FROM: self._id, FORKED_AT_SEQ: through}
        strategy_of(forked)  # refused before it is stored
        return forked

    async def _copied(self, forked: SessionMetadata, through: int) -> SessionRecord:
        backend, repository = self._backend, self._backend.repository
        messages = await self._read_messages(MessageQuery(before_seq=through + 1))
        made = await backend.perform(repository.insert_session, forked)
        if not messages:
            return made
        try:
            await backend.perform(repository.append, forked.session_id, messages, now=forked.updated_at)
        except LangSwarmMemoryError:
            await backend.perform(repository.delete_sessions, [forked.session_id])  # no half of a fork stays
            raise
        record = await backend.perform(repository.fetch_session, forked.session_id)
        return made if record is None else record

    async def _copy_summaries(self, session: BaseMemorySession, made: SessionRecord, through: int) -> None:
        """Copy summaries that hold in the fork: where no number is missing, messages have the same in both."""
        newest = await self._read_messages(MessageQuery(before_seq=through + 1, limit=1))
        if not newest or newest[0].seq != made.message_count or made.last_seq != made.message_count:
            return
        backend = self._backend
        summaries = await backend.perform(backend.repository.list_summaries, self._id)
        for summary in in_use(summaries):
            covers = coverage_of(summary)
            if covers is not None and covers.last_seq <= through:
                copied: ConversationSummary = replace(summary, session_id=session.session_id)
                await backend.perform(backend.repository.put_summary, copied)

    # --- how changes are made ----------------------------------------------------------------------------------

    async def _repeated(self, change: Callable[[], Awaitable[T]]) -> T:
        for tried in range(REWRITE_TRIES - 1):
            try:
                return await change()
            except ConflictError as exc:
                if not exc.retryable:
                    raise
            # Chosen by chance, and from more and more: those that met do not meet again, and nobody always loses.
            await asyncio.sleep(random.uniform(0, min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE)))
        return await change()

    async def _rewrite(self, change: Rewrite) -> None:
        backend = self._backend
        record = await backend.perform(backend.repository.rewrite, self._id, change, now=backend.clock())
        replaced = [old.seq or 0 for old, _ in change.replaced]
        seqs = [*replaced, *(message.seq or 0 for message in change.removed)]
        await withdraw_touched(self, seqs)  # type: ignore[arg-type]  # self is the session
        backend.changed(self._id, record.edits, replaced, [message.message_id for message in change.removed])

    async def _read_messages(self, query: MessageQuery) -> list[Message]:
        backend = self._backend
        return await backend.perform(backend.repository.read_messages, self._id, query)

    def _edited(self, message: Message, changes: dict[str, Any]) -> Message:
        values = {name: getattr(message, name) for name in MESSAGE_FIELDS}
        if "token_count" not in changes:
            values["token_count"] = None
        edited = counted(Message(**(values | changes)), self._backend.token_counter)
        codec.encode_message(edited)  # refused before the store is asked
        return edited

    async def _find(self, wanted: Iterable[Message | str | int]) -> list[Message]:
        """Return the stored messages meant, oldest first."""
        seqs: set[int] = set()
        ids: set[str] = set()
        for one in wanted:
            if isinstance(one, str):
                ids.add(codec.check_id(one, "message_id"))
            elif isinstance(one, Message) and one.seq is None:
                ids.add(one.message_id)
            else:
                seqs.add(_seq_of(one, "a message"))
        found: dict[int, Message] = {}
        for first, last in stretches(seqs):
            page = await self._read_messages(MessageQuery(after_seq=first - 1, before_seq=last + 1))
            found |= {message.seq or 0: message for message in page if message.seq in seqs}
        before: int | None = None
        while ids:
            page = await self._read_messages(MessageQuery(before_seq=before, limit=LOOKUP_PAGE))
            for message in page:
                if message.message_id in ids:
                    ids.discard(message.message_id)
                    found[message.seq or 0] = message
            if len(page) < LOOKUP_PAGE:
                break
            before = page[0].seq
        return [found[seq] for seq in sorted(found)]


def _seq_of(value: Any, name: str) -> int:
    seq = value.seq if isinstance(value, Message) else value
    if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq < codec.MAX_INT:
        raise InvalidInputError(f"{name} must be a stored message, or its seq")
    return seq
