"""A provider that needs no model and no network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, timedelta, tzinfo
from typing import Any

from ..errors import MemoryConfigurationError
from ..interfaces.contracts import IMemoryProvider, IMemorySession
from ..interfaces.message import Message
from ..summaries import extractive_digest
from .actions import rule_actions
from .answers import NOT_KNOWN, SPEAKERS, analysis, part
from .entities import find_entities
from .facts import read_facts
from .insights import insights
from .language import language, sentiment
from .libraries import complete, load

EXPIRES_WITHIN = timedelta(days=1)
STORED = ["suggest_actions", "get_insights"]
READ = ["analyze_conversation", "extract_entities"]


class LocalProvider(IMemoryProvider):
    """Says what can be counted, looked up or proven offline, and lists under ``unknown`` what cannot.

    :meth:`suggest_actions` and :meth:`get_insights` need no library; the others need the extra ``providers``. Work on
    texts runs in a thread, beside the event loop. The first analysis loads a language model from the package, 1.5 s.

    Args:
        region: Country whose telephone numbers may stand without country code, as ISO 3166 code (``"US"``). None:
            only numbers that begin with ``+`` are found.
        timezone: Where the users are. What they call "tomorrow" depends on it.
        expires_within: How long before its end a session counts as expiring soon.

    Raises:
        MemoryConfigurationError: ``expires_within`` is negative, or ``region`` is no two-letter code.
    """

    def __init__(
        self, *, region: str | None = None, timezone: tzinfo = UTC, expires_within: timedelta = EXPIRES_WITHIN
    ) -> None:
        if region is not None and not (len(region) == 2 and region.isascii() and region.isalpha()):
            raise MemoryConfigurationError("region is a country code of two letters (ISO 3166), or None")
        if expires_within < timedelta():
            raise MemoryConfigurationError("expires_within must not be negative")
        self._region = None if region is None else region.upper()
        self._timezone = timezone
        self._expires_within = expires_within

    @property
    def provider_name(self) -> str:
        """``"local"``."""
        return "local"

    @property
    def capabilities(self) -> list[str]:
        """The methods that work here: without the extra ``providers``, those over stored sessions."""
        return [*STORED, *READ] if complete() else list(STORED)

    async def analyze_conversation(self, messages: list[Message]) -> dict[str, Any]:
        """Return language, sentiment, topics and a summary of a conversation.

        Keys: ``method``, ``confidence`` (the lowest of the parts, or None), ``message_count``, ``messages_read`` (those
        of users and assistants), ``turn_count`` and ``unknown`` (names of the parts without value); and the parts, each
        a dict of ``value``, ``method`` and ``confidence``: ``language`` (ISO 639 code), ``sentiment`` (-1 to 1, mean
        over the users' messages; English only; with ``rated_messages`` and ``user_messages``), ``topics`` (words, the
        most frequent first), ``summary`` (sentences of the conversation). ``intent`` and ``resolved`` are always
        unknown here.

        Raises:
            MissingDependencyError: The extra ``providers`` is not installed.
        """
        return await asyncio.to_thread(_analyze, list(messages))

    async def suggest_actions(self, session: IMemorySession) -> list[dict[str, Any]]:
        """Return what the state of a session asks for, the most pressing first. Every rule is exact.

        Keys: ``action``, ``reason``, ``priority`` (``high``, ``medium``, ``low``), ``method``, ``confidence``,
        ``details`` and ``unknown``. Actions: ``await_tool_results``, ``repair``, ``answer_user``, ``create_summary``,
        ``extend_expiry``, ``review_window``. Cost: the history is read twice, in pages.

        Raises:
            SessionNotFoundError: The session was deleted.
            MemoryBackendError: The store failed.
        """
        return rule_actions(await read_facts(session), expires_within=self._expires_within)

    async def extract_entities(self, messages: list[Message]) -> list[dict[str, Any]]:
        """Return e-mail addresses, URLs, telephone numbers and dates, in the order in which they first occur.

        Keys: ``type``, ``text`` (as first written), ``value`` (normal form; None where the text has several readings,
        which then are the ``candidates``), ``method``, ``confidence`` (one divided by the number of readings),
        ``unknown`` (what cannot be told about it), ``count`` and ``mentions``: dicts of ``message_id``, ``seq``,
        ``start`` and ``end``, offsets into the text of the message. Instructions are not searched, tool output for
        everything but dates, and of each message the first 20,000 characters.

        Raises:
            MissingDependencyError: The extra ``providers`` is not installed.
        """
        return await asyncio.to_thread(find_entities, list(messages), region=self._region, timezone=self._timezone)

    async def get_insights(self, session: IMemorySession) -> dict[str, Any]:
        """Return counts, times and topics of a session.

        Keys: ``method``, ``confidence``, ``session_id``, ``messages``, ``turns`` (messages in which a user says
        something), ``tokens``, ``tools``, ``time`` (instants in ISO 8601, durations in seconds), ``topics``,
        ``outcome``, ``satisfaction`` and ``unknown``. Cost: the history is read twice, in pages; topics come from the
        newest 1,000 messages of users and assistants.

        Raises:
            SessionNotFoundError: The session was deleted.
            MemoryBackendError: The store failed.
        """
        return insights(await read_facts(session))


def _analyze(messages: Sequence[Message]) -> dict[str, Any]:
    spoken = [message for message in messages if message.role in SPEAKERS]
    parts = {"language": language(spoken)}
    load("textblob")  # missing is missing for every conversation, not only for English ones
    parts["sentiment"] = sentiment(spoken) if parts["language"]["value"] == "en" else dict(NOT_KNOWN)
    digest = extractive_digest(None, spoken)
    if digest.key_topics:
        parts["topics"] = part(digest.key_topics, "word frequency", None)
    if digest.text:
        parts["summary"] = part(digest.text, "extractive", None)
    return analysis(messages, parts, "local", read=len(spoken))
