"""Making summaries: when one is due, what it stands on, and how it is stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ..interfaces.enums import SYSTEM_ROLES, MessageRole, SummaryType
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary
from ..repository.protocol import MessageQuery
from ..tokens import estimate_text
from .coverage import (
    SummaryStrategy,
    coverage_of,
    extended,
    in_use,
    is_automatic,
    is_periodic,
    is_withdrawn,
    strategy_of,
)
from .digest import Digest, Summarizer

if TYPE_CHECKING:
    from ..session import BaseMemorySession

MIN_MESSAGES = 5  # fewer since the last summary are not worth one, unless forced
NEWEST = 8  # summaries that are looked at for the one in use; all of them when none of these is
CLAIM_LASTS = timedelta(seconds=60)  # a process that makes a summary for longer counts as gone
MAX_STRETCH = 2_000  # messages given to a summarizer at once; a longer arrears takes several summaries


class Due(NamedTuple):
    """What came of a look at a session."""

    made: ConversationSummary | None
    look_at: int
    """The seq at which another look is worth while."""


async def call(summarizer: Summarizer, previous: str | None, messages: Sequence[Message]) -> Digest:
    """Return what a summarizer of either kind makes; a plain one runs in a thread."""
    if inspect.iscoroutinefunction(summarizer) or inspect.iscoroutinefunction(type(summarizer).__call__):
        answer = summarizer(previous, messages)
    else:
        answer = await asyncio.to_thread(summarizer, previous, messages)
    return await answer if inspect.isawaitable(answer) else answer


async def newest(session: BaseMemorySession, *, rolling: bool = False) -> ConversationSummary | None:
    """Return the summary in use that reaches furthest, or None.

    Cost: two statements of few rows.

    Args:
        session: The session.
        rolling: Whether one that covers a period only does not count.
    """
    backend = session.backend
    for limit in (NEWEST, None):
        listed = await backend.perform(backend.repository.list_summaries, session.session_id, limit=limit)
        for summary in in_use(listed):
            if not (rolling and is_periodic(summary)) and await _ends_whole(session, summary):
                return summary
        if len(listed) < NEWEST:
            return None
    return None


async def _ends_whole(session: BaseMemorySession, summary: ConversationSummary) -> bool:
    """Return whether the last message covered is there, or none is: then the summary is what is left of them.

    A history that was rewound lacks the end; what trims a history takes the beginning. One row is read.
    """
    known = coverage_of(summary)
    if known is None:
        return True
    backend = session.backend
    query = MessageQuery(
        after_seq=known.first_seq - 1, before_seq=known.last_seq + 1, exclude_roles=SYSTEM_ROLES, limit=1
    )
    left = await backend.perform(backend.repository.read_messages, session.session_id, query)
    return not left or left[-1].seq == known.last_seq


async def make_due(session: BaseMemorySession) -> Due:
    """Make the summaries that ``auto_summarize`` promises, if enough messages came since the last one."""
    metadata = session.metadata
    threshold = max(1, metadata.summary_threshold)
    if not is_automatic(metadata):
        return Due(None, threshold)
    backend = session.backend
    record = await backend.perform(backend.repository.fetch_session, session.session_id)
    if record is None or record.last_seq < threshold:
        return Due(None, threshold)
    periodic = strategy_of(metadata) is SummaryStrategy.PERIODIC
    made = None
    async with backend.summary_lock(session.session_id):
        base = await newest(session, rolling=not periodic)
        while True:
            covered = base.last_seq or 0 if base else 0
            if record.last_seq - covered < threshold:
                return Due(made, covered + threshold)
            room = max(threshold, MAX_STRETCH // threshold * threshold)
            messages = await _since(session, base, limit=room + threshold - 1)
            stretch = _due_stretch(messages, threshold, periodic)
            if not stretch:
                missing = threshold - len(messages)
                return Due(made, record.last_seq + (missing if missing > 0 else threshold))
            claim = _claim_of(session, base, stretch, periodic=periodic)
            if await _is_taken(session, claim):
                return Due(made, record.last_seq + max(1, threshold // 2))
            # Not read again: not every store shows at once what it has acknowledged.
            base = made = await _store_claimed(session, base, stretch, claim)


def _due_stretch(messages: list[Message], threshold: int, periodic: bool) -> list[Message]:
    """Return what to summarise now.

    It ends at a whole multiple of the threshold, wherever the history ends meanwhile, so that processes that look at
    different moments make the same summaries. Only where that holds no conversation, it is all there is.
    """
    ends = range(threshold, len(messages) + 1, threshold)
    for end in ends if periodic else reversed(ends):
        if _is_conversation(messages[:end]):
            return messages[:end]
    return messages if len(messages) >= threshold and _is_conversation(messages) else []


def _is_conversation(messages: Sequence[Message]) -> bool:
    return len(messages) >= MIN_MESSAGES and {MessageRole.USER, MessageRole.ASSISTANT} <= {m.role for m in messages}


async def _since(
    session: BaseMemorySession, base: ConversationSummary | None, *, limit: int | None = None
) -> list[Message]:
    backend = session.backend
    after = base.last_seq if base else None
    query = MessageQuery(after_seq=after, exclude_roles=SYSTEM_ROLES, newest_first=False, limit=limit)
    return await backend.perform(backend.repository.read_messages, session.session_id, query)


def _claim_of(
    session: BaseMemorySession, base: ConversationSummary | None, messages: list[Message], *, periodic: bool
) -> ConversationSummary:
    """Return the row that says that a summary is being made: its id, without a text and a range."""
    return ConversationSummary(
        "",
        0,
        messages[0].timestamp,
        messages[-1].timestamp,
        summary_id=extended(None if periodic else base, messages, periodic=periodic).summary_id,
        created_at=session.backend.clock(),
        session_id=session.session_id,
    )


async def _listed(session: BaseMemorySession) -> list[ConversationSummary]:
    """Return the newest summaries and claims."""
    backend = session.backend
    return await backend.perform(backend.repository.list_summaries, session.session_id, limit=NEWEST)


async def _stored(session: BaseMemorySession, summary_id: str) -> ConversationSummary | None:
    """Return the summary of that id, or the claim on it, if it is among the newest."""
    return next((one for one in await _listed(session) if one.summary_id == summary_id), None)


async def _is_taken(session: BaseMemorySession, claim: ConversationSummary) -> bool:
    """Return whether another process has made this summary since we looked, or makes one right now."""
    since = claim.created_at - CLAIM_LASTS
    return any(
        not one.summary and one.created_at > since if is_withdrawn(one) else one.summary_id == claim.summary_id
        for one in await _listed(session)
    )


async def _store_claimed(
    session: BaseMemorySession, base: ConversationSummary | None, messages: list[Message], claim: ConversationSummary
) -> ConversationSummary:
    """Claim a summary, make and store it in the claim's place; give the claim up if it cannot be made."""
    backend = session.backend
    await backend.perform(backend.repository.put_summary, claim)
    made = None
    try:
        made = await _store(session, base, messages, SummaryType.AUTO)
    finally:
        stored = None if made is not None else await _stored(session, claim.summary_id)
        if stored is not None and is_withdrawn(stored):
            given_up = replace(claim, created_at=claim.created_at - CLAIM_LASTS)
            await backend.perform(backend.repository.put_summary, given_up)
    return made


async def summarise(
    session: BaseMemorySession, *, force: bool, summary_type: SummaryType
) -> ConversationSummary | None:
    """Summarise what came since the last summary, up to now, and store the result."""
    periodic = strategy_of(session.metadata) is SummaryStrategy.PERIODIC
    async with session.backend.summary_lock(session.session_id):
        base = await newest(session, rolling=not periodic)
        messages = await _since(session, base)
        if not messages:
            return base if force else None
        if not force and not _is_conversation(messages):
            return None
        return await _store(session, base, messages, summary_type)


async def _store(
    session: BaseMemorySession, base: ConversationSummary | None, messages: list[Message], summary_type: SummaryType
) -> ConversationSummary:
    """Have the digest made and store it, unless another process has stored one of this range meanwhile."""
    backend = session.backend
    periodic = strategy_of(session.metadata) is SummaryStrategy.PERIODIC
    under = None if periodic else base
    covers = extended(under, messages, periodic=periodic)
    digest = await call(backend.summarizer, under.summary if under else None, messages)
    stored = await _stored(session, covers.summary_id)
    if stored is not None and not is_withdrawn(stored):
        return stored
    times = [message.timestamp for message in messages]
    summary = ConversationSummary(
        summary=digest.text,
        message_count=len(messages) + (under.message_count if under else 0),
        start_time=min([*times, *([under.start_time] if under else [])]),
        end_time=max([*times, *([under.end_time] if under else [])]),
        key_topics=digest.key_topics,
        summary_id=covers.summary_id,
        created_at=backend.clock(),
        session_id=session.session_id,
        token_count=estimate_text(digest.text),
        summary_type=summary_type,
        first_seq=covers.first_seq,
        last_seq=covers.last_seq,
    )
    await backend.perform(backend.repository.put_summary, summary)
    return summary
