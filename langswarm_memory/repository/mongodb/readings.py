"""Reading a session's messages, none of them half changed."""

from __future__ import annotations

import asyncio
from typing import Any

from ...interfaces.message import Message
from ..documents import instant_text
from ..protocol import MessageQuery
from .changes import changed_meanwhile
from .connection import ASCENDING, DESCENDING, Connection
from .forms import MAX_SKIP, reading, unpack
from .rewrites import STAGED, TRIES, Rewrites
from .terms import WITHOUT_TERMS

BUDGET_PAGE = 128  # messages per round trip while a token budget is spent

Found = list[dict[str, Any]]


class Readings:
    """Reads messages.

    Args:
        connection: The collections.
        rewrites: Completes what a reader meets.
    """

    def __init__(self, connection: Connection, rewrites: Rewrites) -> None:
        self._connection, self._rewrites = connection, rewrites

    async def messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first; of no session none."""
        found = await self._read(session_id, query, with_staged=True)
        if any(document.get("rewriting") for document in found):
            found = await self._unchanged(session_id, query)
        return [unpack(document) for document in found]

    async def _unchanged(self, session_id: str, query: MessageQuery) -> Found:
        """Read between two looks at the session that find the same edits."""
        for _ in range(TRIES):
            edits = await self._rewrites.settled(session_id)
            if edits is None:
                return []
            found = await self._read(session_id, query, with_staged=False)
            if await self._rewrites.is_at(session_id, edits):
                return found
        raise changed_meanwhile(session_id)

    async def _read(self, session_id: str, query: MessageQuery, *, with_staged: bool) -> Found:
        """Read, `with_staged` also a message with notes that does not fit: its new form might."""
        with self._connection.io("read_messages"):
            if not query.keep_roles:
                kept: Found = []
                others = await self._others(session_id, query, with_staged, query.max_tokens)
            elif query.max_tokens is None:
                kept, others = await asyncio.gather(
                    self._kept(session_id, query, with_staged), self._others(session_id, query, with_staged)
                )
            else:  # those that are kept come off the budget first
                kept = await self._kept(session_id, query, with_staged)
                left = query.max_tokens - sum(document["tokens"] for document in kept)
                others = await self._others(session_id, query, with_staged, left)
        return sorted([*kept, *others], key=lambda document: document["seq"])

    async def _kept(self, session_id: str, query: MessageQuery, with_staged: bool) -> Found:
        roles = query.keep_roles - query.exclude_roles
        roles = roles if query.roles is None else roles & query.roles
        if not roles:
            return []
        conditions = {**reading(session_id, query), "role": {"$in": sorted(roles)}}
        if query.since is not None:
            conditions |= _or_staged(_since(query), with_staged)
        cursor = self._connection.collections.messages.find(conditions, WITHOUT_TERMS)
        return list(await cursor.hint("by_role").to_list(None))

    async def _others(
        self, session_id: str, query: MessageQuery, with_staged: bool, budget: int | None = None
    ) -> Found:
        if query.limit == 0 or query.roles == frozenset() or (budget is not None and budget < 0):
            return []
        fitting = _since(query)
        role: dict[str, Any] = {}
        if query.roles is not None:
            role["$in"] = sorted(query.roles)
        if query.exclude_roles or query.keep_roles:
            role["$nin"] = sorted(query.exclude_roles | query.keep_roles)
        if role:
            fitting["role"] = role
        conditions = reading(session_id, query) | _or_staged(fitting, with_staged)
        cursor = self._connection.collections.messages.find(conditions, WITHOUT_TERMS)
        cursor = cursor.sort("seq", DESCENDING if query.newest_first else ASCENDING).hint("by_seq")
        if query.limit is not None:
            cursor = cursor.limit(min(query.limit, MAX_SKIP))
        if budget is None:
            return list(await cursor.to_list(None))
        found: Found = []
        try:
            async for document in cursor.batch_size(BUDGET_PAGE):
                budget -= document["tokens"]
                if budget < 0:
                    if with_staged and document.get("rewriting"):
                        found.append(document)  # it may be smaller now
                    break
                found.append(document)
        finally:
            await cursor.close()
        return found


def _since(query: MessageQuery) -> dict[str, Any]:
    return {} if query.since is None else {"at": {"$gte": instant_text(query.since)}}


def _or_staged(conditions: dict[str, Any], with_staged: bool) -> dict[str, Any]:
    return {"$or": [conditions, STAGED]} if conditions and with_staged else conditions
