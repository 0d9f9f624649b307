"""Repeating what failed for a while, with growing pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import EmbeddingError, MissingDependencyError
from .failures import retry_after
from .provider import EmbeddingUsage

try:
    import stamina
except ModuleNotFoundError as exc:
    raise MissingDependencyError("stamina", extra="embeddings") from exc

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often a failed request is sent again. Only failures that may pass are.

    Args:
        attempts: Requests in all; 1 means no repetition.
        timeout: Seconds after which none is begun any more.
        wait_initial: Seconds before the second request; doubled each time.
        wait_max: Longest pause. A server that asks for a longer one gets no further request of this call.
        wait_jitter: Seconds of chance on top, so that many clients do not come back at once.
    """

    attempts: int = 6
    timeout: float = 120.0
    wait_initial: float = 0.5
    wait_max: float = 30.0
    wait_jitter: float = 1.0


async def repeated(call: Callable[[], Awaitable[T]], policy: RetryPolicy, usage: EmbeddingUsage) -> T:
    """Return the result of the first call that succeeds; each is counted.

    Raises:
        EmbeddingError: The last failure, or the first that asking again does not mend.
    """

    def pause(error: Exception) -> bool | float:
        if not isinstance(error, EmbeddingError) or not error.retryable:
            return False
        asked = retry_after(error.original_error)
        if asked is None:
            return True
        return asked if asked <= policy.wait_max else False

    async for attempt in stamina.retry_context(
        on=pause,
        attempts=policy.attempts,
        timeout=policy.timeout,
        wait_initial=policy.wait_initial,
        wait_max=policy.wait_max,
        wait_jitter=policy.wait_jitter,
    ):
        with attempt:
            usage.requests += 1
            usage.retries += attempt.num > 1
            return await call()
    raise AssertionError("unreachable: the last attempt returns or raises")
