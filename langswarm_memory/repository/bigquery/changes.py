"""Deleting and replacing stored messages: each one script of one transaction, as ``statements.py`` says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...errors import ConflictError, InvalidInputError, LangSwarmMemoryError, SessionExpiredError, SessionNotFoundError
from ..protocol import Rewrite
from .appends import MOST_BYTES
from .client import Row
from .parameters import Parameter, instant, number, numbers, rows, text
from .rows import message_row, sent_bytes
from .schema import MESSAGES
from .statements import GIVEN, Statements, record_columns

REPLACED = tuple(name for name in GIVEN if name not in ("session_id", "message_id"))
"""Columns of a message that a rewrite may change."""

_ROWS = {"seq": "INT64", **{name: MESSAGES[name] for name in REPLACED}}

SEQ_BYTES = 30
"""What a seq takes in a request, about."""


def delete_messages(tables: Statements) -> str:
    """Delete a session's messages through a seq, but those of some roles. Answers ``deleted`` and ``found``."""
    return f"""
        DECLARE deleted, found INT64;
        BEGIN TRANSACTION;
        DELETE FROM {tables.messages}
        WHERE session_id = @session AND seq <= @through AND role NOT IN UNNEST(@keep_roles);
        SET deleted = @@row_count;
        UPDATE {tables.sessions} SET {_counted(tables)}, edits = IFNULL(edits, 0) + IF(deleted > 0, 1, 0)
        WHERE session_id = @session;
        SET found = @@row_count;
        COMMIT TRANSACTION;
        SELECT deleted AS deleted, found AS found;
    """


def rewrite(tables: Statements, session_id: str, change: Rewrite, now: datetime) -> tuple[str, list[Parameter]]:
    """Carry out a change of messages if the session is as it was read. Answers ``changed`` and its row, if any.

    The first UPDATE decides, and excludes every other writer. What it answers is kept in the transaction: after that,
    the session may be another one.

    Raises:
        InvalidInputError: A message cannot be stored, or they are more than a query takes.
    """
    replaced = _replaced(session_id, change)
    parameters = [
        text("session", session_id),
        number("edits", change.edits),
        number("expected_seq", change.last_seq),
        instant("now", now),
    ]
    steps = []
    if change.removed:
        steps.append(f"DELETE FROM {tables.messages} WHERE session_id = @session AND seq IN UNNEST(@removed);")
        parameters.append(numbers("removed", [message.seq or 0 for message in change.removed]))
    if replaced:
        columns = ", ".join(f"{name} = r.{name}" for name in REPLACED)
        steps.append(
            f"UPDATE {tables.messages} AS m SET {columns} FROM UNNEST(@given) AS r "
            "WHERE m.session_id = @session AND m.seq = r.seq;"
        )
        parameters.append(rows("given", _ROWS, replaced))
    sql = f"""
        DECLARE changed INT64;
        BEGIN TRANSACTION;
        UPDATE {tables.sessions} SET edits = IFNULL(edits, 0) + 1, updated_at = @now
        WHERE session_id = @session AND IFNULL(edits, 0) = @edits
            AND (@expected_seq IS NULL OR last_seq = @expected_seq) AND (expires_at IS NULL OR expires_at > @now);
        SET changed = @@row_count;
        IF changed = 1 THEN
            {" ".join(steps)}
            UPDATE {tables.sessions} SET {_counted(tables)} WHERE session_id = @session;
        END IF;
        CREATE TEMP TABLE answer AS
        SELECT changed AS changed, {record_columns()} FROM {tables.sessions} WHERE session_id = @session;
        COMMIT TRANSACTION;
        SELECT * FROM answer;
    """
    return sql, parameters


def _counted(tables: Statements) -> str:
    """Counters are counted, not added up: so they heal when a partition has expired."""
    ours = f"FROM {tables.messages} WHERE session_id = @session"
    return f"message_count = (SELECT COUNT(*) {ours}), token_count = (SELECT IFNULL(SUM(token_count), 0) {ours})"


def _replaced(session_id: str, change: Rewrite) -> Sequence[dict[str, Any]]:
    found = []
    size = len(change.removed) * SEQ_BYTES
    for old, new in change.replaced:
        row = message_row(session_id, new)
        found.append({"seq": old.seq, **{name: row[name] for name in REPLACED}})
        size += sent_bytes(row)
    if size > MOST_BYTES:
        raise InvalidInputError(
            f"the messages of one change take {size:,} bytes, and BigQuery takes {MOST_BYTES:,}",
            suggestion="change fewer messages at once",
        )
    return found


def refusal(session_id: str, answer: Row | None, now: datetime) -> LangSwarmMemoryError | None:
    """Return why a rewrite was not carried out, by its answer; None: it was."""
    if answer is None:
        return SessionNotFoundError(session_id)
    if answer["changed"]:
        return None
    if answer["expires_at"] is not None and answer["expires_at"] <= now:
        return SessionExpiredError(session_id)
    return ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)
