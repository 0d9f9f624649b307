"""Rules for deleting messages: up to a seq, but for some roles; the counters follow."""

from __future__ import annotations

from ..interfaces.enums import SYSTEM_ROLES
from ..interfaces.message import Message
from ..repository.protocol import MemoryRepository
from .samples import at, fetch, filled, new_message, new_messages, new_summary, read, read_ids


def of_many_roles() -> list[Message]:
    """Return m1 to m7, of which m1, m4 and m6 are system messages."""
    roles = ["system", "user", "assistant", "system", "user", "developer", "tool"]
    return [new_message(number, role=role, token_count=number) for number, role in enumerate(roles, 1)]


class DeletionRules:
    """``delete_messages``."""

    async def test_delete_messages_removes_everything(self, repository: MemoryRepository) -> None:
        """And counts it."""
        await filled(repository, of_many_roles())
        assert await repository.delete_messages("s") == 7
        assert await read(repository) == []

    async def test_delete_messages_through_a_seq_includes_it(self, repository: MemoryRepository) -> None:
        """Later ones stay, under their numbers."""
        seqs = await filled(repository, new_messages(5))
        assert await repository.delete_messages("s", through_seq=seqs[2]) == 3
        assert [(message.message_id, message.seq) for message in await read(repository)] == [
            ("m4", seqs[3]),
            ("m5", seqs[4]),
        ]

    async def test_delete_messages_in_front_of_the_first_is_zero(self, repository: MemoryRepository) -> None:
        """Zero is a bound, not 'no bound'."""
        await filled(repository, new_messages(2))
        assert await repository.delete_messages("s", through_seq=0) == 0
        assert await read_ids(repository) == ["m1", "m2"]

    async def test_delete_messages_keeps_roles(self, repository: MemoryRepository) -> None:
        """Of those named, all."""
        await filled(repository, of_many_roles())
        assert await repository.delete_messages("s", keep_roles=SYSTEM_ROLES) == 4
        assert await read_ids(repository) == ["m1", "m4", "m6"]

    async def test_delete_messages_keeps_roles_within_the_bound(self, repository: MemoryRepository) -> None:
        """Both conditions hold together."""
        seqs = await filled(repository, of_many_roles())
        assert await repository.delete_messages("s", through_seq=seqs[4], keep_roles=SYSTEM_ROLES) == 3
        assert await read_ids(repository) == ["m1", "m4", "m6", "m7"]

    async def test_delete_messages_keeps_roles_that_are_not_its_own(self, repository: MemoryRepository) -> None:
        """Any text may be a role."""
        await filled(repository, [new_message(1, role="critic"), new_message(2, role="judge"), new_message(3)])
        assert await repository.delete_messages("s", keep_roles=frozenset({"critic", "nobody"})) == 2
        assert await read_ids(repository) == ["m1"]

    async def test_delete_messages_corrects_the_counters(self, repository: MemoryRepository) -> None:
        """Count and tokens are those of what is stored."""
        seqs = await filled(repository, of_many_roles())
        await repository.delete_messages("s", through_seq=seqs[4], keep_roles=SYSTEM_ROLES)
        record = await fetch(repository)
        assert (record.message_count, record.token_count) == (4, 1 + 4 + 6 + 7)

    async def test_delete_messages_a_second_time_is_zero(self, repository: MemoryRepository) -> None:
        """The counters stay right, too."""
        await filled(repository, of_many_roles())
        await repository.delete_messages("s", keep_roles=SYSTEM_ROLES)
        assert await repository.delete_messages("s", keep_roles=SYSTEM_ROLES) == 0
        assert (await fetch(repository)).message_count == 3

    async def test_delete_messages_is_no_activity(self, repository: MemoryRepository) -> None:
        """Neither updated_at nor the revision changes."""
        await filled(repository, new_messages(3))
        await repository.append("s", [new_message(4)], now=at(60))
        before = await fetch(repository)
        await repository.delete_messages("s")
        after = await fetch(repository)
        assert (after.metadata, after.revision) == (before.metadata, before.revision)

    async def test_delete_messages_leaves_other_sessions(self, repository: MemoryRepository) -> None:
        """The bound is a seq of one session."""
        await filled(repository, new_messages(3), "s")
        await filled(repository, new_messages(3), "other")
        await repository.delete_messages("s")
        assert await read_ids(repository, "other") == ["m1", "m2", "m3"]

    async def test_delete_messages_leaves_summaries(self, repository: MemoryRepository) -> None:
        """They stand for what is gone."""
        await filled(repository, new_messages(3))
        await repository.put_summary(new_summary("a"))
        await repository.delete_messages("s")
        assert [summary.summary_id for summary in await repository.list_summaries("s")] == ["a"]
