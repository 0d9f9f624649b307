"""Rules for changing stored messages by compare-and-set: ``rewrite``, and ``copy_session`` where a store has it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ..errors import ConflictError, SessionExistsError, SessionExpiredError, SessionNotFoundError
from ..interfaces.message import Message
from ..repository.optional import CopiesMessages
from ..repository.protocol import MemoryRepository, Rewrite, SessionQuery, SessionRecord
from .samples import (
    START,
    at,
    exact_message,
    fetch,
    filled,
    new_message,
    new_messages,
    new_session,
    new_summary,
    read,
    read_ids,
)


def changed(message: Message, **fields: Any) -> tuple[Message, Message]:
    """Return a message as read, and what to store in its place."""
    return message, replace(message, **fields)


async def rewritten(repository: MemoryRepository, seconds: float = 100, **change: Any) -> SessionRecord:
    """Rewrite session ``s`` as it is now."""
    edits = (await fetch(repository)).edits
    return await repository.rewrite("s", Rewrite(**{"edits": edits, **change}), now=at(seconds))


class RewriteRules:
    """``rewrite`` and the counter ``edits``."""

    async def test_new_session_has_no_edits(self, repository: MemoryRepository) -> None:
        """Appending is none."""
        await filled(repository, new_messages(3))
        assert (await fetch(repository)).edits == 0

    async def test_rewrite_removes_messages(self, repository: MemoryRepository) -> None:
        """Those given; the others keep their numbers."""
        seqs = await filled(repository, new_messages(5))
        stored = await read(repository)
        await rewritten(repository, removed=(stored[1], stored[3]))
        assert [(m.message_id, m.seq) for m in await read(repository)] == [
            ("m1", seqs[0]),
            ("m3", seqs[2]),
            ("m5", seqs[4]),
        ]

    async def test_rewrite_replaces_messages(self, repository: MemoryRepository) -> None:
        """Whole, in their place."""
        await filled(repository, [new_message(1), new_message(2, metadata={"a": 1}, name="x"), new_message(3)])
        stored = await read(repository)
        blocks = [{"type": "text", "text": "new \x00"}]
        pair = changed(stored[1], content=blocks, role="critic", metadata={"b": 2.0}, name=None, token_count=7)
        await rewritten(repository, replaced=(pair,))
        after = await read(repository)
        assert [m.seq for m in after] == [m.seq for m in stored]
        assert [exact_message(m) for m in after] == [exact_message(m) for m in (stored[0], pair[1], stored[2])]

    async def test_rewrite_removes_and_replaces_at_once(self, repository: MemoryRepository) -> None:
        """In one call."""
        await filled(repository, new_messages(4))
        stored = await read(repository)
        await rewritten(repository, removed=(stored[0],), replaced=(changed(stored[2], content="new"),))
        assert [(m.message_id, m.text) for m in await read(repository)] == [
            ("m2", "text 2"),
            ("m3", "new"),
            ("m4", "text 4"),
        ]

    async def test_rewrite_answers_the_session(self, repository: MemoryRepository) -> None:
        """With its counters, as they are read then."""
        seqs = await filled(repository, new_messages(4, token_count=10))
        stored = await read(repository)
        record = await rewritten(
            repository, 77, removed=(stored[0], stored[3]), replaced=(changed(stored[1], token_count=3),)
        )
        assert (record.message_count, record.token_count, record.last_seq, record.edits) == (2, 13, seqs[3], 1)
        again = await fetch(repository)
        assert again[1:] == record[1:]
        assert again.metadata.updated_at == record.metadata.updated_at == at(77)

    async def test_rewrite_leaves_the_revision_alone(self, repository: MemoryRepository) -> None:
        """It counts changes of metadata."""
        await filled(repository, new_messages(2))
        before = (await fetch(repository)).revision
        stored = await read(repository)
        assert (await rewritten(repository, removed=(stored[0],))).revision == before

    async def test_rewrite_of_many_messages(self, repository: MemoryRepository) -> None:
        """More than a statement takes parameters."""
        await filled(repository, new_messages(1_200))
        stored = await read(repository)
        await rewritten(
            repository, removed=tuple(stored[::2]), replaced=tuple(changed(m, content="x") for m in stored[1::4])
        )
        after = await read(repository)
        assert [m.message_id for m in after] == [m.message_id for m in stored[1::2]]
        assert sum(m.text == "x" for m in after) == 300

    async def test_numbers_are_not_given_again(self, repository: MemoryRepository) -> None:
        """What is appended then comes behind all that ever was."""
        seqs = await filled(repository, new_messages(3))
        await rewritten(repository, removed=tuple(await read(repository)))
        assert await read(repository) == []
        appended = await repository.append("s", [new_message(9)], now=START)
        assert appended.seqs[0] > seqs[2]
        assert appended.message_count == 1

    async def test_id_of_a_removed_message_may_come_again(self, repository: MemoryRepository) -> None:
        """With any content."""
        await filled(repository, new_messages(2))
        await rewritten(repository, removed=((await read(repository))[1],))
        await repository.append("s", [new_message(2, "other")], now=START)
        assert [m.text for m in await read(repository)] == ["text 1", "other"]

    async def test_replaced_message_is_what_a_repeated_append_meets(self, repository: MemoryRepository) -> None:
        """The content of now counts, not that of then."""
        await filled(repository, [new_message(1)])
        (stored,) = await read(repository)
        await rewritten(repository, replaced=(changed(stored, content="new"),))
        with pytest.raises(ConflictError):
            await repository.append("s", [new_message(1)], now=START)
        assert (await repository.append("s", [new_message(1, "new")], now=START)).inserted == 0

    async def test_rewrite_of_other_edits_is_a_conflict(self, repository: MemoryRepository) -> None:
        """Nothing is written, and repeating after a read works."""
        await filled(repository, new_messages(3))
        stored = await read(repository)
        await rewritten(repository, removed=(stored[0],))
        with pytest.raises(ConflictError) as raised:
            await repository.rewrite("s", Rewrite(edits=0, removed=(stored[1],)), now=at(1))
        assert raised.value.retryable
        assert await read_ids(repository) == ["m2", "m3"]

    async def test_rewrite_of_another_last_seq_is_a_conflict(self, repository: MemoryRepository) -> None:
        """Where it is given; without it, appends meanwhile do not matter."""
        await filled(repository, new_messages(2))
        record, stored = await fetch(repository), await read(repository)
        await repository.append("s", [new_message(3)], now=START)
        change = Rewrite(edits=record.edits, last_seq=record.last_seq, removed=(stored[1],))
        with pytest.raises(ConflictError) as raised:
            await repository.rewrite("s", change, now=at(1))
        assert raised.value.retryable
        await repository.rewrite("s", replace(change, last_seq=None), now=at(1))
        assert await read_ids(repository) == ["m1", "m3"]

    async def test_delete_messages_counts_as_an_edit(self, repository: MemoryRepository) -> None:
        """When it deletes something."""
        seqs = await filled(repository, new_messages(2))
        await repository.delete_messages("s", through_seq=0)
        assert (await fetch(repository)).edits == 0
        await repository.delete_messages("s", through_seq=seqs[0])
        assert (await fetch(repository)).edits == 1

    async def test_rewrite_of_no_session_raises(self, repository: MemoryRepository) -> None:
        """As every call that needs one."""
        with pytest.raises(SessionNotFoundError):
            await repository.rewrite("none", Rewrite(edits=0), now=START)

    async def test_rewrite_of_an_expired_session_raises(self, repository: MemoryRepository) -> None:
        """As an append does; nothing is changed."""
        await repository.insert_session(new_session(expires_at=at(50)))
        await repository.append("s", new_messages(1), now=START)
        stored = await read(repository)
        with pytest.raises(SessionExpiredError):
            await repository.rewrite("s", Rewrite(edits=0, removed=(stored[0],)), now=at(50))
        assert await read_ids(repository) == ["m1"]

    async def test_rewrite_leaves_other_sessions_alone(self, repository: MemoryRepository) -> None:
        """Messages of the same ids included."""
        await filled(repository, new_messages(2))
        await filled(repository, new_messages(2), "t")
        stored = await read(repository)
        await rewritten(repository, removed=(stored[0],), replaced=(changed(stored[1], content="new"),))
        assert [m.text for m in await read(repository, "t")] == ["text 1", "text 2"]
        assert (await fetch(repository, "t")).edits == 0

    async def test_rewrite_leaves_summaries_alone(self, repository: MemoryRepository) -> None:
        """Whether they still hold is decided above."""
        await filled(repository, new_messages(2))
        await repository.put_summary(new_summary())
        await rewritten(repository, removed=tuple(await read(repository)))
        assert [one.summary_id for one in await repository.list_summaries("s")] == ["sum"]

    async def test_listing_shows_the_edits(self, repository: MemoryRepository) -> None:
        """As fetching does."""
        await filled(repository, new_messages(2))
        await rewritten(repository, removed=tuple(await read(repository)))
        assert [record.edits for record in await repository.list_sessions(SessionQuery())] == [1]

    async def test_replacing_metadata_keeps_the_edits(self, repository: MemoryRepository) -> None:
        """They belong to the messages."""
        await filled(repository, new_messages(2))
        record = await rewritten(repository, removed=((await read(repository))[0],))
        replaced = await repository.replace_session(record.metadata, expected_revision=record.revision)
        assert replaced.edits == (await fetch(repository)).edits == 1

    async def test_of_concurrent_rewrites_one_is_carried_out(self, repository: MemoryRepository) -> None:
        """The others are conflicts: nobody's work is lost unseen."""
        await filled(repository, [new_message(1)])
        (stored,) = await read(repository)

        async def edit(number: int) -> bool:
            change = Rewrite(edits=0, replaced=(changed(stored, content=f"by {number}"),))
            try:
                await repository.rewrite("s", change, now=at(number))
            except ConflictError as exc:
                return not exc.retryable  # True would be a second one
            return True

        outcomes = await asyncio.gather(*(edit(number) for number in range(8)))
        assert outcomes.count(True) == 1
        assert [m.text for m in await read(repository)] == [f"by {outcomes.index(True)}"]
        assert (await fetch(repository)).edits == 1

    async def test_rewrites_among_appends_lose_nothing(self, repository: MemoryRepository) -> None:
        """Counters included."""
        await filled(repository, new_messages(4))
        stored = await read(repository)
        await asyncio.gather(
            *(repository.append("s", [new_message(number)], now=START) for number in range(10, 18)),
            repository.rewrite("s", Rewrite(edits=0, removed=tuple(stored[:2])), now=at(1)),
        )
        record = await fetch(repository)
        messages = await read(repository)
        assert {m.message_id for m in messages} == {"m3", "m4", *(f"m{number}" for number in range(10, 18))}
        assert (record.message_count, record.token_count, record.edits) == (10, 10, 1)


def copying(repository: MemoryRepository) -> CopiesMessages:
    """Return the repository as one that copies, or skip."""
    if not isinstance(repository, CopiesMessages):
        pytest.skip(f"{repository.name} copies no sessions by itself")
    return repository


class CopyRules:
    """``copy_session``."""

    async def test_copy_holds_the_messages_up_to_a_seq(self, repository: MemoryRepository) -> None:
        """That one included, byte for byte."""
        store = copying(repository)
        given = [new_message(1, "nul \x00", metadata={"a": 1.0}), new_message(2), new_message(3)]
        seqs = await filled(repository, given)
        record = await store.copy_session("s", new_session("t", tags=["x"]), through_seq=seqs[1])
        assert [exact_message(m) for m in await read(repository, "t")] == [exact_message(m) for m in given[:2]]
        assert (record.message_count, record.token_count, record.metadata.tags) == (2, 2, ["x"])
        assert (await fetch(repository, "t"))[1:] == record[1:]

    async def test_copy_is_numbered_from_one(self, repository: MemoryRepository) -> None:
        """Without gaps, whatever the original's numbers."""
        store = copying(repository)
        await filled(repository, new_messages(4))
        stored = await read(repository)
        await repository.rewrite("s", Rewrite(edits=0, removed=(stored[1],)), now=START)
        record = await store.copy_session("s", new_session("t"), through_seq=None)
        assert [(m.message_id, m.seq) for m in await read(repository, "t")] == [("m1", 1), ("m3", 2), ("m4", 3)]
        assert (record.last_seq, record.edits) == (3, 0)
        assert (await repository.append("t", [new_message(9)], now=START)).seqs == (4,)

    async def test_copy_of_no_session_raises(self, repository: MemoryRepository) -> None:
        """And makes none."""
        store = copying(repository)
        with pytest.raises(SessionNotFoundError):
            await store.copy_session("none", new_session("t"), through_seq=None)
        assert await repository.fetch_session("t") is None

    async def test_copy_to_a_taken_id_raises(self, repository: MemoryRepository) -> None:
        """Nothing is written."""
        store = copying(repository)
        await filled(repository, new_messages(2))
        await repository.insert_session(new_session("t"))
        with pytest.raises(SessionExistsError):
            await store.copy_session("s", new_session("t"), through_seq=None)
        assert await read(repository, "t") == []
