"""Every vector store of the project under the shipped suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory.testing.vector_stores import (
    MakeVectorStore,
    VectorStoreConformance,
    VectorStoreEnumeration,
    VectorStorePersistence,
)
from tests.vector_stores.stores import ENUMERATING, PERSISTENT, STORES


class TestEveryStore(VectorStoreConformance):
    @pytest.fixture(params=STORES)
    def make_vector_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeVectorStore:
        return STORES[request.param](request, tmp_path)


class TestStoresThatPersist(VectorStorePersistence):
    @pytest.fixture(params=PERSISTENT)
    def make_vector_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeVectorStore:
        return STORES[request.param](request, tmp_path)


class TestStoresThatEnumerate(VectorStoreEnumeration):
    @pytest.fixture(params=ENUMERATING)
    def make_vector_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeVectorStore:
        return STORES[request.param](request, tmp_path)
