"""Rules for summaries: one per id and session, newest first."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import InvalidInputError
from ..interfaces.enums import SummaryType
from ..repository.protocol import MemoryRepository
from .samples import MICROSECOND, SQL, START, at, exact_summary, fetch, new_session, new_summary

FULL: dict[str, Any] = {
    "key_topics": ["b", "a"],
    "token_count": 12,
    "summary_type": SummaryType.PERIODIC,
    "first_seq": 3,
    "last_seq": 9,
}

BAD_SUMMARIES: dict[str, dict[str, Any]] = {
    "no id": {"summary_id": ""},
    "long id": {"summary_id": "é" * 257},
    "id with nul": {"summary_id": "a\x00"},
    "text that is none": {"summary": None},
    "text that is no text": {"summary": 7},
    "topics that are no list": {"key_topics": {"a": 1}},
    "topic of bytes": {"key_topics": [b"x"]},
    "negative count": {"message_count": -1},
    "count that is no int": {"message_count": "2"},
    "count of 200 bits": {"message_count": 2**200},
    "token count of 200 bits": {"token_count": 2**200},
    "seq that is no int": {"first_seq": "1"},
    "seq of 200 bits": {"last_seq": 2**200},
    "unknown type": {"summary_type": "made up"},
}


class SummaryRules:
    """``put_summary list_summaries``."""

    async def test_summary_is_listed_as_given(self, repository: MemoryRepository) -> None:
        """Every field comes back."""
        await repository.insert_session(new_session())
        given = new_summary("a", **FULL)
        await repository.put_summary(given)
        assert [exact_summary(summary) for summary in await repository.list_summaries("s")] == [exact_summary(given)]

    async def test_session_without_summaries_lists_none(self, repository: MemoryRepository) -> None:
        """No error: the session is there."""
        await repository.insert_session(new_session())
        assert await repository.list_summaries("s") == []

    async def test_summaries_list_newest_first(self, repository: MemoryRepository) -> None:
        """By created_at, and by id descending within an instant."""
        await repository.insert_session(new_session())
        times = {"b": START, "c": START, "a": START, "z": START - MICROSECOND, "y": at(60)}
        for summary_id, created_at in times.items():
            await repository.put_summary(new_summary(summary_id, created_at=created_at))
        listed = [summary.summary_id for summary in await repository.list_summaries("s")]
        assert listed == ["y", "c", "b", "a", "z"]

    @pytest.mark.parametrize(("limit", "listed"), [(0, []), (1, ["c"]), (2, ["c", "b"]), (99, ["c", "b", "a"])])
    async def test_summaries_limit_keeps_the_newest(
        self, repository: MemoryRepository, limit: int, listed: list[str]
    ) -> None:
        """At most so many; zero is none."""
        await repository.insert_session(new_session())
        for seconds, summary_id in enumerate("abc"):
            await repository.put_summary(new_summary(summary_id, seconds))
        assert [summary.summary_id for summary in await repository.list_summaries("s", limit=limit)] == listed

    async def test_summary_of_a_stored_id_replaces_it(self, repository: MemoryRepository) -> None:
        """Whole, and without a second one."""
        await repository.insert_session(new_session())
        await repository.put_summary(new_summary("a", **FULL))
        replaced = new_summary("a", 60, summary="other")
        await repository.put_summary(replaced)
        assert [exact_summary(summary) for summary in await repository.list_summaries("s")] == [exact_summary(replaced)]

    async def test_summary_id_may_be_stored_in_each_session(self, repository: MemoryRepository) -> None:
        """Ids are unique within their session only."""
        for session_id in ("s", "other"):
            await repository.insert_session(new_session(session_id))
            await repository.put_summary(new_summary("a", session_id=session_id, summary=session_id))
        assert [summary.summary for summary in await repository.list_summaries("s")] == ["s"]

    async def test_summary_is_no_activity(self, repository: MemoryRepository) -> None:
        """The session stays as it was."""
        before = await repository.insert_session(new_session())
        await repository.put_summary(new_summary(created_at=at(60)))
        assert await fetch(repository) == before

    @pytest.mark.parametrize("bad", BAD_SUMMARIES)
    async def test_summary_that_cannot_be_stored_is_refused(self, repository: MemoryRepository, bad: str) -> None:
        """As the caller's mistake, and nothing is stored."""
        await repository.insert_session(new_session())
        refused = new_summary()
        for field, value in BAD_SUMMARIES[bad].items():
            setattr(refused, field, value)
        with pytest.raises(InvalidInputError):
            await repository.put_summary(refused)
        assert await repository.list_summaries("s") == []

    async def test_sql_in_every_field_of_a_summary_is_only_text(self, repository: MemoryRepository) -> None:
        """Stored, listed and replaced like any other."""
        await repository.insert_session(new_session(SQL))
        given = new_summary(SQL, session_id=SQL, summary=SQL, key_topics=[SQL])
        await repository.put_summary(given)
        await repository.put_summary(given)
        assert [exact_summary(summary) for summary in await repository.list_summaries(SQL)] == [exact_summary(given)]

    async def test_summary_given_is_copied(self, repository: MemoryRepository) -> None:
        """What the caller does to its object afterwards is not stored."""
        await repository.insert_session(new_session())
        given = new_summary(key_topics=["a"])
        await repository.put_summary(given)
        given.key_topics.append("b")
        given.summary = "changed"
        assert [exact_summary(summary) for summary in await repository.list_summaries("s")] == [
            exact_summary(new_summary(key_topics=["a"]))
        ]

    async def test_summary_returned_is_a_copy(self, repository: MemoryRepository) -> None:
        """What the caller does to an answer is not stored."""
        await repository.insert_session(new_session())
        await repository.put_summary(new_summary(key_topics=["a"]))
        for answer in await repository.list_summaries("s"):
            answer.key_topics.append("b")
            answer.summary = "changed"
        assert [exact_summary(summary) for summary in await repository.list_summaries("s")] == [
            exact_summary(new_summary(key_topics=["a"]))
        ]
