"""What the relational repository needs from a database driver: appends, reads, and units of ORM work.

Two implementations, ``sqlite.py`` and ``postgres.py``, hold every difference between the databases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from ..codec import MessageColumns
from ..protocol import Params
from ..text_search import SearchCursor, SearchFilter, TextQuery
from .mapping import Row
from .statements import Statement

if TYPE_CHECKING:
    from ...recall.embedded import EmbeddingIndex

T = TypeVar("T")

GROUP_MESSAGES = 1_000  # messages in one group commit: bounds the time a small append waits behind large ones
GROUP_BYTES = 8_000_000  # text in one group commit: bounds the memory and the size of one statement


@dataclass(slots=True)
class Batch:
    """The messages of one append, encoded."""

    session_id: str
    rows: list[MessageColumns]
    tokens: int
    now: datetime
    expires_at: datetime | None

    def size(self) -> int:
        """Return roughly the bytes of text."""
        return sum(len(row.content or "") + len(row.tool_calls or "") for row in self.rows)


Reserved = tuple[int, int]
"""(last_seq, message_count) of the session right after a batch."""


class SQLDriver(Protocol):
    """A database."""

    name: str
    engine: AsyncEngine
    copies: bool
    """Whether rows may be written with COPY; see ``bulk.py``."""

    async def open(self) -> None:
        """Connect and bring the schema up to date."""

    async def close(self) -> None:
        """Close every connection."""

    def instant(self, value: datetime) -> Any:
        """Return an instant as the driver's own connection takes it."""

    def compile(self, statement: Any) -> Statement:
        """Compile a statement for the driver's own connection."""

    async def append(self, batch: Batch) -> Reserved | None:
        """Store a batch of new messages, in one transaction with whatever else arrived meanwhile.

        None: nothing was stored, because the session is missing or expired or an id is stored already; the unit of
        work in ``units.py`` finds out which.
        """

    async def fetch(self, operation: str, statement: Statement, args: Sequence[Any]) -> list[Row]:
        """Run one compiled SELECT and return its rows undecoded."""

    async def fetch_within(
        self, operation: str, statement: Statement, args: Sequence[Any], budget: int, keep_roles: frozenset[str]
    ) -> list[Row] | None:
        """Run a SELECT of messages, kept ones first, then newest first, and stop where a token budget is spent.

        None: this driver cannot stop a SELECT early, so the statement has to know where.
        """

    listens: bool
    """Whether it is told of appends."""

    tells: bool
    """Whether units of work tell those who listen. The statements that append do so by themselves."""

    def signals(self, session_id: str) -> AbstractAsyncContextManager[Callable[[float], Awaitable[None]]]:
        """Listen for appends to a session; see ``Signals`` of ``repository/optional.py``."""

    async def write_many(self, operation: str, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a writing statement once per row of parameters, in one transaction."""

    async def make_vector_index(self, model: str, table: str, definition: str, *, indexed: bool) -> None:
        """See that the database can compare vectors, and make the index of a model's embeddings where it is missing."""

    def embeddings(self, model: str, dimension: int) -> EmbeddingIndex:
        """Return the embeddings of a model, kept in the table of that name."""

    def search(
        self, query: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None, *, bounded: bool
    ) -> tuple[str, list[Any]]:
        """Return the statement of a text search and its parameters; see ``text_search.py``."""

    async def unit(self, operation: str, work: Callable[[Session], T], *, write: bool) -> T:
        """Run ORM work in one transaction."""

    def orm(self, *, write: bool) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session of the caller's."""

    async def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        """Run read-only SQL of the caller's."""

    async def size_bytes(self) -> int:
        """Return the bytes that the tables and indexes take."""

    async def vacuum(self) -> None:
        """Give free space back."""
