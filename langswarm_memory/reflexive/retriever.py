"""Lessons as a part of an agent's instructions."""

from __future__ import annotations

from collections.abc import Sequence

from .lesson import GLOBAL, ROLE, SESSION, Lesson
from .store import LessonStore

HEADING = "## Lessons from earlier mistakes"
INTRODUCTION = "Follow these rules where they apply; a later section goes before an earlier one."


class LessonRetriever:
    """Finds the lessons for what an agent is about to do.

    Args:
        store: Where they are.
    """

    def __init__(self, store: LessonStore) -> None:
        self.store = store

    async def get_system_prompt(
        self,
        user_query: str,
        current_agent_role: str,
        limit_per_tier: int = 3,
        threshold: float = 0.85,
        *,
        session_id: str | None = None,
    ) -> str:
        """Return the lessons of each tier as a part of a system prompt, and count them as used; "" if there is none.

        Args:
            user_query: What the agent is about to answer.
            current_agent_role: Whose lessons are given besides those for everybody.
            limit_per_tier: How many of each tier at most.
            threshold: The least cosine similarity of their situation.
            session_id: Whose lessons are given too. None: none of any session.

        Raises:
            As ``LessonStore.search_lessons``.
        """
        search = self.store.search_lessons
        for_all = await search(user_query, limit=limit_per_tier, threshold=threshold, scope=GLOBAL)
        for_role = await search(
            user_query, limit=limit_per_tier, threshold=threshold, scope=ROLE, target_role=current_agent_role
        )
        for_session: list[Lesson] = []
        if session_id is not None:
            for_session = await search(
                user_query, limit=limit_per_tier, threshold=threshold, scope=SESSION, sessions=(session_id,)
            )
        for lesson in (*for_all, *for_role, *for_session):
            await self.store.increment_hit_count(lesson.lesson_id)
        return self.construct_prompt(for_all, for_role, current_agent_role, for_session)

    def construct_prompt(
        self,
        global_rules: Sequence[Lesson | str],
        role_rules: Sequence[Lesson | str],
        agent_role: str,
        session_rules: Sequence[Lesson | str] = (),
    ) -> str:
        """Return rules as a part of a system prompt; "" if there is none. No rule can pass for a heading."""
        sections = (
            ("For every agent:", global_rules),
            (f"For the role {_line(agent_role)}:", role_rules),
            ("For this session:", session_rules),
        )
        parts = [
            "\n".join(
                [title, *(f"- {_line(rule.rule_content if isinstance(rule, Lesson) else rule)}" for rule in rules)]
            )
            for title, rules in sections
            if rules
        ]
        return "\n\n".join([f"{HEADING}\n{INTRODUCTION}", *parts]) if parts else ""

    async def get_relevant_rules(
        self, query: str, limit: int = 3, threshold: float = 0.85, *, session_id: str | None = None
    ) -> list[Lesson]:
        """Return the nearest lessons of all tiers, best first; uses are not counted.

        Args:
            query: The situation at hand.
            limit: How many at most.
            threshold: The least cosine similarity of their situation.
            session_id: Whose lessons count too. None: those of no session.

        Raises:
            As ``LessonStore.search_lessons``.
        """
        sessions = () if session_id is None else (session_id,)
        return await self.store.search_lessons(query, limit=limit, threshold=threshold, sessions=sessions)


def _line(text: str) -> str:
    return " ".join(text.split())
