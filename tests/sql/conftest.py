"""Databases for the relational tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langswarm_memory.relational import RelationalBackend
from tests.sql.databases import Alembic, Database

SCHEMA = "My Schema-1"
"""A schema whose name has to be quoted wherever it is written."""


@pytest.fixture(params=["sqlite", "postgres", "postgres-schema"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    url: str = request.getfixturevalue("postgres_url")
    return Database("postgres", url, SCHEMA if request.param == "postgres-schema" else None)


@pytest.fixture
def alembic() -> Alembic:
    """The alembic command, in the checkout."""
    return Alembic()


@pytest.fixture(params=["sqlite", "sqlite-memory", "postgres", "postgres-schema"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RelationalBackend]:
    """A connected backend of each kind over an empty database."""
    place = {"sqlite": f"sqlite:///{tmp_path / 'memory.db'}", "sqlite-memory": ":memory:"}.get(request.param)
    if place is not None:
        opened = Database("sqlite", place).backend()
    else:
        schema = SCHEMA if request.param == "postgres-schema" else None
        opened = Database("postgres", request.getfixturevalue("postgres_url"), schema).backend()
    async with opened:
        yield opened
