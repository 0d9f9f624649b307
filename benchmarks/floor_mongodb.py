"""The floor on MongoDB: motor, called directly.

The same documents and indexes as the package's. An append counts on the session's document and inserts the message: two
round trips, since the number has to be known before. Nothing checked, nothing decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, DESCENDING, ReturnDocument

from benchmarks.data import START, Draft, Plan
from benchmarks.sides import Append, Read

CONTEXT_ROWS = 200  # enough for any budget that is measured here


class MongoFloor:
    """motor, with its own pool.

    Args:
        url: A server, with the name of an empty database.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._client: Any = AsyncIOMotorClient(self._url)
        database = self._client.get_default_database()
        self._database, self._sessions, self._messages = database, database.sessions, database.messages
        await self._sessions.create_index([("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._messages.create_index([("session_id", ASCENDING), ("seq", ASCENDING)], unique=True)
        await self._messages.create_index([("session_id", ASCENDING), ("message_id", ASCENDING)], unique=True)

    async def close(self) -> None:
        self._client.close()

    def _session(self, session_id: str, user_id: str, created_at: Any) -> dict[str, Any]:
        fields = {"_id": session_id, "user_id": user_id, "agent_id": "agent", "status": "active"}
        return {**fields, "created_at": created_at, "last_seq": 0, "message_count": 0, "token_count": 0}

    async def add_session(self, session_id: str) -> None:
        await self._sessions.insert_one(self._session(session_id, "user-0", START))

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        await self._sessions.insert_many([self._session(p.session_id, p.user_id, p.created_at) for p in plans])

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        rows = self.prepare(drafts)
        for start in range(0, len(rows), 500):
            await self._append(session_id, rows[start : start + 500])

    async def settle(self) -> None:
        """Nothing to bring up to date."""

    def prepare(self, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
        return [
            {
                "message_id": draft.message_id,
                "role": draft.role,
                "content": draft.content,
                "timestamp": draft.timestamp,
                "tokens": draft.token_count,
            }
            for draft in drafts
        ]

    async def _append(self, session_id: str, rows: Sequence[dict[str, Any]]) -> Any:
        count, tokens = len(rows), sum(row["tokens"] for row in rows)
        session = await self._sessions.find_one_and_update(
            {"_id": session_id},
            {
                "$inc": {"last_seq": count, "message_count": count, "token_count": tokens},
                "$set": {"updated_at": rows[-1]["timestamp"]},
            },
            projection={"last_seq": 1},
            return_document=ReturnDocument.AFTER,
        )
        first = session["last_seq"] - count + 1
        documents = [{**row, "session_id": session_id, "seq": seq} for seq, row in enumerate(rows, first)]
        return await self._messages.insert_many(documents, ordered=False)

    async def appender(self, session_id: str, writer: int) -> Append:
        async def append(row: dict[str, Any]) -> Any:
            return await self._append(session_id, [row])

        return append

    async def batcher(self, session_id: str) -> Append:
        async def append(rows: Sequence[dict[str, Any]]) -> Any:
            return await self._append(session_id, rows)

        return append

    def _newest(self, session_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            cursor = self._messages.find({"session_id": session_id}).sort("seq", DESCENDING).limit(count)
            rows: list[Any] = await cursor.to_list(None)
            rows.reverse()
            return rows

        return read

    async def last(self, session_id: str, count: int) -> Read:
        return self._newest(session_id, count)

    async def history(self, session_id: str) -> Read:
        async def read() -> Sequence[Any]:
            rows: list[Any] = await self._messages.find({"session_id": session_id}).sort("seq", ASCENDING).to_list(None)
            return rows

        return read

    async def context(self, session_id: str, budget: int) -> Read:
        newest = self._newest(session_id, CONTEXT_ROWS)

        async def read() -> Sequence[Any]:
            rows = await newest()
            left, first = budget, len(rows)
            for row in reversed(rows):
                left -= row["tokens"]
                if left < 0:
                    break
                first -= 1
            return rows[first:]

        return read

    async def opening(self, session_id: str, count: int) -> Read:
        newest = self._newest(session_id, count)

        async def read() -> Sequence[Any]:
            await self._sessions.find_one({"_id": session_id})
            return await newest()

        return read

    opening_at_once = opening

    async def listing(self, user_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            cursor = self._sessions.find({"user_id": user_id}).sort([("created_at", DESCENDING), ("_id", DESCENDING)])
            sessions: list[Any] = await cursor.limit(count).to_list(None)
            return sessions

        return read

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        return [(message["role"], message["content"]) for message in messages]

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        return [session["_id"] for session in sessions]

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        return [(row["seq"], row["message_id"]) for row in await (await self.history(session_id))()]

    async def stored_bytes(self) -> int:
        sizes = [await self._database.command("collStats", name) for name in ("sessions", "messages")]
        return sum(int(size.get("size", 0)) + int(size.get("totalIndexSize", 0)) for size in sizes)
