"""The rules of ``vector_stores/protocol.py`` that its signatures do not say, as suites of tests.

    class TestMyStore(VectorStoreConformance, VectorStorePersistence, VectorStoreEnumeration):
        @pytest.fixture
        def make_vector_store(self):
            return lambda dimension: MyStore(collection="tests", dimension=dimension)

Needs pytest, pytest-asyncio and NumPy, whose cosine is the oracle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

# Before the modules are imported: only then does a failed assert show its values.
pytest.register_assert_rewrite(
    *(f"{__package__}.{module}" for module in ("vector_points", "vector_filters", "vector_lifecycle"))
)

from ..vector_stores.protocol import VectorStore  # noqa: E402 - after the registration above
from .vector_filters import FilterRules  # noqa: E402
from .vector_lifecycle import EnumerationRules, PersistenceRules  # noqa: E402
from .vector_points import PointRules  # noqa: E402
from .vector_samples import DIMENSION  # noqa: E402

MakeVectorStore = Callable[[int], VectorStore]
"""Returns a store of a dimension, not open: each time another, on the same collection."""


class _Suite:
    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def make_vector_store(self) -> MakeVectorStore:
        """Return a maker of stores on one collection that does not exist yet; a fixture of this name replaces it."""
        raise NotImplementedError("override the fixture `make_vector_store`: return a function of the dimension")

    @pytest.fixture
    async def vector_store(self, make_vector_store: MakeVectorStore) -> AsyncIterator[VectorStore]:
        """An open, empty store."""
        store = make_vector_store(DIMENSION)
        await store.open()
        yield store
        await store.close()


class VectorStoreConformance(_Suite, PointRules, FilterRules):
    """Subclass it and override `make_vector_store`. What every vector store does."""


class VectorStorePersistence(_Suite, PersistenceRules):
    """What a store does that keeps its points when it is closed: all but those in memory."""


class VectorStoreEnumeration(_Suite, EnumerationRules):
    """What a store does that has the optional ``Enumerates``."""
