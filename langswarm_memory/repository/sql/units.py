"""The units of ORM work: plain synchronous functions of a ``Session``, the same on both databases.

On SQLite one runs on the writer's or a reader's thread in one hop, on PostgreSQL inside ``AsyncSession.run_sync``.
The caller owns the transaction: a raise rolls everything back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, load_only

from ...errors import ConflictError, CorruptRecordError, SessionExistsError, SessionExpiredError, SessionNotFoundError
from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary
from .. import codec
from ..optional import IndexState
from ..protocol import Appended, Rewrite, SessionRecord, StoreStats
from .driver import Batch
from .failures import is_unique_violation
from .mapping import message_from_row, record_from_row
from .models import MessageRow, SessionRow
from .statements import EMBEDDINGS, MESSAGE_COLUMNS, SESSION_COLUMNS, SUMMARIES, M, S
from .statements import INDEXES as I
from .types import JsonText
from .watched import CHANNEL, WATCH_SECONDS, payload

ID_PAGE = 500  # ids per IN list; SQLite before 3.32 allows 999 parameters in all

# JSON comes from the codec as text; the parameters are typed as text so that it is not encoded again.
_VALUES = {
    name: bindparam(name, type_=Text() if isinstance(M.c[name].type, JsonText) else M.c[name].type)
    for name in ("session_id", *MESSAGE_COLUMNS)
}
_INSERT = insert(M).values(_VALUES)


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


_COUNTERS = (SessionRow.message_count, SessionRow.token_count, SessionRow.last_seq, SessionRow.edits)


def replace_session(db: Session, columns: codec.MetadataColumns, expected_revision: int) -> Any:
    """Update a session row if its revision is the expected one; return its counters."""
    values = _undecoded(columns._asdict())
    session_id = values.pop("session_id")
    row = db.execute(
        update(S)
        .where(SessionRow.session_id == session_id, SessionRow.revision == expected_revision)
        .values(values | {"revision": SessionRow.revision + 1})
        .returning(SessionRow.revision, *_COUNTERS)
    ).one_or_none()
    if row is None:
        _require(db, session_id)
        raise ConflictError(f"session {session_id!r} was changed meanwhile", retryable=True)
    return tuple(row)


_STATE = (SessionRow.expires_at, *_COUNTERS)


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
        for table in (EMBEDDINGS, M, SUMMARIES, I):
            db.execute(delete(table).where(table.c.session_id.in_(page)))
        gone = db.execute(delete(S).where(S.c.session_id.in_(page)).returning(S.c.session_id))
        deleted += len(gone.all())
    return deleted


def append(db: Session, batch: Batch, messages: Sequence[Message], *, tells: bool) -> Appended:
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
    if rows and tells:
        _tell(db, batch.session_id)
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
        session.edits += 1
    return int(count)


_REPLACE = (
    update(M)
    .where(M.c.session_id == bindparam("of_session"), M.c.seq == bindparam("at_seq"))
    .values({name: _VALUES[name] for name in MESSAGE_COLUMNS if name not in ("seq", "message_id")})
)


def rewrite(
    db: Session, session_id: str, change: Rewrite, rows: Sequence[codec.MessageColumns], now: Any, *, tells: bool
) -> SessionRecord:
    """Delete and replace messages of a session that is as it was read; return the session."""
    session = _require(db, session_id, lock=True)
    if session.expires_at is not None and session.expires_at <= now:
        raise SessionExpiredError(session_id)
    if session.edits != change.edits or change.last_seq not in (None, session.last_seq):
        raise ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)
    for first, last in _runs([message.seq or 0 for message in change.removed]):
        db.execute(
            delete(M).where(M.c.session_id == session_id, M.c.seq.between(first, last)),
        )
    if rows:
        values = []
        for (old, _), row in zip(change.replaced, rows, strict=True):
            columns = row._asdict()
            del columns["message_id"]
            values.append({"of_session": session_id, "at_seq": old.seq, **columns})
        db.connection().execute(_REPLACE, values)  # not the ORM's update by primary key, which takes no expressions
    session.message_count -= change.count
    session.token_count -= change.tokens
    session.edits += 1
    session.updated_at = now
    db.flush()
    if tells:
        _tell(db, session_id)
    return record_from_row(db.execute(select(*_session_columns()).where(S.c.session_id == session_id)).one())


def _session_columns() -> list[ColumnElement[Any]]:
    """Return the columns of a session row with JSON undecoded, as ``record_from_row`` takes them."""
    return [
        type_coerce(S.c[name], Text()).label(name) if isinstance(S.c[name].type, JsonText) else S.c[name]
        for name in SESSION_COLUMNS
    ]


def _tell(db: Session, session_id: str) -> None:
    """Notify those who watch a session, if anybody does (PostgreSQL); they hear of it with the commit."""
    watched = select(func.pg_notify(CHANNEL, payload(session_id)))
    db.execute(watched.where(S.c.session_id == session_id, S.c.watched_until > func.now()))


def watch(db: Session, session_id: str) -> None:
    """Let appends notify of a session for a while."""
    until = func.now() + text(f"interval '{WATCH_SECONDS} seconds'")
    if not db.execute(update(S).where(S.c.session_id == session_id).values(watched_until=until)).rowcount:  # type: ignore[attr-defined]
        raise SessionNotFoundError(session_id)


def _runs(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each stretch of numbers that follow each other."""
    first = last = None
    for seq in seqs:
        if first is None or last is None:
            first = last = seq
        elif seq == last + 1:
            last = seq
        else:
            yield first, last
            first = last = seq
    if first is not None and last is not None:
        yield first, last


def copy_session(
    db: Session, session_id: str, columns: codec.MetadataColumns, through_seq: int | None
) -> tuple[int, int, int]:
    """Insert a session with a copy of another's messages; return its count, tokens and last seq."""
    _require(db, session_id, lock=True)  # what is appended meanwhile comes after the copy, whole
    insert_session(db, columns)
    names = [name for name in MESSAGE_COLUMNS if name != "seq"]
    place = func.row_number().over(order_by=M.c.seq)
    source = select(literal(columns.session_id, M.c.session_id.type), place, *(M.c[name] for name in names))
    source = source.where(M.c.session_id == session_id)
    if through_seq is not None:
        source = source.where(M.c.seq <= through_seq)
    db.execute(insert(M).from_select(["session_id", "seq", *names], source))
    count, tokens = db.execute(
        select(func.count(), func.coalesce(func.sum(M.c.token_count), 0)).where(M.c.session_id == columns.session_id)
    ).one()
    counters = (int(count), int(tokens), int(count))
    db.execute(
        update(S)
        .where(S.c.session_id == columns.session_id)
        .values(message_count=counters[0], token_count=counters[1], last_seq=counters[2])
    )
    return counters


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


def stale_sessions(db: Session, index: str, limit: int, after: str | None) -> list[IndexState]:
    """Read the sessions that an index has not seen as they are."""
    seen_seq, seen_edits = func.coalesce(I.c.last_seq, 0), func.coalesce(I.c.edits, 0)
    statement = (
        select(S.c.session_id, S.c.last_seq, S.c.edits, seen_seq, seen_edits)
        .select_from(S.outerjoin(I, and_(I.c.session_id == S.c.session_id, I.c.index_name == index)))
        .where(or_(S.c.last_seq != seen_seq, S.c.edits != seen_edits))
        .order_by(S.c.session_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(S.c.session_id > after)
    return [IndexState(*row) for row in db.execute(statement)]


def index_state(db: Session, session_id: str, index: str) -> IndexState | None:
    """Read how far an index has come with a session."""
    row = db.execute(
        select(S.c.session_id, S.c.last_seq, S.c.edits, func.coalesce(I.c.last_seq, 0), func.coalesce(I.c.edits, 0))
        .select_from(S.outerjoin(I, and_(I.c.session_id == S.c.session_id, I.c.index_name == index)))
        .where(S.c.session_id == session_id)
    ).one_or_none()
    return None if row is None else IndexState(*row)


def mark_indexed(db: Session, session_id: str, index: str, last_seq: int, edits: int) -> None:
    """Write how far an index has come with a session."""
    values = {"last_seq": last_seq, "edits": edits}
    known = (
        update(I).where(I.c.session_id == session_id, I.c.index_name == index).values(values).returning(I.c.last_seq)
    )
    if db.execute(known).one_or_none() is not None:
        return
    # Only beside a session that exists, which stays until this is committed; of two who come first, one waits here.
    exists = select(S.c.session_id).where(S.c.session_id == session_id).with_for_update(key_share=True)
    if db.execute(exists).one_or_none() is None or db.execute(known).one_or_none() is not None:
        return
    session = select(literal(session_id, S.c.session_id.type), literal(index, Text()), *map(literal, values.values()))
    db.execute(insert(I).from_select(["session_id", "index_name", "last_seq", "edits"], session))


def forget_index(db: Session, index: str) -> None:
    """Delete what is noted of an index."""
    db.execute(delete(I).where(I.c.index_name == index))
