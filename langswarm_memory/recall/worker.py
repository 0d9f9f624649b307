"""Embedding behind the appends: one task of a started manager, which keeps nothing that must survive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import LangSwarmMemoryError, describe
from .index import SemanticIndex, Touched

logger = logging.getLogger("langswarm_memory")

CAPACITY = 10_000  # sessions that wait at most; what finds no room is found by a later sweep
SWEEP_PAGE = 200  # stale sessions per statement
SWEEP_SECONDS = 60.0  # between two looks for what other processes left behind
RETRY_SECONDS = 5.0  # after a failure, before the next session is tried; the failed one waits longer each time
MAX_RETRY_SECONDS = 300.0
REMEMBERED = 1_000  # messages touched in a session that are kept in mind; beyond that it is compared as a whole


class _Later(NamedTuple):
    """A session that failed."""

    due: float
    delay: float


class EmbeddingWorker:
    """Brings sessions up to date, one after the other, in the order in which they changed.

    Of several processes each takes what was appended through it. Of what is stale besides it takes what no other has
    moved between two looks, in no order, so that two that find the same rarely meet.

    Args:
        index: What it brings up to date.
        retry_seconds: Pause after a failure, and between the first two looks.
        sweep_seconds: Between two later looks for what other processes left behind.
    """

    def __init__(
        self, index: SemanticIndex, *, retry_seconds: float = RETRY_SECONDS, sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self.index = index
        self.last_error: str | None = None
        self.embedded = 0
        self._retry_seconds, self._sweep_seconds = retry_seconds, sweep_seconds
        self._waiting: OrderedDict[str, Touched | None] = OrderedDict()
        self._later: dict[str, _Later] = {}
        self._seen: dict[str, tuple[int, int]] | None = None  # what was stale at the look before
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._working: str | None = None

    @property
    def lag(self) -> int:
        """How many sessions wait, as far as this process knows: those being embedded, and failed ones, included."""
        waiting = {*self._waiting, *self._later}
        return len(waiting) + (self._working is not None and self._working not in waiting)

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
        clock = asyncio.get_running_loop().time
        sweep_at = clock()
        while True:
            self._wake.clear()
            if clock() >= sweep_at:
                first = self._seen is None
                await self._sweep()
                sweep_at = clock() + (self._retry_seconds if first else self._sweep_seconds)
            for session_id in [one for one, later in self._later.items() if later.due <= clock()]:
                self._waiting.setdefault(session_id, None)
            if self._waiting:
                await self._next()
                continue
            until = min([sweep_at, *(later.due for later in self._later.values())])
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _next(self) -> None:
        self._working, touched = self._waiting.popitem(last=False)
        try:
            failure = await self._bring_up_to_date(self._working, touched)
            if failure is not None:
                logger.warning("session %r is not embedded, trying again later: %s", self._working, describe(failure))
        finally:
            self._working = None
        if failure is not None:
            await asyncio.sleep(self._retry_seconds)  # where the provider is down, the next would fail as well

    async def _bring_up_to_date(self, session_id: str, touched: Touched | None) -> BaseException | None:
        """Embed a session and return what went wrong.

        A provider may be the application's own and raise anything; the next session must not suffer from that.
        """
        [outcome] = await asyncio.gather(self.index.bring_up_to_date(session_id, touched), return_exceptions=True)
        if isinstance(outcome, BaseException):
            before = self._later.get(session_id)
            delay = self._retry_seconds if before is None else min(2 * before.delay, MAX_RETRY_SECONDS)
            self._later[session_id] = _Later(asyncio.get_running_loop().time() + delay, delay)
            self.last_error = describe(outcome)
            return outcome
        self.embedded += outcome
        self._later.pop(session_id, None)
        if not self._later:
            self.last_error = None
        return None

    async def _sweep(self) -> None:
        """Queue the sessions that are stale for whatever reason: a crash, or another process without a worker."""
        seen: dict[str, tuple[int, int]] = {}
        after: str | None = None
        try:
            while max(len(self._waiting), len(seen)) < CAPACITY and (page := await self.index.stale(SWEEP_PAGE, after)):
                for state in random.sample(page, len(page)):
                    seen[state.session_id] = here = (state.indexed_seq, state.indexed_edits)
                    left = self._seen is not None and self._seen.get(state.session_id) == here
                    if left and state.session_id not in self._later:
                        self._waiting.setdefault(state.session_id, None)
                after = page[-1].session_id
        except LangSwarmMemoryError as exc:
            self.last_error = describe(exc)
            logger.warning("looking for messages that are not embedded failed, trying again later: %s", self.last_error)
            return
        self._seen = seen

    async def flush(self) -> None:
        """Bring everything up to date that is stale now, in this call, and return.

        Raises:
            LangSwarmMemoryError: What failed first; the rest was brought up to date all the same. A provider of the
                application's may raise errors of its own.
        """
        failure: BaseException | None = None
        after: str | None = None
        while page := await self.index.stale(SWEEP_PAGE, after):
            for state in page:
                touched = self._waiting.pop(state.session_id, None)
                failure = await self._bring_up_to_date(state.session_id, touched) or failure
            after = page[-1].session_id
        if failure is not None:
            raise failure
        self._later.clear()  # what failed and is not stale any more: it was deleted, or another process embedded it
        self.last_error = None

    async def stop(self) -> None:
        """End. What waits is found again by the next process that starts."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._waiting.clear()
        self._later.clear()
