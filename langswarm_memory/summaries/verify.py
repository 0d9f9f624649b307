"""Whether summaries still hold: compared with the messages they cover, and taken out of use where they do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary
from .coverage import Coverage, chained, coverage_of, in_use, withdrawn

if TYPE_CHECKING:
    from ..session import BaseMemorySession

Verdict = Literal["valid", "outlived", "unknown", "changed"]
"""``valid``: the messages covered are those that it was made of. ``outlived``: the first of them were deleted, as a
trimmed or cleared history lacks them; the summary is what is left of them. ``unknown``: it was made elsewhere, without
a hash. ``changed``: a message covered was edited, or deleted from the middle or the end."""


class SummaryCheck(NamedTuple):
    """A summary, and what a look at its messages told."""

    summary: ConversationSummary
    verdict: Verdict


@dataclass
class _Reading:
    """What was read from the first message on that some summaries cover: all rolling ones share one."""

    first_seq: int
    summaries: list[tuple[Coverage, ConversationSummary]] = field(default_factory=list)
    state: str = ""
    count: int = 0
    first: int | None = None
    last: int | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Read on; messages come in their order."""
        seq = message.seq or 0
        self.settle(seq - 1)
        if self.summaries and seq >= self.first_seq:
            self.first = seq if self.first is None else self.first
            self.last, self.count = seq, self.count + 1
            self.state = chained(self.state, [message])

    def settle(self, through: int | None = None) -> None:
        """Judge the summaries that end at or before a seq; None: all that are left."""
        while self.summaries and (through is None or self.summaries[0][0].last_seq <= through):
            covers, summary = self.summaries.pop(0)
            self.verdicts[summary.summary_id] = self._verdict(covers, summary)

    def _verdict(self, covers: Coverage, summary: ConversationSummary) -> Verdict:
        if self.state == covers.hash:
            return "valid"
        if self.first is None:
            return "outlived"
        trimmed = self.first > covers.first_seq and self.count < summary.message_count
        return "outlived" if trimmed and self.last == covers.last_seq else "changed"


async def verify(session: BaseMemorySession) -> list[SummaryCheck]:
    """Compare every summary in use with the messages it covers, and withdraw those that changed."""
    backend = session.backend
    listed = in_use(await backend.perform(backend.repository.list_summaries, session.session_id))[::-1]
    readings: dict[int, _Reading] = {}
    for summary in listed:
        covers = coverage_of(summary)
        if covers is not None:
            reading = readings.setdefault(covers.first_seq, _Reading(covers.first_seq))
            reading.summaries.append((covers, summary))
    if readings:
        async for message in session.iter_messages():
            if message.role not in SYSTEM_ROLES:
                for reading in readings.values():
                    reading.take(message)
    verdicts: dict[str, Verdict] = {}
    for reading in readings.values():
        reading.settle()
        verdicts.update(reading.verdicts)
    # What stands on a summary that was made elsewhere has a hash that goes on from there.
    elsewhere = [(one.first_seq, one.last_seq or 0) for one in listed if coverage_of(one) is None]
    checks = []
    for summary in listed:
        verdict = verdicts.get(summary.summary_id, "unknown")
        if any(first == summary.first_seq and last < (summary.last_seq or 0) for first, last in elsewhere):
            verdict = "unknown"
        checks.append(SummaryCheck(summary, verdict))
    await _withdraw(session, [check.summary for check in checks if check.verdict == "changed"])
    return checks


async def withdraw_touched(session: BaseMemorySession, seqs: Iterable[int]) -> int:
    """Take the summaries out of use whose range holds one of `seqs`, and return how many.

    What edits or deletes messages of a session calls this with their seqs. Cost: one statement, and one per summary.
    """
    backend = session.backend
    touched = set(seqs)
    listed = in_use(await backend.perform(backend.repository.list_summaries, session.session_id))
    hit = [
        summary
        for summary in listed
        if (covers := coverage_of(summary)) is not None
        and any(covers.first_seq <= seq <= covers.last_seq for seq in touched)
    ]
    await _withdraw(session, hit)
    return len(hit)


async def _withdraw(session: BaseMemorySession, summaries: Iterable[ConversationSummary]) -> None:
    for summary in summaries:
        await session.backend.perform(session.backend.repository.put_summary, withdrawn(summary))
