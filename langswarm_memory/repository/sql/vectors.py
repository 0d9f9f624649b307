"""pgvector in a database: installing it, and one HNSW index per model of embeddings."""

from __future__ import annotations

import hashlib
import re

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ...errors import MemoryConfigurationError
from .migrate import LOCK_KEY

EF_SEARCH = 100
"""Candidates that a search looks at. At 20,000 vectors of 384 numbers the ten nearest are found to 95 % from 60 on."""

SESSION_SETTINGS = (
    # Strict: without it, an index hands out its nearest and stops, and conditions may leave none of them.
    f"SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = {EF_SEARCH}; SET hnsw.max_scan_tuples = 100000"
)


def index_name(model: str) -> str:
    """Return the name of the index of a model's embeddings."""
    return f"embeddings_hnsw_{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def _kind(definition: str) -> str | None:
    found = re.search(r"::(\w+\(\d+\))", definition)
    return found and found[1]


def prepare(db: Session, place: str, model: str, table: str, definition: str, *, indexed: bool) -> None:
    """Make what is missing. Two processes do this one after the other.

    Args:
        db: In a transaction of its own.
        place: Schema of the tables, quoted and with a dot behind it; empty for that of the connection.
        model: Whose embeddings.
        table: Their table, as statements write it.
        definition: What the index is made on.
        indexed: Whether there is one for vectors of this length.

    Raises:
        MemoryConfigurationError: The server has no pgvector, or the user may not install it.
    """
    db.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    if db.scalar(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")) is None:
        try:
            db.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except DBAPIError as exc:
            raise MemoryConfigurationError(
                "the database has no pgvector",
                "postgres",
                suggestion="install pgvector 0.8 on the server and run CREATE EXTENSION vector in the database,"
                " or name another vector_store",
            ) from exc
    if not indexed:
        return
    name = index_name(model)
    known = db.scalar(select(func.pg_get_indexdef(func.to_regclass(place + name).cast(OID))))
    if known is not None and _kind(known) != _kind(definition):
        # No embedding of another length is left, or this would not have been asked for; the index would refuse ours.
        db.connection().exec_driver_sql(f"DROP INDEX {place}{name}")
        known = None
    if known is None:
        # Whoever embedded before there was an index has few rows, or reindexes; a table in use is not locked for long.
        db.connection().exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING hnsw {definition}")
