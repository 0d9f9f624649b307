"""A database for the tables of all tests here: making one takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.postgres import PostgresService


@pytest.fixture(scope="module")
def vectors_database(postgres_server: PostgresService) -> Iterator[str]:
    """URL of a database that the module's tests share."""
    with postgres_server.fresh_database() as url:
        yield url
