"""The rules about cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
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


class Heeding:
    """A block whose cancellation is raised at its end where something in it swallowed it.

    ``asyncio.wait_for`` does so before Python 3.12, when what it waits for ends in the turn of the loop in which the
    caller is cancelled, and redis-py sends each command through it. The caller would go on as if nobody had asked it
    to stop.
    """

    __slots__ = ("_asked", "_task")

    _task: asyncio.Task[object] | None

    def __enter__(self) -> None:
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # a thread without an event loop
            self._task = None
        self._asked = 0 if self._task is None else self._task.cancelling()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _t: TracebackType | None) -> None:
        if self._task is None or self._task.cancelling() <= self._asked:
            return
        if error is None or isinstance(error, Exception):
            raise asyncio.CancelledError from error
