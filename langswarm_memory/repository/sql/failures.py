"""Driver errors to ours: recognised by class and code, never by text."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ...errors import (
    CorruptRecordError,
    LangSwarmMemoryError,
    MemoryBackendError,
    MemoryConnectionError,
    QueryError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)

# https://www.sqlite.org/rescode.html: the low byte is the primary code.
_SQLITE_UNAVAILABLE = {5, 6, 10, 14, 15}  # BUSY LOCKED IOERR CANTOPEN PROTOCOL
_SQLITE_READONLY = {3, 8, 23}  # PERM READONLY AUTH
_SQLITE_FULL = 13
_SQLITE_CORRUPT = {11, 26}  # CORRUPT NOTADB

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PG_REFUSED = {
    "28000",
    "28P01",
    "3D000",
}  # wrong role, wrong password, no such database: trying again is no use
_PG_FULL = {"53100"}
_PG_READONLY = {"25006", "42501"}
_PG_UNAVAILABLE = ("08", "40", "53", "55", "57")
_PG_CORRUPT = {"XX001", "XX002"}


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error below SQLAlchemy's wrappers."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
        if error.__cause__ is not None and not isinstance(error, sqlite3.Error):
            error = error.__cause__  # SQLAlchemy's asyncpg adapter chains asyncpg's error
    return error


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's five-character code, if the error has one."""
    code = getattr(driver_error(error), "sqlstate", None)
    return code if isinstance(code, str) else None


def is_unique_violation(error: BaseException) -> bool:
    """Return whether a row was refused because its key is taken."""
    found = driver_error(error)
    if isinstance(found, sqlite3.IntegrityError):
        return found.sqlite_errorname in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    return sqlstate(error) == "23505"


def is_connection_loss(error: BaseException) -> bool:
    """Return whether the connection is gone, so that another one may do."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    found = driver_error(error)
    code = sqlstate(error)
    return (
        isinstance(found, ConnectionError)
        or type(found).__name__ in ("InterfaceError", "ConnectionDoesNotExistError", "InternalClientError")
        or (code is not None and (code.startswith("08") or code in ("57P01", "57P02", "57P03")))
    )


def translate(store: str, operation: str, error: BaseException) -> LangSwarmMemoryError:
    """Return our error for a driver's; raise it ``from`` the driver's."""
    if isinstance(error, LangSwarmMemoryError):
        return error
    found = driver_error(error)
    if isinstance(found, sqlite3.Error):
        return _from_sqlite(store, operation, found)
    code = sqlstate(error)
    if code is not None:
        return _from_sqlstate(store, operation, found, code)
    if is_connection_loss(error) or isinstance(found, OSError | TimeoutError | PoolTimeout):
        suggestion = "check that the server runs and is reachable"
        if isinstance(found, PoolTimeout):
            suggestion = "all connections are in use; raise the pool size or pool_timeout"
        return StorageUnavailableError(store, operation, found, suggestion)
    return MemoryBackendError(store, operation, found)


def query_failure(store: str, error: BaseException) -> LangSwarmMemoryError:
    """Return our error for a query of the caller's: the query is at fault, unless the store could not be reached."""
    found, raised = driver_error(error), translate(store, "query", error)
    # asyncpg has one class for a connection that is gone and for parameters that are too few or too many.
    misused = type(found).__name__ == "InterfaceError" and not getattr(error, "connection_invalidated", False)
    if isinstance(raised, MemoryConnectionError | StorageFullError | CorruptRecordError) and not misused:
        return raised
    code = getattr(found, "sqlite_errorcode", None) or sqlstate(error)
    hint = READS_ONLY if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY, "25006") else IN_ITS_OWN_WORDS
    return QueryError(store, "query", found, hint)


READS_ONLY = "query() only reads; use orm(write=True) to write"
IN_ITS_OWN_WORDS = "what the database says about it is in __cause__"

DRIVER_ERRORS: tuple[type[BaseException], ...] = (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
"""What a database call may raise, besides the server driver's own classes."""


def _from_sqlite(store: str, operation: str, error: sqlite3.Error) -> LangSwarmMemoryError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in _SQLITE_UNAVAILABLE:
        hint = "another process holds the database; try again or raise timeout" if primary in (5, 6, 15) else None
        if primary == 14:
            hint = "check that the directory of db_path exists and is writable"
        return StorageUnavailableError(store, operation, error, hint)
    if primary == _SQLITE_FULL:
        return StorageFullError(operation, store, error, suggestion="free disk space and repeat the call")
    if primary in _SQLITE_READONLY:
        return StorageReadOnlyError(
            operation, store, error, suggestion="make the database file and its directory writable"
        )
    if primary in _SQLITE_CORRUPT:
        return CorruptRecordError(store, "database file", error)
    return MemoryBackendError(store, operation, error)


def _from_sqlstate(store: str, operation: str, error: BaseException, code: str) -> LangSwarmMemoryError:
    if code in _PG_REFUSED:
        refused = MemoryConnectionError(store, operation, error, "check user, password and database")
        refused.retryable = False
        return refused
    if code in _PG_FULL:
        return StorageFullError(operation, store, error, suggestion="free disk space on the server and repeat the call")
    if code in _PG_READONLY:
        return StorageReadOnlyError(
            operation, store, error, suggestion="use the primary server or a role that may write"
        )
    if code in _PG_CORRUPT:
        return CorruptRecordError(store, "database page", error)
    if code.startswith(_PG_UNAVAILABLE):
        return StorageUnavailableError(store, operation, error)
    return MemoryBackendError(store, operation, error)
