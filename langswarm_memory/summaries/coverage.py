"""What a summary covers, and whether it still holds: exact ranges, told by the summary's id.

The id of a summary that is made here is ``first-last-hash``, with ``period-`` in front where it stands for its own
stretch only. The hash is chained over the messages covered, in order: hash, seq, id and content of each. So an equal
range of equal messages has an equal id in every process, and a summary on top of another reads only what came since.

A summary that no longer holds is withdrawn: it is stored again without its range, which leaves its text to whoever
reads the table and takes it out of use.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from ..errors import InvalidInputError
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository.codec import fingerprint

STRATEGY = "summary_strategy"
HASH_LENGTH = 32  # hexadecimal digits of a SHA-256 that an id holds

_ID = re.compile(rf"(period-)?(\d+)-(\d+)-([0-9a-f]{{{HASH_LENGTH}}})")


class SummaryStrategy(str, Enum):
    """How a session is summarised by itself; ``properties["summary_strategy"]``."""

    ROLLING = "rolling"
    """Each summary stands on the one before and covers all from the first message."""
    PERIODIC = "periodic"
    """Each summary covers its own ``summary_threshold`` messages, none covers another."""
    MANUAL = "manual"
    """Only ``create_summary()`` makes one."""


def strategy_of(metadata: SessionMetadata) -> SummaryStrategy:
    """Return how a session is summarised.

    Raises:
        InvalidInputError: Its properties name no such strategy.
    """
    properties = metadata.properties
    if not isinstance(properties, dict):
        return SummaryStrategy.ROLLING  # refused where it would be stored, with all else that cannot be
    name = properties.get(STRATEGY, SummaryStrategy.ROLLING)
    try:
        return SummaryStrategy(name)
    except ValueError:
        raise InvalidInputError(
            f"unknown {STRATEGY}", suggestion="use one of " + ", ".join(member.value for member in SummaryStrategy)
        ) from None


def is_automatic(metadata: SessionMetadata) -> bool:
    """Return whether summaries of a session are made without being asked for."""
    return metadata.auto_summarize and strategy_of(metadata) is not SummaryStrategy.MANUAL


class Coverage(NamedTuple):
    """The range and the content that an id tells."""

    periodic: bool
    first_seq: int
    last_seq: int
    hash: str

    @property
    def summary_id(self) -> str:
        """The id."""
        return f"{'period-' if self.periodic else ''}{self.first_seq}-{self.last_seq}-{self.hash}"


def coverage_of(summary: ConversationSummary) -> Coverage | None:
    """Return what a summary covered when it was made; None: its id does not tell."""
    found = _ID.fullmatch(summary.summary_id)
    return Coverage(bool(found[1]), int(found[2]), int(found[3]), found[4]) if found else None


def chained(state: str, messages: Iterable[Message]) -> str:
    """Return the hash of what `state` is the hash of, followed by `messages`. Nothing: an empty text."""
    for message in messages:
        link = "\n".join((state, str(message.seq), message.message_id, fingerprint(message)))
        state = hashlib.sha256(link.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
    return state


def extended(base: ConversationSummary | None, messages: Sequence[Message], *, periodic: bool) -> Coverage:
    """Return what a summary of `messages` covers, on top of `base`."""
    first, last = messages[0].seq or 0, messages[-1].seq or 0
    if base is None or base.first_seq is None:
        return Coverage(periodic, first, last, chained("", messages))
    known = coverage_of(base)
    # Of a summary that was made elsewhere nothing but its id is known.
    state = known.hash if known else hashlib.sha256(base.summary_id.encode()).hexdigest()[:HASH_LENGTH]
    return Coverage(periodic, base.first_seq, last, chained(state, messages))


def is_periodic(summary: ConversationSummary) -> bool:
    """Return whether a summary stands for its own stretch only."""
    known = coverage_of(summary)
    return known is not None and known.periodic


def is_withdrawn(summary: ConversationSummary) -> bool:
    """Return whether a summary was taken out of use."""
    return summary.last_seq is None and coverage_of(summary) is not None


def withdrawn(summary: ConversationSummary) -> ConversationSummary:
    """Return the summary as it is stored when it is out of use."""
    return replace(summary, first_seq=None, last_seq=None)


def in_use(summaries: Iterable[ConversationSummary]) -> list[ConversationSummary]:
    """Return the summaries that were not withdrawn, the one that reaches furthest first."""
    return sorted(
        (summary for summary in summaries if not is_withdrawn(summary)),
        key=lambda summary: (-1 if summary.last_seq is None else summary.last_seq, summary.created_at),
        reverse=True,
    )


def joined(periods: Sequence[ConversationSummary]) -> ConversationSummary:
    """Return summaries of stretches that follow each other as one; it has the id of the last, and is not stored."""
    first, last = periods[0], periods[-1]
    return replace(
        last,
        summary="\n".join(one.summary for one in periods),
        message_count=sum(one.message_count for one in periods),
        start_time=first.start_time,
        key_topics=list(dict.fromkeys(topic for one in periods for topic in one.key_topics)),
        first_seq=first.first_seq,
    )
