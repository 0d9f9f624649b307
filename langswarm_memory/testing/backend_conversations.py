"""Rules for sessions as handles: adding, windows, contexts, paging, clearing, summaries, search."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import ConflictError, InvalidInputError, SessionNotFoundError
from ..interfaces.message import Message
from .managed import MakeBackend, conversation, ids, managed
from .samples import START, at, exact_message, new_message, new_messages

CALL = [{"id": "call", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def long_dialogue() -> list[Message]:
    """Return m1 to m20, of which m1 and m10 are system messages."""
    return [new_message(number, role="system" if number in (1, 10) else "user") for number in range(1, 21)]


class ConversationRules:
    """What a session does with its messages."""

    async def test_added_message_is_read_as_given(self, make_backend: MakeBackend) -> None:
        """Every field comes back."""
        message = new_message(1, [{"type": "text", "text": "\x00"}], "assistant", tool_calls=CALL, metadata={"a": 1.0})
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            assert await session.add_message(message) is True
            assert [exact_message(stored) for stored in await session.get_messages()] == [exact_message(message)]

    async def test_another_handle_reads_the_same(self, make_backend: MakeBackend) -> None:
        """Handles hold no messages."""
        async with managed(make_backend) as (manager, _):
            first = await conversation(manager)
            second = await manager.get_session("s")
            assert second is not None
            await first.add_message(new_message(1))
            await second.add_message(new_message(2))
            assert ids(await first.get_messages()) == ids(await second.get_messages()) == ["m1", "m2"]

    async def test_message_without_token_count_is_counted(self, make_backend: MakeBackend) -> None:
        """When it is stored; the caller's object is left as it is."""
        message = Message("user", "hello", token_count=None)
        async with managed(make_backend, token_counter=lambda message: len(message.text)) as (manager, _):
            session = await conversation(manager, [message])
            assert [stored.token_count for stored in await session.get_messages()] == [5]
        assert message.token_count is None

    async def test_message_twice_in_a_batch_is_stored_once(self, make_backend: MakeBackend) -> None:
        """Both answer its seq."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            seqs = await session.add_messages([new_message(1), new_message(2), new_message(1)])
            assert seqs[0] == seqs[2] < seqs[1]
            assert ids(await session.get_messages()) == ["m1", "m2"]

    async def test_id_twice_in_a_batch_with_other_content_raises(self, make_backend: MakeBackend) -> None:
        """And nothing of the batch is stored."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            with pytest.raises(ConflictError):
                await session.add_messages([new_message(1), new_message(1, "other")])
            assert await session.get_messages() == []

    async def test_retry_of_add_message_stores_once(self, make_backend: MakeBackend) -> None:
        """The answer is True again."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, [new_message(1)])
            assert await session.add_message(new_message(1)) is True
            assert await session.count_messages() == 1

    async def test_no_messages_are_added_without_a_trace(self, make_backend: MakeBackend) -> None:
        """An empty batch is no activity."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager)
            before = await session.refresh()
            clock.move(60)
            assert await session.add_messages([]) == []
            assert await session.refresh() == before

    async def test_handle_of_a_deleted_session_raises(self, make_backend: MakeBackend) -> None:
        """Reads and writes alike."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, [new_message(1)])
            await manager.delete_session("s")
            with pytest.raises(SessionNotFoundError):
                await session.add_message(new_message(2))
            with pytest.raises(SessionNotFoundError):
                await session.get_messages()

    # --- windows ---------------------------------------------------------------------------------------------------

    async def test_window_is_system_messages_and_the_newest(self, make_backend: MakeBackend) -> None:
        """System messages come besides, wherever they stand."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            assert ids(await session.get_messages()) == ["m1", "m10", "m18", "m19", "m20"]
            assert ids(await session.get_messages(include_system=False)) == ["m18", "m19", "m20"]

    async def test_history_behind_the_window_is_kept(self, make_backend: MakeBackend) -> None:
        """It is read when asked for."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            everything = [f"m{number}" for number in range(1, 21)]
            assert ids(await session.get_messages(full_history=True)) == everything
            assert [message.message_id async for message in session.iter_messages(page_size=7)] == everything
            assert await session.count_messages() == 20

    async def test_no_bound_reads_everything(self, make_backend: MakeBackend) -> None:
        """``max_messages=None``."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(150), max_messages=None)
            assert len(await session.get_messages()) == 150

    @pytest.mark.parametrize(
        ("limit", "expected"),
        [(0, []), (2, ["m19", "m20"]), (4, ["m10", "m18", "m19", "m20"]), (10**30, ["m1", "m10", "m18", "m19", "m20"])],
    )
    async def test_limit_keeps_the_newest_of_the_window(
        self, make_backend: MakeBackend, limit: int, expected: list[str]
    ) -> None:
        """At most so many, system messages included."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            assert ids(await session.get_messages(limit)) == expected

    async def test_paging_backward_by_messages(self, make_backend: MakeBackend) -> None:
        """A page in front of a message, over the whole history."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            page = await session.get_messages(3)
            older = await session.get_messages(4, before=page[0])
            assert ids(older) == ["m14", "m15", "m16", "m17"]

    async def test_paging_forward_by_messages(self, make_backend: MakeBackend) -> None:
        """A page behind a message, over the whole history."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            (first,) = await session.get_messages(1, after=0)
            assert ids(await session.get_messages(3, after=first)) == ["m2", "m3", "m4"]

    async def test_since_and_roles_filter_the_window(self, make_backend: MakeBackend) -> None:
        """Both hold together."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue())
            assert ids(await session.get_messages(since=at(10), roles=["system"])) == ["m10"]

    @pytest.mark.parametrize(
        "options",
        [{"limit": -1}, {"limit": 1.0}, {"limit": True}, {"since": "2100-01-01"}, {"roles": [7]}, {"roles": [""]}],
        ids=str,
    )
    async def test_wrong_argument_of_a_read_is_refused(
        self, make_backend: MakeBackend, options: dict[str, Any]
    ) -> None:
        """As the caller's mistake."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            with pytest.raises(InvalidInputError):
                await session.get_messages(**options)

    @pytest.mark.parametrize("role", ["\x00", "\ud800", "x" * 600], ids=["nul", "surrogate", "long"])
    async def test_role_that_cannot_be_stored_is_refused(self, make_backend: MakeBackend, role: str) -> None:
        """Before a driver stumbles over it."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            with pytest.raises(InvalidInputError):
                await session.get_messages(roles=[role])

    # --- contexts --------------------------------------------------------------------------------------------------

    async def test_context_fits_its_budget(self, make_backend: MakeBackend) -> None:
        """System messages first, then the newest."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue())
            assert ids(await session.get_recent_context(5)) == ["m1", "m10", "m18", "m19", "m20"]

    async def test_context_takes_the_budget_of_the_session(self, make_backend: MakeBackend) -> None:
        """``max_tokens`` of its metadata."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue(), max_tokens=3)
            assert ids(await session.get_recent_context()) == ["m1", "m10", "m20"]

    async def test_context_of_a_huge_budget_is_the_window(self, make_backend: MakeBackend) -> None:
        """It overflows nothing."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue())
            assert len(await session.get_recent_context(10**30)) == 20

    async def test_context_has_no_tool_result_without_its_call(self, make_backend: MakeBackend) -> None:
        """No provider takes one."""
        messages = [
            new_message(1, "question"),
            new_message(2, None, "assistant", tool_calls=CALL),
            new_message(3, "result", "tool", tool_call_id="call"),
            new_message(4, "answer", "assistant"),
        ]
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, messages)
            assert ids(await session.get_recent_context(2)) == ["m4"]
            assert ids(await session.get_recent_context(3)) == ["m2", "m3", "m4"]

    # --- clearing --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("keep_system", "left"), [(True, ["m1", "m10"]), (False, [])])
    async def test_clear_messages_deletes(self, make_backend: MakeBackend, keep_system: bool, left: list[str]) -> None:
        """System messages only when asked."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, long_dialogue())
            assert await session.clear_messages(keep_system) is True
            assert ids(await session.get_messages(full_history=True)) == left

    async def test_overflow_is_deleted_where_asked(self, make_backend: MakeBackend) -> None:
        """What the window does not show is gone; system messages stay."""
        async with managed(make_backend, overflow="delete") as (manager, _):
            session = await conversation(manager, max_messages=3)
            for message in long_dialogue():
                await session.add_message(message)
            assert ids(await session.get_messages(full_history=True)) == ["m1", "m10", "m18", "m19", "m20"]

    async def test_overflow_of_a_batch_is_deleted_where_asked(self, make_backend: MakeBackend) -> None:
        """However many come at once."""
        async with managed(make_backend, overflow="delete") as (manager, _):
            session = await conversation(manager, long_dialogue(), max_messages=3)
            assert ids(await session.get_messages(full_history=True)) == ["m1", "m10", "m18", "m19", "m20"]

    # --- summaries and search --------------------------------------------------------------------------------------

    async def test_summary_made_by_hand_is_read(self, make_backend: MakeBackend) -> None:
        """It covers the messages there are."""
        async with managed(make_backend) as (manager, _):
            messages = [new_message(n, role="assistant" if n % 2 else "user") for n in range(1, 9)]
            session = await conversation(manager, messages)
            made = await session.create_summary(force=True)
            read = await session.get_summary()
            assert made is not None
            assert read is not None
            assert (read.summary_id, read.message_count) == (made.summary_id, 8)
            assert (read.first_seq, read.last_seq) == (made.first_seq, made.last_seq)

    async def test_no_messages_make_no_summary(self, make_backend: MakeBackend) -> None:
        """None is the answer."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            assert await session.create_summary(force=True) is None
            assert await session.get_summary() is None

    async def test_search_in_a_session_finds_the_best_first(self, make_backend: MakeBackend) -> None:
        """With or without an index in the store."""
        async with managed(make_backend) as (manager, _):
            texts = ["a RED bus here", "a red car here", "reddish bus here", "blue bicycle"]
            session = await conversation(manager, [new_message(n, text) for n, text in enumerate(texts, 1)])
            assert ids(await session.search_messages("car red")) == ["m2", "m1"]
            assert ids(await session.search_messages("car red", limit=1)) == ["m2"]

    async def test_search_over_sessions_stays_with_the_user(self, make_backend: MakeBackend) -> None:
        """With or without an index in the store."""
        async with managed(make_backend) as (manager, _):
            for number, user in enumerate(["ann", "ben"], 1):
                session = await manager.create_session(f"s{number}", user)
                await session.add_message(new_message(number, "a red lantern"))
            assert ids(await manager.for_user("ann").search_messages("lantern")) == ["m1"]
            assert ids(await manager.for_user("ben").search_messages("lantern")) == ["m2"]

    async def test_search_without_words_is_refused(self, make_backend: MakeBackend) -> None:
        """It would find everything."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            with pytest.raises(InvalidInputError):
                await session.search_messages("  ")

    async def test_timestamps_of_messages_are_the_callers(self, make_backend: MakeBackend) -> None:
        """The clock of the backend dates the session, not the message."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager)
            clock.move(60)
            await session.add_message(new_message(1, timestamp=at(-5)))
            (stored,) = await session.get_messages()
            assert stored.timestamp == at(-5)
            assert (await session.refresh()).updated_at == at(60)
            assert at(60) > START
