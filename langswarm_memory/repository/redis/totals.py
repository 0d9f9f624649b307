"""What the store holds in all. Redis keeps no such sums: each is a pass over the sessions' hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import RedisCluster

from ..documents import instant_text
from ..protocol import StoreStats
from .commands import Commands
from .indexes import Indexes
from .layout import NONE, State, session_of, state_of

MEASURED = 200
"""Sessions whose size is asked for. That of the others is taken to be the same on average."""


class Totals:
    """Sums over all sessions.

    Args:
        commands: How to reach the server.
        indexes: Where the sessions are listed.
    """

    def __init__(self, commands: Commands, indexes: Indexes) -> None:
        self._commands, self._indexes = commands, indexes

    async def _sessions(self) -> AsyncIterator[list[tuple[str, State]]]:
        """Yield ids and states, page by page."""
        async for entries in self._indexes.all_entries():
            ids = [session_of(entry) for entry in entries]
            replies = await self._commands.many([("HGET", self._indexes.keys(one)[0], "state") for one in ids])
            states = [None if text is None else state_of(text) for text in replies]
            yield [
                (session_id, state)
                for entry, session_id, state in zip(entries, ids, states, strict=True)
                if state is not None and entry.startswith(state.created)  # else the entry is a former session's
            ]

    async def stats(self) -> StoreStats:
        """Return how much is stored."""
        sessions = messages = tokens = size = measured = 0
        by_status: Counter[str] = Counter()
        async for page in self._sessions():
            sessions += len(page)
            for _, state in page:
                by_status[state.status] += 1
                messages += state.message_count
                tokens += state.token_count
            sample = [session_id for session_id, _ in page][: MEASURED - measured]
            measured += len(sample)
            size += await self._size(sample)
        if measured:
            size = size * sessions // measured
        return StoreStats(sessions, messages, tokens, size, by_status)

    async def _size(self, session_ids: Sequence[str]) -> int:
        keys = [key for session_id in session_ids for key in self._indexes.keys(session_id)]
        return sum(size or 0 for size in await self._commands.many([("MEMORY USAGE", key) for key in keys]))

    async def ttl_stats(self, now: datetime) -> dict[str, int]:
        """Count sessions: in all, without expiry, and by what is left to them at an instant."""
        counts = {"sessions": 0, "without_ttl": 0, "expired": 0, "expiring_1h": 0, "expiring_24h": 0}
        at, hour, day = (instant_text(now + timedelta(hours=hours)) for hours in (0, 1, 24))
        async for page in self._sessions():
            counts["sessions"] += len(page)
            for _, state in page:
                until = state.expires
                if until == NONE:
                    counts["without_ttl"] += 1
                    continue
                counts["expired"] += until <= at
                counts["expiring_1h"] += at < until <= hour
                counts["expiring_24h"] += at < until <= day
        return counts

    async def describe(self) -> Mapping[str, Any]:
        """Return what the server says of itself, and its address, without user and password."""
        client = self._commands.client
        if isinstance(client, RedisCluster):
            node = client.get_default_node()
            if node is None:
                await self._commands.call("PING")  # which makes the client look at the Cluster
                node = client.get_default_node()
            info = await client.execute_command("INFO", "server", target_nodes=node)
            info = info.get(node.name, info)
            return {
                "version": info["redis_version"],
                "mode": info["redis_mode"],
                "hosts": sorted(f"{one.host}:{one.port}" for one in client.get_nodes()),
            }
        info = await self._commands.call("INFO", "server")
        arguments = client.connection_pool.connection_kwargs
        address = arguments.get("path") or f"{arguments.get('host', '')}:{arguments.get('port', '')}"
        return {
            "version": info["redis_version"],
            "mode": info["redis_mode"],
            "hosts": [address],
            "database": int(arguments.get("db") or 0),
        }
