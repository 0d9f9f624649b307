"""Embedding behind the appends: one task of a started manager, which keeps nothing that must survive."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable

from ..errors import LangSwarmMemoryError, describe
from .index import SemanticIndex, Touched

logger = logging.getLogger("langswarm_memory")

CAPACITY = 10_000  # sessions that wait at most; what finds no room is found by the next sweep
SWEEP_PAGE = 200  # stale sessions per statement
SWEEP_SECONDS = 60.0  # between two looks for what other processes left behind
RETRY_SECONDS = 5.0  # after a failure, before the next session is tried
REMEMBERED = 1_000  # messages touched in a session that are kept in mind; beyond that it is compared as a whole


class EmbeddingWorker:
    """Brings sessions up to date, one after the other, in the order in which they changed.

    Args:
        index: What it brings up to date.
    """

    def __init__(self, index: SemanticIndex) -> None:
        self.index = index
        self.last_error: str | None = None
        self.embedded = 0
        self._waiting: OrderedDict[str, Touched | None] = OrderedDict()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._working: str | None = None

    @property
    def lag(self) -> int:
        """How many sessions wait, as far as this process knows; the one that is being embedded included."""
        return len(self._waiting) + (self._working is not None and self._working not in self._waiting)

    def start(self) -> None:
        """Begin, with what was left behind when the last process ended."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def appended(self, session_id: str) -> None:
        """Note that messages were appended to a session. No I/O."""
        self._note(session_id, None, keep=True)

    def touched(self, session_id: str, edits: int, seqs: Iterable[int], removed: Iterable[str]) -> None:
        """Note that a rewrite changed messages of a session.

        Args:
            session_id: The session.
            edits: Its count after the rewrite.
            seqs: Messages that were replaced.
            removed: Ids of messages that were deleted.
        """
        touched = self._waiting.get(session_id)
        if touched is None or touched.to_edits != edits - 1:
            touched = Touched(edits - 1, edits)  # of no use if others changed something before: the index will see
        touched.to_edits = edits
        touched.seqs.update(seqs)
        touched.removed.update(removed)
        if len(touched.seqs) + len(touched.removed) > REMEMBERED:
            touched = None
        self._note(session_id, touched, keep=False)

    def _note(self, session_id: str, touched: Touched | None, *, keep: bool) -> None:
        if session_id not in self._waiting:
            if len(self._waiting) >= CAPACITY:
                return
            self._waiting[session_id] = touched
        elif not keep:
            self._waiting[session_id] = touched
        self._wake.set()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                await self._sweep()
            if not self._waiting:
                try:
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            self._wake.clear()
            while self._waiting:
                await self._next()

    async def _next(self) -> None:
        self._working, touched = self._waiting.popitem(last=False)
        try:
            # A provider may be the application's own and raise anything; the next session must not wait for that.
            [outcome] = await asyncio.gather(
                self.index.bring_up_to_date(self._working, touched), return_exceptions=True
            )
            if isinstance(outcome, BaseException):
                self._failed(outcome)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.embedded += outcome
                self.last_error = None
        finally:
            self._working = None

    def _failed(self, error: BaseException) -> None:
        self.last_error = describe(error)
        logger.warning("session %r is not embedded, trying again later: %s", self._working, self.last_error)

    async def _sweep(self) -> None:
        """Queue the sessions that are stale for whatever reason: a crash, or another process without a worker."""
        after: str | None = None
        try:
            while len(self._waiting) < CAPACITY and (page := await self.index.stale(SWEEP_PAGE, after)):
                for state in page:
                    self._waiting.setdefault(state.session_id, None)
                after = page[-1].session_id
        except LangSwarmMemoryError as exc:
            self._failed(exc)

    async def flush(self) -> None:
        """Bring everything up to date that is stale now, in this call, and return.

        Raises:
            LangSwarmMemoryError: What failed first; the rest was brought up to date all the same.
        """
        failure: BaseException | None = None
        after: str | None = None
        while page := await self.index.stale(SWEEP_PAGE, after):
            for state in page:
                touched = self._waiting.pop(state.session_id, None)
                try:
                    self.embedded += await self.index.bring_up_to_date(state.session_id, touched)
                except LangSwarmMemoryError as exc:
                    failure = failure or exc
            after = page[-1].session_id
        if failure is not None:
            self.last_error = describe(failure)
            raise failure
        self.last_error = None

    async def stop(self) -> None:
        """End. What waits is found again by the next process that starts."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._waiting.clear()
