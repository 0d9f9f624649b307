"""The statements that append: they reserve the next seqs on the session's row and insert the messages.

See ``statements.py`` for why they are compiled once and run on the driver's own connection.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, bindparam, cast, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.expression import Executable

from .statements import MESSAGE_COLUMNS, M, S, alive, parameter


def _bump(now: ColumnElement[Any], count: Any, tokens: Any, expires: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "last_seq": S.c.last_seq + count,
        "message_count": S.c.message_count + count,
        "token_count": S.c.token_count + tokens,
        "updated_at": now,
        "expires_at": func.coalesce(expires, S.c.expires_at),
    }


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
        .returning(S.c.session_id, S.c.last_seq, S.c.message_count)
        .cte("bumped")
    )
    values = [bumped.c.session_id, bumped.c.last_seq, *(parameter(name) for name in MESSAGE_COLUMNS[1:])]
    return (
        insert(M)
        .from_select(["session_id", *MESSAGE_COLUMNS], select(*values))
        .returning(M.c.seq, select(bumped.c.message_count).scalar_subquery())
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
        .returning(S.c.session_id, S.c.last_seq, S.c.message_count, (S.c.last_seq - count).label("base"))
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
    return select(bumped.c.last_seq, bumped.c.message_count).add_cte(inserted)


def append_group() -> Executable:
    """Append many messages to many sessions in one statement (PostgreSQL).

    Messages come as arrays, one per column, in the order in which they were given. Session rows are locked in the
    order of their ids, so that two groups cannot deadlock. Returns (session_id, last_seq, message_count) per session
    that took its messages; a session that is missing or expired is not among them.
    """
    now = parameter("now", "updated_at", S)
    names = ("session_id", *MESSAGE_COLUMNS[1:])
    arrays = [bindparam(f"{name}s", type_=ARRAY(M.c[name].type)) for name in names]
    incoming = _columns(arrays, names)
    needed = (
        select(incoming.c.session_id, func.count().label("n"), func.sum(incoming.c.token_count).label("tokens"))
        .group_by(incoming.c.session_id)
        .cte("needed")
    )
    locked = (
        select(S.c.session_id)
        .where(S.c.session_id.in_(select(needed.c.session_id)), alive(now))
        .order_by(S.c.session_id)
        .with_for_update()
        .cte("locked")
    )
    expires = (
        select(func.unnest(bindparam("expiring", type_=ARRAY(S.c.session_id.type))).label("session_id"))
        .add_columns(func.unnest(bindparam("expiries", type_=ARRAY(S.c.expires_at.type))).label("expires_at"))
        .cte("expires")
    )
    new_expiry = select(expires.c.expires_at).where(expires.c.session_id == S.c.session_id).scalar_subquery()
    bumped = (
        update(S)
        .where(S.c.session_id == needed.c.session_id, S.c.session_id == locked.c.session_id)
        .values(_bump(now, needed.c.n, cast(needed.c.tokens, BigInteger), new_expiry))
        .returning(
            S.c.session_id,
            S.c.last_seq,
            S.c.message_count,
            (S.c.last_seq - needed.c.n).label("base"),
        )
        .cte("bumped")
    )
    place = func.row_number().over(partition_by=incoming.c.session_id, order_by=incoming.c.place)
    rows = (
        insert(M)
        .from_select(
            ["session_id", *MESSAGE_COLUMNS],
            select(
                incoming.c.session_id,
                bumped.c.base + place,
                *(incoming.c[name] for name in MESSAGE_COLUMNS[1:]),
            ).where(incoming.c.session_id == bumped.c.session_id),
        )
        .cte("inserted")
    )
    return select(bumped.c.session_id, bumped.c.last_seq, bumped.c.message_count).add_cte(rows)


def _columns(arrays: list[Any], names: tuple[str, ...]) -> Any:
    derived = func.unnest(*arrays).table_valued(*names, with_ordinality="place", name="given").render_derived()
    return select(*(derived.c[name] for name in names), derived.c.place).cte("incoming")
