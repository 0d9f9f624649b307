"""Many short sessions in one transaction: the optional primitive of the relational stores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from langswarm_memory import InvalidInputError, PostgresBackend, SessionExistsError, SessionMetadata
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.migration.transfer import transfer
from langswarm_memory.repository.whole import MovesSessions, WholeSession
from tests.migration.conftest import Maker
from tests.migration.stored import at, contents, conversation

OPTIONS: dict[str, dict[str, Any]] = {
    "its own schema": {"schema": "Odd schema-1"},
    "as behind a pooler": {"statement_cache_size": 0},
}


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, make: Maker) -> BaseMemoryBackend:
    backend = make(request.param)
    await backend.connect()
    return backend


def whole(session_id: str, count: int) -> WholeSession:
    return WholeSession(SessionMetadata(session_id, created_at=at(0)), conversation(count), ())


@pytest.mark.parametrize("name", OPTIONS)
async def test_server_set_up_otherwise_gets_everything(name: str, source: BaseMemoryBackend, postgres_url: str) -> None:
    async with PostgresBackend(url=postgres_url, **OPTIONS[name]) as target:
        await transfer(source, target)
        assert await contents(target) == await contents(source)


async def test_counters_are_those_of_an_append(store: BaseMemoryBackend) -> None:
    repository = store.repository
    assert isinstance(repository, MovesSessions)
    await repository.insert_whole([whole("at once", 9)])
    await repository.insert_session(SessionMetadata("one by one", created_at=at(0)))
    await repository.append("one by one", conversation(9), now=at(0))
    records = [await repository.fetch_session(one) for one in ("at once", "one by one")]
    assert records[0] is not None
    assert records[1] is not None
    assert records[0][1:] == records[1][1:]


async def test_taken_id_stores_none_of_them(store: BaseMemoryBackend) -> None:
    await store.create_session(SessionMetadata("taken"))
    before = await contents(store)
    with pytest.raises(SessionExistsError):
        await store.repository.insert_whole([whole("new", 2), whole("taken", 2)])  # type: ignore[attr-defined]
    assert await contents(store) == before


async def test_message_id_given_twice_stores_none_of_them(store: BaseMemoryBackend) -> None:
    message = conversation(1)[0]
    twice = WholeSession(SessionMetadata("s"), [message, replace(message)], ())
    with pytest.raises(InvalidInputError):
        await store.repository.insert_whole([whole("new", 2), twice])  # type: ignore[attr-defined]
    assert await contents(store) == {}


async def test_missing_session_reads_as_empty(store: BaseMemoryBackend) -> None:
    found = await store.repository.read_whole(["missing"])  # type: ignore[attr-defined]
    assert found == {"missing": ([], [])}
