"""Places for sessions and embeddings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.recall.index import SemanticIndex
from tests.conformance.conftest import postgres_database, sqlite_template  # noqa: F401
from tests.conformance.store_elasticsearch import elasticsearch_memory  # noqa: F401
from tests.recall.memories import PAIRS, Memory, memory_of


@pytest.fixture(params=PAIRS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Each of the places, empty."""
    return memory_of(request.param, request, tmp_path)


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """SQLite, with the embeddings in a table of it."""
    return memory_of("sqlite", request, tmp_path)


@pytest.fixture
def beside(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """SQLite, with the embeddings in a vector store."""
    return memory_of("sqlite-beside", request, tmp_path)


@pytest.fixture
async def manager(memory: Memory) -> AsyncIterator[Any]:
    """A manager whose worker does not run: nothing is embedded but by a flush."""
    made = memory.manager()
    yield made
    await made.stop()


@pytest.fixture
def index(manager: Any) -> SemanticIndex:
    """The manager's."""
    found: SemanticIndex = manager.backend.semantic_index
    return found
