"""The memory in SQLite."""

from __future__ import annotations

import os
from typing import Any

from ...backends.sqlite import SQLiteBackend as CoreBackend
from .memory import MemoryBackend
from .stores import CONTEXT_WINDOW, StoreMethods
from .tables import NamesTable, checked_name


class SQLiteBackend(NamesTable, StoreMethods, CoreBackend, MemoryBackend):
    """Messages in a SQLite file.

    Args:
        db_path: The file; parent directories are made.
        table_name: Under which the messages can be queried: a view. A file has one such name, and keeps it.
        auto_vacuum: Whether the file gives space back as rows are deleted; heeded when it is new.
        journal_mode: SQLite's own name of the mode.
        enable_search: Whether ``search`` may be called.
        context_window: How many messages ``context`` returns.
        summarization: Whether summaries are made of the sessions that ``save`` makes.
        **options: Further settings, see ``SQLiteSettings``.

    Raises:
        MemoryConfigurationError: An option is unknown or out of range. When connecting: the file's messages have
            another table name, or the file holds a table of that name already.
    """

    other_place = "db_path"

    def __init__(
        self,
        db_path: str = "agent_memory.db",
        table_name: str = "conversations",
        auto_vacuum: bool = True,
        journal_mode: str = "WAL",
        *,
        enable_search: bool = True,
        context_window: int = CONTEXT_WINDOW,
        summarization: bool = False,
        **options: Any,
    ) -> None:
        self.table_name = checked_name(table_name)
        self.searches, self.context_window, self.summarizes = enable_search, context_window, summarization
        CoreBackend.__init__(self, db_path=db_path, auto_vacuum=auto_vacuum, journal_mode=journal_mode, **options)

    def _is_there(self) -> bool:
        return self.settings.db_path != ":memory:" and os.path.exists(self.settings.db_path)
