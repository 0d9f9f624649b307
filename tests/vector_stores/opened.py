"""A store for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from langswarm_memory.vector_stores.served import ServedVectorStore

S = TypeVar("S", bound=ServedVectorStore)


@asynccontextmanager
async def opened(store: S) -> AsyncIterator[S]:
    """Open a store, and close it."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()
