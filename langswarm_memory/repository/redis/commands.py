"""Sending commands: one, a script, or many at once, to a server or to a Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ...errors import NotConnectedError
from .layout import STORE
from .scripts import BY_SHA, Script

Client = Redis | RedisCluster
Command = Sequence[Any]


class Commands:
    """A client, and how this store sends commands by it.

    Connections belong to an event loop. Once that has ended, the next loop gets a client of its own.

    Args:
        make: Makes a client, without I/O, whose replies are bytes and whose connections are not limited.
        owned: Whether the client is ours, to be closed and made anew; else it is the caller's.
        turns: Commands that may be under way at once; others wait for their turn. That is how connections are
            limited: redis-py itself fails callers for whom there is no connection, and its pool that lets them wait
            takes a fifth of the time of a command.
        timeout: Seconds to wait for a turn.
    """

    def __init__(
        self, make: Callable[[], Client], *, owned: bool = True, turns: int = 10, timeout: float = 10.0
    ) -> None:
        self._make, self._owned = make, owned
        self._count, self.timeout = turns, timeout
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(turns)

    @property
    def client(self) -> Client:
        """The client."""
        if self._client is None:
            self._client = self._make()
        return self._client

    @property
    def clustered(self) -> bool:
        """Whether the client's server is a Cluster."""
        return isinstance(self.client, RedisCluster)

    async def enter(self) -> Any:
        """Return the client for the running event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                await self._leave(self._loop)
            self._loop = loop
        return self.client

    async def _leave(self, former: asyncio.AbstractEventLoop) -> None:
        if not self._owned or not former.is_closed():
            raise NotConnectedError(
                f"{STORE}: the connections belong to another event loop", suggestion="use one backend per event loop"
            )
        client, self._client = self._client, None
        self._turns = asyncio.Semaphore(self._count)
        # The loop that would carry out the closing has ended. It is asked for all the same: the client then lets go
        # of its connections, and does not complain of them later.
        with suppress(RuntimeError, OSError, RedisError):
            await _closed(client)
        if isinstance(client, RedisCluster):  # which stops at the first node that fails
            for node in client.nodes_manager.startup_nodes.values():
                with suppress(RuntimeError, OSError, RedisError):
                    await node.disconnect()

    async def _wait(self) -> None:
        """Wait for a turn."""
        async with asyncio.timeout(self.timeout):
            await self._turns.acquire()

    async def call(self, *command: Any) -> Any:
        """Send a command."""
        client = await self.enter()
        turns = self._turns
        if turns.locked():
            await self._wait()
        else:
            await turns.acquire()
        try:
            return await client.execute_command(*command)
        except RedisClusterException:
            # A client that has found no node of its Cluster may have forgotten the one it began with.
            if self._owned and self._client is client:
                self._client = None
                await _closed(client)
            raise
        finally:
            turns.release()

    async def run(self, script: Script, keys: list[str], *arguments: Any) -> Any:
        """Run a script: one round trip, and another one where the server does not know it (any more)."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    async def many(self, commands: Sequence[Command], *, whole: bool = False) -> list[Any]:
        """Send commands in one round trip; on a Cluster in any order and side by side. Raises the first error.

        Args:
            commands: The commands.
            whole: Whether all or none are carried out, as far as errors go that are known before; not on a Cluster.
        """
        if not commands:
            return []
        client = await self.enter()
        if isinstance(client, RedisCluster):
            replies = await asyncio.gather(*(self.call(*command) for command in commands), return_exceptions=True)
        else:
            replies = await self._pipeline(client, commands, whole=whole)
        unknown = next((at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
        if unknown is not None:
            # What follows may rely on what the script should have done; sent twice, it does no harm.
            again = [
                at
                for at in range(unknown, len(commands))
                if isinstance(replies[at], NoScriptError) or commands[at][0] != "EVALSHA"
            ]
            repeated = await self.many([_with_text(commands[at]) for at in again], whole=whole)
            for at, reply in zip(again, repeated, strict=True):
                replies[at] = reply
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    async def _pipeline(self, client: Any, commands: Sequence[Command], *, whole: bool) -> list[Any]:
        turns = self._turns
        await self._wait()
        try:
            async with client.pipeline(transaction=whole) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                replies: list[Any] = await pipe.execute(raise_on_error=False)
        finally:
            turns.release()
        return replies

    async def with_entries(self, command: Command, entries: Sequence[Command]) -> Any:
        """Send what writes a session, and what lists it; return the reply to the first.

        One transaction, except on a Cluster, where the two lie on different nodes. There the session is listed before
        it is written, so that no crash leaves it unlisted, and after, because a listing may have met the entry in
        between and removed it.
        """
        if not self.clustered:
            return (await self.many([command, *entries], whole=True))[0]
        await self.many(entries)
        [reply] = await self.many([command])
        await self.many(entries)
        return reply

    async def close(self) -> None:
        """Close the client, if it is ours."""
        client, former = self._client, self._loop
        self._loop = None
        if not self._owned or client is None:
            return
        self._client = None
        if former is asyncio.get_running_loop():
            await _closed(client)


async def _closed(client: Any) -> None:
    await client.aclose()
    # A client behind Sentinels does not close its connections to them.
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in getattr(manager, "sentinels", ()):
        await sentinel.aclose()


def _with_text(command: Command) -> Command:
    if command[0] != "EVALSHA":
        return command
    return ("EVAL", BY_SHA[command[1]].text, *command[2:])
