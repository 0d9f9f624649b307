"""PostgreSQL with pgvector: a table of its own for each test, in one database for all."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores.pgvector import PGVectorStore


def pgvector(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    url, table = request.getfixturevalue("vectors_database"), f"t{uuid4().hex}"
    return lambda dimension: PGVectorStore(url, dimension=dimension, table=table, max_size=4)


def pgvector_exact(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    url, table = request.getfixturevalue("vectors_database"), f"t{uuid4().hex}"
    return lambda dimension: PGVectorStore(
        url, dimension=dimension, table=table, max_size=4, index_method="none", schema="Agents"
    )


STORES = {"pgvector": pgvector, "pgvector-exact": pgvector_exact}
