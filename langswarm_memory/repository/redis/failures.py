"""What the errors of Redis and of redis-py mean."""

from __future__ import annotations

from redis import exceptions as driver

from ...errors import LangSwarmMemoryError, MemoryBackendError, StorageFullError, StorageReadOnlyError
from ..translate import Translating
from .layout import STORE

DRIVER_ERRORS = (driver.RedisError, driver.RedisClusterException)

_REFUSED = (driver.AuthenticationError, driver.AuthorizationError, driver.NoPermissionError)
_UNAVAILABLE = (
    driver.ConnectionError,
    driver.TimeoutError,
    driver.ClusterError,
    driver.TryAgainError,
    driver.AskError,
    driver.RedisClusterException,
)
_UNAVAILABLE_CODES = ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN")
_CANNOT_PERSIST = "MISCONF"
_NEEDS_LOGIN = ("NOAUTH", "WRONGPASS")


def translated(repository: Translating, operation: str, error: BaseException) -> LangSwarmMemoryError:
    """Return our error for one of DRIVER_ERRORS."""
    # redis-py has no class for some replies; what Redis calls the error's code is then the first word of the text.
    code = str(error).partition(" ")[0] if type(error) is driver.ResponseError else ""
    if isinstance(error, _REFUSED) or code in _NEEDS_LOGIN:
        return repository.refused(operation, error, "check the user, the password and what the user may do")
    if isinstance(error, driver.ReadOnlyError):
        return StorageReadOnlyError(operation, STORE, error, suggestion="use the primary, not a replica")
    if isinstance(error, driver.OutOfMemoryError):
        return StorageFullError(operation, STORE, error, suggestion="raise maxmemory, or let sessions expire sooner")
    if code == _CANNOT_PERSIST:
        return StorageFullError(operation, STORE, error, suggestion="the server cannot write to its disk; see its log")
    if isinstance(error, _UNAVAILABLE) or code in _UNAVAILABLE_CODES:
        return repository.unavailable(operation, error)
    return MemoryBackendError(STORE, operation, error)
