"""Which earlier formats there are in a Redis."""

from __future__ import annotations

from .base import EarlierSource
from .formats import CurrentFormatError
from .redis_documents import RedisDocumentsSource
from .redis_keys import (
    LANGCHAIN_PREFIX,
    GuideRedisSource,
    LangChainRedisSource,
    ReferenceRedisSource,
)
from .redis_source import RedisSource, make_client
from .values import Times

DEFAULT_PREFIX = "langswarm:memory:"
LOOKED_AT = 20  # keys that an error names


async def find_formats(url: str, prefix: str | None, place: str, times: Times) -> tuple[list[EarlierSource], list[str]]:
    """Return the readers of what is there, and some keys for whoever finds nothing.

    Raises:
        CurrentFormatError: What is there is a store of the present version.
        MemoryConfigurationError: The URL cannot be used.
        MemoryBackendError: The server could not be reached.
    """
    names: list[str] = []
    own = DEFAULT_PREFIX if prefix is None else prefix
    candidates: list[RedisSource] = [
        ReferenceRedisSource(make_client(url), own, place, times),
        GuideRedisSource(make_client(url), own, place, times),
        LangChainRedisSource(make_client(url), LANGCHAIN_PREFIX if prefix is None else prefix, place, times),
        RedisDocumentsSource(make_client(url), prefix or "", place, times),
    ]
    found: list[EarlierSource] = []
    for candidate in candidates:
        await candidate.open()
        try:
            if await candidate.is_there():
                found.append(candidate)
            elif not names:
                names.extend(await candidate.some_keys(LOOKED_AT))
        finally:
            await candidate.close()
    if not found and any(name.startswith((f"{own}session:{{", f"{own}index:")) for name in names):
        raise CurrentFormatError(place)
    return found, names
