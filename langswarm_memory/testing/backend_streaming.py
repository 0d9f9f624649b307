"""Rules for messages that come into being: drafts, and watching a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ..errors import ConflictError, InvalidInputError, SessionNotFoundError
from ..interfaces.message import Message
from ..session import BaseMemorySession
from ..streaming import INTERRUPTED, PATIENCE_SECONDS
from .managed import MakeBackend, conversation, ids, managed
from .samples import new_message, new_messages

SOON = 30.0  # seconds until a test gives up


async def take(messages: AsyncIterator[Message], count: int) -> list[Message]:
    """Return the next messages of a watch."""
    async with asyncio.timeout(SOON):
        return [await anext(messages) for _ in range(count)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(SOON):
        while not await condition():  # noqa: ASYNC110  # of another process's or task's making: no event tells
            await asyncio.sleep(0.01)


async def only(session: BaseMemorySession) -> Message:
    """Return the one message that a session has."""
    (message,) = await session.get_messages()
    return message


class StreamingRules:
    """``draft`` and ``watch``."""

    async def test_draft_becomes_a_message(self, make_backend: MakeBackend) -> None:
        """Of what was written, without a trace of the writing."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            async with session.draft("assistant", message_id="d", metadata={"a": 1}) as draft:
                draft.write("Hel")
                draft.write("lo")
            stored = await only(session)
            assert (stored.message_id, stored.role, stored.content) == ("d", "assistant", "Hello")
            assert (stored.metadata, stored.seq) == ({"a": 1}, draft.seq)

    async def test_draft_is_stored_from_the_beginning(self, make_backend: MakeBackend) -> None:
        """So a process that dies leaves an interrupted message; what comes meanwhile stands behind it."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            async with session.draft() as draft:
                stored = await only(session)
                assert (stored.content, stored.metadata[INTERRUPTED]) == ("", True)
                await session.add_message(new_message(2))
                draft.write("x")
            assert [m.text for m in await session.get_messages()] == ["x", "text 2"]

    async def test_draft_is_stored_while_it_grows(self, make_backend: MakeBackend) -> None:
        """Without being asked to."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            async with session.draft(flush_seconds=0.01) as draft:
                draft.write("one")

                async def stored() -> bool:
                    return (await only(session)).content == "one"

                await until(stored)
                assert (await only(session)).metadata[INTERRUPTED] is True

    async def test_flushed_draft_is_stored(self, make_backend: MakeBackend) -> None:
        """At once."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            async with session.draft(flush_seconds=60) as draft:
                draft.write("one")
                await draft.flush()
                assert (await only(session)).content == "one"

    async def test_broken_off_draft_stays_as_interrupted(self, make_backend: MakeBackend) -> None:
        """With all that was written; the exception goes on."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)

            async def write() -> None:
                async with session.draft(flush_seconds=60) as draft:
                    draft.write("half")
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await write()
            stored = await only(session)
            assert (stored.content, stored.metadata[INTERRUPTED]) == ("half", True)

    async def test_cancelled_draft_stays_as_interrupted(self, make_backend: MakeBackend) -> None:
        """A client that goes away cancels."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            writing = asyncio.Event()

            async def write() -> None:
                async with session.draft(flush_seconds=60) as draft:
                    draft.write("half")
                    writing.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(write())
            await writing.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stored = await only(session)
            assert (stored.content, stored.metadata[INTERRUPTED]) == ("half", True)

    async def test_draft_takes_fields(self, make_backend: MakeBackend) -> None:
        """Tool calls come at the end of a stream."""
        call = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            async with session.draft() as draft:
                draft.write("I look.")
                draft.update(tool_calls=call, metadata={"model": "m"})
            stored = await only(session)
            assert (stored.content, stored.tool_calls, stored.metadata) == ("I look.", call, {"model": "m"})

    async def test_draft_is_counted_when_it_is_finished(self, make_backend: MakeBackend) -> None:
        """As a message that was stored at once."""
        async with managed(make_backend, token_counter=lambda message: len(message.text)) as (manager, _):
            session = await conversation(manager)
            async with session.draft() as draft:
                draft.write("12345")
            assert (await only(session)).token_count == 5

    async def test_draft_whose_message_was_deleted_says_so(self, make_backend: MakeBackend) -> None:
        """It is not made anew behind the user's back."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)

            async def write() -> None:
                async with session.draft(flush_seconds=60) as draft:
                    await session.rewind(0)
                    draft.write("x")

            with pytest.raises(ConflictError):
                await write()
            assert await session.get_messages() == []

    async def test_draft_is_written_inside_of_its_block_only(self, make_backend: MakeBackend) -> None:
        """Before and after it is refused."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            draft = session.draft()
            with pytest.raises(InvalidInputError):
                draft.write("x")
            async with draft:
                with pytest.raises(InvalidInputError):
                    draft.write(5)  # type: ignore[arg-type]
            with pytest.raises(InvalidInputError):
                draft.write("x")

    async def test_watch_begins_behind_a_message(self, make_backend: MakeBackend) -> None:
        """With what is stored, then with what comes."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(3))
            seqs = [m.seq or 0 for m in await session.get_messages()]
            watch = session.watch(seqs[0], poll_seconds=0.05)
            assert ids(await take(watch, 2)) == ["m2", "m3"]
            await session.add_messages(new_messages(2, 4))
            assert ids(await take(watch, 2)) == ["m4", "m5"]
            await watch.aclose()

    async def test_watch_without_a_place_begins_with_what_comes(self, make_backend: MakeBackend) -> None:
        """What is stored is known."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(2))
            watch = session.watch(poll_seconds=0.05)
            first = asyncio.create_task(take(watch, 1))

            async def watched() -> bool:
                return bool(session.backend.watchers)

            await until(watched)
            await asyncio.sleep(
                0.2
            )  # it notes where the session ends; a store of files or of the network takes a while
            await session.add_message(new_message(3))
            assert ids(await first) == ["m3"]
            await watch.aclose()

    async def test_watch_sees_another_backends_messages(self, make_backend: MakeBackend) -> None:
        """Each once, in their order, under many writers."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            watch = session.watch(0, poll_seconds=0.05)
            taking = asyncio.create_task(take(watch, 24))
            await asyncio.gather(*(session.add_messages(new_messages(3, 10 * n)) for n in range(1, 9)))
            taken = await taking
            assert ids(taken) == ids(await session.get_messages())
            await watch.aclose()

    async def test_watch_waits_for_a_draft_to_be_finished(self, make_backend: MakeBackend) -> None:
        """What stands behind it waits too: order is kept."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            watch = session.watch(0, poll_seconds=0.05)
            async with session.draft(message_id="d", flush_seconds=60) as draft:
                await session.add_message(new_message(2))
                taking = asyncio.create_task(take(watch, 2))
                draft.write("whole")
            assert [(m.message_id, m.text) for m in await taking] == [("d", "whole"), ("m2", "text 2")]
            await watch.aclose()

    async def test_watch_shows_drafts_when_asked(self, make_backend: MakeBackend) -> None:
        """As they grow, marked as unfinished."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            watch = session.watch(0, drafts=True, poll_seconds=0.05)
            async with session.draft(flush_seconds=60) as draft:
                assert [m.content for m in await take(watch, 1)] == [""]
                draft.write("half")
                await draft.flush()
                [half] = await take(watch, 1)
                assert (half.content, half.metadata[INTERRUPTED]) == ("half", True)
            [whole] = await take(watch, 1)
            assert INTERRUPTED not in whole.metadata
            await watch.aclose()

    async def test_watch_gives_an_abandoned_draft_up(self, make_backend: MakeBackend) -> None:
        """After a while; it comes as it was left."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager)
            draft = await session.draft(message_id="d", flush_seconds=60).__aenter__()
            clock.move(PATIENCE_SECONDS + 1)
            watch = session.watch(0, poll_seconds=0.05)
            assert ids(await take(watch, 1)) == ["d"]
            await watch.aclose()
            await draft.__aexit__(None, None, None)

    async def test_watch_shows_a_broken_off_draft_at_once(self, make_backend: MakeBackend) -> None:
        """Nobody will finish it."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            with pytest.raises(ZeroDivisionError):
                async with session.draft(message_id="d", flush_seconds=60):
                    raise ZeroDivisionError
            watch = session.watch(0, poll_seconds=0.05)
            (message,) = await take(watch, 1)
            assert (message.message_id, message.metadata) == ("d", {INTERRUPTED: True})
            await watch.aclose()

    async def test_watch_of_a_deleted_session_ends_with_an_error(self, make_backend: MakeBackend) -> None:
        """It would wait for ever."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            watch = session.watch(0, poll_seconds=0.05)
            await take(watch, 1)
            await session.delete_session()
            with pytest.raises(SessionNotFoundError):
                await take(watch, 1)

    async def test_ended_watch_leaves_nothing_behind(self, make_backend: MakeBackend) -> None:
        """Neither a listener nor a task."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            watch = session.watch(0, poll_seconds=0.05)
            await take(watch, 1)
            assert session.backend.watchers
            await watch.aclose()
            assert not session.backend.watchers
