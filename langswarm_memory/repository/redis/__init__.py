"""Sessions in Redis. Start reading at :mod:`.layout`, which says what is stored where."""

from ...errors import MissingDependencyError

try:  # here, so that no module below is imported without the driver
    import redis.asyncio  # noqa: F401
except ModuleNotFoundError as exc:
    raise MissingDependencyError("redis", extra="redis") from exc

from .client import connect
from .commands import Client
from .repository import RedisRepository

__all__ = ["Client", "RedisRepository", "connect"]
