"""The store: sessions, readings and summaries; messages are changed by ``transactions`` or by ``marks``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from ...errors import (
    ConflictError,
    SchemaVersionError,
    SessionExistsError,
    SessionNotFoundError,
    UnsupportedOperationError,
)
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...settings import MongoDBSettings
from .. import codec
from ..documents import instant_text, pack_summary, unpack_summary
from ..matching import newest_summaries
from ..protocol import Appended, MessageQuery, Rewrite, SessionQuery, SessionRecord, StoreFeatures, StoreStats
from .batches import Batch, Writes
from .changes import Change
from .connection import DESCENDING, NAME, ReturnDocument, errors, target
from .forms import (
    INDEXES,
    MAX_SKIP,
    TERMS_INDEX,
    deletion,
    fitting,
    listing,
    session_fields,
    session_record,
)
from .indexes import IndexNotes
from .marks import MarkedWrites
from .readings import Readings
from .search import SearchesTexts
from .transactions import TransactionalWrites

SHORTEST_LEASE_SECONDS = 60.0
UPSERT_TRIES = 2  # two may insert one summary at the same time; the one that is refused then replaces


class MongoDBRepository(IndexNotes, SearchesTexts):
    """Sessions in MongoDB.

    Args:
        settings: Where, and whether with transactions.
    """

    def __init__(self, settings: MongoDBSettings) -> None:
        super().__init__(target(settings), settings.collection_prefix)
        self._wanted, self._seconds = settings.transactions, settings.timeout
        self._searchable = settings.text_search
        # Three times what the driver waits: by then an insert has been answered, or will never be.
        self._marks = MarkedWrites(self, max(SHORTEST_LEASE_SECONDS, 3 * settings.timeout))
        self._writes: Writes = self._marks
        self._rewrites = self._marks.rewrites
        self._readings = Readings(self, self._rewrites)
        self._transactional = False
        self.features = self._features()

    def _features(self) -> StoreFeatures:
        return StoreFeatures(
            atomic_batches=self._transactional,
            gapless_seq=self._transactional,
            commit_ordered=self._transactional,
            read_your_writes=self._client is not None and self.reads_own_writes(),
            text_search=self._searchable,
        )

    async def open(self) -> None:
        """Connect, ask for transactions, ensure the indexes, and make what an earlier version stored searchable.

        Raises:
            UnsupportedOperationError: Transactions are demanded, and the server has none.
            SchemaVersionError: The collections are those of another program.
        """
        self.connect()
        try:
            has = await self.has_transactions()
            if self._wanted and not has:
                raise UnsupportedOperationError(
                    NAME, "transactions on a single server", "use a replica set, or transactions=None"
                )
            with self.io("open"):
                there = set(await self.database.list_collection_names())
            await asyncio.gather(*(self._ensure_indexes(name, there) for name in INDEXES))
            if self._searchable:
                await self.index_texts()
        except BaseException:
            await self.disconnected()
            raise
        self._transactional = has if self._wanted is None else self._wanted
        if self._transactional:
            self._writes = TransactionalWrites(self, self._seconds, self._marks.settle)
        self.features = self._features()

    async def _ensure_indexes(self, name: str, there: set[str]) -> None:
        collection = self.database[self.collection_name(name)]
        with self.io("open"):
            found = await collection.index_information() if collection.name in there else {}
            foreign = [key for key, index in found.items() if index.get("unique") and key != "_id_"]
            known = {index.document["name"]: index for index in INDEXES[name]}
            if set(foreign) - set(known):
                raise SchemaVersionError(
                    NAME,
                    found=f"unique index {min(set(foreign) - set(known))!r} on {collection.name!r}",
                    expected="collections of its own",
                    suggestion="choose another collection_prefix or database",
                )
            # Only what is missing is made: a store whose indexes are there can be opened without the right to make any.
            missing = [index for key, index in known.items() if key not in found]
            if not self._searchable:
                missing = [index for index in missing if index.document["name"] != TERMS_INDEX]
            if missing:
                await collection.create_indexes(missing)

    async def close(self) -> None:
        """Close the client if it is ours."""
        await self.disconnected()

    async def ping(self) -> None:
        """Make one round trip."""
        sessions = self.collections.sessions
        with self.io("ping"):
            await sessions.database.command("ping")

    async def describe(self) -> Mapping[str, Any]:
        """Return where the store is: ``uri`` (no user, no password, no options), ``database``, ``transactions``."""
        return {**self.address(), "transactions": self._transactional}

    # --- sessions --------------------------------------------------------------------------------------------------

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session, and remove what a deletion of an earlier one of its id may have left."""
        codec.encode_metadata(metadata)
        sessions, messages, summaries = self.collections
        born = uuid4().hex  # tells this session's messages from those of an earlier one
        session = {
            "_id": metadata.session_id,
            "born": born,
            **session_fields(metadata),
            **{"revision": 1, "message_count": 0, "token_count": 0, "last_seq": 0},
            **{"edits": 0, "changes": 0, "recounts": 0, "writing": []},
        }
        with self.io("insert_session"):
            try:
                await sessions.insert_one(session)
            except errors.DuplicateKeyError as exc:
                # The driver repeats a write whose reply was lost; then what is there is ours.
                if await sessions.find_one({"_id": metadata.session_id, "born": born}, {"_id": 1}) is None:
                    raise SessionExistsError(metadata.session_id) from exc
            earlier = {"session_id": metadata.session_id, "born": {"$ne": born}}
            await asyncio.gather(messages.delete_many(earlier), summaries.delete_many(earlier))
        return SessionRecord(codec.copy_metadata(metadata), 1, 0, 0, 0, 0)

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None."""
        sessions = self.collections.sessions
        with self.io("fetch_session"):
            found = await sessions.find_one({"_id": session_id})
        if found is None:
            return None
        record = session_record(found)
        missing = await self._marks.missing(found)
        if not missing.messages:
            return record
        return record._replace(
            message_count=record.message_count - missing.messages, token_count=record.token_count - missing.tokens
        )

    async def _require(self, session_id: str) -> dict[str, Any]:
        sessions = self.collections.sessions
        with self.io("fetch_session"):
            found: dict[str, Any] | None = await sessions.find_one({"_id": session_id}, {"born": 1})
        if found is None:
            raise SessionNotFoundError(session_id)
        return found

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        codec.encode_metadata(metadata)
        sessions = self.collections.sessions
        with self.io("replace_session"):
            found = await sessions.find_one_and_update(
                {"_id": metadata.session_id, "revision": expected_revision},
                {"$set": session_fields(metadata), "$inc": {"revision": 1}},
                return_document=ReturnDocument.AFTER,
            )
        if found is None:
            await self._require(metadata.session_id)
            raise ConflictError(f"session {metadata.session_id!r} was changed meanwhile", retryable=True)
        return session_record(found)

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page; its order is that of an index."""
        if query.limit == 0:
            return []
        conditions, index = listing(query)
        cursor = self.collections.sessions.find(conditions).sort([("created", DESCENDING), ("_id", DESCENDING)])
        if index is not None:
            cursor = cursor.hint(index)
        with self.io("list_sessions"):
            found = await cursor.skip(min(query.offset, MAX_SKIP)).limit(min(query.limit, MAX_SKIP)).to_list(None)
        return [session_record(document) for document in found]

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions, then what belongs to them: after the first step no append finds its session."""
        ids = list(dict.fromkeys(session_ids))
        sessions, messages, summaries = self.collections
        with self.io("delete_sessions"):
            gone = await sessions.delete_many({"_id": {"$in": ids}})
            theirs = {"session_id": {"$in": ids}}
            await asyncio.gather(messages.delete_many(theirs), summaries.delete_many(theirs))
        return int(gone.deleted_count)

    # --- messages --------------------------------------------------------------------------------------------------

    async def append(
        self, session_id: str, messages: Sequence[Message], *, now: datetime, expires_at: datetime | None = None
    ) -> Appended:
        """Store a batch: one transaction, or two round trips."""
        return await self._writes.append(Batch.of(session_id, messages, now, expires_at, searchable=self._searchable))

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first: one query, and a second one at the same time where roles are kept."""
        messages = await self._readings.messages(session_id, query)
        if not messages:
            await self._require(session_id)
        return messages

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return a session and its messages: two queries at the same time, of one instant only if nobody writes."""
        record, messages = await asyncio.gather(
            self.fetch_session(session_id), self._readings.messages(session_id, query)
        )
        return None if record is None else (record, messages)

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq, and correct the counters."""
        return await self._writes.delete(session_id, deletion(session_id, through_seq, keep_roles))

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages: one transaction, or steps of which one makes the change hold."""
        return session_record(
            await self._writes.rewrite(Change.of(session_id, change, now, searchable=self._searchable))
        )

    # --- summaries and state ---------------------------------------------------------------------------------------

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary."""
        row = codec.encode_summary(summary)
        key = {"session_id": row.session_id, "summary_id": row.summary_id}
        document = {**key, "created": instant_text(row.created_at), "document": fitting(pack_summary(summary))}
        document["born"] = (await self._require(row.session_id))["born"]
        summaries = self.collections.summaries
        with self.io("put_summary"):
            for attempt in range(UPSERT_TRIES):
                try:
                    await summaries.replace_one(key, document, upsert=True)
                    return
                except errors.DuplicateKeyError:
                    if attempt == UPSERT_TRIES - 1:
                        raise

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first."""
        summaries = self.collections.summaries
        with self.io("list_summaries"):
            _, found = await asyncio.gather(
                self._require(session_id), summaries.find({"session_id": session_id}, {"document": 1}).to_list(None)
            )
        return newest_summaries((unpack_summary(NAME, document["document"]) for document in found), limit)

    async def stats(self) -> StoreStats:
        """Add up the sessions' counters, and ask for the size of the collections with their indexes on disk."""
        sessions = self.collections.sessions
        group = {
            "_id": "$status",
            "sessions": {"$sum": 1},
            "messages": {"$sum": "$message_count"},
            "tokens": {"$sum": "$token_count"},
        }
        with self.io("stats"):
            rows, *sizes = await asyncio.gather(
                sessions.aggregate([{"$group": group}]).to_list(None),
                *(sessions.database.command("collStats", collection.name) for collection in self.collections),
            )
        return StoreStats(
            sessions=sum(int(row["sessions"]) for row in rows),
            messages=sum(int(row["messages"]) for row in rows),
            tokens=sum(int(row["tokens"]) for row in rows),
            size_bytes=sum(int(size.get("storageSize", 0)) + int(size.get("totalIndexSize", 0)) for size in sizes),
            sessions_by_status={row["_id"]: int(row["sessions"]) for row in rows},
        )
