"""What indexes outside of the store have seen of each session: an array in its row, so that it goes with it.

A single statement writes, so there is no transaction: BigQuery queues it behind those that run.
"""

from __future__ import annotations

from ..optional import IndexState
from .client import Row
from .statements import Statements

_OTHERS = "ARRAY(SELECT AS STRUCT i.name, i.last_seq, i.edits FROM UNNEST(indexed) AS i WHERE i.name != @index_name)"


def index_states(tables: Statements) -> str:
    """Return the columns of ``IndexState`` of every session, as a table."""
    seen = ", ".join(
        f"IFNULL((SELECT i.{name} FROM UNNEST(indexed) AS i WHERE i.name = @index_name), 0) AS indexed_{name}"
        for name in ("last_seq", "edits")
    )
    return f"(SELECT session_id, last_seq, IFNULL(edits, 0) AS edits, {seen} FROM {tables.sessions})"


def stale_sessions(tables: Statements) -> str:
    """Return the states of a page of sessions that an index has not seen as they are."""
    return (
        f"SELECT * FROM {index_states(tables)} "
        "WHERE (last_seq != indexed_last_seq OR edits != indexed_edits) AND (@after IS NULL OR session_id > @after) "
        "ORDER BY session_id LIMIT @most"
    )


def index_state(tables: Statements) -> str:
    """Return the state of a session."""
    return f"SELECT * FROM {index_states(tables)} WHERE session_id = @session"


def mark_indexed(tables: Statements) -> str:
    """Note what an index has seen of a session."""
    return (
        f"UPDATE {tables.sessions} SET indexed = ARRAY_CONCAT("
        f"{_OTHERS}, [STRUCT(@index_name AS name, @seen_seq AS last_seq, @seen_edits AS edits)]) "
        "WHERE session_id = @session"
    )


def forget_index(tables: Statements) -> str:
    """Drop what is noted of an index."""
    # Around the array a function that changes nothing: the emulator takes "= ARRAY(" for a comparison.
    return (
        f"UPDATE {tables.sessions} SET indexed = ARRAY_CONCAT({_OTHERS}) "
        "WHERE @index_name IN (SELECT i.name FROM UNNEST(indexed) AS i)"
    )


def to_state(row: Row) -> IndexState:
    """Return the state in a row."""
    return IndexState(row["session_id"], row["last_seq"], row["edits"], row["indexed_last_seq"], row["indexed_edits"])
