"""The one rule about cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def settle(call: Awaitable[T]) -> T:
    """Await `call`; if the caller is cancelled meanwhile, let it finish, then re-raise the cancellation.

    So a write is done or not done, never torn, and no connection is left in the middle of a statement. It relies on
    every driver having a timeout.
    """
    task, cancelled = asyncio.ensure_future(call), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as lost
        raise asyncio.CancelledError
    return task.result()
