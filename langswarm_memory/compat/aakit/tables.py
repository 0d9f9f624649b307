"""The table name of a user's choice, over tables that have names of their own: a view of the messages.

A database holds the messages of one memory, so it has one such view. Opened under another name it is refused: two
memories that believe to be apart would share their sessions.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sqlalchemy import Connection, inspect, text

from ...errors import MemoryConfigurationError
from ...relational import RelationalBackend
from ...repository.sql.failures import DRIVER_ERRORS, translate
from ...repository.sql.models import MessageRow

MARK = "made by langswarm_memory"
"""Stands in the definition of the view, by which it is told from views of others."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
COLUMNS = tuple(column.name for column in MessageRow.__table__.columns if column.name != "verbatim")


def checked_name(name: object) -> str:
    """Return a table name.

    Raises:
        MemoryConfigurationError: Not a plain name.
    """
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise MemoryConfigurationError("table_name must be 1 to 63 letters, digits and underscores, no digit first")
    return name


class NamesTable(RelationalBackend):
    """A relational backend whose messages can be queried under a name of the user's choice."""

    table_name: str
    table_schema: str | None = None
    other_place: ClassVar[str]
    """The option that keeps two memories apart."""
    lock_statement: ClassVar[str | None] = None

    driver_errors: ClassVar[tuple[type[BaseException], ...]] = DRIVER_ERRORS

    def _is_there(self) -> bool:
        """Return whether there is a database to look into."""
        return True

    async def _open(self) -> None:
        try:
            if self._is_there():
                # Before anything of ours is made: a database that is refused stays as it is.
                async with self.repository.driver.engine.connect() as connection:
                    await connection.run_sync(self._look)
            await super()._open()
            await self._name_table()
        except BaseException as exc:
            self._connected = False
            await self.repository.close()
            if isinstance(exc, self.driver_errors):
                raise translate(self.repository.name, "open", exc) from exc
            raise

    async def _name_table(self) -> None:
        async with self.repository.orm() as db:
            if await (await db.connection()).run_sync(self._is_named):
                return
        async with self.repository.orm(write=True) as db:
            connection = await db.connection()
            if self.lock_statement is not None:
                await connection.execute(text(self.lock_statement))
            if not await connection.run_sync(self._is_named):
                await connection.run_sync(self._make_view)

    def _look(self, connection: Connection) -> None:
        connection.detach()  # closed behind us: the driver is not open, and would not know of one in its pool
        self._is_named(connection)

    def _is_named(self, connection: Connection) -> bool:
        """Return whether the view is there.

        Raises:
            MemoryConfigurationError: There is one of another name, or something else of this name.
        """
        catalogue, schema = inspect(connection), self.table_schema
        views = catalogue.get_view_names(schema)
        ours = [name for name in views if MARK in (catalogue.get_view_definition(name, schema) or "")]
        if ours:
            if ours[0].lower() == self.table_name.lower():
                return True
            raise MemoryConfigurationError(
                f"the messages here have the table_name {ours[0]!r}, not {self.table_name!r}",
                self.kind.value,
                suggestion=f"pass that table_name, or another {self.other_place} for a memory of its own",
            )
        taken = {name.lower() for name in [*views, *catalogue.get_table_names(schema)]}
        if self.table_name.lower() in taken:
            raise MemoryConfigurationError(
                f"there is a table {self.table_name!r} that is not a view of the messages here",
                self.kind.value,
                suggestion=f"pass another table_name, or another {self.other_place} and copy old data with "
                "'langswarm-memory migrate'",
            )
        return False

    def _make_view(self, connection: Connection) -> None:
        quote = connection.dialect.identifier_preparer.quote
        place = f"{quote(self.table_schema)}." if self.table_schema else ""
        columns = ", ".join(map(quote, COLUMNS))
        # The name is checked and quoted; all else is ours.
        connection.execute(
            text(
                f"CREATE VIEW {place}{quote(self.table_name)} AS SELECT {columns} "
                f"FROM {place}{quote(MessageRow.__tablename__)} WHERE '{MARK}' IS NOT NULL"
            )
        )
