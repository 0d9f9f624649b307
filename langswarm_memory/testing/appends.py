"""Rules for appends: numbered without reuse, all or nothing, safe to repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ..errors import ConflictError, InvalidInputError, SessionExpiredError, SessionNotFoundError
from ..repository.protocol import MemoryRepository
from .samples import (
    MICROSECOND,
    START,
    at,
    exact_message,
    fetch,
    filled,
    new_message,
    new_messages,
    new_session,
    read,
    read_ids,
)

OTHER_CONTENT: dict[str, Any] = {
    "role": "assistant",
    "content": "other",
    "name": "other",
    "tool_call_id": "other",
    "tool_calls": [{"id": "other"}],
    "function_call": {"name": "other"},
    "metadata": {"other": 1},
}

BAD_MESSAGES: dict[str, dict[str, Any]] = {
    "no id": {"message_id": ""},
    "long id": {"message_id": "é" * 257},
    "id with nul": {"message_id": "a\x00"},
    "id with a lone surrogate": {"message_id": "\ud800"},
    "id that is no text": {"message_id": 7},
    "role with nul": {"role": "a\x00"},
    "content that is no text": {"content": 7},
    "block of bytes": {"content": [b"x"]},
    "metadata that is no object": {"metadata": [1]},
    "metadata with a key that is no text": {"metadata": {1: 1}},
    "metadata with a set": {"metadata": {"a": {1}}},
    "metadata nested 513 deep": {"metadata": {}},
    "metadata with 5,000 digits": {"metadata": {"a": 10**5_000}},
    "tool calls that are no list": {"tool_calls": {"id": "a"}},
    "function call that is no object": {"function_call": ["a"]},
    "name that is no text": {"name": 7},
    "no token count": {"token_count": None},
    "negative token count": {"token_count": -1},
    "token count of 64 bits": {"token_count": 2**63 - 1},
    "token count of 200 bits": {"token_count": 2**200},
    "token count that is no int": {"token_count": 1.0},
    "token count that is a bool": {"token_count": True},
}

level = BAD_MESSAGES["metadata nested 513 deep"]["metadata"]
for _ in range(512):
    level["a"] = {}
    level = level["a"]


class AppendRules:
    """``append``."""

    async def test_append_answers_increasing_seqs(self, repository: MemoryRepository) -> None:
        """One per message, in order; without gaps where the store promises that."""
        seqs = list(await filled(repository, new_messages(2)))
        seqs += (await repository.append("s", new_messages(3, first=3), now=START)).seqs
        assert seqs == sorted(set(seqs))
        assert len(seqs) == 5
        if repository.features.gapless_seq:
            assert seqs == [1, 2, 3, 4, 5]

    async def test_messages_carry_the_seqs_that_append_answered(self, repository: MemoryRepository) -> None:
        """Oldest first, as they were given."""
        seqs = await filled(repository, new_messages(5))
        assert [(message.message_id, message.seq) for message in await read(repository)] == [
            (f"m{number}", seq) for number, seq in enumerate(seqs, 1)
        ]

    async def test_append_answers_the_counters_of_the_session(self, repository: MemoryRepository) -> None:
        """Thresholds are checked without another trip."""
        await filled(repository, new_messages(2))
        appended = await repository.append("s", new_messages(3, first=3), now=START)
        record = await fetch(repository)
        assert (appended.inserted, appended.message_count, appended.last_seq) == (3, 5, appended.seqs[-1])
        assert (record.message_count, record.last_seq) == (5, appended.last_seq)

    async def test_append_adds_up_token_counts(self, repository: MemoryRepository) -> None:
        """Over appends and within a batch."""
        await filled(repository, [new_message(1, token_count=0), new_message(2, token_count=10)])
        await repository.append("s", [new_message(3, token_count=2**31 - 1)], now=START)
        assert (await fetch(repository)).token_count == 10 + 2**31 - 1

    async def test_append_sets_updated_at(self, repository: MemoryRepository) -> None:
        """To `now` as given, even when that lies before the last append: a store asks no clock."""
        await repository.insert_session(new_session())
        for number, now in enumerate([at(60), at(60) + MICROSECOND, at(30)]):
            await repository.append("s", [new_message(number)], now=now)
            assert (await fetch(repository)).metadata.updated_at == now

    async def test_append_leaves_the_revision(self, repository: MemoryRepository) -> None:
        """An edit of the metadata does not conflict with the conversation."""
        record = await repository.insert_session(new_session())
        await repository.append("s", new_messages(2), now=at(1))
        assert (await fetch(repository)).revision == record.revision
        await repository.replace_session(new_session("s", user_id="u"), expected_revision=record.revision)

    async def test_message_order_is_that_of_appending(self, repository: MemoryRepository) -> None:
        """Timestamps are data: clocks step back, and imports bring their own."""
        await filled(repository, [new_message(number, timestamp=at(-number)) for number in (1, 2, 3)])
        await repository.append("s", [new_message(4, timestamp=at(-9_999))], now=START)
        assert await read_ids(repository) == ["m1", "m2", "m3", "m4"]

    async def test_batch_larger_than_a_statement(self, repository: MemoryRepository) -> None:
        """Order and numbers hold over the splits that a store makes inside; a second time, nothing is stored."""
        messages = new_messages(1_203)
        seqs = await filled(repository, messages)
        assert await read_ids(repository) == [message.message_id for message in messages]
        assert (await repository.append("s", messages, now=START)).seqs == seqs
        assert (await fetch(repository)).message_count == 1_203

    # --- repeating -------------------------------------------------------------------------------------------------

    async def test_replayed_id_is_stored_once(self, repository: MemoryRepository) -> None:
        """A retry after a lost reply does not double the conversation."""
        await filled(repository, new_messages(2))
        replayed = await repository.append("s", [new_message(1)], now=START)
        assert (replayed.inserted, replayed.message_count) == (0, 2)
        assert await read_ids(repository) == ["m1", "m2"]

    async def test_replayed_id_answers_its_old_seq(self, repository: MemoryRepository) -> None:
        """The caller learns where it is stored."""
        seqs = await filled(repository, new_messages(3))
        assert (await repository.append("s", [new_message(2)], now=START)).seqs == (seqs[1],)

    async def test_replay_does_not_count_tokens_again(self, repository: MemoryRepository) -> None:
        """The counters are those of what is stored."""
        await filled(repository, new_messages(2, token_count=5))
        await repository.append("s", new_messages(2, token_count=5), now=START)
        assert (await fetch(repository)).token_count == 10

    async def test_replay_may_have_another_timestamp_and_token_count(self, repository: MemoryRepository) -> None:
        """A message that is built again for a retry gets new ones; the stored ones stay."""
        await filled(repository, [new_message(1)])
        await repository.append("s", [new_message(1, timestamp=at(99), token_count=99)], now=START)
        assert [exact_message(message) for message in await read(repository)] == [exact_message(new_message(1))]

    @pytest.mark.parametrize("field", OTHER_CONTENT)
    async def test_replay_with_other_content_raises(self, repository: MemoryRepository, field: str) -> None:
        """An id names one message, whole."""
        await filled(repository, [new_message(1)])
        changed = replace(new_message(1), **{field: OTHER_CONTENT[field]})
        with pytest.raises(ConflictError) as caught:
            await repository.append("s", [changed], now=START)
        assert not caught.value.retryable
        assert [exact_message(message) for message in await read(repository)] == [exact_message(new_message(1))]

    @pytest.mark.parametrize(
        ("stored", "given"),
        [(1, 1.0), (1, True), (0.0, -0.0), (None, "None"), ("\ud83d\ude00", "😀"), ("\x00", "\ufffd"), ([1], {"0": 1})],
        ids=ascii,
    )
    async def test_replay_tells_values_apart_that_look_alike(
        self, repository: MemoryRepository, stored: Any, given: Any
    ) -> None:
        """Content is compared as exactly as it is stored."""
        await filled(repository, [new_message(1, metadata={"a": stored})])
        with pytest.raises(ConflictError):
            await repository.append("s", [new_message(1, metadata={"a": given})], now=START)

    async def test_batch_of_old_and_new_stores_the_new(self, repository: MemoryRepository) -> None:
        """Each message answers its own seq."""
        old = await filled(repository, new_messages(2))
        mixed = [new_message(number) for number in (3, 1, 4, 2)]
        appended = await repository.append("s", mixed, now=START)
        assert (appended.inserted, appended.message_count) == (2, 4)
        assert (appended.seqs[1], appended.seqs[3]) == old
        assert old[1] < appended.seqs[0] < appended.seqs[2] <= appended.last_seq
        assert appended.seqs[2] == appended.last_seq or not repository.features.gapless_seq
        assert await read_ids(repository) == ["m1", "m2", "m3", "m4"]

    async def test_repeating_a_batch_completes_it(self, repository: MemoryRepository) -> None:
        """Whatever part of it was stored before."""
        await filled(repository, new_messages(2))
        await repository.append("s", new_messages(5), now=START)
        assert await read_ids(repository) == ["m1", "m2", "m3", "m4", "m5"]

    async def test_batch_with_a_conflict_writes_nothing(self, repository: MemoryRepository) -> None:
        """Nor does it count as activity. Without atomic batches, repeating it without the conflict completes it."""
        await filled(repository, [new_message(1)])
        before = await fetch(repository)
        batch = [new_message(2), new_message(1, "other"), new_message(3)]
        with pytest.raises(ConflictError):
            await repository.append("s", batch, now=at(60), expires_at=at(99))
        if repository.features.atomic_batches:
            assert await read_ids(repository) == ["m1"]
            assert await fetch(repository) == before
        await repository.append("s", [batch[0], batch[2]], now=at(60))
        assert sorted(await read_ids(repository)) == ["m1", "m2", "m3"]

    async def test_id_may_be_stored_in_each_session(self, repository: MemoryRepository) -> None:
        """Message ids are unique within their session only."""
        await filled(repository, [new_message(1, "in a")], "a")
        await filled(repository, [new_message(1, "in b")], "b")
        assert [message.content for message in await read(repository, "b")] == ["in b"]

    # --- numbers ---------------------------------------------------------------------------------------------------

    async def test_seq_is_not_reused_after_deleting_everything(self, repository: MemoryRepository) -> None:
        """Who tails a session by seq misses nothing."""
        seqs = await filled(repository, new_messages(3))
        await repository.delete_messages("s")
        appended = await repository.append("s", [new_message(4)], now=START)
        assert appended.seqs[0] > seqs[-1]
        assert appended.message_count == 1

    async def test_last_seq_stays_when_messages_are_deleted(self, repository: MemoryRepository) -> None:
        """The record tells where the next message goes."""
        seqs = await filled(repository, new_messages(3))
        await repository.delete_messages("s")
        assert (await fetch(repository)).last_seq == seqs[-1]

    async def test_deleted_message_may_come_back(self, repository: MemoryRepository) -> None:
        """An id is taken only while its message is stored."""
        seqs = await filled(repository, new_messages(2))
        await repository.delete_messages("s", through_seq=seqs[0])
        again = await repository.append("s", [new_message(1, "other")], now=START)
        assert again.inserted == 1
        assert again.seqs[0] > seqs[-1]
        assert await read_ids(repository) == ["m2", "m1"]

    # --- expiry ----------------------------------------------------------------------------------------------------

    async def test_append_before_expiry_is_stored(self, repository: MemoryRepository) -> None:
        """To the microsecond."""
        await repository.insert_session(new_session("s", expires_at=at(60)))
        await repository.append("s", [new_message(1)], now=at(60) - MICROSECOND)
        assert await read_ids(repository) == ["m1"]

    async def test_append_from_expiry_on_is_refused(self, repository: MemoryRepository) -> None:
        """The instant of expiry is the first one after the session's life."""
        await repository.insert_session(new_session("s", expires_at=at(60)))
        before = await fetch(repository)
        with pytest.raises(SessionExpiredError) as caught:
            await repository.append("s", [new_message(1)], now=at(60), expires_at=at(120))
        assert caught.value.session_id == "s"
        assert await fetch(repository) == before

    async def test_append_sets_the_expiry_it_is_given(self, repository: MemoryRepository) -> None:
        """So that it slides; a session without one gets one."""
        await repository.insert_session(new_session("with", expires_at=at(60)))
        await repository.insert_session(new_session("without"))
        for session_id in ("with", "without"):
            await repository.append(session_id, [new_message(1)], now=at(1), expires_at=at(61) + MICROSECOND)
            assert (await fetch(repository, session_id)).metadata.expires_at == at(61) + MICROSECOND

    async def test_append_without_expiry_leaves_it(self, repository: MemoryRepository) -> None:
        """None is not 'never'."""
        await repository.insert_session(new_session("s", expires_at=at(60)))
        await repository.append("s", [new_message(1)], now=at(1))
        assert (await fetch(repository)).metadata.expires_at == at(60)

    # --- refusing --------------------------------------------------------------------------------------------------

    async def test_append_to_a_missing_session_leaves_nothing_behind(self, repository: MemoryRepository) -> None:
        """A session of that id, made later, starts empty."""
        with pytest.raises(SessionNotFoundError):
            await repository.append("s", new_messages(2), now=START)
        assert (await repository.insert_session(new_session())).message_count == 0
        assert await read(repository) == []

    @pytest.mark.parametrize("bad", BAD_MESSAGES)
    async def test_batch_with_a_message_that_cannot_be_stored_writes_nothing(
        self, repository: MemoryRepository, bad: str
    ) -> None:
        """Refused as the caller's mistake before anything is sent."""
        await filled(repository, [new_message(1)])
        refused = new_message(3)
        for field, value in BAD_MESSAGES[bad].items():
            setattr(refused, field, value)
        with pytest.raises(InvalidInputError):
            await repository.append("s", [new_message(2), refused], now=at(60))
        assert await read_ids(repository) == ["m1"]
        assert (await fetch(repository)).metadata.updated_at == START

    async def test_message_given_is_copied(self, repository: MemoryRepository) -> None:
        """What the caller does to its object afterwards is not stored."""
        fields: dict[str, Any] = {"metadata": {"a": {"b": 1}}, "tool_calls": [{"id": "a"}], "function_call": {"n": [1]}}
        given = new_message(1, [{"text": "a"}], **fields)
        before = exact_message(given)
        await filled(repository, [given])
        given.content[0]["text"] = given.metadata["a"]["b"] = given.tool_calls[0]["id"] = "changed"  # type: ignore[index]
        given.function_call["n"].append(2)  # type: ignore[index]
        given.role = "assistant"
        assert [exact_message(message) for message in await read(repository)] == [before]

    async def test_message_given_is_left_as_it_was(self, repository: MemoryRepository) -> None:
        """A store does not number the caller's object."""
        given = new_message(1)
        await filled(repository, [given])
        assert given.seq is None
        assert exact_message(given) == exact_message(new_message(1))

    async def test_message_read_from_a_store_can_be_appended_elsewhere(self, repository: MemoryRepository) -> None:
        """It gets the next seq of that session."""
        await filled(repository, [new_message(1, "\x00", metadata={"a": 1}, name="n")], "a")
        await filled(repository, new_messages(3, first=2), "b")
        appended = await repository.append("b", await read(repository, "a"), now=START)
        copied = (await read(repository, "b"))[-1]
        assert copied.seq == appended.last_seq
        assert exact_message(copied) == exact_message(new_message(1, "\x00", metadata={"a": 1}, name="n"))
