"""The hot statements: built from the mapped classes, compiled once per dialect, run on the driver's own connection.

A statement that goes through SQLAlchemy's execution costs 0.1 to 0.2 ms of Python each time; the same text handed to
the driver costs a tenth of that. The model stays the only definition: nothing here names a column that the mapped
classes do not have. The conformance suite runs both these and the ORM paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
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
    literal_column,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.expression import Executable

from ...interfaces.enums import SYSTEM_ROLES
from ..protocol import MessageQuery, SessionQuery
from .models import EmbeddingRow, IndexStateRow, MessageRow, SessionRow, SummaryRow

S: Table = SessionRow.__table__  # type: ignore[assignment]
M: Table = MessageRow.__table__  # type: ignore[assignment]
SUMMARIES: Table = SummaryRow.__table__  # type: ignore[assignment]
EMBEDDINGS: Table = EmbeddingRow.__table__  # type: ignore[assignment]
INDEXES: Table = IndexStateRow.__table__  # type: ignore[assignment]

MESSAGE_COLUMNS: tuple[str, ...] = tuple(column.name for column in M.columns if column.name != "session_id")
"""seq first, then the fields of ``codec.MessageColumns`` in order."""

SESSION_COLUMNS: tuple[str, ...] = tuple(column.name for column in S.columns if column.name != "watched_until")
"""The fields of ``codec.MetadataColumns``, then revision, message_count, token_count, last_seq, edits."""

_SESSION = [S.c[name] for name in SESSION_COLUMNS]

MAX_BUDGET = 2**60  # more tokens than a session holds; five times as many still fit 64 bits
SPARE_ROWS = 16  # rows read beyond the estimate of a token window, so that uneven messages rarely need a second read


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text, the names of its parameters in order, and the values of those that are constants."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    _pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # itemgetter is three times as fast as a comprehension, but gives a tuple only for two names or more.
        names = self.names
        pick: Any = itemgetter(*names) if len(names) > 1 else lambda values: tuple([values[name] for name in names])
        object.__setattr__(self, "_pick", pick)

    def args(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in the order of the parameters."""
        return self._pick({**self.constants, **values} if self.constants else values)


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


def alive(now: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a session has not expired."""
    return or_(S.c.expires_at.is_(None), S.c.expires_at > now)


def parameter(name: str, column: str | None = None, table: Table = M) -> ColumnElement[Any]:
    """Return a parameter of a column's type."""
    return bindparam(name, type_=table.c[column or name].type)


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
        "budget": None if query.max_tokens is None else min(query.max_tokens, MAX_BUDGET),
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
    return M.c.role.in_([parameter(f"{prefix}_{index}", "role") for index in range(int(shape))])


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
    where: list[ColumnElement[bool]] = [M.c.session_id == parameter("session", "session_id")]
    if after:
        where.append(M.c.seq > parameter("after", "seq"))
    if before:
        where.append(M.c.seq < parameter("before", "seq"))
    if since:
        where.append(M.c.timestamp >= parameter("since", "timestamp"))
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
    session = select(S.c.message_count).where(S.c.session_id == parameter("session", "session_id", S))
    total = session.scalar_subquery()
    # Rows that the budget can hold at the session's mean size, a quarter more, and some to spare.
    one = literal_column("1", BigInteger())
    mean = S.c.token_count // case((S.c.message_count > 0, S.c.message_count), else_=one) + one
    rows = budget * 5 // (mean * 4) + SPARE_ROWS
    if limited:
        limit = bindparam("limit", type_=BigInteger())
        rows = case((rows < limit, rows), else_=limit)
    guess = (
        select(cast(rows, BigInteger)).where(S.c.session_id == parameter("session", "session_id", S)).scalar_subquery()
    )
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
    return select(*_SESSION).where(S.c.session_id == parameter("session", "session_id", S))


def list_summaries() -> Executable:
    """Return the newest summaries of a session: the columns of the table."""
    return (
        select(*SUMMARIES.c)
        .where(SUMMARIES.c.session_id == parameter("session", "session_id", SUMMARIES))
        .order_by(SUMMARIES.c.created_at.desc(), SUMMARIES.c.summary_id.desc())
        .limit(bindparam("limit", type_=BigInteger()))
    )


def fetch_with_newest() -> Executable:
    """Return a session and its newest messages at once: SESSION_COLUMNS then MESSAGE_COLUMNS.

    The first row holds the session, the others a message each, newest first; the other half is NULL.
    """
    of_session = [*_SESSION]
    of_message = [M.c[name] for name in MESSAGE_COLUMNS]
    session = select(*of_session, *(cast(null(), column.type).label(f"m_{column.name}") for column in of_message))
    tail = (
        select(*of_message)
        .where(M.c.session_id == parameter("session", "session_id"))
        .order_by(M.c.seq.desc())
        .limit(bindparam("limit", type_=BigInteger()))
        .subquery("tail")
    )
    messages = select(*(cast(null(), column.type) for column in of_session), *(tail.c[n] for n in MESSAGE_COLUMNS))
    return union_all(session.where(S.c.session_id == parameter("session", "session_id", S)), messages)


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
    statement = select(*_SESSION)
    if user:
        statement = statement.where(S.c.user_id == parameter("user_id", table=S))
    if agent:
        statement = statement.where(S.c.agent_id == parameter("agent_id", table=S))
    if status:
        statement = statement.where(S.c.status == parameter("status", table=S))
    if live:
        statement = statement.where(
            alive(parameter("live", "expires_at", S)), S.c.status != literal_column("'expired'")
        )
    if expired:
        statement = statement.where(
            or_(S.c.status == literal_column("'expired'"), S.c.expires_at <= parameter("expired", "expires_at", S))
        )
    if updated:
        statement = statement.where(S.c.updated_at < parameter("updated", "updated_at", S))
    if after:
        time, ident = parameter("after_time", "created_at", S), parameter("after_id", "session_id", S)
        # Written out, not as a row comparison: SQLite uses the index for this form with created_at <= first.
        statement = statement.where(
            S.c.created_at <= time,
            or_(S.c.created_at < time, and_(S.c.created_at == time, S.c.session_id < ident)),
        )
    statement = statement.order_by(S.c.created_at.desc(), S.c.session_id.desc())
    statement = statement.limit(bindparam("limit", type_=BigInteger()))
    return statement.offset(bindparam("offset", type_=BigInteger())) if offset else statement
