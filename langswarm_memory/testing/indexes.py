"""Rules for keeping in mind what an index outside of the store has seen of each session."""

from __future__ import annotations

import pytest

from ..repository.optional import IndexState, TracksIndexes
from ..repository.protocol import MemoryRepository, Rewrite
from .samples import START, at, fetch, filled, new_message, new_messages, new_session, read


def tracking(repository: MemoryRepository) -> TracksIndexes:
    """Return the repository as one that tracks indexes, or skip."""
    if not isinstance(repository, TracksIndexes):
        pytest.skip(f"{repository.name} tracks no indexes")
    return repository


async def seen(store: TracksIndexes, repository: MemoryRepository, session_id: str = "s", index: str = "i") -> None:
    """Mark a session as indexed as it is."""
    record = await fetch(repository, session_id)
    await store.mark_indexed(session_id, index, last_seq=record.last_seq, edits=record.edits)


async def stale(store: TracksIndexes, index: str = "i") -> list[str]:
    """Return the ids of the stale sessions."""
    return [state.session_id for state in await store.stale_sessions(index, limit=100)]


class IndexRules:
    """``stale_sessions``, ``index_state``, ``mark_indexed`` and ``forget_index``."""

    async def test_session_never_indexed_is_stale(self, repository: MemoryRepository) -> None:
        """Once it holds something to index."""
        store = tracking(repository)
        (seq,) = await filled(repository, [new_message(1)])
        assert await store.stale_sessions("i", limit=10) == [IndexState("s", seq, 0, 0, 0)]

    async def test_session_without_messages_is_not_stale(self, repository: MemoryRepository) -> None:
        """There is nothing to index."""
        store = tracking(repository)
        await repository.insert_session(new_session())
        assert await stale(store) == []
        assert await store.index_state("s", "i") == IndexState("s", 0, 0, 0, 0)

    async def test_indexed_session_is_not_stale(self, repository: MemoryRepository) -> None:
        """And tells how far it was indexed."""
        store = tracking(repository)
        seqs = await filled(repository, new_messages(3))
        await seen(store, repository)
        assert await stale(store) == []
        assert await store.index_state("s", "i") == IndexState("s", seqs[2], 0, seqs[2], 0)

    async def test_append_makes_a_session_stale(self, repository: MemoryRepository) -> None:
        """In the same transaction: there is no moment between."""
        store = tracking(repository)
        seqs = await filled(repository, new_messages(2))
        await seen(store, repository)
        appended = await repository.append("s", [new_message(3)], now=START)
        assert await store.stale_sessions("i", limit=10) == [IndexState("s", appended.last_seq, 0, seqs[1], 0)]

    async def test_rewrite_makes_a_session_stale(self, repository: MemoryRepository) -> None:
        """Its last seq is the same, its edits are not."""
        store = tracking(repository)
        await filled(repository, new_messages(2))
        await seen(store, repository)
        stored = await read(repository)
        await repository.rewrite("s", Rewrite(edits=0, removed=(stored[1],)), now=START)
        (state,) = await store.stale_sessions("i", limit=10)
        assert (state.edits, state.indexed_edits) == (1, 0)

    async def test_deleting_messages_makes_a_session_stale(self, repository: MemoryRepository) -> None:
        """All of them too: an index must forget them."""
        store = tracking(repository)
        await filled(repository, new_messages(2))
        await seen(store, repository)
        await repository.delete_messages("s")
        assert await stale(store) == ["s"]

    async def test_marking_changes_nothing_else(self, repository: MemoryRepository) -> None:
        """Neither revision nor times nor edits."""
        store = tracking(repository)
        await filled(repository, new_messages(2))
        before = await fetch(repository)
        await seen(store, repository)
        after = await fetch(repository)
        assert after[1:] == before[1:]
        assert after.metadata.updated_at == before.metadata.updated_at

    async def test_replacing_metadata_keeps_what_was_indexed(self, repository: MemoryRepository) -> None:
        """It concerns the messages."""
        store = tracking(repository)
        await filled(repository, new_messages(2))
        await seen(store, repository)
        record = await fetch(repository)
        await repository.replace_session(record.metadata, expected_revision=record.revision)
        assert await stale(store) == []

    async def test_indexes_are_apart(self, repository: MemoryRepository) -> None:
        """Any text is a name, dots and dollars included."""
        store = tracking(repository)
        await filled(repository, new_messages(1))
        await seen(store, repository, index="a.b/$c d'e\"")
        assert await stale(store, "a.b/$c d'e\"") == []
        assert await stale(store, "a") == ["s"]

    async def test_marking_backwards_makes_stale(self, repository: MemoryRepository) -> None:
        """What is marked is what counts: so a session is indexed again."""
        store = tracking(repository)
        await filled(repository, new_messages(2))
        await seen(store, repository)
        await store.mark_indexed("s", "i", last_seq=0, edits=0)
        assert await stale(store) == ["s"]

    async def test_marking_no_session_is_nothing(self, repository: MemoryRepository) -> None:
        """It was deleted while it was indexed."""
        store = tracking(repository)
        await store.mark_indexed("none", "i", last_seq=1, edits=0)
        assert await store.index_state("none", "i") is None
        assert await stale(store) == []

    async def test_deleted_session_leaves_nothing_indexed(self, repository: MemoryRepository) -> None:
        """One of the same id begins anew."""
        store = tracking(repository)
        await filled(repository, new_messages(1))
        await seen(store, repository)
        await repository.delete_sessions(["s"])
        await filled(repository, new_messages(1))
        assert await stale(store) == ["s"]

    async def test_forgotten_index_makes_every_session_stale(self, repository: MemoryRepository) -> None:
        """Of that index only."""
        store = tracking(repository)
        for session_id in ("a", "b"):
            await filled(repository, new_messages(1), session_id)
            await seen(store, repository, session_id)
            await seen(store, repository, session_id, "other")
        await store.forget_index("i")
        assert await stale(store) == ["a", "b"]
        assert await stale(store, "other") == []

    async def test_stale_sessions_come_in_pages(self, repository: MemoryRepository) -> None:
        """By ascending id, each once."""
        store = tracking(repository)
        ids = [f"s{number:02}" for number in range(7)]
        for place, session_id in enumerate(reversed(ids)):
            await repository.insert_session(new_session(session_id, place))
            await repository.append(session_id, [new_message(1)], now=at(place))
        await seen(store, repository, "s03")
        found: list[str] = []
        while page := await store.stale_sessions("i", limit=2, after=found[-1] if found else None):
            found += [state.session_id for state in page]
        assert found == [one for one in ids if one != "s03"]
