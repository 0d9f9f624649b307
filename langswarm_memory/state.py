"""What a backend tells of its store: how much it holds, and how it is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .errors import LangSwarmMemoryError
from .interfaces.enums import MemoryBackendType, SessionStatus
from .interfaces.records import MemoryUsage
from .interfaces.timestamps import Timestamp
from .repository.optional import Describes
from .repository.protocol import MemoryRepository

if TYPE_CHECKING:
    from .recall.worker import EmbeddingWorker

T = TypeVar("T")

DEGRADED_MS = 1_000.0  # a ping slower than this is "degraded"


class TellsState:
    """The methods of a backend that count and check."""

    kind: ClassVar[MemoryBackendType]
    repository: MemoryRepository
    clock: Callable[[], Timestamp]
    embedding_worker: EmbeddingWorker | None
    _last_error: LangSwarmMemoryError | None
    _last_cleanup: Timestamp | None

    if TYPE_CHECKING:

        async def perform(self, call: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
            """Call the repository."""

    async def get_usage_stats(self) -> MemoryUsage:
        """Return how much is stored."""
        stats = await self.perform(self.repository.stats)
        return MemoryUsage(
            session_count=stats.sessions,
            message_count=stats.messages,
            total_tokens=stats.tokens,
            storage_size_bytes=stats.size_bytes,
            active_sessions=stats.sessions_by_status.get(SessionStatus.ACTIVE.value, 0),
            last_cleanup=self._last_cleanup,
        )

    async def count_by_status(self) -> Mapping[str, int]:
        """Return how many sessions there are of each status."""
        return (await self.perform(self.repository.stats)).sessions_by_status

    async def health_check(self) -> dict[str, Any]:
        """Return the state of the store; a store that is down is reported, not raised.

        Keys: ``status`` (healthy, degraded: a ping takes over a second, unhealthy), ``connected``, ``backend``,
        ``backend_type``, ``response_time_ms``, ``session_count``, ``message_count``, ``last_error`` (of this
        process, or None), ``error`` (only when unhealthy), ``timestamp`` (ISO), and what the store tells of itself,
        such as its ``database`` or ``version``. Where a started manager embeds messages: ``embedding_lag`` (sessions
        that wait) and ``embedding_error``.
        """
        report: dict[str, Any] = {
            "status": "unhealthy",
            "connected": False,
            "backend": self.kind.value,
            "backend_type": self.kind.value,
            "response_time_ms": None,
            "session_count": None,
            "message_count": None,
            "last_error": None if self._last_error is None else str(self._last_error),
            "timestamp": self.clock().isoformat(),
        }
        try:
            start = time.perf_counter()
            await self.perform(self.repository.ping)
            elapsed = (time.perf_counter() - start) * 1_000
            stats = await self.perform(self.repository.stats)
            if isinstance(self.repository, Describes):
                report.update(await self.perform(self.repository.describe))
        except LangSwarmMemoryError as exc:
            report["error"] = report["last_error"] = str(exc)
            return report
        report.update(
            status="healthy" if elapsed < DEGRADED_MS else "degraded",
            connected=True,
            response_time_ms=round(elapsed, 3),
            session_count=stats.sessions,
            message_count=stats.messages,
        )
        if self.embedding_worker is not None:
            report.update(embedding_lag=self.embedding_worker.lag, embedding_error=self.embedding_worker.last_error)
        return report
