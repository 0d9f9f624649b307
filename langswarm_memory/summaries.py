"""Summaries: when one is due, what it covers, and a summarizer that needs no model."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .interfaces.enums import SYSTEM_ROLES, MessageRole, SummaryType
from .interfaces.message import Message
from .interfaces.records import ConversationSummary
from .repository.protocol import MessageQuery
from .tokens import estimate_text

if TYPE_CHECKING:
    from .session import BaseMemorySession

MIN_MESSAGES = 5  # fewer since the last summary are not worth one, unless forced
MAX_SENTENCES = 6
MAX_TOPICS = 8
MAX_SENTENCE = 300  # characters kept of one sentence; tool output can be one endless "sentence"


class Digest(NamedTuple):
    """What a summarizer returns."""

    text: str
    key_topics: list[str]


class Summarizer(Protocol):
    """Condenses a stretch of conversation.

    Called off the event loop's hot path: a plain function runs in a thread.
    """

    def __call__(self, previous: str | None, messages: Sequence[Message]) -> Digest:
        """Return the digest of `messages`, which follow on what `previous` tells."""


_WORD = re.compile(r"[^\W\d_]{3,}")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_STOPWORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "don",
        "for",
        "from",
        "further",
        "get",
        "got",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "know",
        "let",
        "like",
        "me",
        "more",
        "most",
        "my",
        "need",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "ok",
        "okay",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "please",
        "same",
        "she",
        "should",
        "so",
        "some",
        "such",
        "sure",
        "than",
        "thank",
        "thanks",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "use",
        "very",
        "want",
        "was",
        "we",
        "well",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "yes",
        "you",
        "your",
    ]
)


def extractive_digest(previous: str | None, messages: Sequence[Message]) -> Digest:
    """Pick the sentences that hold the conversation's own words most densely, in their order, and name those words.

    Sentences of users and assistants only. Needs no model and no network; a few milliseconds per hundred messages.
    """
    spoken = [m for m in messages if m.role in (MessageRole.USER, MessageRole.ASSISTANT) and m.text.strip()]
    sentences: list[tuple[str | None, str]] = [
        (message.role, sentence.strip()[:MAX_SENTENCE])
        for message in spoken
        for sentence in _SENTENCE.split(message.text)
        if sentence.strip()
    ]
    if previous:
        sentences = [(None, line) for line in previous.splitlines() if line.strip()] + sentences
    words = [[w for w in map(str.lower, _WORD.findall(text)) if w not in _STOPWORDS] for _, text in sentences]
    frequency = Counter(word for found in words for word in set(found))
    scores = [
        (sum(frequency[word] for word in set(found)) / (len(found) + 4), -index) for index, found in enumerate(words)
    ]
    best = sorted(sorted(range(len(sentences)), key=lambda i: scores[i], reverse=True)[:MAX_SENTENCES])
    lines = []
    for index in best:
        role, text = sentences[index]
        lines.append(text if role is None else f"{getattr(role, 'value', role).capitalize()}: {text}")
    topics = [word for word, _ in frequency.most_common(MAX_TOPICS)]
    return Digest("\n".join(lines), topics)


async def summarise_if_due(session: BaseMemorySession) -> ConversationSummary | None:
    """Make the summary that ``auto_summarize`` promises, if enough messages came since the last one."""
    metadata = session.metadata
    if not metadata.auto_summarize:
        return None
    backend = session.backend
    record = await backend.perform(backend.repository.fetch_session, session.session_id)
    if record is None or record.last_seq < metadata.summary_threshold:
        return None
    last = await _last_covered(session)
    if record.last_seq - (last.last_seq or 0 if last else 0) < metadata.summary_threshold:
        return None
    return await summarise(session, force=False, summary_type=SummaryType.AUTO)


async def _last_covered(session: BaseMemorySession) -> ConversationSummary | None:
    backend = session.backend
    found = await backend.perform(backend.repository.list_summaries, session.session_id, limit=1)
    return found[0] if found else None


async def summarise(
    session: BaseMemorySession, *, force: bool, summary_type: SummaryType
) -> ConversationSummary | None:
    """Summarise what came since the last summary, on top of it, and store the result.

    The id of a summary is made from its session and range, so that two processes that summarise the same range store
    one summary.
    """
    backend = session.backend
    last = await _last_covered(session)
    query = MessageQuery(after_seq=last.last_seq if last else None, exclude_roles=SYSTEM_ROLES, newest_first=False)
    messages = await backend.perform(backend.repository.read_messages, session.session_id, query)
    roles = {message.role for message in messages}
    if not messages:
        return last if force else None
    if not force and (len(messages) < MIN_MESSAGES or not {MessageRole.USER, MessageRole.ASSISTANT} <= roles):
        return None
    previous = last.summary if last else None
    digest = await asyncio.to_thread(backend.summarizer, previous, messages)
    first_seq = last.first_seq if last and last.first_seq is not None else messages[0].seq
    last_seq = messages[-1].seq
    times = [message.timestamp for message in messages]
    summary = ConversationSummary(
        summary=digest.text,
        message_count=len(messages) + (last.message_count if last else 0),
        start_time=min([*times, *([last.start_time] if last else [])]),
        end_time=max([*times, *([last.end_time] if last else [])]),
        key_topics=digest.key_topics,
        summary_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{session.session_id}\n{first_seq}-{last_seq}")),
        created_at=backend.clock(),
        session_id=session.session_id,
        token_count=estimate_text(digest.text),
        summary_type=summary_type,
        first_seq=first_seq,
        last_seq=last_seq,
    )
    await backend.perform(backend.repository.put_summary, summary)
    return summary
