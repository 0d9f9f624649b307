"""A manager confined to one user: no call of it reaches another user's session."""

from __future__ import annotations

from datetime import timedelta

import pytest

from langswarm_memory import (
    InvalidInputError,
    MemoryManager,
    Message,
    SessionExistsError,
    SessionOwnershipError,
    SessionStatus,
    Timestamp,
    UnsupportedOperationError,
)


@pytest.fixture
async def bobs(manager: MemoryManager) -> MemoryManager:
    """Bob's manager, beside a session of Ada's, one of his own, and one of nobody's."""
    for session_id, owner in (("adas", "ada"), ("bobs", "bob"), ("nobodys", None)):
        session = await manager.create_session(session_id, owner)
        await session.add_message(Message("user", f"a needle of {owner}"))
    return manager.for_user("bob")


@pytest.mark.parametrize("foreign", ["adas", "nobodys"])
async def test_confined_manager_finds_no_foreign_session(bobs: MemoryManager, foreign: str) -> None:
    assert await bobs.get_session(foreign) is None
    assert await bobs.open_session(foreign) is None
    assert await bobs.get_history(foreign) == []
    assert await bobs.delete_session(foreign) is False
    assert await bobs.search_messages("needle", foreign) == []


@pytest.mark.parametrize("foreign", ["adas", "nobodys"])
async def test_confined_manager_is_refused_a_foreign_session(
    bobs: MemoryManager, manager: MemoryManager, foreign: str
) -> None:
    for call in (
        bobs.get_or_create_session(foreign),
        bobs.get_or_create_session(foreign, "bob"),
        bobs.create_session(foreign),
        bobs.add_message(foreign, "user", "intruder"),
    ):
        with pytest.raises(SessionOwnershipError):
            await call
    assert len(await manager.get_history(foreign)) == 1


async def test_confined_manager_sees_and_finds_its_own(bobs: MemoryManager) -> None:
    assert [metadata.session_id for metadata in await bobs.list_user_sessions()] == ["bobs"]
    assert [message.text for message in await bobs.search_messages("needle")] == ["a needle of bob"]
    assert len(await bobs.get_history("bobs")) == 1
    assert await bobs.delete_session("bobs") is True


async def test_confined_manager_makes_sessions_of_its_user(bobs: MemoryManager) -> None:
    made = await bobs.create_session("new")
    assert made.metadata.user_id == "bob"
    with pytest.raises(SessionExistsError):
        await bobs.create_session("new")
    assert (await bobs.get_or_create_session()).metadata.user_id == "bob"


async def test_confined_manager_takes_no_other_user(bobs: MemoryManager) -> None:
    for call in (
        bobs.create_session("new", "ada"),
        bobs.get_or_create_session("bobs", "ada"),
        bobs.list_user_sessions("ada"),
    ):
        with pytest.raises(InvalidInputError):
            await call


def test_confinement_cannot_be_left_for_another_user(bobs: MemoryManager) -> None:
    with pytest.raises(InvalidInputError):
        bobs.for_user("ada")
    assert repr(bobs.for_user("bob")) == repr(bobs)


async def test_confined_manager_cleans_up_its_own_sessions_only(manager: MemoryManager, bobs: MemoryManager) -> None:
    for name, owner in (("old-adas", "ada"), ("old-bobs", "bob")):
        await manager.create_session(name, owner, expires_at=Timestamp.now() - timedelta(days=1))
    assert await bobs.cleanup_expired_sessions() == 1
    left = await manager.backend.list_sessions(status=SessionStatus.EXPIRED)
    assert [metadata.session_id for metadata in left] == ["old-adas"]


async def test_confined_manager_has_no_view_of_the_whole(bobs: MemoryManager) -> None:
    for call in (bobs.get_system_stats(), bobs.cleanup_all_sessions()):
        with pytest.raises(UnsupportedOperationError):
            await call


async def test_confined_manager_leaves_the_backend_connected(bobs: MemoryManager, manager: MemoryManager) -> None:
    async with bobs:
        pass
    assert manager.backend.is_connected
