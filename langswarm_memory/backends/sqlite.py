"""Sessions in a SQLite database."""

from __future__ import annotations

import sqlite3

from ..interfaces.enums import MemoryBackendType
from ..relational import RelationalBackend
from ..repository.sql.repository import SQLRepository
from ..repository.sql.sqlite import SQLiteDriver
from ..repository.sql.sqlite_engines import SQLiteOptions
from ..session import BaseMemorySession
from ..settings import SQLiteSettings


class SQLiteSession(BaseMemorySession):
    """A session kept in SQLite. Behaviour: BaseMemorySession."""

    __slots__ = ()


class SQLiteBackend(RelationalBackend):
    """Sessions in a SQLite file, or in memory. Options: see SQLiteSettings."""

    settings_class, session_class = SQLiteSettings, SQLiteSession
    kind = MemoryBackendType.SQLITE
    _raw: sqlite3.Connection | None = None

    def _build(self, settings: SQLiteSettings) -> SQLRepository:
        self._driver = SQLiteDriver(
            SQLiteOptions(
                path=settings.db_path,
                journal_mode=settings.journal_mode or "WAL",
                synchronous=settings.synchronous,
                foreign_keys=settings.enable_foreign_keys,
                cache_size=settings.cache_size,
                auto_vacuum=None if settings.auto_vacuum is None else str(settings.auto_vacuum),
                busy_timeout_seconds=settings.timeout,
                readers=settings.pool_size,
                auto_migrate=settings.auto_migrate,
            )
        )
        return SQLRepository(self._driver, persistent=not self._driver.in_memory)

    def get_connection(self) -> sqlite3.Connection:
        """Return a ``sqlite3`` connection to the same database, opened once and closed by ``disconnect``.

        It blocks the caller's thread, and its writes wait for the backend's own.

        Raises:
            NotConnectedError: The backend is not connected.
        """
        self.require_connected()
        if self._raw is None:
            self._raw = self._driver.connect_raw()
        return self._raw

    async def disconnect(self) -> bool:
        """Close the database and return True."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        return await super().disconnect()
