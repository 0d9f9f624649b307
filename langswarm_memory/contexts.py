"""Contexts: what of a session to hand to a model, why, and how to mend a broken history."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .errors import InvalidInputError
from .interfaces.enums import SYSTEM_ROLES
from .interfaces.message import Message
from .interfaces.records import ConversationSummary, SessionMetadata
from .repository.protocol import MessageQuery
from .summaries.coverage import is_periodic, joined
from .windows.additions import Additions
from .windows.bounds import check_limit
from .windows.build import Oversize, Provider, Rules, Window, build, undisturbed
from .windows.explain import COVERED, TOO_LARGE, TOO_OLD, Explained, decided
from .windows.repair import Break, RepairReport, breaks_of, mend
from .windows.units import Unanswered

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend

RECENT_MESSAGES = 10  # what a context holds besides system messages when nothing bounds it
RECALLED_MESSAGES = 8  # quoted at most
RECALL_LIMIT = 40  # asked for, as some of them are in the window already
SUMMARY_PERIODS = 20  # that stand in a context at most
SUMMARY_SHARE = 4  # several periods take a quarter of the budget at most; one may take more
RECALL_SHARE = 4  # what is quoted takes a quarter of the budget at most
RECALLED_ROLES = ("user", "assistant")  # what people and agents said; instructions come always, results are data
QUESTION_LENGTH = 5_000  # characters of a question that are read
QUESTION_WORDS = 50  # and words
_LETTER = re.compile(r"[^\W_]")
OVERSIZE_PAGE = 200  # messages read to find a newest unit that exceeds the budget


RecallScope = Literal["session", "user"]


class _Ask(NamedTuple):
    """What to recall."""

    question: str
    scope: RecallScope


class ContextMethods:
    """The methods of a session that choose what a model sees. They hold nothing but what the session holds."""

    _metadata: SessionMetadata
    _backend: BaseMemoryBackend
    _id: str

    if TYPE_CHECKING:

        async def get_summary(self) -> ConversationSummary | None:
            """Return the newest summary."""

        async def get_summaries(self) -> list[ConversationSummary]:
            """Return all summaries."""

        async def add_messages(self, messages: list[Message]) -> list[int]:
            """Append messages."""

        def iter_messages(self) -> AsyncIterator[Message]:
            """Yield the whole history."""

    async def get_recent_context(
        self,
        max_tokens: int | None = None,
        *,
        provider: Provider = "openai",
        unanswered: Unanswered = "result",
        oversize: Oversize = "drop",
    ) -> list[Message]:
        """Return the newest messages that fit a token budget, oldest first, in one statement.

        The window is one that `provider` takes, at every budget: tool calls come with their results, directly after
        them, reasoning with what it led to. System messages come always and are counted first; when they alone exceed
        the budget, only they come. The cost follows the answer, not the history.

        Args:
            max_tokens: Budget in model tokens. None: ``metadata.max_tokens``; when that is None too, system messages
                and the last 10 others.
            provider: Whose rules the window keeps: ``openai``, ``responses``, ``anthropic`` or ``gemini``. For the last
                two the user begins.
            unanswered: What becomes of tool calls without a result, also of those that run right now: ``result`` puts
                in one that says that the call was interrupted, ``drop`` leaves the call out, ``keep`` leaves it as it
                is, which no provider takes.
            oversize: What becomes of the newest message, with what belongs to it, when it exceeds the budget alone:
                ``drop`` returns system messages only, ``keep`` returns it anyway, with a second statement.

        Raises:
            InvalidInputError: A negative budget, or a choice that there is not.
            SessionNotFoundError: The session was deleted.
        """
        rules = Rules(provider=provider, unanswered=unanswered, oversize=oversize)
        return (await self._window(max_tokens, rules)).messages

    async def get_recent_messages(
        self,
        token_limit: int = 4000,
        *,
        provider: Provider = "openai",
        unanswered: Unanswered = "result",
        oversize: Oversize = "drop",
    ) -> list[Message]:
        """Return the newest messages within `token_limit` tokens; see :meth:`get_recent_context`."""
        return await self.get_recent_context(token_limit, provider=provider, unanswered=unanswered, oversize=oversize)

    async def get_conversation_context(
        self,
        max_tokens: int = 8000,
        include_summaries: bool = True,
        *,
        recall: str | None = None,
        recall_scope: RecallScope = "session",
        provider: Provider = "openai",
        unanswered: Unanswered = "result",
        oversize: Oversize = "drop",
    ) -> list[Message]:
        """Return what to hand to a model: system messages, what stands for what was cut, the newest messages.

        The messages themselves win: the summary stands only for what does not fit.

        Args:
            max_tokens: Budget in model tokens, all that is added included.
            include_summaries: Whether the newest summary stands, as a system message, for messages that are cut. Of
                periodic ones, as many of the newest as take a quarter of the budget.
            recall: A question, such as what the user just said. Messages outside of the context that fit it are quoted
                in a system message, whose metadata has their ids under ``recalled``: up to 8, in a quarter of the
                budget. None: nothing is recalled.
            recall_scope: Where to look: in this ``session``, or in all sessions of its ``user``.
            provider: As in :meth:`get_recent_context`.
            unanswered: As there.
            oversize: As there.
        """
        if check_limit(max_tokens, "max_tokens") is None:
            raise InvalidInputError("max_tokens must be an int from 0")
        rules = Rules(provider=provider, unanswered=unanswered, oversize=oversize)
        ask = None if recall is None else _Ask(recall, recall_scope)
        return (await self._decide(max_tokens, rules, include_summaries, ask))[0].messages

    async def explain(
        self,
        max_tokens: int | None = None,
        *,
        include_summaries: bool = True,
        recall: str | None = None,
        recall_scope: RecallScope = "session",
        provider: Provider = "openai",
        unanswered: Unanswered = "result",
        oversize: Oversize = "drop",
    ) -> list[Explained]:
        """Return, for each message of the whole history, what becomes of it in a context, and why.

        It explains :meth:`get_conversation_context` of the same arguments; without summaries,
        :meth:`get_recent_context`. The same code decides. Messages that the context adds stand where they belong.

        Args:
            max_tokens: Budget in model tokens. None: as in :meth:`get_recent_context`.
            include_summaries: Whether the newest summary stands for messages that are cut.
            recall: As in :meth:`get_conversation_context`.
            recall_scope: As there.
            provider: As in :meth:`get_recent_context`.
            unanswered: As there.
            oversize: As there.
        """
        rules = Rules(provider=provider, unanswered=unanswered, oversize=oversize)
        ask = None if recall is None else _Ask(recall, recall_scope)
        window, summary = await self._decide(max_tokens, rules, include_summaries, ask)
        stretch = list(window.explained())
        read = {one.seq for one in stretch}
        last = max((one.seq for one in stretch if one.seq is not None), default=None)
        why = TOO_LARGE if window.first_seq is None else TOO_OLD
        older: list[Explained] = []
        async for message in self.iter_messages():
            seq = message.seq
            if seq not in read and (last is None or (seq or 0) < last):
                older.append(decided(message, "cut", why))
        return [_covered(one, summary) for one in _merged(older, stretch)]

    async def find_breaks(self) -> list[Break]:
        """Return the places where no provider takes the history as it is stored, oldest first.

        A crash or a cancelled tool leaves calls without results. Contexts are valid all the same. Cost: the whole
        history is read, in pages.
        """
        return await breaks_of(self.iter_messages())

    async def repair(self) -> RepairReport:
        """Store a result for every interrupted tool call, saying so, and report what was stored.

        The results have ids and contents of their calls, so that repeating this, in many processes at once too, stores
        each once. They stand at the end of the history; contexts show them behind their calls. The result of a tool
        that was still running takes their place when it is stored.

        Raises:
            As :meth:`add_messages`.
        """
        report = mend(await self.find_breaks(), self._additions())
        if report.added:
            await self.add_messages(list(report.added))
        return report

    # --- windows -----------------------------------------------------------------------------------------------

    def _additions(self) -> Additions:
        return Additions(self._id, self._backend.token_counter)

    async def _window(self, max_tokens: int | None, rules: Rules) -> Window:
        return (await self._decide(max_tokens, rules, False))[0]

    async def _decide(
        self, max_tokens: int | None, rules: Rules, include_summaries: bool, ask: _Ask | None = None
    ) -> tuple[Window, ConversationSummary | None]:
        """Return the window, and the summary in it."""
        budget = self._metadata.max_tokens if max_tokens is None else check_limit(max_tokens, "max_tokens")
        bound = self._metadata.max_messages
        if budget is None:
            bound = RECENT_MESSAGES if bound is None else min(bound, RECENT_MESSAGES)
        additions = self._additions()
        stretch = await self._read(MessageQuery(keep_roles=SYSTEM_ROLES, limit=bound, max_tokens=budget))
        window = undisturbed(stretch, budget, rules, additions) or build(stretch, budget, rules, additions)
        if window.first_seq is None and rules.oversize == "keep" and bound != 0:
            limit = OVERSIZE_PAGE if bound is None else min(bound, OVERSIZE_PAGE)
            newest = await self._read(MessageQuery(exclude_roles=SYSTEM_ROLES, limit=limit))
            both = {message.seq: message for message in (*stretch, *newest)}
            stretch = [both[seq] for seq in sorted(seq for seq in both if seq is not None)]
            window = build(stretch, budget, rules, additions)
        if window.first_seq is None:
            return window, None
        # The newest unit may exceed the budget, but never so that what is added has room.
        strict = replace(rules, oversize="drop")
        notes: list[Message] = []
        summary: ConversationSummary | None = None
        choices = await self._standing_for(window) if include_summaries and not window.complete else []
        for place, choice in enumerate(choices, 1):
            note = additions.summary(choice)
            if place < len(choices) and budget is not None and (note.token_count or 0) > budget // SUMMARY_SHARE:
                continue  # fewer periods
            shorter = build(stretch, budget, strict, additions, notes=[note])
            if shorter.first_seq is not None:  # else it would leave no room for the conversation itself
                window, notes, summary = shorter, [note], choice
                break
        if ask is not None:
            quoted = await self._recalled(ask, window, budget, additions)
            if quoted is not None:
                shorter = build(stretch, budget, strict, additions, notes=[*notes, quoted])
                window = window if shorter.first_seq is None else shorter
        return window, summary

    async def _standing_for(self, window: Window) -> list[ConversationSummary]:
        """Return what may stand for what is cut, the fullest first: the newest summary, or several periods."""
        first = window.first_seq
        if first is None or first == 1:
            return []
        summary = await self.get_summary()
        if summary is None or summary.first_seq is None:
            return []
        if not is_periodic(summary):
            return [] if first <= summary.first_seq else [summary]
        periods = [one for one in await self.get_summaries() if is_periodic(one) and (one.first_seq or 0) < first]
        newest = periods[-SUMMARY_PERIODS:]
        return [joined(newest[place:]) for place in range(len(newest))]

    async def _recalled(self, ask: _Ask, window: Window, budget: int | None, additions: Additions) -> Message | None:
        """Return a note that quotes what fits a question and is not in the window; None: there is nothing."""
        user_id = self._metadata.user_id
        if ask.scope == "user" and user_id is None:
            raise InvalidInputError("the session has no user, whose sessions could be looked at")
        if ask.scope not in ("session", "user"):
            raise InvalidInputError("recall_scope is 'session' or 'user'")
        question = _plain(ask.question)
        if not question or (ask.scope == "session" and window.complete):
            return None
        options: dict[str, Any] = {"user_id": user_id} if ask.scope == "user" else {"session_ids": [self._id]}
        hits = await self._backend.recall(question, limit=RECALL_LIMIT, roles=RECALLED_ROLES, **options)
        first = window.first_seq or 0
        outside = [
            (hit.session_id, hit.message)
            for hit in hits
            if hit.session_id != self._id or (hit.message.seq or 0) < first
        ]
        return additions.recalled(outside[:RECALLED_MESSAGES], None if budget is None else budget // RECALL_SHARE)

    async def _read(self, query: MessageQuery) -> list[Message]:
        backend = self._backend
        return await backend.perform(backend.repository.read_messages, self._id, query)


def _plain(question: str) -> str:
    """Return a text that somebody wrote as a question to search by: its signs mean nothing, and it has an end."""
    if not isinstance(question, str):
        raise InvalidInputError(f"recall takes a question, got {type(question).__name__}")
    words = [word for word in re.sub(r'["*]|(?<!\S)-', " ", question[:QUESTION_LENGTH]).split() if _LETTER.search(word)]
    return " ".join(words[:QUESTION_WORDS])


def _merged(older: list[Explained], window: list[Explained]) -> list[Explained]:
    """Put messages outside the stretch that a window was made of between those in it: system messages are old."""
    merged = list(reversed(window))
    at = 0
    for one in reversed(older):
        # What is added has no position: what begins the window stands before the first message of it.
        while at < len(merged) and (merged[at].seq is None or (merged[at].seq or 0) > (one.seq or 0)):
            at += 1
        merged.insert(at, one)
    return merged[::-1]


def _covered(one: Explained, summary: ConversationSummary | None) -> Explained:
    if summary is None or one.decision != "cut" or one.seq is None:
        return one
    if summary.first_seq is None or summary.last_seq is None or not summary.first_seq <= one.seq <= summary.last_seq:
        return one
    return one._replace(decision="summarised", why=COVERED)
