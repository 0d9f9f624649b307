"""A TCP proxy on loopback that breaks connections at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Passes bytes on between clients and one server.

    Args:
        server: Host and port to pass on to.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()
        self._armed = False
        self.lost = 0

    def lose_next_reply(self) -> None:
        """Let the next request reach the server, then cut its connection instead of passing the reply on."""
        self._armed = True

    def cut(self) -> None:
        """Cut every connection now, as a network does: without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._server)
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, back, writer, replies=False))
                tasks.create_task(self._pass(there, writer, back, replies=True))
        finally:
            self._writers -= {writer, back}

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, other: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                if replies and self._armed:
                    self._armed = False
                    self.lost += 1
                    break
                to.write(data)
                await to.drain()
        to.transport.abort()
        other.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, Proxy]]:
    """Run a proxy in front of the server of a URL; yield the URL through it, and the proxy."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy((parts.hostname, parts.port))
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(proxy.serve(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        user = f"{parts.username}@" if parts.username else ""
        yield urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}")), proxy
        proxy.cut()
        await asyncio.gather(*connections)
