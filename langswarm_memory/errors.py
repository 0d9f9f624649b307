"""Every error this package raises, in one tree.

    LangSwarmMemoryError                              .message .details .suggestion .retryable
    ├── MemoryConfigurationError (ValueError)         .issue .component .config_data
    │   └── MissingDependencyError (ImportError)      .package .extra
    ├── InvalidInputError (ValueError)                the caller's data cannot be stored as given
    ├── NotConnectedError (RuntimeError)              used after disconnect()
    ├── SessionNotFoundError (LookupError)            .session_id
    │   └── SessionExpiredError                       .session_id
    ├── SessionExistsError                            .session_id
    ├── SessionOwnershipError (PermissionError)       .session_id
    ├── ConflictError                                 another writer was first, or an id with other content
    ├── UnsupportedOperationError                     .backend .feature
    ├── EmbeddingError                                .operation .provider .original_error
    ├── SummarizerError                               retryable: a model gave no summary
    └── MemoryBackendError                            .backend .operation .original_error
        ├── MemoryConnectionError (ConnectionError)
        │   └── StorageUnavailableError               retryable: refused, timed out, pool exhausted, locked
        ├── QueryError (ValueError)                   a query of the caller's that the store refuses
        ├── SchemaVersionError                        .found .expected
        ├── VectorSearchError
        └── MemoryStorageError                        .data_type
            ├── StorageFullError
            ├── StorageReadOnlyError
            └── CorruptRecordError                    .key

No message ever holds a password or the text of a conversation: driver errors are chained as ``__cause__`` and named
by class and code only, because their own text may quote the row.
"""

from __future__ import annotations

from typing import Any


class LangSwarmMemoryError(Exception):
    """Base of every error of this package.

    Args:
        message: What happened, with the values that matter.
        details: Facts for a program to read; shown by ``str()``.
        suggestion: What to do next; shown by ``str()``.
    """

    retryable: bool = False
    """Whether the same call may succeed later without any change."""

    def __init__(self, message: str = "", details: dict[str, Any] | None = None, suggestion: str | None = None) -> None:
        self.message = message
        self.details = dict(details or {})
        self.suggestion = suggestion
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append("(" + ", ".join(f"{key}={value!r}" for key, value in self.details.items()) + ")")
        text = " ".join(part for part in parts if part)
        return f"{text}; {self.suggestion}" if self.suggestion else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by calling the class with `args`, as exceptions do: every class takes arguments of its own.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(cls: type[LangSwarmMemoryError], args: tuple[Any, ...]) -> LangSwarmMemoryError:
    error = cls.__new__(cls)
    error.args = args
    return error


class MemoryConfigurationError(LangSwarmMemoryError, ValueError):
    """A setting is missing, unknown or out of range. Raised at construction, never during I/O.

    Args:
        issue: What is wrong.
        component: The backend or class that was being configured. A mapping here is taken as ``config_data``.
        config_data: The configuration at fault, kept as an attribute and never printed: it may hold secrets.
    """

    def __init__(
        self,
        issue: str,
        component: str | dict[str, Any] | None = None,
        config_data: dict[str, Any] | None = None,
        *,
        config: dict[str, Any] | None = None,
        suggestion: str | None = None,
    ) -> None:
        if isinstance(component, dict):
            component, config_data = None, component
        self.issue = issue
        self.component = component
        self.config_data = config_data if config_data is not None else config
        self.config = self.config_data
        super().__init__(f"{component}: {issue}" if component else issue, suggestion=suggestion)


class MissingDependencyError(MemoryConfigurationError, ImportError):
    """An optional package is not installed; the message is the command that installs it."""

    def __init__(self, package: str, *, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"the '{package}' package is not installed",
            suggestion=f"run: pip install 'langswarm-memory[{extra}]'",
        )


class InvalidInputError(LangSwarmMemoryError, ValueError):
    """The caller's data cannot be stored as given; nothing was written."""


class NotConnectedError(LangSwarmMemoryError, RuntimeError):
    """The backend was disconnected, or the session was held beyond its backend's life."""


class SessionNotFoundError(LangSwarmMemoryError, LookupError):
    """There is no such session (any more)."""

    _what = "does not exist"

    def __init__(self, session_id: str, suggestion: str | None = None) -> None:
        self.session_id = session_id
        super().__init__(f"session {session_id!r} {self._what}", suggestion=suggestion)


class SessionExpiredError(SessionNotFoundError):
    """The session is past its ``expires_at``: it can be neither read nor written."""

    _what = "has expired"


class SessionExistsError(LangSwarmMemoryError):
    """A session of that id is already stored."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"session {session_id!r} already exists", suggestion="use get_or_create_session() or another id"
        )


class SessionOwnershipError(LangSwarmMemoryError, PermissionError):
    """The session belongs to another user. Nothing else about it is told."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(f"session {session_id!r} belongs to another user")


class ConflictError(LangSwarmMemoryError):
    """Another writer was first, or a message id came back with other content."""

    def __init__(self, message: str, *, retryable: bool = False, suggestion: str | None = None) -> None:
        super().__init__(message, suggestion=suggestion)
        self.retryable = retryable


class UnsupportedOperationError(LangSwarmMemoryError, NotImplementedError):
    """The store has no such feature."""

    def __init__(self, backend: str, feature: str, suggestion: str | None = None) -> None:
        self.backend = backend
        self.feature = feature
        super().__init__(f"{backend} does not support {feature}", suggestion=suggestion)


class MemoryBackendError(LangSwarmMemoryError):
    """The store failed.

    Two forms: ``MemoryBackendError(backend, operation, error)``, as the package raises it, and
    ``MemoryBackendError(message, backend=..., details=...)``.
    """

    def __init__(
        self,
        backend_or_message: str,
        operation: str | None = None,
        error: BaseException | None = None,
        suggestion: str | None = None,
        *,
        backend: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        if operation is None:
            self.backend = backend
            message = backend_or_message
        else:
            self.backend = backend_or_message
            message = f"{backend_or_message}: {operation} failed"
            if error is not None:
                message += f" ({describe(error)})"
        self.operation = operation
        self.original_error = error
        super().__init__(message, details, suggestion)


class MemoryConnectionError(MemoryBackendError, ConnectionError):
    """The store could not be reached."""

    retryable = True

    def __new__(cls, *args: Any, **kwargs: Any) -> MemoryConnectionError:  # noqa: D102
        # OSError.__new__ reads its arguments as (errno, text); ours are others.
        return super().__new__(cls)

    def __str__(self) -> str:
        return LangSwarmMemoryError.__str__(self)


class StorageUnavailableError(MemoryConnectionError):
    """Refused, timed out, pool exhausted or locked. Repeating is safe: appends are idempotent by message id."""


class QueryError(MemoryBackendError, ValueError):
    """A query of the caller's was refused: wrong SQL, wrong parameters, or not read-only."""


class SchemaVersionError(MemoryBackendError):
    """The stored schema is not the one this version needs."""

    def __init__(self, backend: str, *, found: str | None, expected: str, suggestion: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            f"{backend}: schema is at revision {found or 'none'}, this version needs {expected}",
            backend=backend,
            suggestion=suggestion,
        )


class VectorSearchError(MemoryBackendError):
    """A vector store failed. The query is kept as an attribute and never printed."""

    def __init__(
        self, operation: str, backend: str, query: str | None = None, error: BaseException | None = None
    ) -> None:
        self.query = query
        super().__init__(backend, operation, error)


class VectorStoreError(MemoryBackendError):
    """A vector store could not be reached (``retryable``) or refused a call."""


class EmbeddingError(LangSwarmMemoryError):
    """An embedding provider failed. ``text_preview`` is kept as an attribute and never printed."""

    def __init__(
        self,
        operation: str,
        provider: str,
        error: BaseException | None = None,
        text_preview: str | None = None,
    ) -> None:
        self.operation = operation
        self.provider = provider
        self.original_error = error
        self.text_preview = text_preview
        cause = f" ({describe(error)})" if error is not None else ""
        super().__init__(f"{provider}: {operation} failed{cause}")


class SummarizerError(LangSwarmMemoryError):
    """A model gave no summary. Its answer is not quoted, as it may quote the conversation."""

    retryable = True


class MemoryStorageError(MemoryBackendError):
    """Data could not be written to or read from the store."""

    def __init__(
        self,
        operation: str,
        backend: str,
        error: BaseException | None = None,
        data_type: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.data_type = data_type
        super().__init__(backend, operation, error, suggestion)


class StorageFullError(MemoryStorageError):
    """There is no room left: disk full or quota reached. Nothing of the call was written."""

    retryable = True


class StorageReadOnlyError(MemoryStorageError):
    """The file, database or server takes no writes."""


class CorruptRecordError(MemoryStorageError):
    """A stored record cannot be decoded. It is left as it is."""

    def __init__(self, backend: str, key: str, error: BaseException | None = None) -> None:
        self.key = key
        super().__init__("decode", backend, error)
        self.message = f"{backend}: the record {key} cannot be decoded"
        if error is not None:
            self.message += f" ({describe(error)})"


def describe(error: BaseException) -> str:
    """Name a driver's error by class and code, without its text, which may quote a row or a URL."""
    code = (
        getattr(error, "sqlite_errorname", None)
        or getattr(error, "sqlstate", None)
        or getattr(error, "errno", None)
        or getattr(error, "code", None)
    )
    name = type(error).__name__
    return f"{name} {code}" if code else name
