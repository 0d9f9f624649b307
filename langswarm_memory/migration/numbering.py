"""Positions in the target, and the ranges of summaries that name them.

A target numbers messages 1, 2, 3, … as they come. A history of which messages were deleted has gaps, and a summary may
cover what is gone: it is then all that is left of it. So that the target can still tell, a gap of a session with such
summaries takes one position there, and one more for each range that begins or ends inside it: placeholders are stored
in them, and deleted when the session is complete. Ranges then name the same messages and the same gaps, by their new
positions, and lie to each other as they did. The ids of summaries say a range and a hash over positions; they are made
again for the new ones where the hash was that of the messages, and keep it where it was not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

from ..backend import BaseMemoryBackend
from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary
from ..interfaces.timestamps import Timestamp
from ..repository.protocol import MessageQuery
from ..summaries.coverage import chained, coverage_of

GAP_ROLE = "langswarm-memory-gap"
"""Role of a placeholder. No reader sees one but while its session is being copied."""

EPOCH = Timestamp(1970, 1, 1, tzinfo=UTC)
PAGE = 500  # messages per read where hashes are made again


class Numbering:
    """The positions of one session: those of the source, and those of the target.

    Args:
        summaries: The session's summaries; without ranges gaps need no place.
    """

    def __init__(self, summaries: Sequence[ConversationSummary]) -> None:
        self._cuts = sorted(_boundaries(summaries))
        self._read = 0
        self._sources: list[int] = []  # where in the source a stretch of equal distance begins
        self._targets: list[tuple[int, bool]] = []  # the position of that in the target, and whether it is a gap
        self.last_target = 0
        self._absent: list[int] = []
        self.moved = False

    def items(self, page: Sequence[Message]) -> list[tuple[int, Message]]:
        """Return source positions and messages of a page, with a placeholder for each gap."""
        found: list[tuple[int, Message]] = []
        for message in page:
            seq = self._read + 1 if message.seq is None else message.seq
            found += self._gap(seq)
            found.append((seq, message))
            self._read = seq
        return found

    def ending(self) -> list[tuple[int, Message]]:
        """Return placeholders for what summaries cover behind the last message, if they do."""
        return self._gap(self._cuts[-1]) if self._cuts else []

    def _gap(self, end: int) -> list[tuple[int, Message]]:
        """Return placeholders for what lies between the last message and a position; none without ranges."""
        begin = self._read + 1
        if begin >= end or not self._cuts:
            return []
        inside = self._cuts[bisect_right(self._cuts, begin) : bisect_left(self._cuts, end)]
        return [(seq, placeholder(seq)) for seq in (begin, *inside)]

    def stored(self, seq: int, target: int | None, *, gap: bool) -> None:
        """Note where an item is stored.

        Args:
            seq: Position in the source.
            target: Position in the target; None for a placeholder that was deleted already.
            gap: Whether it is a placeholder.
        """
        if target is None:
            self._absent.append(seq)
            return
        self._place_absent(target)
        self._note(seq, target, gap=gap)
        self.last_target = target

    def _place_absent(self, end: int | None) -> None:
        # They took the positions behind the last one, as far as there are any before the next.
        for place, seq in enumerate(self._absent, self.last_target + 1):
            self._note(seq, place if end is None else min(place, end - 1), gap=True)
        self._absent = []

    def _note(self, seq: int, target: int, *, gap: bool) -> None:
        if self._targets and not gap:
            (begin, was_gap), source = self._targets[-1], self._sources[-1]
            if not was_gap and target - begin == seq - source:
                return
        self._sources.append(seq)
        self._targets.append((target, gap))
        self.moved = self.moved or seq != target

    def _target(self, seq: int) -> int:
        at = bisect_right(self._sources, seq) - 1
        if at < 0:
            return 0
        target, gap = self._targets[at]
        return target if gap else target + seq - self._sources[at]

    async def ranged(
        self, backend: BaseMemoryBackend, summaries: Sequence[ConversationSummary]
    ) -> list[ConversationSummary]:
        """Return the summaries as the target holds them, all messages being stored there."""
        self._place_absent(None)
        if not self.moved:
            return list(summaries)
        return [await self._moved(backend, summary) for summary in summaries]

    async def _moved(self, backend: BaseMemoryBackend, summary: ConversationSummary) -> ConversationSummary:
        if summary.first_seq is None or summary.last_seq is None:
            return summary
        first, last = self._target(summary.first_seq), self._target(summary.last_seq)
        moved = replace(summary, first_seq=first, last_seq=last)
        covers = coverage_of(summary)
        if covers is None:
            return moved
        before, after = await self._hashes(backend, summary.session_id or "", first, last)
        known = after if before == covers.hash else covers.hash
        moved.summary_id = covers._replace(first_seq=first, last_seq=last, hash=known).summary_id
        return moved

    async def _hashes(self, backend: BaseMemoryBackend, session_id: str, first: int, last: int) -> tuple[str, str]:
        before = after = ""
        read = first - 1
        while True:
            query = MessageQuery(
                after_seq=read, before_seq=last + 1, exclude_roles=SYSTEM_ROLES, newest_first=False, limit=PAGE
            )
            page = await backend.perform(backend.repository.read_messages, session_id, query)
            real = [message for message in page if message.role != GAP_ROLE]
            after = chained(after, real)
            before = chained(before, [self._as_before(message) for message in real])
            if len(page) < PAGE:
                return before, after
            read = page[-1].seq or 0

    def _as_before(self, message: Message) -> Message:
        seq = message.seq or 0
        at = bisect_right(self._targets, (seq, True)) - 1
        target, _ = self._targets[at]
        return message.numbered(self._sources[at] + seq - target)


class Ranks:
    """What the ranges of summaries say apart from positions: how many messages lie below each end.

    Args:
        summaries: The session's summaries.
    """

    def __init__(self, summaries: Sequence[ConversationSummary]) -> None:
        self._below = dict.fromkeys(_boundaries(summaries), 0)

    def add(self, seqs: Sequence[int]) -> None:
        """Count the next messages, by their ascending positions."""
        for position in self._below:
            self._below[position] += bisect_left(seqs, position)

    def plain(self, summary: ConversationSummary) -> ConversationSummary:
        """Return a summary with ranks in place of positions; of an id made of positions, only the kind stays."""
        covers = coverage_of(summary)
        return replace(
            summary,
            summary_id=summary.summary_id if covers is None else "period" if covers.periodic else "rolling",
            first_seq=None if summary.first_seq is None else self._below[summary.first_seq],
            last_seq=None if summary.last_seq is None else self._below[summary.last_seq + 1],
        )


def _boundaries(summaries: Sequence[ConversationSummary]) -> set[int]:
    begins = {summary.first_seq for summary in summaries if summary.first_seq is not None}
    return begins | {summary.last_seq + 1 for summary in summaries if summary.last_seq is not None}


def placeholder(seq: int) -> Message:
    """Return what stands in a gap: always the same for the same gap."""
    return Message(GAP_ROLE, None, EPOCH, message_id=f"gap-{seq}", token_count=0)
