"""The methods of a session that make summaries and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..interfaces.enums import SummaryType
from ..interfaces.records import ConversationSummary
from .coverage import in_use
from .making import make_due, newest, summarise
from .verify import SummaryCheck, verify

if TYPE_CHECKING:
    from ..session import BaseMemorySession


class SummaryMethods:
    """Mixed into a session. They hold nothing but what the session holds."""

    def _this(self) -> BaseMemorySession:
        return cast("BaseMemorySession", self)

    async def create_summary(
        self, force: bool | SummaryType = False, *, summary_type: SummaryType | None = None
    ) -> ConversationSummary | None:
        """Summarise the conversation up to now, store the summary and return it.

        Args:
            force: Summarise whatever there is. False: only when at least five messages, one of the user and one of
                the assistant among them, came since the last summary; otherwise return None. A ``SummaryType`` here
                is taken as `summary_type`.
            summary_type: What the summary is noted as; giving it implies `force`.

        Returns:
            The summary; None when there was not enough, or no message at all.
        """
        if isinstance(force, SummaryType):
            summary_type = force
        forced = summary_type is not None or bool(force)
        return await summarise(self._this(), force=forced, summary_type=summary_type or SummaryType.MANUAL)

    async def get_summary(self) -> ConversationSummary | None:
        """Return the summary that reaches furthest and still holds, or None.

        With ``auto_summarize``, a summary that is due (``summary_threshold`` messages since the last) is made here
        unless a manager made it in the background. One whose last message was deleted no longer holds;
        :meth:`verify_summaries` looks at all the messages.
        """
        due = await make_due(self._this())
        return due.made or await newest(self._this())

    async def get_summaries(self) -> list[ConversationSummary]:
        """Return all summaries in use, the one that reaches furthest last; one that is due is made first."""
        session = self._this()
        await make_due(session)
        listed = await session.backend.perform(session.backend.repository.list_summaries, session.session_id)
        return in_use(listed)[::-1]

    async def verify_summaries(self) -> list[SummaryCheck]:
        """Compare every summary with the messages it covers; those that changed are out of use from now on.

        Cost: the whole history is read, in pages. Cleared or trimmed messages change nothing: a summary outlives them.
        """
        return await verify(self._this())
