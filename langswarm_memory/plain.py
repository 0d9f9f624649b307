"""A backend without sessions in view: messages are saved under an id, loaded, searched and cleared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .editing import EDITABLE
from .errors import ConflictError, InvalidInputError, SessionExistsError, SessionNotFoundError
from .incoming import counted, distinct
from .interfaces.enums import SYSTEM_ROLES
from .interfaces.message import Message
from .interfaces.records import SessionMetadata
from .interfaces.timestamps import Timestamp
from .repository import codec
from .repository.protocol import MemoryRepository, Rewrite, SessionQuery
from .session import BaseMemorySession
from .settings import BackendSettings
from .tokens import estimate_tokens
from .windows import check_limit

SAVE_TRIES = 8  # rounds of a save while others delete the session, or change the same messages
CLEAR_PAGE = 500  # sessions deleted per statement


class PlainMethods:
    """The methods of a backend that know of messages and session ids only."""

    settings: BackendSettings
    repository: MemoryRepository
    clock: Callable[[], Timestamp]
    deletes_overflow: bool

    if TYPE_CHECKING:

        async def perform(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
            """Call the repository."""

        async def create_session(self, metadata: SessionMetadata) -> BaseMemorySession:
            """Store a new session."""

        async def get_session(self, session_id: str) -> BaseMemorySession | None:
            """Return a session."""

        async def _delete(self, session_ids: list[str]) -> int:
            """Delete sessions."""

    async def save(self, session_id: str, messages: Iterable[Message]) -> None:
        """Store messages by their ids: new ones behind those that are there, changed ones in their place.

        So both ways of calling are right: with the new messages only, or each time with the whole conversation.
        Repeating a call changes nothing. A session is made with the first message; it has no window of its own unless
        the setting ``max_messages`` gives one.

        New messages are stored all or none, and so are changed ones; of a call with both, the changed ones first.

        Raises:
            InvalidInputError: A message cannot be stored as it is; nothing was written.
            ConflictError: Other writers changed the same messages, many times in a row.
            MemoryBackendError: The store failed.
        """
        codec.check_id(session_id, "session_id")
        if isinstance(messages, Message | str) or not isinstance(messages, Iterable):
            raise InvalidInputError("save takes a list of messages")
        given = distinct(session_id, list(messages))
        for attempt in range(SAVE_TRIES):
            try:
                await self._save(session_id, given)
            except (ConflictError, SessionExistsError, SessionNotFoundError):
                if attempt == SAVE_TRIES - 1:
                    raise
            else:
                return

    async def load(self, session_id: str, limit: int | None = None) -> Sequence[Message]:
        """Return the messages of a session, oldest first; empty when there is none, or it has expired.

        Args:
            session_id: The session.
            limit: At most so many, the newest. None: all, or those of the session's window if it has one.
        """
        check_limit(limit)
        session = await self.get_session(session_id)
        if session is None:
            return []
        try:
            return await session.get_messages(limit)
        except SessionNotFoundError:  # deleted between the two
            return []

    async def clear(self, session_id: str | None = None) -> None:
        """Delete a session with all its data, or all sessions there are.

        Args:
            session_id: The session; one that does not exist is no error. None: all.
        """
        if session_id is not None:
            await self._delete([codec.check_id(session_id, "session_id")])
        else:
            await self._delete_all(SessionQuery(limit=CLEAR_PAGE))

    async def clear_old_sessions(self, older_than: datetime) -> int:
        """Delete the sessions without activity since an instant; return how many there were.

        Args:
            older_than: The instant. Naive means local time.
        """
        return await self._delete_all(SessionQuery(updated_before=Timestamp.of(older_than), limit=CLEAR_PAGE))

    # --- how it is done ----------------------------------------------------------------------------------------

    def plain_metadata(self, session_id: str) -> SessionMetadata:
        """Return the metadata of a session that ``save`` makes."""
        at = self.clock()
        return SessionMetadata(session_id, max_messages=self.settings.max_messages, created_at=at)

    async def _delete_all(self, query: SessionQuery) -> int:
        deleted = 0
        while page := await self.perform(self.repository.list_sessions, query):
            deleted += await self._delete([record.metadata.session_id for record in page])
        return deleted

    async def _save(self, session_id: str, given: list[Message]) -> None:
        if not given:
            return
        session = await self.get_session(session_id)
        if session is None:
            for message in given:
                codec.encode_message(counted(message, estimate_tokens))  # refused before a session is made for it
            session = await self.create_session(self.plain_metadata(session_id))
        if self.deletes_overflow:
            given = _newest(given, session.metadata.max_messages)
        try:
            await session.add_messages(given)
        except ConflictError as exc:
            if exc.retryable:
                raise
            await self._change(session, given)

    async def _change(self, session: BaseMemorySession, given: list[Message]) -> None:
        """Replace the stored messages that differ, all at once, and append the others."""
        record = await session._record()
        stored = {message.message_id: message for message in await session._find(m.message_id for m in given)}
        changed = []
        for message in given:
            old = stored.get(message.message_id)
            if old is not None and codec.fingerprint(old) != codec.fingerprint(message):
                # A count that came with the message as it was loaded is that of the text before it was changed.
                recount = message.token_count in (None, old.token_count)
                fields = EDITABLE - {"token_count"} if recount else EDITABLE
                changed.append((old, session._edited(old, {name: getattr(message, name) for name in fields})))
        if changed:
            changed.sort(key=lambda pair: pair[0].seq or 0)
            await session._rewrite(Rewrite(edits=record.edits, replaced=tuple(changed)))
        await session.add_messages(message for message in given if message.message_id not in stored)


def _newest(given: list[Message], bound: int | None) -> list[Message]:
    """Drop what would be trimmed at once: older messages that come back would pass for new ones."""
    if bound is None or len(given) <= bound:
        return given
    others = [message.message_id for message in given if message.role not in SYSTEM_ROLES]
    kept = set(others[-bound:])
    return [message for message in given if message.role in SYSTEM_ROLES or message.message_id in kept]
