"""The public backends and sessions, resolved when first used, so that importing this loads no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import attach, installed

if TYPE_CHECKING:
    from .in_memory import InMemoryBackend as InMemoryBackend
    from .in_memory import InMemorySession as InMemorySession
    from .postgres import PostgresBackend as PostgresBackend
    from .postgres import PostgresSession as PostgresSession
    from .sqlite import SQLiteBackend as SQLiteBackend
    from .sqlite import SQLiteSession as SQLiteSession

    POSTGRES_AVAILABLE: bool

BACKENDS: dict[str, str] = {
    "in_memory": "langswarm_memory.backends.in_memory:InMemoryBackend",
    "sqlite": "langswarm_memory.backends.sqlite:SQLiteBackend",
    "postgres": "langswarm_memory.backends.postgres:PostgresBackend",
}
"""Where each backend's class is."""

DRIVERS: dict[str, str] = {"in_memory": "", "sqlite": "sqlite3", "postgres": "asyncpg"}
"""The package each backend needs beyond the core install."""

_NAMES = {
    "InMemoryBackend": "in_memory",
    "InMemorySession": "in_memory",
    "SQLiteBackend": "sqlite",
    "SQLiteSession": "sqlite",
    "PostgresBackend": "postgres",
    "PostgresSession": "postgres",
}

__all__ = [
    "POSTGRES_AVAILABLE",
    "InMemoryBackend",
    "InMemorySession",
    "PostgresBackend",
    "PostgresSession",
    "SQLiteBackend",
    "SQLiteSession",
]

_resolve = attach(__name__, {name: f"{__name__}.{module}" for name, module in _NAMES.items()})


def __getattr__(name: str) -> Any:
    if name == "POSTGRES_AVAILABLE":
        return installed(DRIVERS["postgres"])
    return _resolve(name)
