"""A session: every feature of a conversation, once, over any store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .contexts import ContextMethods
from .editing import EditMethods
from .errors import ConflictError, InvalidInputError, SessionNotFoundError
from .incoming import counted, distinct
from .interfaces.contracts import IMemorySession
from .interfaces.enums import SYSTEM_ROLES, MessageRole, SessionStatus
from .interfaces.message import Message
from .interfaces.records import SessionMetadata, changed_metadata
from .interfaces.timestamps import Timestamp
from .repository.protocol import Appended, MessageQuery, SessionRecord
from .streaming import StreamMethods
from .summaries import strategy_of
from .summaries.methods import SummaryMethods
from .windows import check_limit, position, role_texts

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend
    from .recall.hits import RecallHit

HISTORY_PAGE = 500  # messages per statement in iter_messages()
EDIT_TRIES = 8  # times a metadata edit is repeated when another writer came first
NO_ROLES: frozenset[str] = frozenset()


class BaseMemorySession(ContextMethods, SummaryMethods, EditMethods, StreamMethods, IMemorySession):
    """A handle on a stored session. It holds no messages: every read asks the store.

    Args:
        metadata: The session's metadata as just read.
        backend: The backend it came from.
    """

    def __init__(self, metadata: SessionMetadata, backend: BaseMemoryBackend) -> None:
        self._metadata = metadata
        self._backend = backend
        self._id = metadata.session_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._id!r}>"

    @property
    def session_id(self) -> str:
        """Id of the session."""
        return self._id

    @property
    def metadata(self) -> SessionMetadata:
        """Metadata as this handle last saw it; :meth:`refresh` reads it again."""
        return self._metadata

    @property
    def backend(self) -> BaseMemoryBackend:
        """The backend of the session."""
        return self._backend

    async def _record(self) -> SessionRecord:
        backend = self._backend
        record = await backend.perform(backend.repository.fetch_session, self._id)
        if record is None:
            raise SessionNotFoundError(self._id)
        return record

    async def refresh(self) -> SessionMetadata:
        """Read the metadata again and return it.

        Raises:
            SessionNotFoundError: The session was deleted.
        """
        self._metadata = (await self._record()).metadata
        return self._metadata

    async def count_messages(self) -> int:
        """Return how many messages the session holds, older ones outside the window included."""
        return (await self._record()).message_count

    # --- writing -----------------------------------------------------------------------------------------------

    async def add_message(self, message: Message) -> bool:
        """Append a message, durably, and return True.

        Repeating the call with the same message is safe: its id is stored once.

        Raises:
            InvalidInputError: The message cannot be stored as it is; nothing was written.
            ConflictError: The id is stored with other content.
            SessionNotFoundError: The session was deleted, or has expired (``SessionExpiredError``).
            MemoryBackendError: The store failed; see ``retryable``.
        """
        await self._append([message])
        return True

    async def add_messages(self, messages: Iterable[Message]) -> list[int]:
        """Append messages in order, all of them or, on an error, none, and return their seqs.

        Cost: one transaction. A message stored before keeps its old seq and is not stored again.

        Raises:
            As :meth:`add_message`.
        """
        if not isinstance(messages, Iterable):
            raise InvalidInputError(f"add_messages takes messages, got {type(messages).__name__}")
        given = list(messages)
        if not given:
            return []
        return list((await self._append(given)).seqs)

    async def _append(self, messages: list[Message]) -> Appended:
        backend = self._backend
        once = messages if len(messages) == 1 else distinct(self._id, messages)
        ready = [counted(message, backend.token_counter) for message in once]
        now = backend.clock()
        appended = await backend.perform(
            backend.repository.append, self._id, ready, now=now, expires_at=backend.expiry(now)
        )
        if once is not messages:
            seqs = {message.message_id: seq for message, seq in zip(once, appended.seqs, strict=True)}
            appended = appended._replace(seqs=tuple(seqs[message.message_id] for message in messages))
        if backend.deletes_overflow:
            await self._trim(appended.message_count)
        if backend.summary_worker is not None:
            backend.summary_worker.appended(self, appended.last_seq, appended.inserted)
        if backend.watchers or backend.embedding_worker is not None:
            backend.appended(self._id)
        return appended

    async def _trim(self, message_count: int) -> None:
        bound = self._metadata.max_messages
        if bound is None or message_count <= bound:
            return
        backend = self._backend
        query = MessageQuery(exclude_roles=SYSTEM_ROLES, limit=bound)
        kept = await backend.perform(backend.repository.read_messages, self._id, query)
        if kept and kept[0].seq is not None:
            await backend.perform(
                backend.repository.delete_messages,
                self._id,
                through_seq=kept[0].seq - 1,
                keep_roles=SYSTEM_ROLES,
            )

    async def clear_messages(self, keep_system: bool = True) -> bool:
        """Delete the messages for good and return True.

        Args:
            keep_system: Whether system messages stay.
        """
        backend = self._backend
        keep = SYSTEM_ROLES if keep_system else NO_ROLES
        await backend.perform(backend.repository.delete_messages, self._id, keep_roles=keep)
        if backend.embedding_worker is not None:
            backend.embedding_worker.appended(self._id)  # the session is compared: its count of edits has changed
        return True

    # --- reading -----------------------------------------------------------------------------------------------

    async def get_messages(
        self,
        limit: int | None = None,
        include_system: bool = True,
        since: datetime | None = None,
        *,
        roles: Iterable[MessageRole | str] | None = None,
        full_history: bool = False,
        after: int | Message | None = None,
        before: int | Message | None = None,
    ) -> list[Message]:
        """Return messages, oldest first, in one statement.

        Without arguments: the window, which is all system messages and the newest ``metadata.max_messages`` others.
        Older messages stay stored; ``full_history=True`` or :meth:`iter_messages` returns them.

        Args:
            limit: At most so many, the newest; with `after`, the oldest. 0: none.
            include_system: Whether system messages are among them. A datetime here is taken as `since`.
            since: Only messages with this timestamp or a later one. Naive means local time.
            roles: Only messages of these roles, or of this one.
            full_history: Whether messages outside the window count.
            after: Page forward: only messages behind this one (a message or its seq). Implies `full_history`.
            before: Page backward: only messages in front of this one. Implies `full_history`.

        Raises:
            InvalidInputError: A negative limit, an empty or unknown kind of role, a value that is no datetime.
            SessionNotFoundError: The session was deleted.
        """
        if isinstance(include_system, datetime):
            include_system, since = True, include_system
        bound = None if full_history or after is not None or before is not None else self._metadata.max_messages
        limit = check_limit(limit)
        query = MessageQuery(
            after_seq=position(after, "after"),
            before_seq=position(before, "before"),
            since=None if since is None else Timestamp.of(since),
            roles=role_texts(roles),
            exclude_roles=NO_ROLES if include_system else SYSTEM_ROLES,
            keep_roles=SYSTEM_ROLES
            if include_system and bound is not None and (limit is None or limit > bound)
            else NO_ROLES,
            newest_first=after is None,
            limit=bound if limit is None or (bound is not None and limit > bound) else limit,
        )
        backend = self._backend
        messages = await backend.perform(backend.repository.read_messages, self._id, query)
        if limit is not None and len(messages) > limit:
            return messages[len(messages) - limit :]
        return messages

    async def iter_messages(
        self, *, after: int | Message | None = None, page_size: int = HISTORY_PAGE
    ) -> AsyncIterator[Message]:
        """Yield the whole history, oldest first, in pages, in flat memory.

        Messages appended while it runs are yielded too.

        Args:
            after: Start behind this message or seq.
            page_size: Messages per statement.
        """
        if check_limit(page_size) in (None, 0):
            raise InvalidInputError("page_size must be a positive int")
        last = after
        while True:
            page = await self.get_messages(page_size, after=0 if last is None else last)
            for message in page:
                yield message
            if len(page) < page_size:
                return
            last = page[-1]

    async def search_messages(self, query: str, limit: int | None = 10) -> list[Message]:
        """Return the messages of this session that match a query best; see the backend's method of that name."""
        return await self._backend.search_messages(query, session_id=self._id, limit=limit)

    async def recall(self, query: str, **options: Any) -> list[RecallHit]:
        """Return what was said in this session that fits a query best.

        Args:
            query: Words or a question.
            **options: As of the backend's ``recall``: ``limit``, ``mode``, ``roles``, ``neighbours``, …
        """
        return await self._backend.recall(query, session_ids=[self._id], **options)

    # --- metadata ----------------------------------------------------------------------------------------------

    async def update_metadata(self, updates: dict[str, Any] | None = None, **kwargs: Any) -> bool:
        """Change metadata and return True. Concurrent edits of different fields both hold.

        Args:
            updates: Fields to change, as a mapping.
            **kwargs: The same as keywords. Names that are no field of the metadata go into ``properties``.

        Raises:
            InvalidInputError: ``session_id`` or ``created_at``, which never change, or a value of the wrong type.
            ConflictError: Other writers were first, eight times in a row.
        """
        if updates is not None and not isinstance(updates, dict):
            raise InvalidInputError(f"updates must be a dict, got {type(updates).__name__}")
        changes = {**(updates or {}), **kwargs}
        for fixed in ("session_id", "created_at", "updated_at"):
            if fixed in changes:
                raise InvalidInputError(f"{fixed} cannot be changed")
        backend = self._backend
        for attempt in range(EDIT_TRIES):
            record = await self._record()
            metadata = changed_metadata(record.metadata, changes)
            strategy_of(metadata)  # refused before it is stored
            metadata.updated_at = backend.clock()
            if "expires_at" not in changes:
                metadata.expires_at = backend.expiry(metadata.updated_at) or metadata.expires_at
            try:
                saved = await backend.perform(
                    backend.repository.replace_session, metadata, expected_revision=record.revision
                )
            except ConflictError:
                if attempt == EDIT_TRIES - 1:
                    raise
            else:
                self._metadata = saved.metadata
                if backend.is_semantic:
                    await backend.semantic_index.owner_changed(record.metadata, saved.metadata)
                return True
        raise AssertionError("unreachable")

    async def close(self) -> bool:
        """Mark the session as completed and return True. It stays readable."""
        return await self.update_metadata(status=SessionStatus.COMPLETED)

    async def archive_session(self) -> bool:
        """Mark the session as archived and return True. It stays readable."""
        return await self.update_metadata(status=SessionStatus.ARCHIVED)

    async def delete_session(self) -> bool:
        """Delete the session with all its data. False: it was gone already."""
        return await self._backend.delete_session(self._id)
