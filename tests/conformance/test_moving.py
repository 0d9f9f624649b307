"""Moving everything from one kind of store into each of the others and back, through what they have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory.backends.in_memory import InMemoryBackend
from langswarm_memory.migration.transfer import transfer
from tests.conformance.stores import STORES
from tests.migration.stored import fill, hashes

ELSEWHERE = {"in_memory", "sqlite", "postgres", "redis"}  # tests/migration moves between these, in pairs


@pytest.mark.parametrize("store", [store for store in STORES if store not in ELSEWHERE])
async def test_every_session_goes_there_and_back(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    make = STORES[store](request, tmp_path)
    async with InMemoryBackend() as source, make() as between, InMemoryBackend() as target:
        await fill(source)
        expected = await hashes(source)
        there = await transfer(source, between)
        assert (there.copied, there.failures) == (len(expected), ())
        assert await hashes(between) == expected
        again = await transfer(source, between)
        assert (again.copied, again.unchanged, again.messages) == (0, len(expected), 0)
        await transfer(between, target)
        assert await hashes(target) == expected
