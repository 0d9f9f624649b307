"""The hot statements: built from the mapped classes, compiled once per dialect, run on the driver's own connection.

A statement that goes through SQLAlchemy's execution costs 0.1 to 0.2 ms of Python each time; the same text handed to
the driver costs a tenth of that. The model stays the only definition: nothing here names a column that the mapped
classes do not have. The conformance suite runs both these and the ORM paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.expression import Executable

from ...interfaces.enums import SYSTEM_ROLES
from ..protocol import MessageQuery, SessionQuery
from .models import MessageRow, SessionRow, SummaryRow

S: Table = SessionRow.__table__  # type: ignore[assignment]
M: Table = MessageRow.__table__  # type: ignore[assignment]
SUMMARIES: Table = SummaryRow.__table__  # type: ignore[assignment]

MESSAGE_COLUMNS: tuple[str, ...] = tuple(column.name for column in M.columns if column.name != "session_id")
"""seq first, then the fields of ``codec.MessageColumns`` in order."""

SESSION_COLUMNS: tuple[str, ...] = tuple(column.name for column in S.columns)
"""The fields of ``codec.MetadataColumns``, then revision, message_count, token_count, last_seq."""

SPARE_ROWS = 16  # rows read beyond the estimate of a token window, so that uneven messages rarely need a second read


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text, the names of its parameters in order, and the values of those that are constants."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def args(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in the order of the parameters."""
        if self.constants:
            values = {**self.constants, **values}
        return tuple([values[name] for name in self.names])


def compile_statement(statement: Executable, dialect: Dialect, schema: str | None) -> Statement:
    """Compile for a dialect with positional parameters."""
    compiled = statement.compile(  # type: ignore[attr-defined]
        dialect=dialect,
        schema_translate_map={None: schema} if schema else None,
        render_schema_translate=bool(schema),
    )
    names = tuple(compiled.positiontup or ())
    constants = {name: value for name, value in compiled.params.items() if value is not None and name in names}
    return Statement(str(compiled), names, constants)


# --- append ---------------------------------------------------------------------------------------------------------


def _bump(now: ColumnElement[Any], count: Any, tokens: Any, expires: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "last_seq": S.c.last_seq + count,
        "message_count": S.c.message_count + count,
        "token_count": S.c.token_count + tokens,
        "updated_at": now,
        "expires_at": func.coalesce(expires, S.c.expires_at),
    }


def _alive(now: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(S.c.expires_at.is_(None), S.c.expires_at > now)


def _p(name: str, column: str | None = None, table: Table = M) -> ColumnElement[Any]:
    return bindparam(name, type_=table.c[column or name].type)


def reserve() -> Executable:
    """Take the next seqs of a session and count them: the row lock comes first, so no two writers share a seq.

    Returns no row when the session is missing or expired.
    """
    now = _p("now", "updated_at", S)
    count, tokens = bindparam("count", type_=BigInteger()), bindparam("tokens", type_=BigInteger())
    return (
        update(S)
        .where(S.c.session_id == _p("session", "session_id", S), _alive(now))
        .values(_bump(now, count, tokens, _p("expires", "expires_at", S)))
        .returning(S.c.last_seq, S.c.message_count)
    )


def insert_message() -> Executable:
    """Insert one message row; parameters are the column names."""
    return insert(M).values({name: _p(name) for name in ("session_id", *MESSAGE_COLUMNS)})


def append_one() -> ReturningInsert[Any]:
    """Reserve and insert in one statement (PostgreSQL). No row: the session is missing or expired."""
    now = _p("now", "updated_at", S)
    bumped = (
        update(S)
        .where(S.c.session_id == _p("session", "session_id", S), _alive(now))
        .values(_bump(now, 1, _p("token_count"), _p("expires", "expires_at", S)))
        .returning(S.c.session_id, S.c.last_seq, S.c.message_count)
        .cte("bumped")
    )
    values = [bumped.c.session_id, bumped.c.last_seq, *(_p(name) for name in MESSAGE_COLUMNS[1:])]
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
    now = _p("now", "updated_at", S)
    count, tokens = bindparam("count", type_=BigInteger()), bindparam("tokens", type_=BigInteger())
    bumped = (
        update(S)
        .where(S.c.session_id == _p("session", "session_id", S), _alive(now))
        .values(_bump(now, count, tokens, _p("expires", "expires_at", S)))
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
    now = _p("now", "updated_at", S)
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
        .where(S.c.session_id.in_(select(needed.c.session_id)), _alive(now))
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


# --- reads ----------------------------------------------------------------------------------------------------------

Shape = tuple[Any, ...]


def message_shape(query: MessageQuery) -> Shape:
    """Return what decides the text of a read; queries of one shape share a compiled statement."""
    return (
        query.after_seq is not None,
        query.before_seq is not None,
        query.since is not None,
        None if query.roles is None else len(query.roles),
        _role_shape(query.exclude_roles),
        _role_shape(query.keep_roles),
        query.newest_first,
        query.limit is not None,
        query.max_tokens is not None,
    )


def _role_shape(roles: frozenset[str]) -> int | str:
    return "system" if roles == SYSTEM_ROLES else len(roles)


def message_values(session_id: str, query: MessageQuery, time: Callable[[datetime], Any]) -> dict[str, Any]:
    """Return the parameters of a read, instants as the driver takes them."""
    values: dict[str, Any] = {
        "session": session_id,
        "after": query.after_seq,
        "before": query.before_seq,
        "since": None if query.since is None else time(query.since),
        "limit": query.limit,
        "budget": query.max_tokens,
    }
    for prefix, roles in (
        ("role", query.roles),
        ("exclude", query.exclude_roles),
        ("keep", query.keep_roles),
    ):
        for index, role in enumerate(sorted(roles or ())):
            values[f"{prefix}_{index}"] = role
    return values


def _has_role(prefix: str, shape: int | str) -> ColumnElement[bool]:
    if shape == "system":
        # As literals: with parameters no planner could tell that the index over system messages serves.
        return M.c.role.in_([literal_column(f"'{role}'") for role in sorted(SYSTEM_ROLES)])
    return M.c.role.in_([_p(f"{prefix}_{index}", "role") for index in range(int(shape))])


def read_messages(shape: Shape) -> Executable:
    """Return the statement for a shape: MESSAGE_COLUMNS, newest first or oldest first as the query says.

    Kept messages come before the others. The caller brings the rows into order: asked for one, the database would
    sort whole rows, and SQLite would read the kept messages by the primary key, that is the whole history, rather than
    by their own index.

    With a token budget two more columns follow: the running sum of tokens, newest first (0 for kept messages), and
    the session's message count; the first message over the budget is included, so that the caller can tell a full
    window from an estimate that was too short.
    """
    after, before, since, roles, excluded, kept, newest, limited, budgeted = shape
    where: list[ColumnElement[bool]] = [M.c.session_id == _p("session", "session_id")]
    if after:
        where.append(M.c.seq > _p("after", "seq"))
    if before:
        where.append(M.c.seq < _p("before", "seq"))
    if since:
        where.append(M.c.timestamp >= _p("since", "timestamp"))
    if roles is not None:
        where.append(_has_role("role", roles) if roles else literal_column("1 = 0", Boolean()))
    if excluded:
        where.append(not_(_has_role("exclude", excluded)))
    columns = [M.c[name] for name in MESSAGE_COLUMNS]
    if budgeted:
        return _budgeted(columns, where, kept, limited)
    others = select(*columns).where(*where)
    if kept:
        others = others.where(not_(_has_role("keep", kept)))
    others = others.order_by(M.c.seq.desc() if newest else M.c.seq)
    if limited:
        others = others.limit(bindparam("limit", type_=BigInteger()))
    if not kept:
        return others
    tail = others.subquery("tail")
    return union_all(_kept(columns, where, kept), select(*(tail.c[name] for name in MESSAGE_COLUMNS)))


def _budgeted(columns: list[Any], where: list[ColumnElement[bool]], kept: int | str, limited: bool) -> Executable:
    budget: ColumnElement[Any] = bindparam("budget", type_=BigInteger())
    session = select(S.c.message_count).where(S.c.session_id == _p("session", "session_id", S))
    total = session.scalar_subquery()
    # Rows that the budget can hold at the session's mean size, a quarter more, and some to spare.
    one = literal_column("1", BigInteger())
    mean = S.c.token_count // case((S.c.message_count > 0, S.c.message_count), else_=one) + one
    rows = budget * 5 // (mean * 4) + SPARE_ROWS
    if limited:
        limit = bindparam("limit", type_=BigInteger())
        rows = case((rows < limit, rows), else_=limit)
    guess = select(cast(rows, BigInteger)).where(S.c.session_id == _p("session", "session_id", S)).scalar_subquery()
    others = select(*columns).where(*where)
    if kept:
        others = others.where(not_(_has_role("keep", kept)))
    tail = others.order_by(M.c.seq.desc()).limit(guess).subquery("tail")
    running = cast(func.sum(tail.c.token_count).over(order_by=tail.c.seq.desc()), BigInteger)
    summed = select(*(tail.c[name] for name in MESSAGE_COLUMNS), running.label("running")).subquery("summed")
    if kept:
        spent = _kept([func.coalesce(func.sum(M.c.token_count), 0)], where, kept).scalar_subquery()
        budget = budget - cast(spent, BigInteger)
    fitting = select(
        *(summed.c[name] for name in MESSAGE_COLUMNS),
        (summed.c.running - budget).label("over"),
        total.label("total"),
    ).where(summed.c.running - summed.c.token_count <= budget)
    if not kept:
        return fitting
    always = literal_column("-1", BigInteger()).label("over")
    keep = _kept([*columns, always, total.label("total")], where, kept)
    return union_all(keep, fitting)


def _kept(columns: list[Any], where: list[ColumnElement[bool]], kept: int | str) -> Select[Any]:
    return select(*columns).where(*where, _has_role("keep", kept))


def fetch_session() -> Executable:
    """Return the session of an id: SESSION_COLUMNS."""
    return select(*S.columns).where(S.c.session_id == _p("session", "session_id", S))


def fetch_with_newest() -> Executable:
    """Return a session and its newest messages at once: SESSION_COLUMNS then MESSAGE_COLUMNS.

    The first row holds the session, the others a message each, newest first; the other half is NULL.
    """
    of_session = [*S.columns]
    of_message = [M.c[name] for name in MESSAGE_COLUMNS]
    session = select(*of_session, *(cast(null(), column.type).label(f"m_{column.name}") for column in of_message))
    tail = (
        select(*of_message)
        .where(M.c.session_id == _p("session", "session_id"))
        .order_by(M.c.seq.desc())
        .limit(bindparam("limit", type_=BigInteger()))
        .subquery("tail")
    )
    messages = select(*(cast(null(), column.type) for column in of_session), *(tail.c[n] for n in MESSAGE_COLUMNS))
    return union_all(session.where(S.c.session_id == _p("session", "session_id", S)), messages)


def session_shape(query: SessionQuery) -> Shape:
    """Return what decides the text of a listing."""
    return (
        query.user_id is not None,
        query.agent_id is not None,
        query.status is not None,
        query.live_at is not None,
        query.expired_at is not None,
        query.updated_before is not None,
        query.after is not None,
        query.offset > 0,
    )


def session_values(query: SessionQuery, time: Callable[[datetime], Any]) -> dict[str, Any]:
    """Return the parameters of a listing, instants as the driver takes them."""
    created_at, session_id = query.after or (None, None)

    def instant(value: datetime | None) -> Any:
        return None if value is None else time(value)

    return {
        "user_id": query.user_id,
        "agent_id": query.agent_id,
        "status": query.status,
        "live": instant(query.live_at),
        "expired": instant(query.expired_at),
        "updated": instant(query.updated_before),
        "after_time": instant(created_at),
        "after_id": session_id,
        "limit": query.limit,
        "offset": query.offset,
    }


def list_sessions(shape: Shape) -> Select[Any]:
    """Return the statement for a shape: SESSION_COLUMNS, newest first."""
    user, agent, status, live, expired, updated, after, offset = shape
    statement = select(*S.columns)
    if user:
        statement = statement.where(S.c.user_id == _p("user_id", table=S))
    if agent:
        statement = statement.where(S.c.agent_id == _p("agent_id", table=S))
    if status:
        statement = statement.where(S.c.status == _p("status", table=S))
    if live:
        statement = statement.where(_alive(_p("live", "expires_at", S)), S.c.status != literal_column("'expired'"))
    if expired:
        statement = statement.where(
            or_(S.c.status == literal_column("'expired'"), S.c.expires_at <= _p("expired", "expires_at", S))
        )
    if updated:
        statement = statement.where(S.c.updated_at < _p("updated", "updated_at", S))
    if after:
        time, ident = _p("after_time", "created_at", S), _p("after_id", "session_id", S)
        # Written out, not as a row comparison: SQLite uses the index for this form with created_at <= first.
        statement = statement.where(
            S.c.created_at <= time,
            or_(S.c.created_at < time, and_(S.c.created_at == time, S.c.session_id < ident)),
        )
    statement = statement.order_by(S.c.created_at.desc(), S.c.session_id.desc())
    statement = statement.limit(bindparam("limit", type_=BigInteger()))
    return statement.offset(bindparam("offset", type_=BigInteger())) if offset else statement
