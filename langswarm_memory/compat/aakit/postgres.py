"""The memory in PostgreSQL."""

from __future__ import annotations

from typing import Any

from ...backends.postgres import PostgresBackend as CoreBackend
from ...repository.sql.postgres import ERRORS
from .memory import MemoryBackend
from .stores import CONTEXT_WINDOW, StoreMethods
from .tables import NamesTable, checked_name


class PostgreSQLBackend(NamesTable, StoreMethods, CoreBackend, MemoryBackend):
    """Messages in a PostgreSQL database.

    Args:
        connection_string: ``postgresql://user:password@host:port/database``. None: the parts of ``PostgresSettings``.
        pool_size: Connections at most.
        table_name: Under which the messages can be queried: a view. A schema has one such name, and keeps it.
        schema: Schema of the tables; made when missing.
        enable_search: Whether ``search`` and ``search_fulltext`` may be called.
        context_window: How many messages ``context`` returns.
        summarization: Whether summaries are made of the sessions that ``save`` makes.
        **options: Further settings, see ``PostgresSettings``.

    Raises:
        MemoryConfigurationError: An option is unknown or out of range. When connecting: the schema's
            messages have another table name, or the schema holds a table of that name already.
    """

    other_place = "schema"
    driver_errors = ERRORS
    # Two processes that connect at once make the view one after the other.
    lock_statement = "SELECT pg_advisory_xact_lock(7454418967811)"

    def __init__(
        self,
        connection_string: str | None = None,
        pool_size: int = 10,
        table_name: str = "agent_conversations",
        schema: str = "public",
        enable_search: bool = True,
        *,
        context_window: int = CONTEXT_WINDOW,
        summarization: bool = False,
        **options: Any,
    ) -> None:
        self.table_name, self.table_schema = checked_name(table_name), schema
        self.searches, self.context_window, self.summarizes = enable_search, context_window, summarization
        CoreBackend.__init__(self, connection_string=connection_string, pool_size=pool_size, schema=schema, **options)
