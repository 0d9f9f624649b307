"""Rules for the life of sessions: making, finding, editing, owning, expiring, deleting."""

from __future__ import annotations

import asyncio

import pytest

from ..errors import (
    InvalidInputError,
    NotConnectedError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
    SessionOwnershipError,
)
from ..interfaces.enums import SessionStatus
from .managed import MakeBackend, conversation, ids, managed
from .samples import START, at, new_message, new_messages

RACERS = 16
EDITORS = 5  # at the same time; an edit is tried eight times


class BackendSessionRules:
    """What a backend and a manager do with sessions."""

    async def test_session_made_is_found(self, make_backend: MakeBackend) -> None:
        """With what it was made of; unknown names are properties."""
        async with managed(make_backend) as (manager, _):
            await manager.create_session("s", "user", "agent", max_messages=7, tags=["t"], plan="pro")
            session = await manager.get_session("s")
            assert session is not None
            metadata = session.metadata
            assert (metadata.user_id, metadata.agent_id, metadata.max_messages) == ("user", "agent", 7)
            assert (metadata.tags, metadata.properties) == (["t"], {"plan": "pro"})

    async def test_session_of_a_taken_id_is_refused(self, make_backend: MakeBackend) -> None:
        """The first one stays."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(1))
            with pytest.raises(SessionExistsError):
                await manager.create_session("s")
            assert len(await manager.get_history("s")) == 1

    async def test_missing_session_is_none(self, make_backend: MakeBackend) -> None:
        """And there is nothing to delete."""
        async with managed(make_backend) as (manager, _):
            assert await manager.get_session("missing") is None
            assert await manager.delete_session("missing") is False

    async def test_session_opens_with_its_newest_messages(self, make_backend: MakeBackend) -> None:
        """The same as in two calls."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(5), user_id="user")
            opened = await manager.open_session("s", 2)
            assert opened is not None
            assert (opened[0].metadata.user_id, ids(opened[1])) == ("user", ["m4", "m5"])
            assert await manager.open_session("missing") is None

    async def test_get_or_create_agrees_on_one_session(self, make_backend: MakeBackend) -> None:
        """However many ask at once, none of them fails."""
        async with managed(make_backend) as (manager, _):
            found = await asyncio.gather(*(manager.get_or_create_session("s", "user") for _ in range(RACERS)))
            await asyncio.gather(*(session.add_message(new_message(n)) for n, session in enumerate(found)))
            assert len(await manager.list_user_sessions("user")) == 1
            assert len(await manager.get_history("s")) == RACERS

    async def test_deleted_session_is_gone(self, make_backend: MakeBackend) -> None:
        """True the first time; one of the same id starts empty."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(3))
            assert [await manager.delete_session("s"), await manager.delete_session("s")] == [True, False]
            session = await conversation(manager)
            assert await session.get_messages() == []

    # --- editing ---------------------------------------------------------------------------------------------------

    async def test_edit_is_read_by_another_handle(self, make_backend: MakeBackend) -> None:
        """Fields and properties; this handle knows at once."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, tags=["a"])
            assert await session.update_metadata(status=SessionStatus.PAUSED, tags=["b"], mood="good") is True
            other = await manager.get_session("s")
            assert other is not None
            for metadata in (session.metadata, other.metadata):
                assert (metadata.status, metadata.tags) == (SessionStatus.PAUSED, ["b"])
                assert metadata.properties == {"mood": "good"}

    async def test_edits_at_the_same_time_all_hold(self, make_backend: MakeBackend) -> None:
        """Of different fields; none overwrites another."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            await asyncio.gather(*(session.update_metadata({f"field {n}": n}) for n in range(EDITORS)))
            assert (await session.refresh()).properties == {f"field {n}": n for n in range(EDITORS)}

    async def test_edit_is_activity(self, make_backend: MakeBackend) -> None:
        """By the backend's clock."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager)
            clock.move(60)
            await session.update_metadata(plan="pro")
            assert (await session.refresh()).updated_at == at(60)

    @pytest.mark.parametrize("field", ["session_id", "created_at", "updated_at"])
    async def test_identity_cannot_be_edited(self, make_backend: MakeBackend, field: str) -> None:
        """Nor dates."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            with pytest.raises(InvalidInputError):
                await session.update_metadata({field: "other"})

    async def test_refused_edit_changes_nothing(self, make_backend: MakeBackend) -> None:
        """A value of the wrong type is the caller's mistake."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            for change in ({"max_messages": "many"}, {"status": "snoozing"}, {"tags": "t"}, {"user_id": "\x00"}):
                with pytest.raises(InvalidInputError):
                    await session.update_metadata({**change, "mood": "good"})
            assert (await session.refresh()).properties == {}

    async def test_edit_of_a_deleted_session_raises(self, make_backend: MakeBackend) -> None:
        """It does not come back."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            await manager.delete_session("s")
            with pytest.raises(SessionNotFoundError):
                await session.update_metadata(mood="good")
            assert await manager.get_session("s") is None

    async def test_closed_session_stays_readable(self, make_backend: MakeBackend) -> None:
        """It is completed, not deleted."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager, new_messages(1))
            await session.close()
            again = await manager.get_session("s")
            assert again is not None
            assert again.metadata.status == SessionStatus.COMPLETED
            assert len(await again.get_messages()) == 1

    # --- listing ---------------------------------------------------------------------------------------------------

    async def test_pages_of_a_user_are_the_whole_list(self, make_backend: MakeBackend) -> None:
        """By cursor and by offset, newest first, without others' sessions."""
        async with managed(make_backend) as (manager, clock):
            for number in range(7):
                await manager.create_session(f"s{number}", "user", created_at=clock())
                await manager.create_session(f"other {number}", "other", created_at=clock())
                clock.move(1)
            expected = [f"s{number}" for number in reversed(range(7))]
            by_offset = [
                metadata.session_id
                for offset in range(0, 7, 3)
                for metadata in await manager.list_user_sessions("user", limit=3, offset=offset)
            ]
            by_cursor = []
            cursor = None
            for _ in range(3):
                page = await manager.list_user_sessions("user", limit=3, after=cursor)
                by_cursor += [metadata.session_id for metadata in page]
                cursor = page[-1]
            assert by_offset == by_cursor == expected

    async def test_usage_counts_what_is_stored(self, make_backend: MakeBackend) -> None:
        """Sessions, messages, tokens."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(3, token_count=5))
            await manager.create_session("archived", status=SessionStatus.ARCHIVED)
            usage = await manager.backend.get_usage_stats()
            assert (usage.session_count, usage.active_sessions) == (2, 1)
            assert (usage.message_count, usage.total_tokens) == (3, 15)

    # --- ownership -------------------------------------------------------------------------------------------------

    async def test_session_of_another_user_is_refused(self, make_backend: MakeBackend) -> None:
        """One guessed id does not open somebody's history."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(1), user_id="owner")
            with pytest.raises(SessionOwnershipError):
                await manager.get_or_create_session("s", "other")

    async def test_confined_manager_sees_its_users_sessions_only(self, make_backend: MakeBackend) -> None:
        """Found, opened, listed, searched and deleted: nothing of others."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, [new_message(1, "word")], user_id="owner")
            other = manager.for_user("other")
            assert await other.get_session("s") is None
            assert await other.open_session("s") is None
            assert await other.get_history("s") == []
            assert await other.list_user_sessions() == []
            assert await other.search_messages("word", "s") == []
            assert await other.delete_session("s") is False
            with pytest.raises(SessionOwnershipError):
                await other.get_or_create_session("s")
            with pytest.raises(SessionOwnershipError):
                await other.create_session("s")
            assert len(await manager.for_user("owner").get_history("s")) == 1

    async def test_confined_manager_takes_no_other_user(self, make_backend: MakeBackend) -> None:
        """Naming one is the caller's mistake."""
        async with managed(make_backend) as (manager, _):
            confined = manager.for_user("me")
            with pytest.raises(InvalidInputError):
                await confined.create_session("s", "you")
            with pytest.raises(InvalidInputError):
                await confined.list_user_sessions("you")

    async def test_session_without_owner_is_not_a_confined_users(self, make_backend: MakeBackend) -> None:
        """Nobody's is not everybody's."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(1))
            assert await manager.for_user("me").get_session("s") is None
            with pytest.raises(SessionOwnershipError):
                await manager.for_user("me").get_or_create_session("s")

    # --- expiry ----------------------------------------------------------------------------------------------------

    async def test_expired_session_is_invisible(self, make_backend: MakeBackend) -> None:
        """To get, open and list, from the instant of its expiry on."""
        async with managed(make_backend) as (manager, clock):
            await conversation(manager, new_messages(1), user_id="user", expires_at=at(60))
            clock.move(59)
            assert await manager.get_session("s") is not None
            clock.move(1)
            assert await manager.get_session("s") is None
            assert await manager.open_session("s") is None
            assert await manager.list_user_sessions("user") == []

    async def test_expired_sessions_are_listed_when_asked(self, make_backend: MakeBackend) -> None:
        """As expired, whatever status they had."""
        async with managed(make_backend) as (manager, clock):
            await manager.create_session("expires", "user", expires_at=at(60))
            await manager.create_session("stays", "user")
            clock.move(60)
            found = await manager.list_user_sessions("user", SessionStatus.EXPIRED)
            assert [(metadata.session_id, metadata.status) for metadata in found] == [
                ("expires", SessionStatus.EXPIRED)
            ]

    async def test_expired_session_refuses_messages(self, make_backend: MakeBackend) -> None:
        """A handle that is still held included."""
        async with managed(make_backend) as (manager, clock):
            session = await conversation(manager, expires_at=at(60))
            clock.move(60)
            with pytest.raises(SessionExpiredError):
                await session.add_message(new_message(1))

    async def test_expired_session_makes_room_for_a_new_one(self, make_backend: MakeBackend) -> None:
        """Which starts empty."""
        async with managed(make_backend) as (manager, clock):
            await conversation(manager, new_messages(3), expires_at=at(60))
            clock.move(60)
            session = await manager.get_or_create_session("s")
            assert await session.get_messages() == []

    async def test_expiry_slides_with_every_message(self, make_backend: MakeBackend) -> None:
        """With a time to live, it counts from the last one."""
        async with managed(make_backend, ttl=60) as (manager, clock):
            session = await conversation(manager)
            for number in range(4):
                clock.move(59)
                await session.add_message(new_message(number))
            assert (await session.refresh()).expires_at == at(4 * 59 + 60)
            clock.move(60)
            assert await manager.get_session("s") is None

    async def test_clean_up_deletes_expired_sessions(self, make_backend: MakeBackend) -> None:
        """Those only, and counts them."""
        async with managed(make_backend) as (manager, clock):
            for number in range(5):
                await manager.create_session(f"s{number}", "user", expires_at=at(number + 1))
            await manager.create_session("stays", "user")
            clock.move(3)
            assert await manager.cleanup_expired_sessions() == 3
            left = {metadata.session_id for metadata in await manager.list_user_sessions("user")}
            assert left == {"s3", "s4", "stays"}
            assert (await manager.backend.get_usage_stats()).session_count == 3

    async def test_clean_up_by_age_deletes_quiet_sessions(self, make_backend: MakeBackend) -> None:
        """Those without a message for so many days."""
        async with managed(make_backend) as (manager, clock):
            await manager.create_session("quiet", created_at=START)
            active = await conversation(manager, created_at=START)
            clock.move(20 * 86_400)
            await active.add_message(new_message(1))
            clock.move(11 * 86_400)
            assert await manager.cleanup_all_sessions(30) == 1
            assert await manager.get_session("s") is not None

    # --- life ------------------------------------------------------------------------------------------------------

    async def test_backend_connects_on_first_use(self, make_backend: MakeBackend) -> None:
        """Once, however many calls come first."""
        backend = make_backend()
        try:
            assert not backend.is_connected
            assert await asyncio.gather(*(backend.get_session("s") for _ in range(RACERS))) == [None] * RACERS
            assert backend.is_connected
        finally:
            await backend.disconnect()

    async def test_disconnected_backend_refuses_work(self, make_backend: MakeBackend) -> None:
        """Through a session that is still held, too, until it is connected again."""
        async with managed(make_backend) as (manager, _):
            session = await conversation(manager)
            await manager.backend.disconnect()
            await manager.backend.disconnect()
            with pytest.raises(NotConnectedError):
                await session.add_message(new_message(1))
            with pytest.raises(NotConnectedError):
                await manager.create_session("other")
            await manager.backend.connect()
            await manager.create_session("other")

    async def test_health_of_a_store_that_works(self, make_backend: MakeBackend) -> None:
        """Healthy, or degraded on a slow machine, with counts."""
        async with managed(make_backend) as (manager, _):
            await conversation(manager, new_messages(2))
            health = await manager.backend.health_check()
            assert health["status"] in ("healthy", "degraded")
            assert (health["connected"], health["session_count"], health["message_count"]) == (True, 1, 2)
            assert health["last_error"] is None
