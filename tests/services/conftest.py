"""The servers of the stores that are on the road map: Redis, MongoDB, Elasticsearch and BigQuery.

Their tests need the client packages, which no development environment has to have yet. Where one is missing they are
not collected; ``python -m tests.services up`` brings the servers.
"""

from __future__ import annotations

import importlib.util

import pytest

CLIENTS = ("redis", "motor", "elasticsearch", "google.cloud.bigquery")


def installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a package inside a missing one
        return False


COMPLETE = all(map(installed, CLIENTS))
collect_ignore = (
    []
    if COMPLETE
    else [
        "test_bigquery_server.py",
        "test_elasticsearch_server.py",
        "test_install.py",
        "test_mongodb_server.py",
        "test_mongodb_transactions.py",
        "test_redis_server.py",
        "test_server.py",
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    if COMPLETE:
        config.pluginmanager.import_plugin("tests.services.fixtures_servers")
