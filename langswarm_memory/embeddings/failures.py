"""Errors of a model's client as errors of ours, with an honest word on whether asking again may help."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from ..errors import EmbeddingError

CLIENT_ERRORS = (("openai", "OpenAIError"), ("httpx", "HTTPError"), ("httpx2", "HTTPError"))
"""Where the clients keep the base of their errors. Looked up among what is loaded: no client is imported for it."""

CONNECTION_ERRORS = (("openai", "APIConnectionError"), ("httpx", "TransportError"), ("httpx2", "TransportError"))
"""The server was not reached, or did not answer in time."""

RETRYABLE_STATUS = frozenset({408, 429})  # timeout, too many requests; and whatever is the server's own fault
SPENT = "insufficient_quota"
"""A 429 of this code is no matter of pace: the account is out of money."""


def client_errors() -> tuple[type[BaseException], ...]:
    """Return what a client raises when the server, or the way to it, fails."""
    return (OSError, *_loaded(CLIENT_ERRORS))  # TimeoutError and ConnectionError are OSErrors


def failure(operation: str, provider: str, error: BaseException) -> EmbeddingError:
    """Return the error of ours for one of a client's."""
    made = EmbeddingError(operation, provider, error)
    made.retryable = _retryable(error)
    return made


def bad_answer(operation: str, provider: str, issue: str) -> EmbeddingError:
    """Return the error for an answer that is not what was asked for."""
    made = EmbeddingError(operation, provider)
    made.message = f"{made.message}: {issue}"
    made.args = (made.message,)
    return made


def retry_after(error: BaseException | None) -> float | None:
    """Return the seconds that the server asks to wait, if it does."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if isinstance(value, str) and value.strip().replace(".", "", 1).isdecimal():
            return float(value) * unit
    return None  # a date is left alone: the clocks would have to agree


def _retryable(error: BaseException) -> bool:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return (status in RETRYABLE_STATUS or status >= 500) and getattr(error, "code", None) != SPENT
    return isinstance(error, (OSError, *_loaded(CONNECTION_ERRORS)))


def _loaded(names: Iterable[tuple[str, str]]) -> tuple[type[BaseException], ...]:
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(each for each in found if isinstance(each, type) and issubclass(each, Exception))
