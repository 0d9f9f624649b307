"""What a started manager does off the path of an append: summaries and embeddings."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from .backend import BaseMemoryBackend
from .errors import SessionNotFoundError, describe
from .interfaces.contracts import IMemoryBackend
from .summaries import STRATEGY, SummaryStrategy, make_due

if TYPE_CHECKING:
    from .session import BaseMemorySession

logger = logging.getLogger("langswarm_memory")

CAPACITY = 1_000  # sessions that wait at most; one that finds no room falls due again half a threshold later
REMEMBERED = 10_000  # sessions of which it is known when to look again


class SummaryWorker:
    """Makes due summaries, one after the other, in the order in which sessions fell due.

    It keeps nothing that must survive: whether a summary is due is seen in the store.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, BaseMemorySession] = OrderedDict()
        self._look_at: OrderedDict[str, int] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._making: str | None = None
        self.last_error: str | None = None

    @property
    def lag(self) -> int:
        """How many sessions wait for a summary, the one that is being made included."""
        return len(self._waiting) + (self._making is not None and self._making not in self._waiting)

    def appended(self, session: BaseMemorySession, last_seq: int, inserted: int) -> None:
        """Note an append; where a summary may be due, the session waits for one. No I/O.

        Of several processes it is the one whose append crossed the threshold; the others look half a threshold later,
        in case that one is gone.
        """
        session_id, metadata = session.session_id, session.metadata
        threshold = max(1, metadata.summary_threshold)
        past = last_seq - self._look_at.get(session_id, threshold)
        if past < 0 or (past % threshold >= inserted and past < threshold // 2):
            return
        if not metadata.auto_summarize or metadata.properties.get(STRATEGY) == SummaryStrategy.MANUAL:
            return
        if session_id not in self._waiting and len(self._waiting) >= CAPACITY:
            return
        self._waiting[session_id] = session
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            self._making, session = self._waiting.popitem(last=False)
            try:
                await self._look(session)
            finally:
                self._making = None

    async def _look(self, session: BaseMemorySession) -> None:
        # A summarizer is the application's and may raise anything; the next session must not wait for that.
        [outcome] = await asyncio.gather(make_due(session), return_exceptions=True)
        session_id = session.session_id
        if not isinstance(outcome, BaseException):
            self._remember(session_id, outcome.look_at)
        elif isinstance(outcome, SessionNotFoundError):
            self._look_at.pop(session_id, None)
        else:
            self.last_error = describe(outcome)
            logger.warning("no summary of session %r, trying again later: %s", session_id, self.last_error)
            known = self._look_at.get(session_id, session.metadata.summary_threshold)
            self._remember(session_id, known + max(1, session.metadata.summary_threshold))

    def _remember(self, session_id: str, look_at: int) -> None:
        self._look_at[session_id] = look_at
        self._look_at.move_to_end(session_id)
        if len(self._look_at) > REMEMBERED:
            self._look_at.popitem(last=False)

    async def flush(self) -> None:
        """Return when no session waits any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Abandon what waits. A summary that is being stored is stored; one that is being written is not."""
        self._waiting.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


class WorksInBackground:
    """The part of a manager that knows of the workers. They belong to the backend, which managers share."""

    _backend: IMemoryBackend
    _summarize: bool

    def _begin_work(self) -> None:
        backend = self._backend
        if not isinstance(backend, BaseMemoryBackend):
            return
        if self._summarize and backend.summary_worker is None:
            backend.summary_worker = SummaryWorker()
        if backend.is_semantic and backend.embedding_worker is None:
            from .recall.worker import EmbeddingWorker

            backend.embedding_worker = EmbeddingWorker(backend.semantic_index)
            backend.embedding_worker.start()

    async def _end_work(self) -> None:
        backend = self._backend
        if not isinstance(backend, BaseMemoryBackend):
            return
        if backend.summary_worker is not None:
            worker, backend.summary_worker = backend.summary_worker, None
            await worker.stop()
        if backend.embedding_worker is not None:
            embedding, backend.embedding_worker = backend.embedding_worker, None
            await embedding.stop()

    def _worker(self) -> SummaryWorker | None:
        return self._backend.summary_worker if isinstance(self._backend, BaseMemoryBackend) else None

    @property
    def summary_lag(self) -> int:
        """How many sessions wait for a summary, the one that is being made included."""
        worker = self._worker()
        return 0 if worker is None else worker.lag

    @property
    def embedding_lag(self) -> int:
        """How many sessions wait to be embedded, as far as this process knows."""
        worker = self._backend.embedding_worker if isinstance(self._backend, BaseMemoryBackend) else None
        return 0 if worker is None else worker.lag

    async def flush(self) -> None:
        """Wait until every summary is made, and every message embedded, that fell due with an append so far.

        A summary that fails is logged, shown in the health of :meth:`get_system_stats`, and tried again a
        ``summary_threshold`` later, or when it is asked for. Messages of other processes are embedded, too.

        Raises:
            LangSwarmMemoryError: Messages could not be embedded; the next flush, or the worker, tries again.
        """
        worker = self._worker()
        if worker is not None:
            await worker.flush()
        backend = self._backend
        if isinstance(backend, BaseMemoryBackend) and backend.is_semantic:
            from .recall.worker import EmbeddingWorker

            await (backend.embedding_worker or EmbeddingWorker(backend.semantic_index)).flush()

    def _summary_health(self) -> dict[str, object]:
        worker = self._worker()
        error = None if worker is None else worker.last_error
        return {"summary_lag": self.summary_lag, "summary_error": error}
