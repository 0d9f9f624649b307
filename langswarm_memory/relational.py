"""What the relational backends offer besides: the ORM, SQL, and vacuuming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from .backend import BaseMemoryBackend
from .errors import InvalidInputError
from .repository import codec
from .repository.sql.repository import SQLRepository

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


class RelationalBackend(BaseMemoryBackend):
    """A backend over a relational database."""

    repository: SQLRepository

    def orm(self, *, write: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Open an ORM session over ``langswarm_memory.models``, on the backend's own engine.

        Args:
            write: False: for reading; what is written is lost unless committed. True: one transaction that commits at
                the end of the block (on SQLite it takes the write lock at once).
        """
        return _Orm(self, write)

    async def query(self, sql: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Run SQL that reads, and return its rows as dicts.

        Args:
            sql: One statement.
            params: Values for ``:name`` marks as a mapping, or for the driver's own marks (``?`` on SQLite, ``$1``
                on PostgreSQL) as a sequence.

        Raises:
            QueryError: Wrong SQL or parameters, or an attempt to write.
        """
        if not isinstance(sql, str) or not codec.is_clean(sql):
            raise InvalidInputError("sql must be text without NUL")
        return await self.perform(self.repository.query, sql, params)

    async def vacuum_database(self) -> bool:
        """Give the space of deleted rows back and return True. Heavy: rewrites the SQLite file."""
        await self.perform(self.repository.vacuum)
        return True


class _Orm:
    """Connects on demand, then opens the ORM session."""

    def __init__(self, backend: RelationalBackend, write: bool) -> None:
        self._backend, self._write = backend, write

    async def __aenter__(self) -> AsyncSession:
        await self._backend.ensure_connected()
        self._context = self._backend.repository.orm(write=self._write)
        return await self._context.__aenter__()

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._context.__aexit__(*exc)
