"""Being told of appends by PostgreSQL: one connection listens for all sessions that this process watches.

NOTIFY makes every committing transaction of the database wait its turn. So appends notify only where somebody watches:
the session's row says until when, and a watcher renews that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from ...errors import StorageUnavailableError
from .failures import DRIVER_ERRORS, translate
from .leases import SERVER_ERRORS
from .watched import CHANNEL, payload

RENEW_SECONDS = 20.0

Mark = Callable[[str], Awaitable[None]]


class Listener:
    """The connection that listens, opened for the first watcher and closed after the last.

    Args:
        engine: Makes connections that nobody else uses.
        mark: Writes into a session's row that it is watched for the next WATCH_SECONDS.
    """

    def __init__(self, engine: AsyncEngine, mark: Mark) -> None:
        self._engine, self._mark = engine, mark
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._raw: Any = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def signals(self, session_id: str) -> AsyncIterator[Callable[[float], Awaitable[None]]]:
        """Give a function that waits until the session may have changed; see ``Signals`` of the protocol."""
        key, told, loop = payload(session_id), asyncio.Event(), asyncio.get_running_loop()
        self._watchers.setdefault(key, set()).add(told)
        try:
            await self._listen()
            await self._mark(session_id)
            renewed = loop.time()

            async def wait(seconds: float) -> None:
                nonlocal renewed
                end = loop.time() + seconds
                while (now := loop.time()) < end and not told.is_set():
                    if now - renewed >= RENEW_SECONDS:
                        renewed = now
                        await self._renew(session_id)
                    try:
                        async with asyncio.timeout(min(end - now, RENEW_SECONDS)):
                            await told.wait()
                    except TimeoutError:
                        continue
                told.clear()

            yield wait
        finally:
            watchers = self._watchers[key]
            watchers.discard(told)
            if not watchers:
                del self._watchers[key]
            if not self._watchers:
                await self.close()

    async def _renew(self, session_id: str) -> None:
        try:
            await self._listen()
            await self._mark(session_id)
        except StorageUnavailableError:
            return  # until the next time, its watcher goes on by looking

    async def _listen(self) -> None:
        async with self._opening:
            if self._raw is not None and not self._raw.is_closed():
                return
            try:
                await self._stack.aclose()
                connection = await self._stack.enter_async_context(self._engine.connect())
                raw: Any = (await connection.get_raw_connection()).driver_connection
                await raw.add_listener(CHANNEL, self._heard)
            except (*DRIVER_ERRORS, *SERVER_ERRORS) as exc:
                raise translate("postgres", "signals", exc) from exc
            self._raw = raw

    def _heard(self, _connection: Any, _process: int, _channel: str, text: str) -> None:
        for told in self._watchers.get(text, ()):
            told.set()

    async def close(self) -> None:
        """Stop listening. Watchers go on by looking from time to time."""
        async with self._opening:
            raw, self._raw = self._raw, None
            if raw is not None and not raw.is_closed():
                await raw.remove_listener(CHANNEL, self._heard)
            await self._stack.aclose()
