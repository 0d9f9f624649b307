"""Text search as a store may offer it: what to look for, where, and how hits are ordered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from ..interfaces.message import Message


class Word(NamedTuple):
    """A word to look for: letters and digits only, case-folded.

    In scripts that are written without spaces it is a run of characters. Alone, it stands for any of the pairs of
    neighbours in it; within a phrase, for all of it.
    """

    text: str
    prefix: bool = False
    """Whether words that begin so are meant."""


WordPhrase: TypeAlias = tuple[Word, ...]
"""Words that follow each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery:
    """What texts to look for; ``langswarm_memory.search.parse`` makes one of what a person typed.

    A message matches that holds every phrase, none of `excluded` and, where there is no phrase, one of the words at
    least. The more of the words it holds, the rarer they are and the shorter it is, the higher it ranks.
    """

    words: tuple[Word, ...] = ()
    phrases: tuple[WordPhrase, ...] = ()
    excluded: tuple[WordPhrase, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """Which messages to look at. All given conditions hold together."""

    session_ids: frozenset[str] | None = None
    """Only messages of these sessions. None: of all."""
    user_id: str | None = None
    agent_id: str | None = None
    live_at: datetime | None = None
    """Only sessions that have not expired at this instant and whose status is not expired."""
    tags: frozenset[str] = frozenset()
    """Only sessions that have every one of these tags."""
    roles: frozenset[str] | None = None
    """Only messages of these roles."""
    since: datetime | None = None
    """Only messages with this timestamp or a later one."""
    until: datetime | None = None
    """Only messages with an earlier timestamp."""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Only messages whose metadata has these keys, at the top, with values equal to these: ``1`` equals ``1.0``,
    and neither equals ``True`` or ``"1"``."""


class SearchHit(NamedTuple):
    """A message found by its text."""

    session_id: str
    message: Message
    score: float
    """How well it matches, above 0; higher is better. Comparable within one search only."""


class SearchCursor(NamedTuple):
    """The place of a hit: hits come by descending score, then ascending session id, then descending seq."""

    score: float
    session_id: str
    seq: int


@runtime_checkable
class TextSearch(Protocol):
    """Optional primitive: find messages by their words, ranked, through an index."""

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Return the best hits, in the order of :class:`SearchCursor`.

        Case and, where the store can, inflection do not matter. Messages that changed since a page before may come
        twice or not at all.

        Args:
            query: What to look for: a word or a phrase at least.
            where: Where to look.
            limit: At most so many, 1 to 1,000.
            after: The place of the last hit of the page before.
        """
