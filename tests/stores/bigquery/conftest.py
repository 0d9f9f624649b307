"""Backends on the shared emulator, and clients that count or break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from langswarm_memory.backends.bigquery import BigQueryBackend
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from tests.conformance.store_bigquery import bigquery_options, bigquery_shared_dataset, emptied  # noqa: F401
from tests.services.bigquery import BigQueryService

MakeBackend = Callable[..., BigQueryBackend]


class CountingClient(Client):
    """Counts the jobs that it runs, or fails each with an error."""

    jobs = 0
    error: Exception | None = None

    def query_and_wait(self, *args: Any, **kwargs: Any) -> Any:
        self.jobs += 1
        if self.error is not None:
            raise self.error
        return super().query_and_wait(*args, **kwargs)


@pytest.fixture
def make_backend(bigquery_server: BigQueryService, bigquery_shared_dataset: str) -> MakeBackend:  # noqa: F811
    """Make backends on a dataset that holds nothing."""
    emptied(bigquery_server, bigquery_shared_dataset)
    options = bigquery_options(bigquery_server, bigquery_shared_dataset)
    return lambda **more: BigQueryBackend(**{**options, **more})


@pytest.fixture
async def repository(make_backend: MakeBackend) -> AsyncIterator[BigQueryRepository]:
    async with make_backend() as backend:
        yield backend.repository


@pytest.fixture
def counting(bigquery_server: BigQueryService) -> Iterator[CountingClient]:
    client = CountingClient(
        project=bigquery_server.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": bigquery_server.endpoint},
    )
    yield client
    client.close()  # type: ignore[no-untyped-call]
