"""Reading keys of a Redis that somebody else wrote to; commands that change nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..._calls import Heeding
from ...errors import MemoryConfigurationError, MemoryStorageError, StorageUnavailableError
from ..closing import closing
from .base import EarlierSource, Row
from .values import Times, decode_text

TIMEOUT_SECONDS = 10.0
SCAN = 1_000  # keys per step of a scan
_PARTS = (b"session:", b"messages:", b"message:", b"summary:")


def make_client(url: str) -> Redis:
    """Return a client that answers bytes.

    Raises:
        MemoryConfigurationError: The URL cannot be used.
    """
    try:
        return Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
    except (TypeError, ValueError, RedisError):
        # Neither chained nor quoted: the text may hold the password.
        raise MemoryConfigurationError("the url, or an option in it, cannot be used", "redis") from None


@contextmanager
def translated() -> Iterator[None]:
    """Translate the driver's errors."""
    try:
        with Heeding():
            yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as exc:
        raise StorageUnavailableError("redis", "read", exc) from exc
    except RedisError as exc:
        raise MemoryStorageError("read", "redis", exc) from exc


class RedisSource(EarlierSource):
    """What one of the formats left in Redis.

    Args:
        client: A client that answers bytes.
        prefix: What its keys begin with.
        place: The server, for people, without secrets.
        times: How times are read.
    """

    def __init__(self, client: Redis, prefix: str, place: str, times: Times) -> None:
        super().__init__(f"{self.format} in {place}", times)
        self.client = client
        self.prefix = prefix

    format = ""

    async def open(self) -> None:
        """See whether the server answers."""
        with translated():
            await self.client.ping()

    async def close(self) -> None:
        """Close the client."""
        await self.client.aclose()

    async def is_there(self) -> bool:
        """Return whether the server holds anything in this format."""
        async with closing(self.names()) as pages:
            async for page in pages:
                if page:
                    return True
        return False

    @abstractmethod
    def names(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys that tell the format, each perhaps more than once."""

    async def some_keys(self, number: int) -> list[str]:
        """Return some keys that begin with the prefix."""
        found: set[bytes] = set()
        async with closing(self.keys("", None)) as pages:
            async for page in pages:
                found.update(page)
                if len(found) >= number:
                    break
        return [decode_text(key) for key in sorted(found)[:number]]

    async def keys(self, pattern: str, kind: str | None) -> AsyncIterator[list[bytes]]:
        """Yield the keys that begin with the prefix and `pattern`, each perhaps more than once."""
        match = _escaped(self.prefix + pattern) + b"*"
        cursor = 0
        while True:
            with translated():
                cursor, found = await self.client.scan(cursor, match=match, count=SCAN, _type=kind)
            yield [key for key in found if isinstance(key, bytes)]
            if cursor == 0:
                return

    def _is_part(self, key: bytes) -> bool:
        """Return whether a key is one of langswarm-memory 0.x."""
        return key[len(self.prefix.encode()) :].startswith(_PARTS)

    async def hashes(self, keys: Sequence[bytes]) -> list[Row]:
        """Return several hashes in one round trip."""
        with translated():
            pipeline = self.client.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(key)
            answers = await pipeline.execute()
        return [{decode_text(name): decode_text(value) for name, value in answer.items()} for answer in answers]

    async def listed(self, key: bytes, start: int, end: int) -> list[bytes]:
        """Return a part of a list."""
        with translated():
            return [entry for entry in await self.client.lrange(key, start, end) if isinstance(entry, bytes)]

    async def length(self, key: bytes) -> int:
        """Return the length of a list."""
        with translated():
            return int(await self.client.llen(key))


def _escaped(prefix: str) -> bytes:
    """Return text that stands for itself in a pattern of SCAN."""
    return "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in prefix).encode()
