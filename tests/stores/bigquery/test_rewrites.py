"""Rewriting: a script that breaks in its middle, a reply that is lost, and several writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from langswarm_memory.errors import ConflictError, InvalidInputError, StorageUnavailableError
from langswarm_memory.repository.bigquery import changes
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from langswarm_memory.repository.protocol import Rewrite
from langswarm_memory.testing.samples import START, at, exact_message, fetch, filled, new_message, new_messages, read
from tests.faults.proxy import proxied
from tests.services.bigquery import BigQueryService
from tests.stores.bigquery.conftest import MakeBackend

pytestmark = pytest.mark.store("bigquery")


class BreakingClient(Client):
    """Lets every script fail behind a statement that begins so."""

    behind: str | None = None

    def query_and_wait(self, query: str, **kwargs: Any) -> Any:
        if self.behind is not None:
            start = query.index(self.behind)
            end = query.index(";", start) + 1
            query = f"{query[:end]} RAISE USING MESSAGE = 'broken'; {query[end:]}"
        return super().query_and_wait(query, **kwargs)


@pytest.fixture
def breaking(bigquery_server: BigQueryService) -> Iterator[BreakingClient]:
    client = BreakingClient(
        project=bigquery_server.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": bigquery_server.endpoint},
    )
    yield client
    client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
async def breakable(make_backend: MakeBackend, breaking: BreakingClient) -> AsyncIterator[BigQueryRepository]:
    async with make_backend(client=breaking) as backend:
        object.__setattr__(backend.settings, "timeout", 2.0)  # so long is a script that fails repeated
        yield backend.repository


async def state(repository: BigQueryRepository) -> tuple[Any, ...]:
    record = await fetch(repository)
    return record[1:], record.metadata.updated_at, [exact_message(message) for message in await read(repository)]


async def both(repository: BigQueryRepository) -> Rewrite:
    """Store three messages; return a change that removes one and replaces another."""
    await filled(repository, new_messages(3))
    stored = await read(repository)
    return Rewrite(edits=0, removed=(stored[0],), replaced=((stored[1], replace(stored[1], content="new")),))


@pytest.mark.parametrize("behind", ["SET changed", "DELETE FROM", "WHERE m.session_id", "CREATE TEMP TABLE"])
async def test_rewrite_that_breaks_in_its_middle_changes_nothing(
    breakable: BigQueryRepository, breaking: BreakingClient, behind: str
) -> None:
    change = await both(breakable)
    before = await state(breakable)
    breaking.behind = behind
    with pytest.raises(StorageUnavailableError):
        await breakable.rewrite("s", change, now=at(9))
    breaking.behind = None
    assert await state(breakable) == before


async def test_rewrite_that_breaks_behind_its_commit_was_carried_out(
    breakable: BigQueryRepository, breaking: BreakingClient
) -> None:
    change = await both(breakable)
    breaking.behind = "COMMIT TRANSACTION"
    with pytest.raises(StorageUnavailableError):
        await breakable.rewrite("s", change, now=at(9))
    breaking.behind = None
    assert [message.text for message in await read(breakable)] == ["new", "text 3"]
    assert (await fetch(breakable)).edits == 1


async def test_rewrite_whose_reply_was_lost_is_a_conflict_when_repeated(
    bigquery_server: BigQueryService, make_backend: MakeBackend
) -> None:
    """It was carried out, whole; reading again shows it."""
    async with proxied(bigquery_server.endpoint) as (endpoint, proxy), make_backend(api_endpoint=endpoint) as backend:
        change = await both(backend.repository)
        proxy.lose_next_reply()
        with pytest.raises(StorageUnavailableError):
            await backend.repository.rewrite("s", change, now=at(9))
        with pytest.raises(ConflictError) as raised:
            await backend.repository.rewrite("s", change, now=at(9))
        assert raised.value.retryable
        assert [message.text for message in await read(backend.repository)] == ["new", "text 3"]


async def test_of_rewrites_of_two_processes_one_is_carried_out(make_backend: MakeBackend) -> None:
    async with make_backend() as first, make_backend() as second:
        change = await both(first.repository)
        outcomes = await asyncio.gather(
            *(backend.repository.rewrite("s", change, now=at(9)) for backend in (first, second)),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, ConflictError) for outcome in outcomes) == [False, True]
        assert (await fetch(first.repository)).edits == 1


async def test_rewrite_and_append_of_two_processes_both_happen(make_backend: MakeBackend) -> None:
    async with make_backend() as first, make_backend() as second:
        change = await both(first.repository)
        await asyncio.gather(
            first.repository.rewrite("s", change, now=at(9)),
            second.repository.append("s", [new_message(4)], now=START),
        )
        record = await fetch(first.repository)
        assert (record.edits, record.message_count, record.last_seq) == (1, 3, 4)


async def test_rewrite_of_more_than_a_request_takes_is_refused(
    repository: BigQueryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    change = await both(repository)
    monkeypatch.setattr(changes, "MOST_BYTES", 500)
    with pytest.raises(InvalidInputError, match="one change"):
        await repository.rewrite("s", change, now=at(9))
    assert (await fetch(repository)).edits == 0
