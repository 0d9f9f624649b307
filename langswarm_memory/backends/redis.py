"""Sessions in Redis."""

from __future__ import annotations

from ..backend import BaseMemoryBackend
from ..interfaces.enums import MemoryBackendType
from ..repository.redis import Client, RedisRepository, connect
from ..session import BaseMemorySession
from ..settings import RedisSettings


class RedisSession(BaseMemorySession):
    """A session kept in Redis. Behaviour: BaseMemorySession."""

    __slots__ = ()


class RedisBackend(BaseMemoryBackend):
    """Sessions in Redis: in one server, behind Sentinels, or in a Cluster. Options: see RedisSettings."""

    settings_class, session_class = RedisSettings, RedisSession
    kind = MemoryBackendType.REDIS
    settings: RedisSettings
    repository: RedisRepository

    def _build(self, settings: RedisSettings) -> RedisRepository:
        return RedisRepository(
            connect(settings),
            prefix=settings.key_prefix,
            compression=settings.compression,
            text_search=settings.text_search,
        )

    def get_redis(self) -> Client:
        """Return the client, a ``redis.asyncio.Redis`` or ``RedisCluster``. Its replies are bytes."""
        return self.repository.client

    def get_key_prefix(self) -> str:
        """Return what every key begins with."""
        return self.settings.key_prefix

    async def index_texts(self) -> None:
        """Put the texts of all stored messages into the search index, as connecting does the first time.

        Needed only after messages were stored by others with ``text_search=False``.

        Raises:
            UnsupportedOperationError: The server has no text search, or it is switched off.
        """
        await self.perform(self.repository.index_texts)

    def get_ttl(self) -> int | None:
        """Return the seconds after its last message that a session expires. None: never."""
        return self.settings.ttl or None

    async def get_ttl_stats(self) -> dict[str, int]:
        """Count the sessions by the time that is left to them.

        Keys: ``sessions`` (all), ``without_ttl`` (never expire), ``expired`` (not removed yet), ``expiring_1h``,
        ``expiring_24h`` (which includes those of ``expiring_1h``).
        """
        return await self.perform(self.repository.ttl_stats, self.clock())
