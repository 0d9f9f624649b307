"""A cancellation that something swallowed is raised all the same."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from langswarm_memory._calls import Heeding


async def deaf() -> None:
    """Wait, and take no notice of being cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(10)


async def heeding() -> None:
    with Heeding():
        await deaf()


async def cancelled(call: asyncio.Task[None]) -> asyncio.Task[None]:
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call}, timeout=10)
    return call


async def test_cancellation_that_is_swallowed_is_raised() -> None:
    assert (await cancelled(asyncio.create_task(heeding()))).cancelled()
    assert not (await cancelled(asyncio.create_task(deaf()))).cancelled(), "or this tests nothing"


async def test_error_of_a_cancelled_call_is_the_cause() -> None:
    async def failing() -> None:
        with Heeding():
            await deaf()
            raise ZeroDivisionError

    task = await cancelled(asyncio.create_task(failing()))
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


async def test_timeout_around_the_block_is_kept() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heeding()


async def test_timeout_within_the_block_is_its_own() -> None:
    with Heeding(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)


async def test_cancellation_of_before_is_not_raised_again() -> None:
    async def cleaning_up() -> str:
        await deaf()
        with Heeding():
            await asyncio.sleep(0)
        return "clean"

    task = asyncio.create_task(cleaning_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "clean"


async def test_block_on_a_thread() -> None:
    def work() -> str:
        with Heeding():
            return "done"

    assert await asyncio.to_thread(work) == "done"


def test_block_outside_of_tasks() -> None:
    loop = asyncio.new_event_loop()
    seen: list[bool] = []

    def called() -> None:
        with Heeding():
            seen.append(True)
        loop.stop()

    loop.call_soon(called)
    loop.run_forever()
    loop.close()
    assert seen == [True]
