"""A backend in memory, at a time that the tests know."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from langswarm_memory import InMemoryBackend
from tests.providers.sessions import backend_at


@pytest.fixture
async def backend() -> AsyncIterator[InMemoryBackend]:
    async with backend_at(60) as made:
        yield made
