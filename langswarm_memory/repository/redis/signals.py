"""Being told of appends and rewrites: each tells a channel of its session, by a command inside of its script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from ...errors import StorageUnavailableError
from ..translate import Translating
from .commands import Client, Commands
from .indexes import Indexes

ENDING = ":changed"  # of a channel's name, behind the session's key; the scripts have it, too
POLL_SECONDS = 1.0  # returned to the caller so often where nothing can be heard
AT_ONCE = 100  # signals that were not waited for, and count as one


class Signals(Translating):
    """The primitive of ``repository/optional.py`` by that name, for the repository."""

    _commands: Commands
    _indexes: Indexes

    @property
    def _publish(self) -> str:
        # In a Cluster the plain command would be passed on to every node.
        return "SPUBLISH" if self._commands.clustered else "PUBLISH"

    @property
    def can_listen(self) -> bool:
        """Whether the client can; some cannot listen to a Cluster."""
        return not self._commands.clustered or hasattr(PubSub, "ssubscribe")

    @asynccontextmanager
    async def signals(self, session_id: str) -> AsyncIterator[Callable[[float], Awaitable[None]]]:
        """Listen on a connection of its own, beside ``max_connections``.

        In a Cluster that needs Redis 7, and a client that knows ``SSUBSCRIBE``. Without them, or where the user may not
        listen, ``wait`` returns every second.
        """
        channel = self._indexes.keys(session_id)[0] + ENDING
        with self.io("signals"):
            client = await self._commands.enter()
            listener = await _listener(client, channel) if self.can_listen else None
        if listener is None:
            yield _poll
            return
        try:
            with self.io("signals"):
                listens = await self._subscribed(client, listener, channel)
            if not listens:
                yield _poll
                return

            async def wait(seconds: float) -> None:
                until = asyncio.get_running_loop().time() + seconds
                try:
                    with self.io("signals"):
                        found = await listener.get_message(timeout=seconds)
                        for _ in range(AT_ONCE):
                            if not found:
                                break
                            found = await listener.get_message(timeout=0)
                except StorageUnavailableError:
                    await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0))

            yield wait
        finally:
            await listener.aclose()

    async def _subscribed(self, client: Client, listener: Any, channel: str) -> bool:
        """Return once the server says that it listens; False: it does not know how, or the user may not."""
        try:
            if isinstance(client, RedisCluster):
                await listener.ssubscribe(channel)
            else:
                await listener.subscribe(channel)
            async with asyncio.timeout(self._commands.timeout):
                while not await listener.get_message(timeout=self._commands.timeout):
                    pass
        except ResponseError:
            return False
        return True


async def _poll(seconds: float) -> None:
    await asyncio.sleep(min(seconds, POLL_SECONDS))


async def _listener(client: Client, channel: str) -> Any:
    """Return what may listen to a channel, or None."""
    if not isinstance(client, RedisCluster):
        return client.pubsub()
    await client.initialize()
    node = client.get_node_from_key(channel)
    if node is None:
        return None
    options = {name: value for name, value in node.connection_kwargs.items() if name != "max_connections"}
    return PubSub(ConnectionPool(connection_class=node.connection_class, **options))
