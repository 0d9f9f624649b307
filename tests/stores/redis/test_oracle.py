"""The in-memory store against Redis: the same calls, the same answers, the same errors; text search aside."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from langswarm_memory.backends.redis import RedisBackend
from tests.conformance.oracle import Step, compare, programs
from tests.services.redis import RedisService

pytestmark = pytest.mark.store("redis")

EXAMPLES = int(os.environ.get("LANGSWARM_TEST_EXAMPLES", "30"))


@pytest.mark.parametrize("compression", [False, True])
def test_store_answers_as_the_in_memory_store_does(
    redis_server: RedisService, redis_prefix: str, compression: bool
) -> None:
    backend = RedisBackend(redis_server.url, key_prefix=redis_prefix, ttl=None, compression=compression)
    with asyncio.Runner() as runner:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(programs)
        def run(program: list[Step]) -> None:
            runner.run(compare(backend.repository, program))

        try:
            run()
        finally:
            runner.run(backend.disconnect())
