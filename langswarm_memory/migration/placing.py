"""One session into a target: made, gone on with, found complete, or refused because it holds something else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..backend import BaseMemoryBackend
from ..errors import ConflictError, CorruptRecordError, InvalidInputError, SessionExistsError
from ..incoming import counted
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository import codec
from ..repository.documents import pack_message, pack_metadata, pack_summary
from ..repository.protocol import MessageQuery, SessionRecord
from .numbering import GAP_ROLE, Numbering, Ranks

Outcome = Literal["copied", "continued", "unchanged", "ahead", "expired"]
"""``copied``: it was not there. ``continued``: a part of it was. ``unchanged``: all of it was. ``ahead``: all of it
was, and the target went on since. ``expired``: the target removes expired sessions by itself and would remove it."""

Item = tuple[int, Message]  # position in the source, message
State = Literal["same", "older", "other"]


@dataclass
class Placed:
    """What was done for a session, or would be done."""

    outcome: Outcome
    messages: int = 0
    summaries: int = 0


class Placing:
    """Writes one session, in the order session, messages, summaries, so that what was interrupted can be told.

    While a session is written its metadata is what it will be, down to the instant of its last change; only one that
    expires before that takes messages without its expiry, which is set at the end. So a target session with another
    state was not made by this, or was used since.

    Args:
        backend: The target.
        batch_size: Messages per transaction.
        dry_run: Whether nothing is written.
        new: Whether the session is likely not there; saves a look.
    """

    def __init__(self, backend: BaseMemoryBackend, batch_size: int, *, dry_run: bool, new: bool) -> None:
        self._backend, self._repository = backend, backend.repository
        self._batch_size, self._dry_run, self._new = batch_size, dry_run, new
        self.found = False
        self._record: SessionRecord | None = None
        self._state: State = "same"
        self._stored: _Stored | None = None
        self._gaps = False
        self._roles: set[str] = set()
        self._placed = Placed("copied")
        self._session_id = ""
        self._held: list[ConversationSummary] = []
        self._ranks = Ranks(()), Ranks(())

    async def place(
        self,
        metadata: SessionMetadata,
        summaries: Sequence[ConversationSummary],
        pages: AsyncIterator[list[Message]],
    ) -> Placed:
        """Write what the target lacks.

        Raises:
            ConflictError: The target's session holds something else; it was left as it is.
            InvalidInputError: Something cannot be stored; a session that was made for it is gone again.
            MemoryBackendError: The store failed; the same call goes on.
        """
        codec.encode_metadata(metadata)
        self._session_id = metadata.session_id
        for summary in summaries:
            codec.encode_summary(summary)
        expires = metadata.expires_at
        if self._repository.features.native_expiry and metadata.is_expired(self._backend.clock()):
            return Placed("expired")
        working = metadata
        if expires is not None and expires <= metadata.updated_at:
            working = _changed(metadata, expires_at=None)
        await self._claim(metadata, working)
        try:
            return await self._fill(metadata, working, summaries, pages)
        except (ConflictError, CorruptRecordError, InvalidInputError) as exc:
            # What fails in the middle for what it holds would fail again: nothing of it stays.
            if not self.found and not self._dry_run and not exc.retryable:
                await self._backend.perform(self._repository.delete_sessions, [metadata.session_id])
            raise

    async def _claim(self, metadata: SessionMetadata, working: SessionMetadata) -> None:
        call, repository = self._backend.perform, self._repository
        if self._new and not self._dry_run:
            try:
                self._record = await call(repository.insert_session, working)
            except SessionExistsError:
                pass
            else:
                return
        self._record = await call(repository.fetch_session, metadata.session_id)
        if self._record is None:
            if not self._dry_run:
                self._record = await call(repository.insert_session, working)
            return
        self.found = True
        self._placed.outcome = "unchanged"
        self._state = _state(self._record.metadata, metadata, working)
        self._stored = _Stored(self._backend, metadata.session_id, self._record)

    async def _fill(
        self,
        metadata: SessionMetadata,
        working: SessionMetadata,
        summaries: Sequence[ConversationSummary],
        pages: AsyncIterator[list[Message]],
    ) -> Placed:
        numbering = Numbering(summaries)
        if self.found and summaries:
            self._held = await self._backend.perform(self._repository.list_summaries, metadata.session_id)
        self._ranks = Ranks(summaries), Ranks(self._held)
        async for page in pages:
            if len({message.message_id for message in page}) < len(page):
                raise InvalidInputError(f"session {metadata.session_id!r} holds a message id twice")
            ready = [counted(message, self._backend.token_counter) for message in page]
            await self._take(numbering, numbering.items(ready), working)
        await self._take(numbering, numbering.ending(), working)
        ahead = self._stored is not None and await self._is_ahead(metadata)
        if self._gaps and not self._dry_run:
            roles = frozenset(self._roles - {GAP_ROLE})
            await self._backend.perform(self._repository.delete_messages, metadata.session_id, keep_roles=roles)
        if self._state == "other" and not ahead:
            raise _conflict(metadata.session_id, "its metadata differs")
        await self._put(numbering, summaries, working, ahead=ahead)
        record = self._record
        if ahead:
            self._placed.outcome = "ahead"
        elif record is not None and pack_metadata(record.metadata) != pack_metadata(metadata):
            self._continue()
            await self._replace(metadata)
        return self._placed

    def _continue(self) -> None:
        if self._placed.outcome == "unchanged":
            self._placed.outcome = "continued"

    async def _is_ahead(self, metadata: SessionMetadata) -> bool:
        assert self._stored is not None
        assert self._record is not None
        held = self._record.metadata
        if (held.created_at, held.user_id) != (metadata.created_at, metadata.user_id):
            return False
        more = await self._stored.peek() is not None
        return more or (self._state == "other" and held.updated_at > metadata.updated_at)

    # --- messages ----------------------------------------------------------------------------------------------

    async def _take(self, numbering: Numbering, items: Sequence[Item], working: SessionMetadata) -> None:
        rest = items if self._stored is None else await self._match(numbering, items)
        for begin in range(0, len(rest), self._batch_size):
            await self._append(numbering, rest[begin : begin + self._batch_size], working)

    async def _match(self, numbering: Numbering, items: Sequence[Item]) -> Sequence[Item]:
        """Compare items with what the target holds, and return those behind its end."""
        assert self._stored is not None
        for place, (seq, item) in enumerate(items):
            stored, gap = await self._stored.peek(), item.role == GAP_ROLE
            if stored is not None and _same(stored, item):
                numbering.stored(seq, stored.seq, gap=gap)
                if self._held and not gap:
                    self._count(seq, stored.seq or 0)
                self._gaps = self._gaps or gap
                self._roles.add(_role(stored))
                self._stored.drop()
            elif gap and (stored is not None or self._stored.used_behind()):
                numbering.stored(seq, None, gap=True)  # the session was complete, and the placeholder deleted
            elif stored is None:
                return items[place:]
            else:
                raise _conflict(self._session_id, f"message {seq} differs")
        return ()

    async def _append(self, numbering: Numbering, items: Sequence[Item], working: SessionMetadata) -> None:
        messages = [item for _, item in items]
        real = sum([message.role != GAP_ROLE for message in messages])
        self._gaps = self._gaps or real < len(messages)
        self._roles.update({_role(message) for message in messages})
        self._placed.messages += real
        await self._prepare(working)
        if self._dry_run:
            for message in messages:
                codec.encode_message(message)
            return
        appended = await self._backend.perform(
            self._repository.append, working.session_id, messages, now=working.updated_at
        )
        for (seq, item), target in zip(items, appended.seqs, strict=True):
            if target <= numbering.last_target:
                raise InvalidInputError(f"session {working.session_id!r} holds a message id twice")
            numbering.stored(seq, target, gap=item.role == GAP_ROLE)
            if self._held and item.role != GAP_ROLE:
                self._count(seq, target)

    def _count(self, seq: int, target: int) -> None:
        for ranks, position in zip(self._ranks, (seq, target), strict=True):
            ranks.add([position])

    async def _prepare(self, working: SessionMetadata) -> None:
        """Make the session one that may be written, before the first write to one that was found."""
        if self._state == "other":
            raise _conflict(working.session_id, "it holds less, and its metadata differs")
        self._continue()
        if self._state == "older":
            await self._replace(working)
            self._state = "same"

    async def _replace(self, metadata: SessionMetadata) -> None:
        assert self._record is not None or self._dry_run
        if not self._dry_run and self._record is not None:
            self._record = await self._backend.perform(
                self._repository.replace_session, metadata, expected_revision=self._record.revision
            )

    # --- summaries ---------------------------------------------------------------------------------------------

    async def _put(
        self,
        numbering: Numbering,
        summaries: Sequence[ConversationSummary],
        working: SessionMetadata,
        *,
        ahead: bool,
    ) -> None:
        if not summaries:
            return
        if self._dry_run and not self.found:
            self._placed.summaries = len(summaries)
            return
        ours, theirs = self._ranks
        there = {pack_summary(theirs.plain(summary)) for summary in self._held}
        ids = {summary.summary_id for summary in self._held}
        missing = [summary for summary in summaries if pack_summary(ours.plain(summary)) not in there]
        if ahead or not missing:
            return
        for summary in await numbering.ranged(self._backend, missing):
            if summary.summary_id in ids:
                raise _conflict(working.session_id, "a summary differs")
            await self._prepare(working)
            self._placed.summaries += 1
            if not self._dry_run:
                await self._backend.perform(self._repository.put_summary, summary)


class _Stored:
    """What the target holds of a session, from its first message on."""

    def __init__(self, backend: BaseMemoryBackend, session_id: str, record: SessionRecord) -> None:
        self._backend, self._session_id, self._record = backend, session_id, record
        self._page: list[Message] = []
        self._at, self._read = 0, 0
        self._ended = record.message_count == 0

    async def peek(self) -> Message | None:
        """Return the next message; None: there are no more."""
        if self._at == len(self._page) and not self._ended:
            query = MessageQuery(after_seq=self._read, newest_first=False, limit=_COMPARED)
            self._page = await self._backend.perform(self._backend.repository.read_messages, self._session_id, query)
            self._at = 0
            self._ended = len(self._page) < _COMPARED
        return self._page[self._at] if self._at < len(self._page) else None

    def drop(self) -> None:
        """Go on behind the message that ``peek`` returned."""
        self._read = self._page[self._at].seq or 0
        self._at += 1

    def used_behind(self) -> bool:
        """Return whether positions behind the last message were given to some that are deleted."""
        return self._record.last_seq > self._read


_COMPARED = 500  # messages of the target per read


def _role(message: Message) -> str:
    role = message.role
    return role.value if isinstance(role, MessageRole) else role


def _same(one: Message, other: Message) -> bool:
    return one.message_id == other.message_id and pack_message(one) == pack_message(other)


def _changed(metadata: SessionMetadata, **changes: object) -> SessionMetadata:
    values = {name: getattr(metadata, name) for name in SessionMetadata.__dataclass_fields__}
    return SessionMetadata(**(values | changes))


def _state(held: SessionMetadata, wanted: SessionMetadata, working: SessionMetadata) -> State:
    packed = pack_metadata(held)
    if packed in (pack_metadata(wanted), pack_metadata(working)):
        return "same"
    # What appending to the source changed since.
    moved = _changed(held, updated_at=wanted.updated_at, expires_at=wanted.expires_at)
    older = held.updated_at <= wanted.updated_at and pack_metadata(moved) == pack_metadata(wanted)
    return "older" if older else "other"


def _conflict(session_id: str, what: str) -> ConflictError:
    return ConflictError(
        f"session {session_id!r} of the target holds something else: {what}",
        suggestion="delete it there, or leave this session out",
    )
