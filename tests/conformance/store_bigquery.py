"""BigQuery for the shared suites: on the shared emulator, in one dataset that each test finds empty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.backends.bigquery import BigQueryBackend
from tests.services.bigquery import BigQueryService

DATA = ("sessions", "messages", "summaries")


def bigquery_options(service: BigQueryService, dataset: str) -> dict[str, Any]:
    """Settings of a backend on a test's server."""
    return {"project_id": service.project, "dataset_id": dataset, "api_endpoint": service.endpoint}


def emptied(service: BigQueryService, dataset: str) -> None:
    """Remove what the test before left: one job, where a dataset of a test's own would take five."""
    with service.client() as client:
        client.query_and_wait("; ".join(f"TRUNCATE TABLE `{client.project}.{dataset}.{name}`" for name in DATA))


@pytest.fixture(scope="module")
def bigquery_shared_dataset(bigquery_server: BigQueryService) -> Iterator[str]:
    """Name of a dataset with its tables, which the module's tests use one after the other."""

    async def connect() -> None:
        async with BigQueryBackend(bigquery_options(bigquery_server, name)):
            pass

    with bigquery_server.fresh_dataset() as name:
        with ThreadPoolExecutor(1) as thread:  # the fixture may be set up while the test's event loop runs
            thread.submit(asyncio.run, connect()).result()
        yield name


def bigquery(request: pytest.FixtureRequest, folder: Path) -> Callable[..., BigQueryBackend]:
    service: BigQueryService = request.getfixturevalue("bigquery_server")
    dataset: str = request.getfixturevalue("bigquery_shared_dataset")
    emptied(service, dataset)
    return lambda **options: BigQueryBackend(**{**bigquery_options(service, dataset), **options})
