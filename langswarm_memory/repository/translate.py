"""One way for every store to turn its driver's errors into ours."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar

from .._calls import Heeding
from ..errors import LangSwarmMemoryError, MemoryConnectionError, StorageUnavailableError


class Translating:
    """A repository over a driver: ``with self.io("append"): await …`` lets only our own errors out.

    ``OSError``, which includes time-outs, becomes ``StorageUnavailableError``; ``translate`` is asked about the
    driver's own.
    """

    name: str
    driver_errors: ClassVar[tuple[type[BaseException], ...]]
    """What the driver raises, besides ``OSError`` and ``TimeoutError``."""

    def io(self, operation: str) -> _Guard:
        """Return a block in which the driver may be called."""
        return _Guard(self, operation)

    def translate(self, operation: str, error: BaseException) -> LangSwarmMemoryError:
        """Return what one of ``driver_errors`` means. Neither the driver's text nor a secret may get into it."""
        raise NotImplementedError

    def unavailable(self, operation: str, error: BaseException) -> StorageUnavailableError:
        """Return the error of a server that does not answer; worth another try."""
        return StorageUnavailableError(self.name, operation, error, "check that the server runs and is reachable")

    def refused(self, operation: str, error: BaseException, suggestion: str) -> MemoryConnectionError:
        """Return the error of a server that does not let us in; another try would be refused too."""
        found = MemoryConnectionError(self.name, operation, error, suggestion)
        found.retryable = False
        return found


class _Guard(Heeding):
    # A class rather than @contextmanager: it is entered for every call, and costs a third.
    __slots__ = ("_operation", "_store")

    def __init__(self, store: Translating, operation: str) -> None:
        self._store, self._operation = store, operation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None or isinstance(error, LangSwarmMemoryError):
            return
        if isinstance(error, self._store.driver_errors):
            raise self._store.translate(self._operation, error) from error
        if isinstance(error, OSError):
            raise self._store.unavailable(self._operation, error) from error
