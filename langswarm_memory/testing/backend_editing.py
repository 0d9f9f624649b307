"""Rules for editing history: popping, editing, deleting, rewinding, forking."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..errors import ConflictError, InvalidInputError, SessionExistsError, SessionNotFoundError
from ..interfaces.enums import SessionStatus
from .managed import MakeBackend, conversation, ids, managed
from .samples import at, exact_message, new_message, new_messages

TURNS = [("user", "assistant")[number % 2] for number in range(12)]


class EditingRules:
    """What a session does to its messages."""

    async def test_popped_message_is_the_newest(self, make_backend: MakeBackend) -> None:
        """It comes back and is gone."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(3))
            popped = await session.pop_message()
            assert popped is not None
            assert exact_message(popped) == exact_message(new_message(3))
            assert ids(await session.get_messages()) == ["m1", "m2"]

    async def test_nothing_is_popped_from_an_empty_session(self, make_backend: MakeBackend) -> None:
        """None is the answer."""
        async with managed(make_backend) as (manager, _):
            assert await (await conversation(manager)).pop_message() is None

    async def test_concurrent_pops_get_different_messages(self, make_backend: MakeBackend) -> None:
        """None is lost and none comes twice."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(6))
            popped = await asyncio.gather(*(session.pop_message() for _ in range(4)))
            assert sorted(one.message_id for one in popped if one) == ["m3", "m4", "m5", "m6"]
            assert await session.count_messages() == 2

    async def test_edited_message_keeps_its_place(self, make_backend: MakeBackend) -> None:
        """Its id, its seq and what was not changed."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager, new_messages(3, metadata={"a": 1.0}))
            stored = await session.get_messages()
            clock.move(5)
            edited = await session.edit_message(stored[1], content="new \x00")
            after = await session.get_messages()
            assert (edited.message_id, edited.seq, edited.metadata) == ("m2", stored[1].seq, {"a": 1.0})
            assert exact_message(after[1]) == exact_message(edited)
            assert [m.text for m in after] == ["text 1", "new \x00", "text 3"]
            assert (await session.refresh()).updated_at == at(5)

    @pytest.mark.parametrize("how", ["seq", "id", "given"])
    async def test_message_is_named_in_any_way(self, make_backend: MakeBackend, how: str) -> None:
        """By its seq, by its id, or by itself as it was given."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(3))
            seq = (await session.get_messages())[1].seq
            name: Any = {"seq": seq, "id": "m2", "given": new_message(2)}[how]
            await session.edit_message(name, content="new")
            assert [m.text for m in await session.get_messages()] == ["text 1", "new", "text 3"]

    async def test_edited_message_is_counted_again(self, make_backend: MakeBackend) -> None:
        """Unless its tokens are given."""
        async with managed(make_backend, token_counter=lambda message: len(message.text)) as (manager, _):
            session = await conversation(manager, new_messages(2))
            assert (await session.edit_message("m1", content="12345")).token_count == 5
            assert (await session.edit_message("m2", content="12345", token_count=9)).token_count == 9
            assert (await manager.backend.get_usage_stats()).total_tokens == 14

    async def test_concurrent_edits_of_different_fields_both_hold(self, make_backend: MakeBackend) -> None:
        """The later one reads what the earlier wrote."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            changes: list[dict[str, Any]] = [{"content": "new"}, {"metadata": {"b": 2}}, {"name": "ann"}]
            await asyncio.gather(*(session.edit_message("m1", **change) for change in changes))
            (stored,) = await session.get_messages()
            assert (stored.text, stored.metadata, stored.name) == ("new", {"b": 2}, "ann")

    @pytest.mark.parametrize("changes", [{}, {"message_id": "x"}, {"colour": "red"}, {"content": object()}])
    async def test_edit_that_cannot_be_stored_changes_nothing(
        self, make_backend: MakeBackend, changes: dict[str, Any]
    ) -> None:
        """And says so."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            with pytest.raises(InvalidInputError):
                await session.edit_message("m1", **changes)
            assert [m.text for m in await session.get_messages()] == ["text 1"]

    @pytest.mark.parametrize("name", ["none", 99, new_message(9)], ids=["id", "seq", "message"])
    async def test_edit_of_no_message_raises(self, make_backend: MakeBackend, name: Any) -> None:
        """It is not made anew."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            with pytest.raises(ConflictError) as raised:
                await session.edit_message(name, content="x")
            assert not raised.value.retryable

    async def test_deleted_messages_are_counted(self, make_backend: MakeBackend) -> None:
        """Those that there were; named in any way."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(5))
            stored = await session.get_messages()
            assert await session.delete_messages([stored[0], "m3", stored[4].seq or 0, "none", "m3"]) == 3
            assert await session.delete_messages(["m3"]) == 0
            assert ids(await session.get_messages()) == ["m2", "m4"]

    async def test_delete_takes_no_single_message(self, make_backend: MakeBackend) -> None:
        """A text would be taken for a list of letters."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            with pytest.raises(InvalidInputError):
                await session.delete_messages("m1")

    async def test_rewind_deletes_what_comes_behind(self, make_backend: MakeBackend) -> None:
        """System messages too; what is appended then has higher numbers."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, [*new_messages(3), new_message(4, role="system"), new_message(5)])
            stored = await session.get_messages()
            assert await session.rewind(stored[1]) == 3
            assert ids(await session.get_messages()) == ["m1", "m2"]
            [seq] = await session.add_messages([new_message(9)])
            assert seq > (stored[4].seq or 0)

    async def test_rewind_to_the_beginning_leaves_nothing(self, make_backend: MakeBackend) -> None:
        """Zero stands in front of the first message."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            assert await session.rewind(0) == 2
            assert await session.rewind(0) == 0

    @pytest.mark.parametrize("seq", [-1, "m1", True, None, 1.5, new_message(1)], ids=str)
    async def test_rewind_to_no_place_is_refused(self, make_backend: MakeBackend, seq: Any) -> None:
        """Nothing is deleted."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            with pytest.raises(InvalidInputError):
                await session.rewind(seq)
            assert await session.count_messages() == 2

    async def test_editing_of_a_deleted_session_raises(self, make_backend: MakeBackend) -> None:
        """Whatever it is."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            await session.delete_session()
            for call in (session.pop_message(), session.edit_message("m1", content="x"), session.rewind(0)):
                with pytest.raises(SessionNotFoundError):
                    await call
            for other in (session.delete_messages(["m1"]), session.fork()):
                with pytest.raises(SessionNotFoundError):
                    await other

    async def test_edit_withdraws_the_summaries_it_touches(self, make_backend: MakeBackend) -> None:
        """And no others."""
        async with managed(make_backend) as (manager, _):
            messages = [new_message(n, role=role) for n, role in enumerate(TURNS, 1)]
            session = await conversation(manager, messages[:8], summary_strategy="periodic", summary_threshold=4)
            await session.create_summary(force=True)
            await session.add_messages(messages[8:])
            await session.create_summary(force=True)
            before = [one.summary_id for one in await session.get_summaries()]
            assert len(before) == 2
            edited = await session.edit_message("m10", content="something else")
            covering = {one.last_seq for one in await session.get_summaries() if one.last_seq is not None}
            assert max(covering) < (edited.seq or 0)

    async def test_fork_holds_a_copy_up_to_a_message(self, make_backend: MakeBackend) -> None:
        """That one included; both go their own ways."""
        async with managed(make_backend) as (manager, clock):
            given = [new_message(n, metadata={"n": float(n)}) for n in range(1, 5)]
            session = await conversation(manager, given, user_id="ann", agent_id="x", tags=["t"], max_messages=50)
            stored = await session.get_messages()
            clock.move(60)
            fork = await session.fork(stored[2], session_id="t")
            assert [exact_message(m) for m in await fork.get_messages()] == [exact_message(m) for m in given[:3]]
            await fork.add_message(new_message(9))
            await session.edit_message("m1", content="changed")
            assert ids(await fork.get_messages()) == ["m1", "m2", "m3", "m9"]
            assert (await fork.get_messages())[0].text == "text 1"
            assert ids(await session.get_messages()) == ["m1", "m2", "m3", "m4"]
            metadata = fork.metadata
            assert (metadata.session_id, metadata.user_id, metadata.agent_id) == ("t", "ann", "x")
            assert (metadata.tags, metadata.max_messages, metadata.created_at) == (["t"], 50, at(60))
            assert metadata.properties["forked_from"] == "s"
            assert metadata.properties["forked_at_seq"] == stored[2].seq

    async def test_fork_without_a_place_holds_everything(self, make_backend: MakeBackend) -> None:
        """Under a new id."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(3), status=SessionStatus.PAUSED)
            fork = await session.fork(tags=["second"])
            assert fork.session_id != "s"
            assert ids(await fork.get_messages()) == ["m1", "m2", "m3"]
            assert (fork.metadata.status, fork.metadata.tags) == (SessionStatus.ACTIVE, ["second"])

    async def test_fork_at_the_beginning_is_empty(self, make_backend: MakeBackend) -> None:
        """It is a session all the same."""
        async with managed(make_backend) as (manager, _):
            fork = await (await conversation(manager, new_messages(2))).fork(0)
            assert await fork.count_messages() == 0
            await fork.add_message(new_message(1))

    async def test_fork_takes_no_taken_id(self, make_backend: MakeBackend) -> None:
        """That session stays as it is."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            other = await manager.create_session("t")
            with pytest.raises(SessionExistsError):
                await session.fork(session_id="t")
            assert await other.get_messages() == []

    async def test_fork_keeps_summaries_that_hold(self, make_backend: MakeBackend) -> None:
        """Of what was copied."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, [new_message(n, role=role) for n, role in enumerate(TURNS, 1)])
            made = await session.create_summary(force=True)
            await session.add_messages(new_messages(2, 50))
            assert made is not None
            kept = await (await session.fork()).get_summary()
            none = await (await session.fork(3)).get_summary()
            features = session.backend.features
            if features.gapless_seq:
                assert kept is not None
                assert kept.summary == made.summary
            assert none is None or (none.last_seq or 0) <= 3
