"""How requests of ours travel."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from .calls import AiohttpHttpNode

LARGE = 2**20
"""Bytes from which aiohttp warns of a body that is sent in one piece (``aiohttp.payload.TOO_LARGE_BYTES_BODY``)."""


class StreamingNode(AiohttpHttpNode):
    """Sends large bodies in pieces: in one piece they would hold up the event loop."""

    async def perform_request(  # type: ignore[override]  # as in the class above
        self, method: str, target: str, body: bytes | None = None, **options: Any
    ) -> Any:
        """Send one request."""
        sent: Any = body if body is None or len(body) <= LARGE else _Stream(body)
        return await super().perform_request(method, target, body=sent, **options)


class _Stream(BytesIO):
    def decode(self, *_args: str) -> str:
        """Return what the transport's logger shows for a body."""
        return f"<{self.getbuffer().nbytes} bytes>"
