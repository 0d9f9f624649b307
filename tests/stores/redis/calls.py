"""What a server was asked to do, by its own count."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

OF_THE_CLIENT = {"info", "hello", "client|setinfo", "client|setname", "client|maint_notifications", "ping", "select"}


async def counted(raw: Redis) -> Counter[str]:
    stats = await raw.info("commandstats")
    names = {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}
    return Counter({name: calls for name, calls in names.items() if name not in OF_THE_CLIENT})


@asynccontextmanager
async def calls(raw: Redis) -> AsyncIterator[Counter[str]]:
    """Yield what will be, at the end, the commands the server ran in between, those inside scripts included."""
    found: Counter[str] = Counter()
    before = await counted(raw)
    yield found
    found.update(await counted(raw) - before)
