"""Random programs, compared with the in-memory store: every answer, and every error."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import Phase, given, settings

from tests.conformance.oracle import Step, compare, programs
from tests.conformance.stores import opened
from tests.conformance.test_oracle import BOUNDS
from tests.stores.elasticsearch.conftest import MakeBackend

pytestmark = pytest.mark.store("elasticsearch")

PROGRAMS = 12  # each is half a hundred calls; a program that fails is shown as it is, for shrinking it takes minutes


def test_store_answers_as_the_in_memory_store_does(make: MakeBackend) -> None:
    with asyncio.Runner() as runner:
        opening = opened(make())
        repository = runner.run(opening.__aenter__())

        @settings(BOUNDS, max_examples=PROGRAMS, phases=[Phase.generate])
        @given(programs)
        def run(program: list[Step]) -> None:
            runner.run(compare(repository, program))

        try:
            run()
        finally:
            runner.run(opening.__aexit__(None, None, None))
