"""Every statement, as text: only names of tables and columns are put in, values are parameters.

Writes are scripts of one transaction. On BigQuery, transactions that update or delete rows of one table abort each
other, while those that only insert do not. So every script that depends on a session updates or deletes its row, and
``insert_session``, which has none yet, updates the one row of ``locks``: of two processes that write, one is aborted
and repeats, and each sees what the one before it did.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol import MessageQuery, SessionQuery
from ..values import MAX_INT
from .parameters import Parameter, instant, number, text
from .schema import LOCKS, MESSAGES, SESSIONS, SUMMARIES
from .windows import message_window

EMPTY = {"message_count": 0, "token_count": 0, "last_seq": 0, "summary_count": 0, "edits": 0}
"""Counters of a new session."""

METADATA = tuple(name for name in SESSIONS if name not in EMPTY)
"""Columns that metadata and revision fill."""

GIVEN = tuple(name for name in MESSAGES if name not in ("seq", "stored_at", "batch"))
"""Columns of a message that come from the caller; the others are given by the statement."""


KEYS = {
    "call": "INT64",
    "place": "INT64",
    "session_id": "STRING",
    "message_id": "STRING",
    "digest": "STRING",
    "token_count": "INT64",
    "now": "TIMESTAMP",
    "new_expiry": "TIMESTAMP",
}
"""What an append tells of each message: which call it belongs to, and what decides about it."""


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements for one dataset.

    Args:
        dataset: ``project.dataset``, both checked by the settings.
    """

    dataset: str

    def _table(self, name: str) -> str:
        return f"`{self.dataset}.{name}`"

    @property
    def sessions(self) -> str:
        """Name of the table of sessions."""
        return self._table("sessions")

    @property
    def messages(self) -> str:
        """Name of the table of messages."""
        return self._table("messages")

    @property
    def summaries(self) -> str:
        """Name of the table of summaries."""
        return self._table("summaries")

    # --- sessions ----------------------------------------------------------------------------------------------

    def insert_session(self) -> str:
        """Insert a session unless its id is taken. Answers ``inserted``."""
        names = (*METADATA, *EMPTY)
        given = (*(f"@{name}" for name in METADATA), *map(str, EMPTY.values()))
        return f"""
            DECLARE inserted INT64;
            BEGIN TRANSACTION;
            UPDATE {self._table(LOCKS)} SET taken = taken + 1 WHERE TRUE;
            INSERT INTO {self.sessions} ({", ".join(names)})
            SELECT {", ".join(given)} FROM (SELECT 1)
            WHERE NOT EXISTS (SELECT 1 FROM {self.sessions} WHERE session_id = @session_id);
            SET inserted = @@row_count;
            COMMIT TRANSACTION;
            SELECT inserted AS inserted;
        """

    def fetch_session(self) -> str:
        """Return a session's row."""
        return f"SELECT {record_columns()} FROM {self.sessions} WHERE session_id = @session"

    def replace_session(self) -> str:
        """Replace a session's metadata if its revision is the expected one. Answers ``changed`` and the row, if any.

        A single statement writes, so there is no transaction: BigQuery queues it behind those that run.
        """
        changes = ", ".join(f"{name} = @{name}" for name in METADATA if name not in ("session_id", "revision"))
        return f"""
            DECLARE changed INT64;
            UPDATE {self.sessions} SET {changes}, revision = revision + 1
            WHERE session_id = @session_id AND revision = @revision;
            SET changed = @@row_count;
            SELECT changed AS changed, {record_columns()} FROM {self.sessions} WHERE session_id = @session_id;
        """

    def list_sessions(self, query: SessionQuery) -> tuple[str, list[Parameter]]:
        """Return a page of sessions."""
        conditions, parameters = ["TRUE"], [number("most", query.limit), number("skip", query.offset)]
        for name in ("user_id", "agent_id", "status"):
            value = getattr(query, name)
            if value is not None:
                conditions.append(f"{name} = @{name}")
                parameters.append(text(name, value))
        if query.live_at is not None:
            conditions.append("status != 'expired' AND (expires_at IS NULL OR expires_at > @live_at)")
            parameters.append(instant("live_at", query.live_at))
        if query.expired_at is not None:
            conditions.append("(status = 'expired' OR expires_at <= @expired_at)")
            parameters.append(instant("expired_at", query.expired_at))
        if query.updated_before is not None:
            conditions.append("updated_at < @updated_before")
            parameters.append(instant("updated_before", query.updated_before))
        if query.after is not None:
            conditions.append("(created_at < @after OR (created_at = @after AND session_id < @after_id))")
            parameters += [instant("after", query.after[0]), text("after_id", query.after[1])]
        sql = (
            f"SELECT {record_columns()} FROM {self.sessions} WHERE {' AND '.join(conditions)} "
            "ORDER BY created_at DESC, session_id DESC LIMIT @most OFFSET @skip"
        )
        return sql, parameters

    def delete_sessions(self) -> str:
        """Delete sessions with all their rows. Answers ``deleted``."""
        return f"""
            DECLARE deleted INT64;
            BEGIN TRANSACTION;
            DELETE FROM {self.sessions} WHERE session_id IN UNNEST(@sessions);
            SET deleted = @@row_count;
            DELETE FROM {self.messages} WHERE session_id IN UNNEST(@sessions);
            DELETE FROM {self.summaries} WHERE session_id IN UNNEST(@sessions);
            COMMIT TRANSACTION;
            SELECT deleted AS deleted;
        """

    # --- messages ----------------------------------------------------------------------------------------------

    def append(self) -> str:
        """Store the messages of several calls, each call whole or not at all.

        ``@keys``: a row per message, of KEYS. ``@given``: call, place and the columns of GIVEN. ``@sessions``: the ids,
        so that only their clusters are scanned.

        A call is accepted when its session is there and alive and none of its ids is stored with another digest.
        The plan of it all is one statement, so that each table is scanned, and paid for, once; that of sessions a
        second time by the UPDATE, which names the ids again because a join alone spares no clusters. Counters are
        counted, not added up: so they heal when a partition has expired.

        Answers the plan: for each key whether its call is ``accepted``, whether the session was ``found``, its
        ``expires_at``, ``last_seq`` and ``message_count`` before, whether the message is new (``fresh``), its ``seq``,
        and whether it was stored with another digest (``differs``).
        """
        ours = f"FROM {self.messages} WHERE {_OURS}"
        return f"""
            BEGIN TRANSACTION;
            CREATE TEMP TABLE plan AS
            WITH known AS (
                SELECT
                    k.call, k.place, k.session_id, k.message_id, k.token_count, k.now, k.new_expiry,
                    s.session_id IS NOT NULL AS found, s.expires_at, s.last_seq,
                    IFNULL(t.message_count, 0) AS message_count, IFNULL(t.tokens, 0) AS tokens,
                    m.seq, IFNULL(m.digest != k.digest, FALSE) AS differs
                FROM UNNEST(@keys) AS k
                LEFT JOIN (SELECT session_id, expires_at, last_seq FROM {self.sessions} WHERE {_OURS}) AS s
                    ON s.session_id = k.session_id
                LEFT JOIN (
                    SELECT session_id, COUNT(*) AS message_count, SUM(token_count) AS tokens {ours} GROUP BY session_id
                ) AS t ON t.session_id = k.session_id
                LEFT JOIN (SELECT session_id, message_id, seq, digest {ours}) AS m
                    ON m.session_id = k.session_id AND m.message_id = k.message_id
            ),
            judged AS (
                SELECT *, MIN(IF(found AND (expires_at IS NULL OR expires_at > now) AND NOT differs, 1, 0))
                    OVER (PARTITION BY call) = 1 AS accepted
                FROM known
            ),
            chosen AS (
                SELECT *, accepted AND seq IS NULL AND ROW_NUMBER()
                    OVER (PARTITION BY session_id, message_id, accepted ORDER BY call) = 1 AS fresh
                FROM judged
            )
            SELECT
                call, place, session_id, accepted, found, differs, fresh, expires_at, last_seq, message_count, tokens,
                IF(fresh, last_seq + SUM(IF(fresh, 1, 0)) OVER (PARTITION BY session_id ORDER BY call, place), seq)
                    AS seq,
                IF(fresh, token_count, 0) AS new_tokens,
                FIRST_VALUE(now) OVER (PARTITION BY session_id, accepted ORDER BY call DESC, place DESC) AS now,
                FIRST_VALUE(new_expiry) OVER (PARTITION BY session_id, accepted ORDER BY call DESC, place DESC)
                    AS new_expiry
            FROM chosen;
            INSERT INTO {self.messages} (seq, stored_at, batch, {", ".join(GIVEN)})
            SELECT p.seq, CURRENT_TIMESTAMP(), @batch, {", ".join(f"r.{name}" for name in GIVEN)}
            FROM UNNEST(@given) AS r JOIN plan AS p ON p.call = r.call AND p.place = r.place
            WHERE p.fresh;
            UPDATE {self.sessions} AS s SET
                last_seq = n.last_seq, message_count = n.message_count, token_count = n.tokens,
                updated_at = n.now, expires_at = IFNULL(n.new_expiry, s.expires_at)
            FROM (
                SELECT
                    session_id, MAX(last_seq) + COUNTIF(fresh) AS last_seq,
                    MAX(message_count) + COUNTIF(fresh) AS message_count, MAX(tokens) + SUM(new_tokens) AS tokens,
                    MAX(now) AS now, MAX(new_expiry) AS new_expiry
                FROM plan WHERE accepted GROUP BY session_id
            ) AS n
            WHERE s.session_id = n.session_id AND s.session_id IN UNNEST(@sessions);
            COMMIT TRANSACTION;
            SELECT
                call, place, accepted, found, differs, fresh, expires_at, last_seq, message_count, seq
            FROM plan ORDER BY call, place;
        """

    def read_messages(self, query: MessageQuery, *, record: bool = False) -> tuple[str, list[Parameter]]:
        """Return a session's messages: no row where there is no session, one without ``seq`` where it has none.

        Args:
            query: Which messages.
            record: Whether each row holds the session's columns as well.
        """
        window, parameters = message_window(self.messages, query)
        columns = record_columns("s.", "session_") if record else "s.session_id AS found"
        sql = f"""
            SELECT {columns}, w.seq, w.message
            FROM (SELECT * FROM {self.sessions} WHERE session_id = @session) AS s
            LEFT JOIN ({window}) AS w ON w.session_id = s.session_id
            ORDER BY w.seq
        """
        return sql, parameters

    # --- summaries and sizes -----------------------------------------------------------------------------------

    def put_summary(self) -> str:
        """Store or replace a summary of a session that is there. Answers ``found``."""
        names = ", ".join(SUMMARIES)
        given = ", ".join(f"@{name}" for name in SUMMARIES)
        ours = f"FROM {self.summaries} WHERE session_id = @session_id"
        return f"""
            DECLARE found INT64;
            BEGIN TRANSACTION;
            DELETE {ours} AND summary_id = @summary_id;
            INSERT INTO {self.summaries} ({names})
            SELECT {given} FROM {self.sessions} WHERE session_id = @session_id;
            UPDATE {self.sessions} SET summary_count = (SELECT COUNT(*) {ours}) WHERE session_id = @session_id;
            SET found = @@row_count;
            COMMIT TRANSACTION;
            SELECT found AS found;
        """

    def list_summaries(self, limit: int | None) -> tuple[str, list[Parameter]]:
        """Return a session's newest summaries: no row where there is no session, one without any where it has none."""
        sql = f"""
            SELECT s.session_id AS found, w.summary
            FROM (SELECT session_id FROM {self.sessions} WHERE session_id = @session) AS s
            LEFT JOIN (
                SELECT session_id, document AS summary, place FROM (
                    SELECT session_id, document, ROW_NUMBER() OVER (ORDER BY created_at DESC, summary_id DESC) AS place
                    FROM {self.summaries} WHERE session_id = @session
                ) WHERE place <= @most
            ) AS w ON w.session_id = s.session_id
            ORDER BY w.place
        """
        return sql, [number("most", MAX_INT if limit is None else limit)]

    def stats(self) -> str:
        """Count sessions and tokens by status, from the sessions' counters, and the messages there are."""
        return f"""
            SELECT status, COUNT(*) AS sessions, SUM(token_count) AS tokens,
                (SELECT COUNT(*) FROM {self.messages}) AS messages
            FROM {self.sessions} GROUP BY status
        """


_OURS = "session_id IN UNNEST(@sessions)"


def record_columns(of: str = "", prefix: str = "") -> str:
    """Return the columns that a record is made of.

    Args:
        of: Name of the table, with a dot.
        prefix: What the names of the columns begin with in the answer.
    """
    names = ("document", "updated_at", "expires_at", "revision", "message_count", "token_count", "last_seq")
    # NULL: the row is from before there were edits.
    return ", ".join([*(f"{of}{name} AS {prefix}{name}" for name in names), f"IFNULL({of}edits, 0) AS {prefix}edits"])
