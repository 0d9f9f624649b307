"""Rules for sessions: stored once, replaced by compare-and-set, deleted whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from ..errors import ConflictError, InvalidInputError, SessionExistsError, SessionNotFoundError
from ..interfaces.enums import SessionStatus
from ..repository.protocol import MemoryRepository, SessionQuery
from .samples import (
    SQL,
    START,
    at,
    exact_session,
    fetch,
    filled,
    new_message,
    new_messages,
    new_session,
    new_summary,
    read,
    read_ids,
)

FULL: dict[str, Any] = {
    "user_id": "user",
    "agent_id": "agent",
    "workflow_id": "workflow",
    "max_messages": None,
    "max_tokens": 4_000,
    "auto_summarize": False,
    "summary_threshold": 7,
    "status": SessionStatus.PAUSED,
    "updated_at": at(5),
    "expires_at": at(100),
    "tags": ["b", "a"],
    "properties": {"plan": "pro"},
}

BAD_IDS = ["", "a" * 513, "é" * 257, "a\x00", "\ud800"]

ON_MISSING: dict[str, Callable[[MemoryRepository], Awaitable[object]]] = {
    "append": lambda repository: repository.append("missing", [new_message(1)], now=START),
    "read_messages": lambda repository: read(repository, "missing"),
    "read_messages by tokens": lambda repository: read(repository, "missing", max_tokens=10),
    "read_messages of nothing": lambda repository: read(repository, "missing", limit=0),
    "delete_messages": lambda repository: repository.delete_messages("missing"),
    "put_summary": lambda repository: repository.put_summary(new_summary(session_id="missing")),
    "list_summaries": lambda repository: repository.list_summaries("missing"),
}


class SessionRules:
    """``insert_session fetch_session replace_session delete_sessions stats``."""

    async def test_inserted_session_is_fetched_as_given(self, repository: MemoryRepository) -> None:
        """Every field comes back."""
        given = new_session("s", **FULL)
        await repository.insert_session(given)
        assert exact_session((await fetch(repository)).metadata) == exact_session(given)

    async def test_insert_answers_what_fetch_answers(self, repository: MemoryRepository) -> None:
        """The record of the insert needs no second look."""
        inserted = await repository.insert_session(new_session("s", **FULL))
        fetched = await fetch(repository)
        assert exact_session(inserted.metadata) == exact_session(fetched.metadata)
        assert inserted[1:] == fetched[1:]

    async def test_new_session_is_empty(self, repository: MemoryRepository) -> None:
        """Counters start at nothing."""
        record = await repository.insert_session(new_session())
        assert (record.message_count, record.token_count, record.last_seq) == (0, 0, 0)

    async def test_fetch_of_missing_session_is_none(self, repository: MemoryRepository) -> None:
        """Absence is an answer, not an error."""
        assert await repository.fetch_session("missing") is None

    async def test_insert_of_taken_id_raises(self, repository: MemoryRepository) -> None:
        """Two sessions never share an id."""
        await repository.insert_session(new_session())
        with pytest.raises(SessionExistsError) as caught:
            await repository.insert_session(new_session())
        assert caught.value.session_id == "s"

    async def test_insert_of_taken_id_leaves_the_first(self, repository: MemoryRepository) -> None:
        """A refused insert changes nothing."""
        await filled(repository, [new_message(1)])
        with pytest.raises(SessionExistsError):
            await repository.insert_session(new_session("s", **FULL))
        record = await fetch(repository)
        assert exact_session(record.metadata) == exact_session(new_session())
        assert record.message_count == 1

    async def test_ids_that_differ_only_in_case_are_two_sessions(self, repository: MemoryRepository) -> None:
        """Ids are compared as they are, with no folding of case, accents or spaces."""
        ids = ["a", "A", "é", "e\u0301", "a "]
        for session_id in ids:
            await repository.insert_session(new_session(session_id))
        listed = await repository.list_sessions(SessionQuery())
        assert {record.metadata.session_id for record in listed} == set(ids)

    async def test_replace_stores_every_field(self, repository: MemoryRepository) -> None:
        """All of the metadata is replaced."""
        record = await repository.insert_session(new_session())
        changed = new_session("s", **FULL)
        await repository.replace_session(changed, expected_revision=record.revision)
        assert exact_session((await fetch(repository)).metadata) == exact_session(changed)

    async def test_replace_can_empty_every_field(self, repository: MemoryRepository) -> None:
        """None and empty replace values, too."""
        record = await repository.insert_session(new_session("s", **FULL))
        await repository.replace_session(new_session(), expected_revision=record.revision)
        assert exact_session((await fetch(repository)).metadata) == exact_session(new_session())

    async def test_replace_answers_what_fetch_answers(self, repository: MemoryRepository) -> None:
        """The record of a replace carries the counters of the session."""
        await filled(repository, new_messages(3, token_count=5))
        record = await fetch(repository)
        replaced = await repository.replace_session(new_session("s", **FULL), expected_revision=record.revision)
        fetched = await fetch(repository)
        assert exact_session(replaced.metadata) == exact_session(fetched.metadata)
        assert replaced[1:] == fetched[1:]

    async def test_replace_changes_the_revision(self, repository: MemoryRepository) -> None:
        """A revision is never seen twice."""
        revisions = [(await repository.insert_session(new_session())).revision]
        for _ in range(3):
            record = await repository.replace_session(new_session(), expected_revision=revisions[-1])
            revisions.append(record.revision)
        assert len(set(revisions)) == 4

    async def test_replace_with_old_revision_raises_retryable_conflict(self, repository: MemoryRepository) -> None:
        """Who comes second reads again and repeats."""
        old = await repository.insert_session(new_session())
        await repository.replace_session(new_session("s", user_id="first"), expected_revision=old.revision)
        with pytest.raises(ConflictError) as caught:
            await repository.replace_session(new_session("s", user_id="second"), expected_revision=old.revision)
        assert caught.value.retryable

    async def test_refused_replace_changes_nothing(self, repository: MemoryRepository) -> None:
        """The edit of who came first stays."""
        old = await repository.insert_session(new_session())
        first = await repository.replace_session(new_session("s", user_id="first"), expected_revision=old.revision)
        with pytest.raises(ConflictError):
            await repository.replace_session(new_session("s", user_id="second"), expected_revision=old.revision)
        record = await fetch(repository)
        assert (record.metadata.user_id, record.revision) == ("first", first.revision)

    async def test_replace_of_missing_session_raises(self, repository: MemoryRepository) -> None:
        """It does not insert."""
        with pytest.raises(SessionNotFoundError):
            await repository.replace_session(new_session(), expected_revision=1)

    async def test_replace_leaves_the_messages(self, repository: MemoryRepository) -> None:
        """Metadata and conversation are apart."""
        await filled(repository, new_messages(3))
        record = await fetch(repository)
        await repository.replace_session(new_session("s", **FULL), expected_revision=record.revision)
        assert await read_ids(repository) == ["m1", "m2", "m3"]

    async def test_delete_counts_the_sessions_that_were_there(self, repository: MemoryRepository) -> None:
        """Missing and repeated ids do not count."""
        for session_id in ("a", "b", "c"):
            await repository.insert_session(new_session(session_id))
        assert await repository.delete_sessions(["a", "missing", "b", "a"]) == 2

    async def test_delete_removes_only_the_sessions_named(self, repository: MemoryRepository) -> None:
        """The neighbours stay."""
        for session_id in ("a", "b", "c"):
            await filled(repository, [new_message(1)], session_id)
        await repository.delete_sessions(["a", "c"])
        assert [await repository.fetch_session(name) is None for name in ("a", "b", "c")] == [True, False, True]
        assert await read_ids(repository, "b") == ["m1"]

    async def test_delete_of_nothing_is_zero(self, repository: MemoryRepository) -> None:
        """An empty list is no error."""
        assert await repository.delete_sessions([]) == 0

    async def test_delete_takes_more_ids_than_a_statement_has_parameters(self, repository: MemoryRepository) -> None:
        """Long lists are split by the store."""
        await repository.insert_session(new_session("s700"))
        assert await repository.delete_sessions([f"s{number}" for number in range(2_500)]) == 1

    async def test_deleted_session_takes_its_messages_with_it(self, repository: MemoryRepository) -> None:
        """A session of the same id starts without them."""
        await filled(repository, new_messages(3))
        await repository.delete_sessions(["s"])
        await repository.insert_session(new_session())
        assert await read(repository) == []

    async def test_deleted_session_takes_its_summaries_with_it(self, repository: MemoryRepository) -> None:
        """A session of the same id starts without them."""
        await repository.insert_session(new_session())
        await repository.put_summary(new_summary())
        await repository.delete_sessions(["s"])
        await repository.insert_session(new_session())
        assert await repository.list_summaries("s") == []

    async def test_session_inserted_again_counts_from_nothing(self, repository: MemoryRepository) -> None:
        """Nor do the counters survive."""
        await filled(repository, new_messages(3))
        await repository.delete_sessions(["s"])
        record = await repository.insert_session(new_session())
        assert (record.message_count, record.token_count, record.last_seq) == (0, 0, 0)
        appended = await repository.append("s", [new_message(1)], now=START)
        assert appended.inserted == 1

    async def test_stats_add_up(self, repository: MemoryRepository) -> None:
        """Sessions, messages, tokens and statuses, after appends and deletes."""
        seqs = await filled(repository, new_messages(3, token_count=10), "a")
        await filled(repository, new_messages(2, token_count=1), "b")
        await repository.insert_session(new_session("c", status=SessionStatus.ARCHIVED))
        await filled(repository, new_messages(9), "gone")
        await repository.delete_sessions(["gone"])
        await repository.delete_messages("a", through_seq=seqs[0])
        stats = await repository.stats()
        assert (stats.sessions, stats.messages, stats.tokens) == (3, 4, 22)
        assert dict(stats.sessions_by_status) == {"active": 2, "archived": 1}

    async def test_stats_of_an_empty_store_are_zero(self, repository: MemoryRepository) -> None:
        """No NULLs."""
        stats = await repository.stats()
        assert (stats.sessions, stats.messages, stats.tokens) == (0, 0, 0)
        assert dict(stats.sessions_by_status) == {}

    async def test_ids_of_512_bytes_are_stored(self, repository: MemoryRepository) -> None:
        """The longest id of every kind, in one record each."""
        longest = "é" * 256
        await repository.insert_session(new_session(longest, user_id=longest, agent_id=longest, workflow_id=longest))
        await repository.append(longest, [new_message(1, role=longest, message_id=longest)], now=START)
        await repository.put_summary(new_summary(longest, session_id=longest))
        assert (await fetch(repository, longest)).metadata.user_id == longest
        assert await read_ids(repository, longest) == [longest]
        assert [summary.summary_id for summary in await repository.list_summaries(longest)] == [longest]

    @pytest.mark.parametrize("field", ["session_id", "user_id", "agent_id", "workflow_id"])
    async def test_id_that_not_every_store_holds_is_refused(self, repository: MemoryRepository, field: str) -> None:
        """Empty, over 512 bytes, NUL or lone surrogates: refused, and nothing is stored."""
        for bad in BAD_IDS:
            fields: dict[str, Any] = {"session_id": "s", field: bad}
            with pytest.raises(InvalidInputError):
                await repository.insert_session(new_session(**fields))
        assert (await repository.stats()).sessions == 0

    async def test_unknown_status_is_refused(self, repository: MemoryRepository) -> None:
        """What could not be read again is not written."""
        metadata = new_session()
        metadata.status = "snoozing"  # type: ignore[assignment]
        with pytest.raises(InvalidInputError):
            await repository.insert_session(metadata)
        assert (await repository.stats()).sessions == 0

    async def test_sql_in_every_field_of_a_session_is_only_text(self, repository: MemoryRepository) -> None:
        """Stored, found and deleted like any other."""
        await filled(repository, [new_message(1)], "bystander")
        ids: dict[str, Any] = {"user_id": SQL, "agent_id": SQL, "workflow_id": SQL}
        fields = ids | {"tags": [SQL], "properties": {SQL: SQL}}
        await repository.insert_session(new_session(SQL, **fields))
        found = await repository.list_sessions(SessionQuery(user_id=SQL, agent_id=SQL))
        assert [exact_session(record.metadata) for record in found] == [exact_session(new_session(SQL, **fields))]
        assert await repository.delete_sessions([SQL]) == 1
        assert await read_ids(repository, "bystander") == ["m1"]

    async def test_session_given_is_copied(self, repository: MemoryRepository) -> None:
        """What the caller does to its object afterwards is not stored."""
        given = new_session("s", tags=["a"], properties={"a": {"b": 1}})
        await repository.insert_session(given)
        given.tags.append("b")
        given.properties["a"]["b"] = 2
        given.expires_at = at(1)
        stored = (await fetch(repository)).metadata
        assert (stored.tags, stored.properties, stored.expires_at) == (["a"], {"a": {"b": 1}}, None)

    async def test_session_returned_is_a_copy(self, repository: MemoryRepository) -> None:
        """What the caller does to an answer is not stored, whichever call it came from."""
        given = new_session("s", tags=["a"], properties={"a": {"b": 1}})
        answers = [await repository.insert_session(given)]
        answers.append(await fetch(repository))
        answers += await repository.list_sessions(SessionQuery())
        answers.append(await repository.replace_session(given, expected_revision=answers[0].revision))
        for answer in answers:
            answer.metadata.tags.append("b")
            answer.metadata.properties["a"]["b"] = 2
            answer.metadata.updated_at += timedelta(days=1)
        assert exact_session((await fetch(repository)).metadata) == exact_session(
            new_session("s", tags=["a"], properties={"a": {"b": 1}})
        )

    async def test_answer_does_not_share_values_with_the_argument(self, repository: MemoryRepository) -> None:
        """Changing the record of an insert leaves the caller's own metadata alone."""
        given = new_session("s", tags=["a"], properties={"a": {"b": 1}})
        answer = await repository.insert_session(given)
        answer.metadata.tags.append("b")
        answer.metadata.properties["a"]["b"] = 2
        assert (given.tags, given.properties) == (["a"], {"a": {"b": 1}})

    @pytest.mark.parametrize("call", ON_MISSING)
    async def test_missing_session_is_an_error_elsewhere(self, repository: MemoryRepository, call: str) -> None:
        """An empty answer would hide a typo in an id."""
        with pytest.raises(SessionNotFoundError) as caught:
            await ON_MISSING[call](repository)
        assert caught.value.session_id == "missing"
