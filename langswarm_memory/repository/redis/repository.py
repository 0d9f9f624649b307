"""The repository: every write is one Lua script, every read of a session one round trip."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from ...errors import (
    ConflictError,
    CorruptRecordError,
    LangSwarmMemoryError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
)
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from .. import codec
from ..documents import instant_text, pack_metadata, pack_summary, unpack_metadata, unpack_summary
from ..matching import newest_summaries, session_matches
from ..protocol import Appended, MessageQuery, Rewrite, SessionQuery, SessionRecord, StoreFeatures, StoreStats
from . import scripts
from .commands import Client, Commands
from .failures import DRIVER_ERRORS, translated
from .indexes import Indexes
from .layout import (
    NONE,
    STORE,
    expiry_text,
    member_of,
    metadata_state,
    pairs_of,
    quoted,
    read_arguments,
    record_of,
    roles_text,
    split,
    state_of,
    ttl_of,
)
from .messages import message_of
from .search import Mode, SearchesTexts
from .signals import Signals
from .texts import owner_of
from .totals import Totals
from .tracking import TracksIndexes

_STRICT, _REPLAY = 0, 1


class RedisRepository(SearchesTexts, TracksIndexes, Signals):
    """Sessions in Redis: in one server, in one that Sentinels watch over, or in a Cluster.

    Args:
        commands: How to reach the server; see :func:`.connect`.
        prefix: Begins every key.
        compression: Whether message documents from 512 bytes are kept compressed (zlib).
        text_search: Whether texts are indexed for search; "auto": where the server can.
    """

    name = STORE
    driver_errors: ClassVar[tuple[type[BaseException], ...]] = DRIVER_ERRORS

    def __init__(
        self,
        commands: Commands,
        *,
        prefix: str,
        compression: bool = False,
        text_search: Mode = "auto",
    ) -> None:
        self._commands, self._prefix, self._compress = commands, prefix, compression
        self._indexes = Indexes(commands, prefix)
        self._totals = Totals(commands, self._indexes)
        self._mode = text_search
        self.features = StoreFeatures(signals=True, native_expiry=True, cancel_safe=True)

    @property
    def client(self) -> Client:
        """The client. Its replies are bytes."""
        return self._commands.client

    def translate(self, operation: str, error: BaseException) -> LangSwarmMemoryError:
        """Return what a driver's error means."""
        return translated(self, operation, error)

    def _keys(self, session_id: str) -> list[str]:
        return self._indexes.keys(session_id)

    async def open(self) -> None:
        """Reach the server; make the search index if there is none, and index what is stored."""
        await self.ping()
        self.features = replace(self.features, signals=self.can_listen)
        with self.io("open"):
            await self._open_search()

    async def close(self) -> None:
        """Close the client, if it is ours."""
        with self.io("close"):
            await self._commands.close()

    async def ping(self) -> None:
        """Make one round trip."""
        with self.io("ping"):
            await self._commands.call("PING")

    async def describe(self) -> Mapping[str, Any]:
        """Return the server's version, its mode (standalone, sentinel or cluster), and where it is."""
        with self.io("describe"):
            return await self._totals.describe()

    # --- sessions ----------------------------------------------------------------------------------------------

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session and list it."""
        codec.encode_metadata(metadata)
        ttl = ttl_of(metadata.expires_at, max(metadata.created_at, metadata.updated_at))
        state = f"1 0 0 0 {metadata_state(metadata)}"
        writer = uuid.uuid4().hex
        owner = writer + owner_of(metadata) if self.features.text_search else ""
        insert = scripts.INSERT.command(
            self._keys(metadata.session_id), writer, ttl, pack_metadata(metadata), state, owner
        )
        with self.io("insert_session"):
            made = await self._commands.with_entries(insert, self._indexes.additions(metadata))
        if not made:
            raise SessionExistsError(metadata.session_id)
        return SessionRecord(codec.copy_metadata(metadata), 1, 0, 0, 0)

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None."""
        with self.io("fetch_session"):
            document, state = await self._commands.call("HMGET", self._keys(session_id)[0], "document", "state")
        return None if state is None else record_of(document, state)

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        codec.encode_metadata(metadata)
        session_id = metadata.session_id
        ttl = ttl_of(metadata.expires_at, metadata.updated_at)
        replace = scripts.REPLACE.command(
            self._keys(session_id),
            *(
                uuid.uuid4().hex,
                ttl,
                pack_metadata(metadata),
                expected_revision,
                metadata_state(metadata),
                owner_of(metadata),
            ),
        )
        with self.io("replace_session"):
            reply = await self._commands.with_entries(replace, self._indexes.additions(metadata))
        if reply == b"missing":
            raise SessionNotFoundError(session_id)
        if reply == b"conflict":
            raise ConflictError(f"session {session_id!r} was changed meanwhile", retryable=True)
        before, state = reply
        gone = {*pairs_of(self._prefix, unpack_metadata(STORE, before))} - {*pairs_of(self._prefix, metadata)}
        with self.io("replace_session"):
            await self._indexes.heal(gone)
        return SessionRecord(codec.copy_metadata(metadata), *state_of(state).counters)

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page: two round trips for the entries of an index and their sessions, again while it is not full."""
        found: list[SessionRecord] = []
        wanted = query.offset + query.limit
        with self.io("list_sessions"):
            async for records in self._indexes.pages(query, wanted):
                found += [record for record in records if session_matches(record.metadata, query)]
                if len(found) >= wanted:
                    break
        return found[query.offset : wanted]

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions with all their keys and entries: three round trips, however many."""
        drops = [scripts.DROP.command(self._keys(session_id)) for session_id in dict.fromkeys(session_ids)]
        with self.io("delete_sessions"):
            documents = [document for document in await self._commands.many(drops) if document is not None]
            gone: set[tuple[str, str]] = set()
            for document in documents:
                with suppress(CorruptRecordError):  # what lists it goes with the next listing
                    gone.update(pairs_of(self._prefix, unpack_metadata(STORE, document)))
            await self._indexes.heal(gone)
        return len(documents)

    # --- messages ----------------------------------------------------------------------------------------------

    async def append(
        self, session_id: str, messages: Sequence[Message], *, now: datetime, expires_at: datetime | None = None
    ) -> Appended:
        """Append a batch: one round trip; two more when an id is stored already."""
        members = [member_of(message, compress=self._compress) for message in messages]
        members += self._texts(messages)
        head = f"{instant_text(now)} {expiry_text(expires_at)} {ttl_of(expires_at, now)}"
        tail = f"{self._publish} {len(members) - len(messages)}"
        keys = self._keys(session_id)
        with self.io("append"):
            reply = await self._commands.run(scripts.APPEND, keys, f"{head} {_STRICT} {tail}", *members)
            if reply.startswith(b"stored"):
                await self._check_replays(session_id, messages, reply)
                reply = await self._commands.run(scripts.APPEND, keys, f"{head} {_REPLAY} {tail}", *members)
        outcome, *numbers = reply.split(b" ")
        if outcome == b"missing":
            raise SessionNotFoundError(session_id)
        if outcome == b"expired":
            raise SessionExpiredError(session_id)
        last, count, inserted, *seqs = map(int, numbers)
        return Appended(tuple(seqs), inserted, count, last)

    async def _check_replays(self, session_id: str, messages: Sequence[Message], reply: bytes) -> None:
        given = {quoted(message.message_id): message for message in messages}
        key = self._keys(session_id)[1]
        stored = reply.decode().split(" ")[1:]
        found = await self._commands.many([("ZRANGEBYSCORE", key, seq, seq) for seq in stored[1::2]])
        for ident, members in zip(stored[::2], found, strict=True):
            if members:  # else it was deleted meanwhile, and is new again
                codec.check_replay(session_id, given[ident], message_of(members[0]))

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first: one round trip."""
        with self.io("read_messages"):
            reply = await self._commands.run(scripts.READ, self._keys(session_id)[:4], *read_arguments(query))
        if reply is None:
            raise SessionNotFoundError(session_id)
        return _in_order(split(reply), query)

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return a session and a window of its messages: one round trip."""
        arguments = read_arguments(query, with_session=True)
        with self.io("fetch_with_messages"):
            reply = await self._commands.run(scripts.READ, self._keys(session_id)[:4], *arguments)
        if reply is None:
            return None
        document, state, *members = split(reply)
        return record_of(document, state), _in_order(members, query)

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq."""
        through = "+inf" if through_seq is None else through_seq
        with self.io("delete_messages"):
            deleted = await self._commands.run(scripts.DELETE, self._keys(session_id), through, roles_text(keep_roles))
        if deleted is None:
            raise SessionNotFoundError(session_id)
        return int(deleted)

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages by compare-and-set: one round trip."""
        members = [b"%d %b" % (old.seq or 0, member_of(new, compress=self._compress)) for old, new in change.replaced]
        removed = "".join(f"{message.seq} " for message in change.removed)
        head = f"{instant_text(now)} {change.edits} {NONE if change.last_seq is None else change.last_seq}"
        texts = self._texts([new for _, new in change.replaced])
        head += f" {self._publish} {len(texts)}"
        with self.io("rewrite"):
            reply = await self._commands.run(
                scripts.REWRITE, self._keys(session_id), uuid.uuid4().hex, head, removed, *members, *texts
            )
        if reply == b"missing":
            raise SessionNotFoundError(session_id)
        if reply == b"expired":
            raise SessionExpiredError(session_id)
        if reply == b"conflict":
            raise ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)
        return record_of(*reply)

    # --- summaries ---------------------------------------------------------------------------------------------

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary."""
        row = codec.encode_summary(summary)
        keys = self._keys(row.session_id)
        with self.io("put_summary"):
            stored = await self._commands.run(
                scripts.SUMMARISE, [keys[0], keys[4]], row.summary_id, pack_summary(summary)
            )
        if not stored:
            raise SessionNotFoundError(row.session_id)

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first."""
        keys = self._keys(session_id)
        with self.io("list_summaries"):
            documents = await self._commands.run(scripts.SUMMARIES, [keys[0], keys[4]])
        if documents is None:
            raise SessionNotFoundError(session_id)
        return newest_summaries((unpack_summary(STORE, document) for document in documents), limit)

    # --- state -------------------------------------------------------------------------------------------------

    async def stats(self) -> StoreStats:
        """Add up what the sessions say of themselves; a pass over all of them."""
        with self.io("stats"):
            return await self._totals.stats()

    async def ttl_stats(self, now: datetime) -> dict[str, int]:
        """Count the sessions by the time that is left to them; a pass over all of them."""
        with self.io("ttl_stats"):
            return await self._totals.ttl_stats(now)


def _in_order(members: Iterable[bytes], query: MessageQuery) -> list[Message]:
    messages = [message_of(member) for member in members]
    if query.keep_roles:
        messages.sort(key=lambda message: message.seq or 0)
    elif query.newest_first:
        messages.reverse()
    return messages
