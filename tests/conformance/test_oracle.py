"""The in-memory store against each real one: the same calls, the same answers, the same errors.

LANGSWARM_TEST_EXAMPLES=5000 runs so many random programs per store; without it they are few, and always the same.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.interfaces.message import Message
from langswarm_memory.interfaces.records import ConversationSummary
from langswarm_memory.repository.protocol import MemoryRepository, MessageQuery, SessionQuery, SessionRecord
from langswarm_memory.repository.sql.repository import SQLRepository
from langswarm_memory.testing.samples import MICROSECOND
from tests.conformance.oracle import Step, compare, programs
from tests.conformance.stores import SQL_STORES, STORES, opened

EXAMPLES = os.environ.get("LANGSWARM_TEST_EXAMPLES")
BOUNDS = settings(
    max_examples=int(EXAMPLES or 80),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def run_programs(opening: AbstractAsyncContextManager[MemoryRepository], bounds: settings) -> None:
    """Open a store and compare it with the oracle, program after program, on one event loop."""
    with asyncio.Runner() as runner:
        repository = runner.run(opening.__aenter__())

        @bounds
        @given(programs)
        def run(program: list[Step]) -> None:
            runner.run(compare(repository, program))

        try:
            run()
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("store", SQL_STORES)
def test_store_answers_as_the_in_memory_store_does(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    options = {"synchronous": "OFF"} if store == "sqlite" else {}
    run_programs(opened(STORES[store](request, tmp_path)(**options)), BOUNDS)


# --- planted bugs -----------------------------------------------------------------------------------------------------


class DropsTheAgentFilter(SQLRepository):
    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        return await super().list_sessions(replace(query, agent_id=None))


class RepeatsTheLastSessionOfAPage(SQLRepository):
    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        after = query.after and (query.after[0], query.after[1] + "\x01")
        return await super().list_sessions(replace(query, after=after))


class ReturnsExcludedRoles(SQLRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        return await super().read_messages(session_id, replace(query, exclude_roles=frozenset()))


class LeavesTheInstantOfSinceOut(SQLRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        since = query.since and query.since + MICROSECOND
        return await super().read_messages(session_id, replace(query, since=since))


class CountsKeptRoles(SQLRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        if query.limit is None:
            return await super().read_messages(session_id, query)
        found = await super().read_messages(session_id, replace(query, limit=None))
        return found[-query.limit :] if query.newest_first else found[: query.limit]


class ExceedsTheBudgetByOne(SQLRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        budget = None if query.max_tokens is None else query.max_tokens + 1
        return await super().read_messages(session_id, replace(query, max_tokens=budget))


class DeletesKeptRoles(SQLRepository):
    async def delete_messages(self, session_id: str, **options: Any) -> int:
        return await super().delete_messages(session_id, **{**options, "keep_roles": frozenset()})


class ForgetsToSlideTheExpiry(SQLRepository):
    async def append(self, *args: Any, **options: Any) -> Any:
        return await super().append(*args, **{**options, "expires_at": None})


class StoresASummaryTwice(SQLRepository):
    async def put_summary(self, summary: ConversationSummary) -> None:
        for stored in await self.list_summaries(summary.session_id or ""):
            if stored.summary_id == summary.summary_id:
                summary = replace(summary, summary_id=summary.summary_id + "2")
        await super().put_summary(summary)


PLANTED = [
    DropsTheAgentFilter,
    RepeatsTheLastSessionOfAPage,
    ReturnsExcludedRoles,
    LeavesTheInstantOfSinceOut,
    CountsKeptRoles,
    ExceedsTheBudgetByOne,
    DeletesKeptRoles,
    ForgetsToSlideTheExpiry,
    StoresASummaryTwice,
]


@pytest.mark.store("sqlite-memory")
@pytest.mark.parametrize("planted", PLANTED)
def test_planted_bug_is_caught(planted: type[SQLRepository]) -> None:
    backend = SQLiteBackend(db_path=":memory:")
    sound = backend.repository
    assert isinstance(sound, SQLRepository)
    backend.repository = planted(sound.driver, persistent=False)
    with pytest.raises(AssertionError, match="answered differently"):
        run_programs(opened(backend), settings(BOUNDS, phases=[Phase.generate]))
