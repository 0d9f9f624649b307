"""The memory in Redis."""

from __future__ import annotations

from typing import Any

from ...backends.redis import RedisBackend as CoreBackend
from .memory import MemoryBackend
from .stores import CONTEXT_WINDOW, StoreMethods


class RedisBackend(StoreMethods, CoreBackend, MemoryBackend):
    """Messages in Redis.

    Args:
        client: A client of redis-py, asynchronous or not, instead of `url`.
        url: ``redis://user:password@host:port/db``, and the other forms of ``RedisSettings``. None: localhost.
        prefix: Begins every key.
        ttl: Seconds after its last message that a session expires. None or 0: never.
        max_messages: Messages loaded of a session, the newest, and all system messages. Older ones stay stored; with
            ``overflow="delete"`` they are deleted.
        compression: Whether messages from 512 bytes are kept compressed.
        enable_search: Whether ``search`` may be called.
        context_window: How many messages ``context`` returns.
        summarization: Whether summaries are made of the sessions that ``save`` makes.
        **options: Further settings, see ``RedisSettings``.

    Raises:
        MemoryConfigurationError: An option is unknown or out of range.
    """

    def __init__(
        self,
        client: Any = None,
        url: str | None = None,
        prefix: str = "agentz:sessions:",
        ttl: int | None = 86400,
        max_messages: int = 1000,
        compression: bool = True,
        *,
        enable_search: bool = True,
        context_window: int = CONTEXT_WINDOW,
        summarization: bool = False,
        **options: Any,
    ) -> None:
        self.searches, self.context_window, self.summarizes = enable_search, context_window, summarization
        given = {"client": client, "url": url, "prefix": prefix, "max_messages": max_messages}
        CoreBackend.__init__(self, ttl=ttl, compression=compression, **given, **options)
