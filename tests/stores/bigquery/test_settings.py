"""Every option does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, Dataset

from langswarm_memory.backends.bigquery import BigQueryBackend
from langswarm_memory.errors import MemoryConfigurationError, MemoryConnectionError, NotConnectedError
from langswarm_memory.settings import BigQuerySettings, load_settings
from langswarm_memory.testing.samples import filled, new_message, new_messages
from tests.conformance.store_bigquery import bigquery_options
from tests.services.bigquery import BigQueryService
from tests.stores.bigquery.conftest import CountingClient, MakeBackend

pytestmark = pytest.mark.store("bigquery")

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"project_id": ""},
        {"project_id": "a` OR 1=1"},
        {"project_id": 7},
        {"dataset_id": "a.b"},
        {"dataset_id": "a`"},
        {"dataset_id": ""},
        {"location": ""},
        {"api_endpoint": "localhost:9050"},
        {"retention_days": -1},
        {"retention_days": 1.5},
        {"buffer_messages": -1},
        {"buffer_seconds": -0.1},
        {"timeout": 0},
        {"no_such": 1},
        {"project_id": "bigquery://project/dataset/table"},
    ],
    ids=str,
)
def test_bad_setting_is_refused(bad: dict[str, Any]) -> None:
    given = {"project_id": "project", **bad} if bad else {}
    with pytest.raises(MemoryConfigurationError):
        BigQueryBackend(**given)


@pytest.mark.parametrize(
    ("given", "project", "dataset"),
    [
        ("project", "project", "langswarm_memory"),
        ("bigquery://project", "project", "langswarm_memory"),
        ("bigquery://project/data", "project", "data"),
        ({"project": "example.com:project", "dataset": "d"}, "example.com:project", "d"),
    ],
)
def test_address_names_project_and_dataset(given: Any, project: str, dataset: str) -> None:
    settings = load_settings(BigQuerySettings, given)
    assert (settings.project_id, settings.dataset_id) == (project, dataset)


@pytest.mark.parametrize(("days", "expiration"), [(180, 180 * DAY_MS), (1, DAY_MS), (0, None)])
async def test_retention_is_the_expiration_of_the_partitions(
    bigquery_server: BigQueryService,
    bigquery_dataset: str,
    counting: CountingClient,
    days: int,
    expiration: int | None,
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset), retention_days=days):
        assert counting.get_table(f"{bigquery_dataset}.messages").time_partitioning.expiration_ms == expiration


@pytest.mark.parametrize(("before", "after", "expiration"), [(180, 30, 30 * DAY_MS), (30, 0, None), (0, 7, 7 * DAY_MS)])
async def test_retention_that_was_changed_holds_after_reconnecting(
    bigquery_server: BigQueryService,
    bigquery_dataset: str,
    counting: CountingClient,
    before: int,
    after: int,
    expiration: int | None,
) -> None:
    for days in (before, after):
        async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset), retention_days=days):
            pass
    partitioning = counting.get_table(f"{bigquery_dataset}.messages").time_partitioning
    assert (partitioning.expiration_ms, partitioning.field) == (expiration, "stored_at")


async def test_dataset_is_made_where_the_location_says(
    bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset), location="EU"):
        assert counting.get_dataset(bigquery_dataset).location == "EU"


async def test_jobs_run_where_the_dataset_lies(
    bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient
) -> None:
    made = Dataset(f"{bigquery_server.project}.{bigquery_dataset}")
    made.location = "EU"
    counting.create_dataset(made)
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset), location="US") as backend:
        assert (await backend.repository.describe())["location"] == "EU"


async def test_client_of_the_caller_is_used(make_backend: MakeBackend, counting: CountingClient) -> None:
    async with make_backend(client=counting, api_endpoint=None) as backend:
        assert backend.get_client() is counting
        await backend.repository.ping()
    assert counting.jobs == 1


async def test_client_of_the_caller_is_not_closed(
    make_backend: MakeBackend, counting: CountingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(counting, "close", lambda: closed.append(True))
        async with make_backend(client=counting):
            pass
    assert closed == []


def test_client_of_the_caller_names_the_project() -> None:
    client = Client(project="theirs", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    assert load_settings(BigQuerySettings, client=client).project_id == "theirs"


async def test_client_is_there_while_connected(make_backend: MakeBackend) -> None:
    backend = make_backend()
    with pytest.raises(NotConnectedError):
        backend.get_client()
    async with backend:
        assert isinstance(backend.get_client(), Client)
    with pytest.raises(NotConnectedError):
        backend.get_client()


async def test_missing_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(MemoryConnectionError, match="set credentials_path") as caught:
        await BigQueryBackend(project_id="project").connect()
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "content", [None, "no json", "{}", json.dumps({"type": "service_account", "private_key": "?"})]
)
async def test_bad_key_file_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MemoryConnectionError, match="service account") as caught:
        await BigQueryBackend(project_id="project", credentials_path=str(path)).connect()
    assert not caught.value.retryable


async def test_backend_can_be_connected_again(make_backend: MakeBackend) -> None:
    backend = make_backend()
    for _ in range(2):
        async with backend:
            await backend.repository.ping()


def test_missing_driver_says_what_to_install() -> None:
    program = "import sys; sys.modules['google.cloud.bigquery'] = None; import langswarm_memory.backends.bigquery"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MissingDependencyError" in done.stderr
    assert "pip install 'langswarm-memory[bigquery]'" in done.stderr


# ---- what it tells of itself ---------------------------------------------------------------------------------


async def test_health_check_tells_where_the_store_is(
    make_backend: MakeBackend, bigquery_server: BigQueryService, bigquery_shared_dataset: str, counting: CountingClient
) -> None:
    async with make_backend() as backend:
        health = await backend.health_check()
    assert {name: health[name] for name in ("status", "project_id", "dataset_id", "location")} == {
        "status": "healthy",
        "project_id": bigquery_server.project,
        "dataset_id": bigquery_shared_dataset,
        "location": counting.get_dataset(bigquery_shared_dataset).location,
    }


async def test_usage_tells_the_size_of_the_tables(make_backend: MakeBackend) -> None:
    async with make_backend() as backend:
        await filled(backend.repository, [new_message(1)])
        small = (await backend.get_usage_stats()).storage_size_bytes
        await filled(backend.repository, new_messages(100, first=2), "other")
        large = (await backend.get_usage_stats()).storage_size_bytes
    assert 0 < small < large


def test_features_promise_what_transactions_give(make_backend: MakeBackend) -> None:
    features = make_backend().features
    assert (features.atomic_batches, features.gapless_seq, features.commit_ordered) == (True, True, True)
    assert (features.read_your_writes, features.persistent, features.native_expiry) == (True, True, False)
