"""MongoDB for the shared suites: one server and one database, emptied for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.backends.mongodb import MongoDBBackend
from tests.services.mongodb import MongoService

DATABASE = "conformance"


def mongodb(request: pytest.FixtureRequest, folder: Path) -> Callable[..., BaseMemoryBackend]:
    return _maker(request.getfixturevalue("mongodb_server"), transactions=False)


def mongodb_transactions(request: pytest.FixtureRequest, folder: Path) -> Callable[..., BaseMemoryBackend]:
    return _maker(request.getfixturevalue("mongodb_transactions_server"), transactions=True)


def _maker(service: MongoService, *, transactions: bool) -> Callable[..., BaseMemoryBackend]:
    # To make a database with its indexes takes longer than most tests: the documents go, the indexes stay.
    with MongoClient[dict[str, Any]](service.url) as client:
        for name in ("sessions", "messages", "summaries"):
            client[DATABASE][name].delete_many({})
    common = {"uri": service.url, "database": DATABASE, "transactions": transactions}
    return lambda **options: MongoDBBackend(**{**common, **options})
