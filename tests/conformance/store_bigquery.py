"""BigQuery for the shared suites: on the shared emulator, in one dataset that each test finds empty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.backends.bigquery import BigQueryBackend
from tests.services.bigquery import BigQueryServer, BigQueryService

DATA = ("sessions", "messages", "summaries")
USES_OF_A_SERVER = 60
"""Tests after which the emulator begins anew: after some 400 jobs, each takes twice as long as the first ones."""


def bigquery_options(service: BigQueryService, dataset: str) -> dict[str, Any]:
    """Settings of a backend on a test's server."""
    return {"project_id": service.project, "dataset_id": dataset, "api_endpoint": service.endpoint}


def emptied(service: BigQueryService, dataset: str) -> None:
    """Remove what the test before left: one job, where a dataset of a test's own would take five."""
    with service.client() as client:
        client.query_and_wait("; ".join(f"TRUNCATE TABLE `{client.project}.{dataset}.{name}`" for name in DATA))


def made(service: BigQueryService, dataset: str) -> None:
    """Make a dataset with its tables."""

    async def connect() -> None:
        async with BigQueryBackend(bigquery_options(service, dataset)):
            pass

    with ThreadPoolExecutor(1) as thread:  # the fixture may be set up while the test's event loop runs
        thread.submit(asyncio.run, connect()).result()


@pytest.fixture(scope="module")
def bigquery_shared_dataset(bigquery_server: BigQueryService) -> Iterator[str]:
    """Name of a dataset with its tables, which the module's tests use one after the other."""
    with bigquery_server.fresh_dataset() as name:
        made(bigquery_server, name)
        yield name


def bigquery(request: pytest.FixtureRequest, folder: Path) -> Callable[..., BigQueryBackend]:
    service: BigQueryService = request.getfixturevalue("bigquery_server")
    server: BigQueryServer | None = request.getfixturevalue("bigquery_own_server")
    dataset: str = request.getfixturevalue("bigquery_shared_dataset")
    if server is not None:
        server.uses += 1
    if server is not None and server.uses > USES_OF_A_SERVER:
        server.renew()
        made(service, dataset)
    else:
        emptied(service, dataset)
    return lambda **options: BigQueryBackend(**{**bigquery_options(service, dataset), **options})
