"""Whoever cancels a call is heard, at whatever moment: the client loses some cancellations on Python 3.11."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.migration.sources.redis_source import translated
from langswarm_memory.vector_stores.protocol import VectorPoint
from langswarm_memory.vector_stores.redis import RedisVectorStore
from tests.services.redis import RedisService
from tests.stores.redis.conftest import Make

MOMENTS = 120
"""Turns of the event loop after which a call is cancelled; an edit takes some 40."""


async def cancel_at_every_moment(call: Callable[[int], Awaitable[Any]]) -> int:
    """Cancel a call after 0, 1, 2, … turns of the loop; return how many were cancelled before they were done."""
    cancelled = 0
    for moment in range(MOMENTS):
        task = asyncio.ensure_future(call(moment))
        for _ in range(moment):
            await asyncio.sleep(0)
        if not task.cancel():
            await task
            continue
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled(), f"the cancellation after {moment} turns was lost"
        cancelled += 1
    return cancelled


@pytest.mark.store("redis")
async def test_every_cancellation_of_a_call_is_heard(make: Make) -> None:
    async with make() as backend:
        session = await backend.create_session(SessionMetadata(session_id="s"))
        await session.add_message(Message(role="user", content="x"))
        assert await cancel_at_every_moment(lambda moment: session.edit_message(1, content=str(moment))) > 10
        assert await cancel_at_every_moment(lambda _: session.get_messages()) > 2
        await session.edit_message(1, content="goes on")
        assert [message.content for message in await session.get_messages()] == ["goes on"]


@pytest.mark.store("redis")
async def test_every_cancellation_of_a_watch_is_heard(make: Make) -> None:
    async with make() as backend:
        session = await backend.create_session(SessionMetadata(session_id="s"))

        async def watch(_: int) -> None:
            async for _message in session.watch():
                pass

        assert await cancel_at_every_moment(watch) == MOMENTS


@pytest.mark.store("redis")
async def test_every_cancellation_of_reading_earlier_data_is_heard(redis_server: RedisService) -> None:
    async def ping(_: int) -> None:
        with translated():
            await client.ping()

    async with Redis.from_url(redis_server.url, socket_timeout=5) as client:
        assert await cancel_at_every_moment(ping) > 2


async def test_every_cancellation_of_a_vector_store_is_heard(
    redis_stack_server: RedisService, redis_stack_prefix: str
) -> None:
    prefix = redis_stack_prefix
    store = RedisVectorStore(f"idx:{prefix}", dimension=2, url=redis_stack_server.url, key_prefix=prefix)
    await store.open()
    try:
        await store.upsert([VectorPoint("p", [1, 0], {})])
        assert await cancel_at_every_moment(lambda _: store.fetch(["p"])) > 2
    finally:
        await store.drop(store.collection)
        await store.close()
