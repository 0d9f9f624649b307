"""What langswarm-memory 0.2 left in MongoDB: collections of sessions, messages and summaries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from ...repository.mongodb.connection import ASCENDING, Collections, Connection, target
from ...settings import MongoDBSettings
from .base import PAGE, EarlierSession, EarlierSource, Reading, Row
from .formats import CurrentFormatError, UnknownFormatError
from .layouts import reference_message, reference_orphan, reference_session
from .records import MessageReader, read_session, read_summary, usable_id
from .tables import ORPHAN_SUMMARIES, ORPHANS
from .values import Times, plain

FORMAT = "langswarm-memory 0.x"
_SCALARS = (str, int, float, bool, type(None))


class MongoCollectionsSource(EarlierSource):
    """The collections of one database. Messages come in the order of their ``_id``, which is that of their insertion.

    Times have milliseconds only, as MongoDB keeps them.

    Args:
        settings: The server, the database and the prefix of the collections.
        times: How times are read.
    """

    def __init__(self, settings: MongoDBSettings, times: Times) -> None:
        where = target(settings)
        self.place = f"{where.address}/{where.database}"
        super().__init__(f"{FORMAT} in {self.place}", times)
        self._connection = Connection(where, settings.collection_prefix)

    async def open(self) -> None:
        """Connect."""
        self._connection.connect()
        with self._connection.io("open"):
            await self._connection.database.command("ping")

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.disconnected()

    async def check_format(self) -> None:
        """Look at what is there.

        Raises:
            CurrentFormatError: A store of the present version.
            UnknownFormatError: Nothing of either.
        """
        collections = self._collections
        with self._connection.io("read"):
            for collection in collections:
                if await collection.find_one({"session_id": {"$exists": True}, "timestamp": {"$exists": True}}):
                    return
            if await collections.sessions.find_one(
                {"session_id": {"$exists": True}, "max_messages": {"$exists": True}}
            ):
                return
            names = await self._connection.database.list_collection_names()
            if {collections.sessions.name, collections.messages.name} <= set(names):
                raise CurrentFormatError(self.place)
        raise UnknownFormatError(self.place, sorted(names))

    @property
    def _collections(self) -> Collections:
        return self._connection.collections

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        sessions, messages, summaries = self._collections
        last: Any = None
        while found := await self._page(sessions, {} if last is None else {"_id": {"$gt": last}}):
            for document in found:
                yield await self._session(reading, document.get("session_id"), _columns(document))
            last = found[-1]["_id"]
        for collection, others, reason in (
            (messages, (sessions,), ORPHANS),
            (summaries, (sessions, messages), ORPHAN_SUMMARIES),
        ):
            async for key in self._keys(collection):
                if not any([await self._first(other, key) for other in others]):
                    with self._connection.io("read"):
                        reading.losses.add(reason, await collection.count_documents({"session_id": key}))
                    yield await self._session(reading, key, None)

    async def _session(self, reading: Reading, key: Any, columns: Row | None) -> EarlierSession:
        _, messages, summaries = self._collections
        session_id = usable_id(key)
        if columns is None:
            first = await self._first(messages, key)
            spare = SessionMetadata(session_id, created_at=reading.times.default)
            known = reference_orphan(_columns(first), spare) if first else {}
            columns = reading.times_of_messages(known.get("created_at"), None)
            if session_id != key:
                columns["session_id"] = key
        metadata = read_session(reading.record("session", reference_session(columns)), session_id)
        with self._connection.io("read"):
            count = await messages.count_documents({"session_id": key})

        async def pages() -> AsyncIterator[list[Message]]:
            reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)
            last: Any = None
            while found := await self._page(messages, _after(key, last)):
                yield [reader.read(reference_message(_columns(row), metadata), row["_id"]) for row in found]
                last = found[-1]["_id"]

        async def read_summaries() -> Sequence[ConversationSummary]:
            found = await self._page(summaries, _after(key, None))
            return [read_summary(reading.record("summary", _columns(row)), metadata, row["_id"]) for row in found]

        return EarlierSession(metadata, count, pages, read_summaries)

    async def _page(self, collection: Any, where: Row) -> list[Row]:
        with self._connection.io("read"):
            return list(await collection.find(where).sort("_id", ASCENDING).limit(PAGE).to_list(PAGE))

    async def _first(self, collection: Any, key: Any) -> Row | None:
        with self._connection.io("read"):
            found: Row | None = await collection.find_one({"session_id": key}, sort=[("_id", ASCENDING)])
            return found

    async def _keys(self, collection: Any) -> AsyncIterator[str]:
        """Yield the session ids of a collection, each once, by steps in its index."""
        last = ""
        while True:
            with self._connection.io("read"):
                found = await collection.find_one(
                    {"session_id": {"$gt": last}}, {"session_id": 1}, sort=[("session_id", ASCENDING)]
                )
            if found is None:
                return
            last = found["session_id"]
            yield last


def _after(key: Any, last: Any) -> Row:
    return {"session_id": key} if last is None else {"session_id": key, "_id": {"$gt": last}}


def _columns(document: Mapping[str, Any]) -> Row:
    """Return a document's fields; what is inside them as JSON values."""
    return {
        name: value if isinstance(value, datetime) else as_json(value)
        for name, value in document.items()
        if name != "_id"
    }


def as_json(value: Any) -> Any:
    """Return a BSON value as a JSON one: instants and ids as text, numbers as numbers."""
    if isinstance(value, Mapping):
        return {name: as_json(child) for name, child in value.items()}
    if isinstance(value, list):
        return [as_json(child) for child in value]
    if isinstance(value, bool) or value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, int):  # BSON's 64-bit class
        return int(value)
    if isinstance(value, datetime | bytes):
        return plain(value)
    return str(value)
