"""What earlier software left in Redis, told apart by the shape of its keys.

{prefix}session:{id}      hash     langswarm-memory 0.x: a session
{prefix}messages:{id}     list     langswarm-memory 0.x: ids of its messages, in order
{prefix}message:{id}      hash     langswarm-memory 0.x: a message
{prefix}summary:{id}      hash     langswarm-memory 0.x: a summary
{prefix}{id}              hash     LangSwarm V1 as its migration guide describes it: a whole conversation
message_store:{id}        list     LangChain: messages, newest first
{key}                     string   LangSwarm V1 and memswarm: a document (see redis_documents.py)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from .base import PAGE, EarlierSession, Reading, Row
from .layouts import guide_message, langchain_message, reference_message, reference_session
from .records import MessageReader, read_session, read_summary, usable_id
from .redis_source import RedisSource, translated
from .tables import ORPHANS
from .values import UnreadableError, decode_text, parse_value, without

EXPIRED = "messages that had expired in Redis before they could be read"
UNREADABLE_CONVERSATION = "unreadable messages of a conversation: kept as they were"
LANGCHAIN_PREFIX = "message_store:"


class ReferenceRedisSource(RedisSource):
    """Redis as langswarm-memory 0.1 and 0.2 wrote it. The ids of all sessions and messages are kept in memory."""

    format = "langswarm-memory 0.x"

    async def names(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of lists, messages and sessions."""
        async for keys in self.keys("messages:", "list"):
            yield keys
        for part in ("session:", "message:"):
            async for keys in self.keys(part, "hash"):
                rows = await self.hashes(keys)
                yield [key for key, row in zip(keys, rows, strict=True) if "session_id" in row]

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        strays = await self._messages_by_session()
        sessions: dict[bytes, str] = {}
        for part, kind in (("session:", "hash"), ("messages:", "list")):
            start = len((self.prefix + part).encode())
            async for keys in self.keys(part, kind):
                found = [key[start:] for key in keys if key[start:] not in sessions]
                times = await self.hashes([self._key("session:", name) for name in found])
                for name, columns in zip(found, times, strict=True):
                    if "session_id" in columns or kind == "list":  # the present format has hashes of that name too
                        sessions[name] = columns.get("created_at", "")
        for name in strays:
            sessions.setdefault(name, "")
        for name, _ in sorted(sessions.items(), key=lambda item: (item[1], item[0])):
            session = await self._session(reading, name, strays.pop(name, set()))
            if session is not None:
                yield session

    def _key(self, part: str, name: bytes) -> bytes:
        return (self.prefix + part).encode() + name

    async def _messages_by_session(self) -> dict[bytes, set[bytes]]:
        found: dict[bytes, set[bytes]] = {}
        start = len((self.prefix + "message:").encode())
        async for keys in self.keys("message:", "hash"):
            with translated():
                pipeline = self.client.pipeline(transaction=False)
                for key in keys:
                    pipeline.hget(key, "session_id")
                owners = await pipeline.execute()
            for key, owner in zip(keys, owners, strict=True):
                found.setdefault(owner or b"", set()).add(key[start:])
        return found

    async def _session(self, reading: Reading, name: bytes, stored: set[bytes]) -> EarlierSession | None:
        list_key = self._key("messages:", name)
        length = await self.length(list_key)
        gone = 0
        for start in range(0, length, PAGE):
            listed = await self.listed(list_key, start, start + PAGE - 1)
            exist = await self._exist(listed)
            gone += exist.count(False)
            stored.difference_update(listed)
        strays = await self._by_time(stored)
        row = (await self.hashes([self._key("session:", name)]))[0]
        if not row and not strays and length == gone:
            reading.losses.add(EXPIRED, gone)
            return None
        reading.losses.add(EXPIRED, gone)
        if not row:
            reading.losses.add(ORPHANS, len(strays) + length - gone)
        first = None if row else await self._first_time(strays, list_key)
        columns = reference_session(row) if row else reading.times_of_messages(first, None)
        session_id = usable_id(decode_text(name))
        if session_id != decode_text(name):
            columns["session_id"] = decode_text(name)
        metadata = read_session(reading.record("session", columns), session_id)

        async def pages() -> AsyncIterator[list[Message]]:
            reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)

            async def page(ids: Sequence[bytes]) -> list[Message]:
                rows = await self.hashes([self._key("message:", message_id) for message_id in ids])
                return [
                    reader.read(
                        reference_message({"message_id": decode_text(message_id), **found}, metadata), message_id
                    )
                    for message_id, found in zip(ids, rows, strict=True)
                    if found
                ]

            # Not in the list, which therefore was lost before and begun anew: they are older.
            for start in range(0, len(strays), PAGE):
                yield await page(strays[start : start + PAGE])
            for start in range(0, length, PAGE):
                yield await page(await self.listed(list_key, start, start + PAGE - 1))

        async def summaries() -> Sequence[ConversationSummary]:
            found = (await self.hashes([self._key("summary:", name)]))[0]
            return [read_summary(reading.record("summary", found), metadata, 0)] if found else []

        return EarlierSession(metadata, len(strays) + length - gone, pages, summaries)

    async def _exist(self, ids: Sequence[bytes]) -> list[bool]:
        with translated():
            pipeline = self.client.pipeline(transaction=False)
            for message_id in ids:
                pipeline.exists(self._key("message:", message_id))
            return [bool(answer) for answer in await pipeline.execute()]

    async def _by_time(self, ids: set[bytes]) -> list[bytes]:
        ordered = sorted(ids)
        rows = await self.hashes([self._key("message:", message_id) for message_id in ordered])
        times = {message_id: row.get("timestamp", "") for message_id, row in zip(ordered, rows, strict=True)}
        return sorted(ordered, key=lambda message_id: times[message_id])

    async def _first_time(self, strays: Sequence[bytes], list_key: bytes) -> Any:
        first = [*strays[:1], *await self.listed(list_key, 0, 0)][:1]
        rows = await self.hashes([self._key("message:", message_id) for message_id in first])
        return rows[0].get("timestamp") if rows else None


class GuideRedisSource(RedisSource):
    """Redis as LangSwarm's migration guide describes V1: a hash per conversation, its messages one JSON."""

    format = "LangSwarm V1, one hash per conversation"

    async def names(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of conversations."""
        async for keys in self.keys("", "hash"):
            names = [key for key in keys if not self._is_part(key)]
            rows = await self.hashes(names)
            yield [name for name, row in zip(names, rows, strict=True) if "messages" in row]

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        start = len(self.prefix.encode())
        found = {key async for keys in self.names() for key in keys}
        for key in sorted(found):
            row = (await self.hashes([key]))[0]
            yield self._session(reading, decode_text(key[start:]), row)

    def _session(self, reading: Reading, name: str, row: Row) -> EarlierSession:
        extra = without(row, "messages", "user_id", "created_at", "session_id")
        try:
            entries = parse_value(row["messages"])
            if not isinstance(entries, list):
                raise UnreadableError("no list")
        except UnreadableError:
            reading.losses.add(UNREADABLE_CONVERSATION)
            entries, extra["messages"] = [], row["messages"]
        times = [entry.get("timestamp") for entry in entries if isinstance(entry, dict)]
        columns = reading.times_of_messages(*((times[0], times[-1]) if times else (None, None)))
        columns |= {"user_id": row.get("user_id"), "extra": extra}
        if row.get("created_at"):
            columns["created_at"] = row["created_at"]
        session_id = usable_id(name)
        if session_id != name:
            columns["session_id"] = name
        metadata = read_session(reading.record("session", columns), session_id)
        return _listed_session(
            reading, metadata, [_entry(entry) for entry in entries], lambda entry: guide_message(entry, metadata)
        )


class LangChainRedisSource(RedisSource):
    """Redis as LangChain's message history writes it: a list per session, newest first."""

    format = "LangChain message history"

    async def names(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of conversations."""
        async for keys in self.keys("", "list"):
            yield [key for key in keys if not self._is_part(key)]

    async def _read(self, reading: Reading) -> AsyncIterator[EarlierSession]:
        found = {key async for keys in self.names() for key in keys}
        start = len(self.prefix.encode())
        for key in sorted(found):
            entries = [{"message": decode_text(entry)} for entry in reversed(await self.listed(key, 0, -1))]
            name = decode_text(key[start:])
            session_id = usable_id(name)
            columns: Row = {} if session_id == name else {"session_id": name}
            metadata = read_session(reading.record("session", columns), session_id)
            yield _listed_session(reading, metadata, entries, partial(langchain_message, session=metadata))


def _listed_session(
    reading: Reading, metadata: SessionMetadata, entries: list[Row], columns: Callable[[Row], Row]
) -> EarlierSession:
    async def pages() -> AsyncIterator[list[Message]]:
        reader = MessageReader(metadata, reading.losses, reading.times, unique_ids=False)
        for start in range(0, len(entries), PAGE):
            part = entries[start : start + PAGE]
            yield [reader.read(columns(entry), start + index) for index, entry in enumerate(part)]

    return EarlierSession(metadata, len(entries), pages)


def _entry(entry: Any) -> Row:
    return entry if isinstance(entry, dict) else {"role": "unknown", "content": entry}
