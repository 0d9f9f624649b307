"""Appends that wait for the thread that writes are stored together: one job for all of them.

A job costs seconds on BigQuery, however little it does, and jobs of one table run one after the other. So whatever
has come while a job ran goes into the next one, and with a buffer that job waits for more.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from ...errors import ConflictError, InvalidInputError, LangSwarmMemoryError, SessionExpiredError, SessionNotFoundError
from ...interfaces.message import Message
from ..protocol import Appended
from .client import Gateway, Row
from .parameters import rows, text, texts
from .rows import message_row, sent_bytes
from .schema import MESSAGES
from .statements import KEYS, Statements

MOST_BYTES = 8_000_000
"""Bytes of a request, about: BigQuery refuses a query with parameters of more than 10 MB."""

MOST_CALLS = 1_000
"""Appends of one job."""

ROWS = {"call": "INT64", "place": "INT64", **MESSAGES}


@dataclass(slots=True, eq=False)
class Call:
    """One append that waits."""

    session_id: str
    rows: list[dict[str, Any]]
    now: datetime
    expires_at: datetime | None
    size: int
    future: Future[Appended] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


def new_call(session_id: str, messages: Sequence[Message], now: datetime, expires_at: datetime | None) -> Call:
    """Check messages and return the append of them.

    Raises:
        InvalidInputError: A field cannot be stored, there is no message, or they are more than a query takes.
    """
    if not messages:
        raise InvalidInputError("an append needs a message")
    found = [message_row(session_id, message) for message in messages]
    size = sum(map(sent_bytes, found))
    if size > MOST_BYTES:
        raise InvalidInputError(
            f"the messages of one append take {size:,} bytes, and BigQuery takes {MOST_BYTES:,}",
            suggestion="append them in several batches",
        )
    return Call(session_id, found, now, expires_at, size)


class Appends:
    """The appends that wait, and the thread's way to store them.

    Args:
        gateway: Runs the jobs.
        statements: Their text.
        most: Messages that may wait before they are stored; 0: none wait.
        seconds: How long they wait at most.
    """

    def __init__(self, gateway: Gateway, statements: Statements, *, most: int, seconds: float) -> None:
        self._gateway, self._statements = gateway, statements
        self._most, self._seconds = most, seconds if most else 0.0
        self._waiting: deque[Call] = deque()
        self._changed = threading.Condition()
        self._hurrying = 0

    def add(self, call: Call) -> None:
        """Let an append wait; its future tells how it ended."""
        with self._changed:
            # One turn of the thread for each append: it stores at least one, so every append has its turn.
            self._gateway.submit_write(self._store_next)
            self._waiting.append(call)
            self._changed.notify_all()

    def hurry(self, by: int) -> None:
        """Count who is in a hurry: while anybody is (1, and -1 when done), nothing waits for more."""
        with self._changed:
            self._hurrying += by
            self._changed.notify_all()

    def store_all(self) -> None:
        """Store everything that waits. On the thread that writes."""
        while self._waiting:
            self._store_next()

    # --- on the thread that writes -----------------------------------------------------------------------------

    def _store_next(self) -> None:
        with self._changed:
            while self._waiting and not self._hurrying:
                left = self._waiting[0].since + self._seconds - time.monotonic()
                if left <= 0 or sum(len(call.rows) for call in self._waiting) >= self._most:
                    break
                self._changed.wait(left)
            group = self._take()
        if not group:
            return
        outcomes: Sequence[Appended | BaseException]
        try:
            outcomes = self._store(group)
        except BaseException as exc:
            outcomes = [exc] * len(group)
        for call, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                call.future.set_exception(outcome)
            else:
                call.future.set_result(outcome)

    def _take(self) -> list[Call]:
        """Return appends that one job can store; what does not fit keeps its place."""
        group: list[Call] = []
        left: list[Call] = []
        size = 0
        digests: dict[tuple[str, str], str] = {}
        sliding: dict[str, bool] = {}
        while self._waiting and len(group) < MOST_CALLS:
            call = self._waiting.popleft()
            # An id with two contents, or a session of which one append moves the expiry and another does not, is
            # decided by their order: one job after the other.
            fits = (not group or size + call.size <= MOST_BYTES) and sliding.get(
                call.session_id, call.expires_at is None
            ) == (call.expires_at is None)
            if not fits or any(digests.get(_key(row), row["digest"]) != row["digest"] for row in call.rows):
                left.append(call)
            elif call.future.set_running_or_notify_cancel():
                group.append(call)
                size += call.size
                sliding[call.session_id] = call.expires_at is None
                digests.update((_key(row), row["digest"]) for row in call.rows)
        self._waiting.extendleft(reversed(left))
        return group

    def _store(self, group: list[Call]) -> list[Appended | LangSwarmMemoryError]:
        keys: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        for number, call in enumerate(group):
            for place, row in enumerate(call.rows):
                at: dict[str, Any] = {"call": number, "place": place}
                given = {"now": call.now, "new_expiry": call.expires_at, **at}
                keys.append({name: given[name] if name in given else row[name] for name in KEYS})
                messages.append({**at, **row})
        answer = self._gateway.transact(
            "append",
            self._statements.append(),
            [
                rows("keys", KEYS, keys),
                rows("given", ROWS, messages),
                texts("sessions", sorted({call.session_id for call in group})),
                text("batch", uuid4().hex),
            ],
        )
        by_call: list[list[Row]] = [[] for _ in group]
        for found in answer:
            by_call[found["call"]].append(found)
        return list(_outcomes(group, by_call))


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["session_id"], row["message_id"]


def _outcomes(group: list[Call], by_call: list[list[Row]]) -> Iterable[Appended | LangSwarmMemoryError]:
    """Tell each append what it would have been told if they had been stored one after the other."""
    inserted: Counter[str] = Counter()  # by the appends so far, of each session
    seqs: dict[tuple[str, str], int] = {}  # of what the job itself stored
    for call, found in zip(group, by_call, strict=True):
        refusal = _refusal(call, found)
        if refusal is not None:
            yield refusal
            continue
        fresh = {_key(given): row["seq"] for row, given in zip(found, call.rows, strict=True) if row["fresh"]}
        seqs |= fresh
        inserted[call.session_id] += len(fresh)
        more = inserted[call.session_id]
        yield Appended(
            tuple(
                seqs[_key(given)] if row["seq"] is None else row["seq"]
                for row, given in zip(found, call.rows, strict=True)
            ),
            len(fresh),
            found[0]["message_count"] + more,
            found[0]["last_seq"] + more,
        )


def _refusal(call: Call, found: list[Row]) -> LangSwarmMemoryError | None:
    session = found[0]
    if session["accepted"]:
        return None
    if not session["found"]:
        return SessionNotFoundError(call.session_id)
    if session["expires_at"] is not None and session["expires_at"] <= call.now:
        return SessionExpiredError(call.session_id)
    differs = next(given["message_id"] for row, given in zip(found, call.rows, strict=True) if row["differs"])
    return ConflictError(
        f"message {differs!r} is already stored in session {call.session_id!r} with other content",
        suggestion="give the new message an id of its own",
    )
