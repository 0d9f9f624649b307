"""The statements that append: they reserve the next seqs on the session's row and insert the messages.

See ``statements.py`` for why they are compiled once and run on the driver's own connection.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Text,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.expression import Executable

from .statements import MESSAGE_COLUMNS, M, S, alive, parameter
from .watched import CHANNEL


def _bump(now: ColumnElement[Any], count: Any, tokens: Any, expires: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "last_seq": S.c.last_seq + count,
        "message_count": S.c.message_count + count,
        "token_count": S.c.token_count + tokens,
        "updated_at": now,
        "expires_at": func.coalesce(expires, S.c.expires_at),
    }


def _told(bumped: Any) -> ColumnElement[Any]:
    """Notify those who watch the session; for all others it costs a comparison."""
    notify = func.pg_notify(literal_column(f"'{CHANNEL}'"), func.md5(bumped.c.session_id))
    return case((bumped.c.watched_until > func.now(), cast(notify, Text())))


def reserve() -> Executable:
    """Take the next seqs of a session and count them: the row lock comes first, so no two writers share a seq.

    Returns no row when the session is missing or expired.
    """
    now = parameter("now", "updated_at", S)
    count, tokens = bindparam("count", type_=BigInteger()), bindparam("tokens", type_=BigInteger())
    return (
        update(S)
        .where(S.c.session_id == parameter("session", "session_id", S), alive(now))
        .values(_bump(now, count, tokens, parameter("expires", "expires_at", S)))
        .returning(S.c.last_seq, S.c.message_count)
    )


def insert_message() -> Executable:
    """Insert one message row; parameters are the column names."""
    return insert(M).values({name: parameter(name) for name in ("session_id", *MESSAGE_COLUMNS)})


def append_one() -> ReturningInsert[Any]:
    """Reserve and insert in one statement (PostgreSQL). No row: the session is missing or expired."""
    now = parameter("now", "updated_at", S)
    bumped = (
        update(S)
        .where(S.c.session_id == parameter("session", "session_id", S), alive(now))
        .values(_bump(now, 1, parameter("token_count"), parameter("expires", "expires_at", S)))
        .returning(S.c.session_id, S.c.last_seq, S.c.message_count, S.c.watched_until)
        .cte("bumped")
    )
    values = [bumped.c.session_id, bumped.c.last_seq, *(parameter(name) for name in MESSAGE_COLUMNS[1:])]
    return (
        insert(M)
        .from_select(["session_id", *MESSAGE_COLUMNS], select(*values))
        .returning(M.c.seq, select(bumped.c.message_count).scalar_subquery(), select(_told(bumped)).scalar_subquery())
    )


def append_batch() -> Executable:
    """Reserve and insert many messages of one session in one statement (PostgreSQL).

    Messages come as arrays, one per column, in order. Returns one row, (last_seq, message_count); none when the session
    is missing or expired.
    """
    now = parameter("now", "updated_at", S)
    count, tokens = bindparam("count", type_=BigInteger()), bindparam("tokens", type_=BigInteger())
    bumped = (
        update(S)
        .where(S.c.session_id == parameter("session", "session_id", S), alive(now))
        .values(_bump(now, count, tokens, parameter("expires", "expires_at", S)))
        .returning(
            S.c.session_id, S.c.last_seq, S.c.message_count, S.c.watched_until, (S.c.last_seq - count).label("base")
        )
        .cte("bumped")
    )
    names = MESSAGE_COLUMNS[1:]
    arrays = [bindparam(f"{name}s", type_=ARRAY(M.c[name].type)) for name in names]
    given = func.unnest(*arrays).table_valued(*names, with_ordinality="place", name="given").render_derived()
    inserted = (
        insert(M)
        .from_select(
            ["session_id", *MESSAGE_COLUMNS],
            select(bumped.c.session_id, bumped.c.base + given.c.place, *(given.c[name] for name in names)).select_from(
                bumped.join(given, literal_column("true", Boolean()))
            ),
        )
        .cte("inserted")
    )
    return select(bumped.c.last_seq, bumped.c.message_count, _told(bumped)).add_cte(inserted)


def append_group() -> Executable:
    """Append many messages to many sessions in one statement (PostgreSQL).

    Messages come as arrays, one per column, with their place in their session's share; sessions come as arrays of ids,
    counts, tokens, new expiries and instants. Session rows are locked in the order of their ids, so that two groups
    cannot deadlock. Returns (session_id, last_seq, message_count) per session that took its messages; a session that is
    missing or expired is not among them.
    """
    now = parameter("now", "updated_at", S)
    ids = bindparam("ids", type_=ARRAY(S.c.session_id.type))
    needed = (
        func.unnest(
            ids,
            bindparam("counts", type_=ARRAY(BigInteger())),
            bindparam("tokens", type_=ARRAY(BigInteger())),
            bindparam("expiries", type_=ARRAY(S.c.expires_at.type)),
            bindparam("nows", type_=ARRAY(S.c.updated_at.type)),
        )
        .table_valued("session_id", "n", "tokens", "expires_at", "now", name="needed")
        .render_derived()
    )
    locked = (
        select(S.c.session_id)
        .where(S.c.session_id == any_(ids), alive(now))
        .order_by(S.c.session_id)
        .with_for_update()
        .cte("locked")
    )
    bumped = (
        update(S)
        .where(S.c.session_id == needed.c.session_id, S.c.session_id == locked.c.session_id)
        .values(_bump(needed.c.now, needed.c.n, needed.c.tokens, needed.c.expires_at))
        .returning(
            S.c.session_id,
            S.c.last_seq,
            S.c.message_count,
            S.c.watched_until,
            (S.c.last_seq - needed.c.n).label("base"),
        )
        .cte("bumped")
    )
    names = ("session_id", *MESSAGE_COLUMNS[1:])
    arrays = [bindparam(f"{name}s", type_=ARRAY(M.c[name].type)) for name in names]
    places = bindparam("places", type_=ARRAY(BigInteger()))
    given = func.unnest(*arrays, places).table_valued(*names, "place", name="given").render_derived()
    inserted = (
        insert(M)
        .from_select(
            ["session_id", *MESSAGE_COLUMNS],
            select(
                given.c.session_id,
                bumped.c.base + given.c.place,
                *(given.c[name] for name in MESSAGE_COLUMNS[1:]),
            ).where(given.c.session_id == bumped.c.session_id),
        )
        .cte("inserted")
    )
    told = _told(bumped)
    return select(bumped.c.session_id, bumped.c.last_seq, bumped.c.message_count, told).add_cte(inserted)
