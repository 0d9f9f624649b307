"""The package's side: its public interface, with default settings where the store leaves a choice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.data import Draft, Plan
from benchmarks.floor_sqlite import file_bytes
from benchmarks.sides import Append, Read
from langswarm_memory import MemoryManager, Message, SessionMetadata
from langswarm_memory.models import SessionRow
from langswarm_memory.relational import RelationalBackend

LOAD_PAGE = 500
SESSIONS_AT_ONCE = 50


class Package:
    """Sessions and messages through ``langswarm_memory``.

    Args:
        backend: Its backend.
        path: The file, on SQLite.
        url: The database, on PostgreSQL.
    """

    def __init__(self, backend: Any, *, path: Path | None = None, url: str | None = None) -> None:
        self._backend, self._path, self._url = backend, path, url
        self.manager = MemoryManager(backend, auto_cleanup=False, summarize_in_background=False)

    async def open(self) -> None:
        await self.manager.start()

    async def close(self) -> None:
        await self.manager.stop()

    async def add_session(self, session_id: str) -> None:
        await self.manager.create_session(session_id, user_id="user-0", agent_id="agent")

    async def add_sessions(self, plans: Sequence[Plan]) -> None:
        if not isinstance(self._backend, RelationalBackend):
            for start in range(0, len(plans), SESSIONS_AT_ONCE):
                some = plans[start : start + SESSIONS_AT_ONCE]
                await asyncio.gather(*(self._add(plan) for plan in some))
            return
        rows = [
            {
                "session_id": plan.session_id,
                "user_id": plan.user_id,
                "agent_id": "agent",
                "max_messages": 100,
                "auto_summarize": True,
                "summary_threshold": 50,
                "status": "active",
                "created_at": plan.created_at,
                "updated_at": plan.created_at,
            }
            for plan in plans
        ]
        async with self._backend.orm(write=True) as db:
            await db.execute(insert(SessionRow), rows)

    async def _add(self, plan: Plan) -> None:
        created = {"created_at": plan.created_at, "updated_at": plan.created_at}
        await self._backend.create_session(SessionMetadata(plan.session_id, plan.user_id, "agent", **created))

    async def load(self, session_id: str, drafts: Sequence[Draft]) -> None:
        session = await self._session(session_id)
        for start in range(0, len(drafts), LOAD_PAGE):
            await session.add_messages(self.prepare(drafts[start : start + LOAD_PAGE]))

    async def settle(self) -> None:
        if self._url is not None:
            from benchmarks.floor_postgres import vacuum

            await vacuum(self._url)

    async def _session(self, session_id: str) -> Any:
        session = await self.manager.get_session(session_id)
        assert session is not None
        return session

    def prepare(self, drafts: Sequence[Draft]) -> list[Message]:
        # Without a token count: counting is the package's work, the floor is handed the number.
        return [
            Message(draft.role, draft.content, timestamp=draft.timestamp, message_id=draft.message_id)
            for draft in drafts
        ]

    async def appender(self, session_id: str, writer: int) -> Append:
        append: Append = (await self._session(session_id)).add_message
        return append

    async def batcher(self, session_id: str) -> Append:
        append: Append = (await self._session(session_id)).add_messages
        return append

    async def last(self, session_id: str, count: int) -> Read:
        session = await self._session(session_id)

        async def read() -> Sequence[Any]:
            messages: Sequence[Any] = await session.get_messages(limit=count)
            return messages

        return read

    async def history(self, session_id: str) -> Read:
        session = await self._session(session_id)

        async def read() -> Sequence[Any]:
            messages: Sequence[Any] = await session.get_messages(full_history=True)
            return messages

        return read

    async def context(self, session_id: str, budget: int) -> Read:
        session = await self._session(session_id)

        async def read() -> Sequence[Any]:
            messages: Sequence[Any] = await session.get_recent_context(budget)
            return messages

        return read

    async def opening(self, session_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            session = await MemoryManager(self._backend, auto_cleanup=False).get_session(session_id)
            assert session is not None
            return await session.get_messages(limit=count)

        return read

    async def opening_at_once(self, session_id: str, count: int) -> Read:
        async def read() -> Sequence[Any]:
            found = await MemoryManager(self._backend, auto_cleanup=False).open_session(session_id, limit=count)
            assert found is not None
            return found[1]

        return read

    async def listing(self, user_id: str, count: int) -> Read:
        async def read() -> Sequence[SessionMetadata]:
            return await self.manager.list_user_sessions(user_id, limit=count)

        return read

    def use(self, messages: Sequence[Any]) -> list[tuple[Any, Any]]:
        return [(message.role, message.content) for message in messages]

    def ids(self, sessions: Sequence[Any]) -> list[str]:
        return [metadata.session_id for metadata in sessions]

    async def stored(self, session_id: str) -> list[tuple[int, str]]:
        session = await self._session(session_id)
        return [(message.seq, message.message_id) for message in await session.get_messages(full_history=True)]

    async def stored_bytes(self) -> int:
        if self._path is not None:
            return file_bytes(self._path)
        if self._url is None:
            return int((await self._backend.get_usage_stats()).storage_size_bytes)
        from benchmarks.floor_postgres import relation_bytes

        return await relation_bytes(self._url)
