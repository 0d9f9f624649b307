"""Where embeddings of messages are kept: one small interface, over any vector store or in the relational tables."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..repository.codec import is_clean
from ..repository.text_search import SearchFilter
from ..vector_stores.protocol import Condition, Enumerates, Payload, Range, VectorHit, VectorPoint, VectorStore

HASH_LENGTH = 32  # hexadecimal digits of a SHA-256
ID_LENGTH = 512  # characters that every vector store takes
PAGE = 500  # points per call
OWNER = frozenset({"user_id", "agent_id", "tags"})
"""What a point has of its session, and changes with it."""


def embedded_text(message: Message) -> str:
    """Return the text of which a message's embedding is made: who speaks is part of what is meant."""
    return f"{message.name}: {message.text}" if message.name else message.text


def message_hash(message: Message) -> str:
    """Return what tells whether an embedding is that of a message as it is: by its text, its role and its time.

    The latter two stand beside the vectors of a store of their own, for filters.
    """
    role = str(getattr(message.role, "value", message.role))
    told = f"{role} {message.timestamp.timestamp():.6f} {embedded_text(message)}"
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


class Embedded(NamedTuple):
    """A message and its vector."""

    message: Message
    hash: str
    vector: Sequence[float]


class Near(NamedTuple):
    """A message near to a question, as the index knows it."""

    session_id: str
    seq: int
    hash: str
    score: float
    """Cosine similarity, -1 to 1."""
    message: Message | None = None
    """The message itself, where the index has it at hand."""


class EmbeddingIndex(Protocol):
    """The embeddings of one model."""

    in_store: bool
    """Whether they stand beside the messages, and go with them in the same transaction."""

    async def open(self) -> None:
        """Connect and prepare; idempotent."""

    async def close(self) -> None:
        """Release everything; idempotent."""

    async def put(self, session: SessionMetadata, rows: Sequence[Embedded]) -> None:
        """Store embeddings of a session's messages, or replace those of the same messages."""

    async def known(
        self, session: SessionMetadata, message_ids: Collection[str] | None = None
    ) -> Mapping[str, str] | None:
        """Return the hash by message id of a session's embeddings. None: the index cannot tell.

        Args:
            session: The session, as it is now.
            message_ids: Only of these messages. None: of all.
        """

    async def drop(self, session_id: str, message_ids: Collection[str] | None = None) -> None:
        """Delete embeddings of a session: of some messages, or (None) all."""

    async def nearest(self, vector: Sequence[float], where: SearchFilter, limit: int) -> list[Near]:
        """Return the nearest messages in scope, best first. Of session metadata it may know what was at indexing."""

    async def count(self) -> int:
        """Return how many embeddings there are."""

    async def destroy(self) -> None:
        """Delete all embeddings."""


class InVectorStore:
    """Embeddings in a vector store. Messages are not copied there: a point has ids, role, time, owner and tags."""

    in_store = False

    def __init__(self, store: VectorStore) -> None:
        self.store = store

    async def open(self) -> None:
        """Connect, and make the collection where there is none."""
        await self.store.open()

    async def close(self) -> None:
        """Release the connection."""
        await self.store.close()

    async def put(self, session: SessionMetadata, rows: Sequence[Embedded]) -> None:
        """Write points."""
        points = [
            VectorPoint(point_id(session.session_id, row.message.message_id), row.vector, _payload(session, row))
            for row in rows
        ]
        for start in range(0, len(points), PAGE):
            await self.store.upsert(points[start : start + PAGE])

    async def known(
        self, session: SessionMetadata, message_ids: Collection[str] | None = None
    ) -> Mapping[str, str] | None:
        """Read the points of a session, where the store can; those that name another owner or other tags are mended."""
        store = self.store
        if not isinstance(store, Enumerates):
            return None
        found: dict[str, str] = {}
        if message_ids is not None:
            ids = [point_id(session.session_id, message_id) for message_id in message_ids]
            for start in range(0, len(ids), PAGE):
                found |= await self._mended(session, await store.fetch(ids[start : start + PAGE]))
            return found
        last: str | None = None
        while page := await store.list_ids(limit=PAGE, after=last, where={"session_id": session.session_id}):
            found |= await self._mended(session, await store.fetch(page))
            last = page[-1]
        return found

    async def _mended(self, session: SessionMetadata, points: Sequence[VectorPoint]) -> dict[str, str]:
        now = owner(session)
        mended = []
        for point in points:
            told = {key: value for key, value in point.payload.items() if key in OWNER}
            if told != now:
                rest = {key: value for key, value in point.payload.items() if key not in OWNER}
                mended.append(VectorPoint(point.id, point.vector, {**rest, **now}))
        if mended:
            await self.store.upsert(mended)
        return {str(point.payload["message_id"]): str(point.payload["content_hash"]) for point in points}

    async def drop(self, session_id: str, message_ids: Collection[str] | None = None) -> None:
        """Delete points."""
        if message_ids is None:
            await self.store.delete(where={"session_id": session_id})
            return
        ids = [point_id(session_id, message_id) for message_id in message_ids]
        for start in range(0, len(ids), PAGE):
            await self.store.delete(ids=ids[start : start + PAGE])

    async def nearest(self, vector: Sequence[float], where: SearchFilter, limit: int) -> list[Near]:
        """Ask the store, with all conditions that points know of."""
        return [_near(hit) for hit in await self.store.query(vector, limit=limit, where=_conditions(where))]

    async def count(self) -> int:
        """Count the points."""
        return await self.store.count()

    async def destroy(self) -> None:
        """Delete every point."""
        await self.store.delete(where={})


def owner(session: SessionMetadata) -> dict[str, str | Sequence[str]]:
    """Return what points tell of their session, for filters."""
    tags = sorted({tag for tag in session.tags if is_clean(tag)})
    told = {"user_id": session.user_id, "agent_id": session.agent_id, "tags": tags}
    return {key: value for key, value in told.items() if value}


def point_id(session_id: str, message_id: str) -> str:
    """Return the id of a message's point."""
    plain = f"{session_id}_{message_id}"
    if len(plain) <= ID_LENGTH and is_clean(plain):
        return plain
    return hashlib.sha256(f"{len(session_id)}:{plain}".encode("utf-8", "surrogatepass")).hexdigest()


def _payload(session: SessionMetadata, row: Embedded) -> Payload:
    message = row.message
    payload: dict[str, str | int | float | bool | Sequence[str]] = {
        "session_id": session.session_id,
        "message_id": message.message_id,
        "seq": message.seq or 0,
        "role": str(getattr(message.role, "value", message.role)),
        "timestamp": message.timestamp.timestamp(),
        "content_hash": row.hash,
        **owner(session),
    }
    return payload


def _conditions(where: SearchFilter) -> dict[str, Condition]:
    conditions: dict[str, Condition] = {}
    if where.session_ids is not None:
        conditions["session_id"] = where.session_ids
    if where.user_id is not None:
        conditions["user_id"] = where.user_id
    if where.agent_id is not None:
        conditions["agent_id"] = where.agent_id
    if where.roles is not None:
        conditions["role"] = where.roles
    if where.tags:
        conditions["tags"] = sorted(where.tags)[0]  # one is asked of the store, all when hits are looked up
    if where.since is not None or where.until is not None:
        conditions["timestamp"] = Range(
            ge=None if where.since is None else where.since.timestamp(),
            lt=None if where.until is None else where.until.timestamp(),
        )
    return conditions


def _near(hit: VectorHit) -> Near:
    return Near(str(hit.payload["session_id"]), _int(hit.payload["seq"]), str(hit.payload["content_hash"]), hit.score)


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float | str) else 0
