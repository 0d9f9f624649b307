"""The units of ORM work: plain synchronous functions of a ``Session``, the same on both databases.

On SQLite one runs on the writer's or a reader's thread in one hop, on PostgreSQL inside ``AsyncSession.run_sync``.
The caller owns the transaction: a raise rolls everything back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    not_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, load_only

from ...errors import ConflictError, CorruptRecordError, SessionExistsError, SessionExpiredError, SessionNotFoundError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary
from .. import codec
from ..protocol import Appended, SearchHit, StoreStats
from .driver import Batch
from .failures import is_unique_violation
from .mapping import message_from_row, summary_from_row
from .models import MessageRow, SessionRow
from .statements import MESSAGE_COLUMNS, SUMMARIES, M, S
from .types import JsonText, UTCDateTime

ID_PAGE = 500  # ids per IN list; SQLite before 3.32 allows 999 parameters in all

# JSON comes from the codec as text; the parameters are typed as text so that it is not encoded again.
_INSERT = insert(M).values(
    {
        name: bindparam(name, type_=Text() if isinstance(M.c[name].type, JsonText) else M.c[name].type)
        for name in ("session_id", *MESSAGE_COLUMNS)
    }
)


def insert_session(db: Session, columns: codec.MetadataColumns) -> None:
    """Insert a session row."""
    try:
        db.execute(insert(S).values(_undecoded(columns._asdict())))
    except IntegrityError as exc:
        if is_unique_violation(exc):
            raise SessionExistsError(columns.session_id) from exc
        raise


def _undecoded(values: dict[str, Any]) -> dict[str, Any]:
    """Let JSON text through the JSON columns as it is: it was checked and written by the codec."""
    return {
        name: _as_text(value) if name in ("tags", "properties", "key_topics") else value
        for name, value in values.items()
    }


def _as_text(value: str | None) -> Any:
    return None if value is None else literal(value, Text())


def _message_columns() -> list[ColumnElement[Any]]:
    """Return the columns of a message row with JSON undecoded, as ``message_from_row`` takes them."""
    return [
        type_coerce(M.c[name], Text()).label(name) if isinstance(M.c[name].type, JsonText) else M.c[name]
        for name in MESSAGE_COLUMNS
    ]


def replace_session(db: Session, columns: codec.MetadataColumns, expected_revision: int) -> Any:
    """Update a session row if its revision is the expected one; return its counters."""
    values = _undecoded(columns._asdict())
    session_id = values.pop("session_id")
    row = db.execute(
        update(S)
        .where(SessionRow.session_id == session_id, SessionRow.revision == expected_revision)
        .values(values | {"revision": SessionRow.revision + 1})
        .returning(SessionRow.revision, SessionRow.message_count, SessionRow.token_count, SessionRow.last_seq)
    ).one_or_none()
    if row is None:
        _require(db, session_id)
        raise ConflictError(f"session {session_id!r} was changed meanwhile", retryable=True)
    return tuple(row)


_STATE = (SessionRow.expires_at, SessionRow.message_count, SessionRow.token_count, SessionRow.last_seq)


def _require(db: Session, session_id: str, *, lock: bool = False) -> SessionRow:
    # Nothing else is loaded: a session whose tags cannot be decoded can still be emptied and deleted.
    statement = select(SessionRow).options(load_only(*_STATE)).where(SessionRow.session_id == session_id)
    try:
        row = db.scalars(statement.with_for_update() if lock else statement).one_or_none()
    except ValueError as exc:
        raise CorruptRecordError("sql", f"session {session_id!r}.expires_at", exc) from exc
    if row is None:
        raise SessionNotFoundError(session_id)
    return row


def delete_sessions(db: Session, session_ids: Sequence[str]) -> int:
    """Delete sessions; messages and summaries go with them."""
    ids = list(dict.fromkeys(session_ids))
    deleted = 0
    for start in range(0, len(ids), ID_PAGE):
        page = ids[start : start + ID_PAGE]
        # Foreign keys may be switched off on SQLite; then nothing cascades.
        for table in (M, SUMMARIES):
            db.execute(delete(table).where(table.c.session_id.in_(page)))
        gone = db.execute(delete(S).where(S.c.session_id.in_(page)).returning(S.c.session_id))
        deleted += len(gone.all())
    return deleted


def append(db: Session, batch: Batch, messages: Sequence[Message]) -> Appended:
    """Store what of a batch is new. The careful way: for batches that the one-statement way refused."""
    session = _require(db, batch.session_id, lock=True)
    if session.expires_at is not None and session.expires_at <= batch.now:
        raise SessionExpiredError(batch.session_id)
    stored = _stored(db, batch.session_id, [row.message_id for row in batch.rows])
    seqs: list[int] = []
    rows: list[dict[str, Any]] = []
    for message, columns in zip(messages, batch.rows, strict=True):
        known = stored.get(columns.message_id)
        if known is not None:
            codec.check_replay(batch.session_id, message, known)
            seqs.append(known.seq or 0)
            continue
        seq = session.last_seq + len(rows) + 1
        rows.append({"session_id": batch.session_id, "seq": seq, **columns._asdict()})
        seqs.append(seq)
    if rows:
        db.execute(_INSERT, rows)
        session.last_seq += len(rows)
        session.message_count += len(rows)
        session.token_count += sum(row["token_count"] for row in rows)
    session.updated_at = batch.now  # type: ignore[assignment]
    if batch.expires_at is not None:
        session.expires_at = batch.expires_at  # type: ignore[assignment]
    db.flush()
    return Appended(tuple(seqs), len(rows), session.message_count, session.last_seq)


def _stored(db: Session, session_id: str, message_ids: Sequence[str]) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for start in range(0, len(message_ids), ID_PAGE):
        page = message_ids[start : start + ID_PAGE]
        for row in db.execute(
            select(*_message_columns()).where(M.c.session_id == session_id, M.c.message_id.in_(page))
        ):
            message = message_from_row(tuple(row))
            found[message.message_id] = message
    return found


def delete_messages(db: Session, session_id: str, through_seq: int | None, keep_roles: frozenset[str]) -> int:
    """Delete messages and correct the session's counters."""
    session = _require(db, session_id, lock=True)
    where: list[ColumnElement[bool]] = [MessageRow.session_id == session_id]
    if through_seq is not None:
        where.append(MessageRow.seq <= through_seq)
    if keep_roles:
        where.append(not_(MessageRow.role.in_(sorted(keep_roles))))
    count, tokens = db.execute(
        select(func.count(), func.coalesce(func.sum(MessageRow.token_count), 0)).where(*where)
    ).one()
    if count:
        db.execute(delete(MessageRow).where(*where), execution_options={"synchronize_session": False})
        session.message_count -= count
        session.token_count -= int(tokens)
    return int(count)


def put_summary(db: Session, summary: ConversationSummary) -> None:
    """Insert or replace a summary."""
    columns = codec.encode_summary(summary)
    _require(db, columns.session_id, lock=True)
    db.execute(
        delete(SUMMARIES).where(
            SUMMARIES.c.session_id == columns.session_id, SUMMARIES.c.summary_id == columns.summary_id
        )
    )
    db.execute(insert(SUMMARIES).values(_undecoded(columns._asdict())))


_DECODED = (JsonText, UTCDateTime)


def list_summaries(db: Session, session_id: str, limit: int | None) -> list[ConversationSummary]:
    """Read summaries, newest first."""
    # As the driver gives them: decoded here, a summary that cannot be decoded can be named.
    plain = [type_coerce(c, Text()).label(c.name) if isinstance(c.type, _DECODED) else c for c in SUMMARIES.columns]
    statement = (
        select(*plain)
        .where(SUMMARIES.c.session_id == session_id)
        .order_by(SUMMARIES.c.created_at.desc(), SUMMARIES.c.summary_id.desc())
        .limit(limit)
    )
    rows = db.execute(statement).all()
    if not rows:
        _require(db, session_id)
    return [summary_from_row(row) for row in rows]


def stats(db: Session, size_bytes: int) -> StoreStats:
    """Add up the sessions' counters."""
    rows = db.execute(
        select(
            SessionRow.status,
            func.count(),
            func.sum(SessionRow.message_count),
            func.sum(SessionRow.token_count),
        ).group_by(SessionRow.status)
    ).all()
    return StoreStats(
        sessions=sum(row[1] for row in rows),
        messages=sum(int(row[2]) for row in rows),
        tokens=sum(int(row[3]) for row in rows),
        size_bytes=size_bytes,
        sessions_by_status={row[0]: row[1] for row in rows},
    )


def search_text(
    db: Session, words: Sequence[str], session_ids: Sequence[str] | None, user_id: str | None, limit: int
) -> list[SearchHit]:
    """Scan for messages that hold every word, newest first."""
    statement = select(M.c.session_id.label("owner"), *_message_columns())
    for word in words:
        statement = statement.where(M.c.content.icontains(word, autoescape=True))
    if session_ids is not None:
        statement = statement.where(M.c.session_id.in_(list(session_ids)))
    if user_id is not None:
        mine = select(SessionRow.session_id).where(SessionRow.user_id == user_id)
        statement = statement.where(M.c.session_id.in_(mine))
    statement = statement.order_by(M.c.timestamp.desc(), M.c.session_id.desc(), M.c.seq.desc()).limit(limit)
    return [SearchHit(row[0], message_from_row(tuple(row)[1:])) for row in db.execute(statement)]
