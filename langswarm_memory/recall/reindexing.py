"""Changing the embedding model: the new one's index is made beside the old one, checked, and the old one dropped.

Which model is asked is what the application is configured with, since only it holds what embeds a question. So an
index is complete before anybody asks it, and the switch is the application's next start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ..embeddings.provider import IEmbeddingProvider
from ..errors import LangSwarmMemoryError, UnsupportedOperationError, describe
from ..interfaces.contracts import ProgressCallback
from ..repository.matching import SCORE_DIGITS
from ..repository.optional import IndexState
from ..repository.text_search import SearchFilter
from .building import index_for
from .embedded import EmbeddingIndex, Near
from .index import SemanticIndex

if TYPE_CHECKING:
    from ..backend import BaseMemoryBackend

PAGE = 200  # sessions per statement
PASSES = 5  # over what was appended while the pass before was running
NEAREST = 10
SAMPLE = 100
LEAST_RECALL = 0.95
GIVEN_UP = 5  # failures one after the other: that is the provider, not a text


@runtime_checkable
class KeepsModels(Protocol):
    """An index of embeddings that keeps those of several models side by side."""

    async def models(self) -> list[tuple[str, int, int]]:
        """Return name, dimension and number of embeddings of every model."""

    async def sample(self, count: int) -> list[list[float]]:
        """Return some of the model's vectors, chosen at random."""

    async def nearest_exactly(self, vector: list[float], where: SearchFilter, limit: int) -> list[Near]:
        """Return what ``nearest`` would if it looked at every vector."""


class ModelIndex(NamedTuple):
    """The index of a model, as a store has it."""

    model: str
    dimension: int
    embeddings: int


@dataclass
class ReindexReport:
    """What a reindexing did.

    Args:
        model: The model.
        dimension: Of its vectors; None if that is not known before the model is asked.
        sessions: Sessions that were brought up to date; in a dry run, that would be.
        messages: Messages to look at in them.
        embedded: Messages that were embedded.
        embeddings: What the index holds now.
        sampled: Vectors of which the nearest were looked up twice.
        recall: Share of their ten nearest that the index found. None: there was nothing to compare.
        failures: Sessions that could not be embedded, and why.
    """

    model: str
    dimension: int | None = None
    sessions: int = 0
    messages: int = 0
    embedded: int = 0
    embeddings: int = 0
    sampled: int = 0
    recall: float | None = None
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the application may switch to the model."""
        return not self.failures and (self.recall is None or self.recall >= LEAST_RECALL)


async def indexes(backend: BaseMemoryBackend) -> list[ModelIndex]:
    """Return the models of which the store keeps embeddings.

    Raises:
        UnsupportedOperationError: The store keeps none by itself.
    """
    await backend.ensure_connected()
    return [ModelIndex(*row) for row in await _keeper(_own(backend, "", 1)).models()]


async def reindex(
    backend: BaseMemoryBackend,
    provider: IEmbeddingProvider,
    *,
    progress: ProgressCallback | None = None,
    sample: int = SAMPLE,
    dry_run: bool = False,
) -> ReindexReport:
    """Make the index of a model complete, and check it. What is embedded already is not embedded again.

    Appends go on meanwhile. Other models' indexes stay as they are.

    Args:
        backend: Whose messages; its store keeps the embeddings.
        provider: Makes the vectors.
        progress: Called after each session with messages done, messages in all, and the session.
        sample: Vectors by which the index is held against exact search.
        dry_run: Count what is to be done, and embed nothing.

    Raises:
        UnsupportedOperationError: The store keeps no embeddings by itself.
        LangSwarmMemoryError: The provider fails on every message.
    """
    await backend.ensure_connected()
    if dry_run:
        index = SemanticIndex(backend, provider, _own(backend, provider.model, 1), provider.model)
        states = await _stale(index, None)
        return ReindexReport(provider.model, sessions=len(states), messages=sum(map(_size, states)))
    dimension = await provider.measure_dimension()
    _own(backend, provider.model, dimension)
    index = index_for(backend, provider, dimension)
    report = ReindexReport(provider.model, dimension)
    await index.open()
    for _ in range(PASSES):
        states = [state for state in await _stale(index, None) if state.session_id not in report.failures]
        if not states:
            break
        await _embed(index, states, report, progress)
    report.embeddings = await index.embedded.count()
    report.sampled, report.recall = await recall_of(index.embedded, sample)
    return report


async def drop_index(backend: BaseMemoryBackend, model: str) -> int:
    """Delete the embeddings of a model, and what is noted of them; return how many there were."""
    await backend.ensure_connected()
    embedded = _own(backend, model, 1)
    count = await embedded.count()
    index = SemanticIndex(backend, _Nothing(), embedded, model)
    # In this order: sessions that are noted as indexed must never be without their embeddings.
    await backend.perform(index.tracker.forget_index, model)
    await embedded.destroy()
    return count


def _own(backend: BaseMemoryBackend, model: str, dimension: int) -> EmbeddingIndex:
    driver = getattr(backend.repository, "driver", None)
    if driver is None or backend.settings.vector_store is not None:
        raise UnsupportedOperationError(
            backend.repository.name,
            "an index beside another",
            "configure the new embedding with a vector_store collection of its own, and await flush() of a manager",
        )
    made: EmbeddingIndex = driver.embeddings(model or "-", dimension)
    return made


def _keeper(embedded: EmbeddingIndex) -> KeepsModels:
    assert isinstance(embedded, KeepsModels)  # those of a database do
    return embedded


async def _stale(index: SemanticIndex, after: str | None) -> list[IndexState]:
    """Return all stale sessions; some 200 bytes of memory each."""
    backend, found = index.backend, list[IndexState]()
    while page := await backend.perform(index.tracker.stale_sessions, index.name, limit=PAGE, after=after):
        found += page
        after = page[-1].session_id
    return found


def _size(state: IndexState) -> int:
    return state.last_seq - (state.indexed_seq if state.edits == state.indexed_edits else 0)


async def _embed(
    index: SemanticIndex, states: list[IndexState], report: ReindexReport, progress: ProgressCallback | None
) -> None:
    total, in_a_row = report.messages + sum(map(_size, states)), 0
    for state in states:
        # A provider may be the application's own and raise anything.
        [outcome] = await asyncio.gather(index.bring_up_to_date(state.session_id), return_exceptions=True)
        if isinstance(outcome, BaseException):
            in_a_row += 1
            if in_a_row == GIVEN_UP or len(states) == 1 or not isinstance(outcome, LangSwarmMemoryError | ValueError):
                raise outcome
            report.failures[state.session_id] = describe(outcome)
            continue
        in_a_row = 0
        report.embedded += outcome
        report.sessions += 1
        report.messages += _size(state)
        if progress is not None:
            progress(report.messages, total, state.session_id)


async def recall_of(embedded: EmbeddingIndex, sample: int) -> tuple[int, float | None]:
    """Look up the nearest of stored vectors, by the index and exactly, and compare."""
    keeper, where = _keeper(embedded), SearchFilter()
    expected = right = 0
    vectors = await keeper.sample(sample)
    for vector in vectors:
        exact = await keeper.nearest_exactly(vector, where, NEAREST)
        if exact:
            # By score: of messages that say the same, one is as good as another.
            least = round(exact[-1].score, SCORE_DIGITS - 1)
            near = await embedded.nearest(vector, where, NEAREST)
            expected += len(exact)
            right += sum(round(one.score, SCORE_DIGITS - 1) >= least for one in near)
    return len(vectors), right / expected if expected else None


class _Nothing(IEmbeddingProvider):
    """Stands for a model that is not asked any more."""

    async def embed_text(self, text: str) -> list[float]:
        raise NotImplementedError

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def get_dimension(self) -> int:
        raise NotImplementedError
