"""The rules of ``repository/protocol.py`` that its signatures do not say, as one suite of tests."""

from __future__ import annotations

import pytest

from ..repository.protocol import MemoryRepository
from .appends import AppendRules
from .concurrency import ConcurrencyRules
from .content import ContentRules
from .deletions import DeletionRules
from .indexes import IndexRules
from .lifecycle import LifecycleRules
from .listings import ListingRules
from .reads import ReadRules
from .rewrites import CopyRules, RewriteRules
from .search import SearchRules
from .sessions import SessionRules
from .summaries import SummaryRules


class RepositoryConformance(
    LifecycleRules,
    SessionRules,
    ListingRules,
    AppendRules,
    ConcurrencyRules,
    ReadRules,
    ContentRules,
    DeletionRules,
    RewriteRules,
    CopyRules,
    SummaryRules,
    IndexRules,
    SearchRules,
):
    """Subclass it and override `repository`.

    The suite asks ``repository.features`` what the store promises: where ``gapless_seq``, ``atomic_batches`` or
    ``commit_ordered`` is False, the weaker rule of the protocol is tested in its place; without ``text_search`` those
    tests are skipped. Every write must be visible to the next call, so a store without ``read_your_writes`` gives the
    suite a repository that waits.

    All instants lie in the year 2100, so that a store with a clock of its own removes nothing by itself.
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def repository(self) -> MemoryRepository:
        """Return an open repository that holds nothing; a fixture of the same name replaces this one."""
        raise NotImplementedError("override the fixture `repository`: yield an open, empty repository and close it")
