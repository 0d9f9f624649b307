"""Windows and history: what reads return, and what becomes of messages that leave the window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from langswarm_memory import (
    BaseMemoryBackend,
    BaseMemorySession,
    InMemoryBackend,
    Message,
    PostgresBackend,
    SessionExpiredError,
    SessionMetadata,
    SessionStatus,
    SQLiteBackend,
    Timestamp,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
ROLES = ["system", "user", "assistant", "tool", "user", "developer", "assistant", "user", "assistant", "user"]


@pytest.fixture
async def session(store: BaseMemoryBackend) -> BaseMemorySession:
    """Ten messages m0 to m9 a minute apart, of several roles, in a window of four."""
    session = await store.create_session(SessionMetadata("s", max_messages=4))
    await session.add_messages(
        Message(role, f"text {n}", START + timedelta(minutes=n), f"m{n}", token_count=10)
        for n, role in enumerate(ROLES)
    )
    return session


def ids(messages: list[Message]) -> str:
    return " ".join(message.message_id[1:] for message in messages)


# --- reading --------------------------------------------------------------------------------


async def test_window_is_all_system_messages_and_the_newest_others(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages()) == "0 5 6 7 8 9"


async def test_window_without_system_messages(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(include_system=False)) == "6 7 8 9"


async def test_history_without_system_messages(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(include_system=False, full_history=True)) == "1 2 3 4 6 7 8 9"


@pytest.mark.parametrize(
    ("limit", "found"),
    [(0, ""), (1, "9"), (4, "6 7 8 9"), (5, "5 6 7 8 9"), (6, "0 5 6 7 8 9"), (100, "0 5 6 7 8 9")],
)
async def test_limit_is_the_newest_of_the_window(session: BaseMemorySession, limit: int, found: str) -> None:
    assert ids(await session.get_messages(limit)) == found


async def test_limit_may_exceed_the_window_in_the_history(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(8, full_history=True)) == "2 3 4 5 6 7 8 9"


async def test_since_is_inclusive(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(since=START + timedelta(minutes=7))) == "7 8 9"


async def test_second_argument_may_be_an_instant(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(None, START + timedelta(minutes=8))) == "8 9"  # type: ignore[arg-type]


async def test_since_of_a_naive_instant_means_local_time(session: BaseMemorySession) -> None:
    local = (START + timedelta(minutes=8)).astimezone().replace(tzinfo=None)
    assert ids(await session.get_messages(since=local)) == "8 9"


async def test_roles_of_the_history(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(roles=["tool", "developer"], full_history=True)) == "3 5"
    assert ids(await session.get_messages(roles=["nobody"], full_history=True)) == ""


async def test_no_role_finds_nothing(session: BaseMemorySession) -> None:
    assert await session.get_messages(roles=[]) == []


async def test_conditions_hold_together(session: BaseMemorySession) -> None:
    found = await session.get_messages(2, since=START + timedelta(minutes=2), roles=["user"], full_history=True)
    assert ids(found) == "7 9"
    assert ids(await session.get_messages(after=1, before=7, roles=["user", "assistant"])) == "1 2 4"


async def test_page_behind_a_message_begins_with_the_next(session: BaseMemorySession) -> None:
    (second,) = await session.get_messages(1, after=1)
    assert ids([second]) == "1"
    assert ids(await session.get_messages(3, after=second)) == "2 3 4"
    assert ids(await session.get_messages(after=second.seq)) == "2 3 4 5 6 7 8 9"


async def test_page_in_front_of_a_message_ends_with_the_one_before(session: BaseMemorySession) -> None:
    assert ids(await session.get_messages(3, before=6)) == "2 3 4"
    assert ids(await session.get_messages(before=3)) == "0 1"


async def test_pages_outside_the_history_are_empty(session: BaseMemorySession) -> None:
    assert await session.get_messages(after=10) == []
    assert await session.get_messages(before=1) == []
    assert await session.get_messages(before=0) == []


@pytest.mark.parametrize("page_size", [1, 3, 10, 500])
async def test_iteration_is_the_whole_history(session: BaseMemorySession, page_size: int) -> None:
    assert ids([message async for message in session.iter_messages(page_size=page_size)]) == "0 1 2 3 4 5 6 7 8 9"


async def test_iteration_starts_where_it_is_told(session: BaseMemorySession) -> None:
    assert ids([message async for message in session.iter_messages(after=8)]) == "8 9"


async def test_iteration_sees_what_is_added_meanwhile(session: BaseMemorySession) -> None:
    seen = []
    async for message in session.iter_messages(page_size=2):
        if message.message_id == "m3":
            await session.add_message(Message("user", "late", message_id="m10"))
        seen.append(message)
    assert ids(seen) == "0 1 2 3 4 5 6 7 8 9 10"


async def test_recent_context_without_a_budget_is_ten_at_most(store: BaseMemoryBackend) -> None:
    session = await store.create_session(SessionMetadata("s"))
    await session.add_message(Message("system", "rules", message_id="m-rules"))
    await session.add_messages(Message("user", "x", message_id=f"m{n}") for n in range(30))
    assert ids(await session.get_recent_context()) == "-rules " + " ".join(map(str, range(20, 30)))


async def test_recent_context_keeps_to_the_window(session: BaseMemorySession) -> None:
    assert ids(await session.get_recent_context(10_000)) == "0 5 6 7 8 9"


async def test_recent_messages_is_the_context_of_a_budget(session: BaseMemorySession) -> None:
    assert ids(await session.get_recent_messages(40)) == "0 5 8 9"
    assert ids(await session.get_recent_messages(token_limit=20)) == "0 5"


async def test_system_messages_come_even_beyond_the_budget(session: BaseMemorySession) -> None:
    assert ids(await session.get_recent_context(0)) == "0 5"


async def test_window_follows_the_metadata(session: BaseMemorySession) -> None:
    await session.update_metadata(max_messages=2)
    assert ids(await session.get_messages()) == "0 5 8 9"
    await session.update_metadata(max_messages=None)
    assert ids(await session.get_messages()) == "0 1 2 3 4 5 6 7 8 9"


async def test_cleared_history_numbers_on(session: BaseMemorySession) -> None:
    await session.clear_messages(keep_system=False)
    await session.add_message(Message("user", "again", message_id="m1"))
    assert [message.seq for message in await session.get_messages()] == [11]


# --- leaving the window ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
async def trimming(request: pytest.FixtureRequest) -> AsyncIterator[BaseMemorySession]:
    """A session of three messages whose backend deletes what leaves the window."""
    made: BaseMemoryBackend
    if request.param == "in_memory":
        made = InMemoryBackend(overflow="delete")
    elif request.param == "sqlite":
        made = SQLiteBackend(":memory:", overflow="delete")
    else:
        made = PostgresBackend(request.getfixturevalue("postgres_url"), overflow="delete")
    async with made:
        yield await made.create_session(SessionMetadata("s", max_messages=3))


async def test_overflow_deletes_the_oldest(trimming: BaseMemorySession) -> None:
    for n, role in enumerate(ROLES):
        await trimming.add_message(Message(role, "x", message_id=f"m{n}"))
    assert ids(await trimming.get_messages(full_history=True)) == "0 5 7 8 9"
    assert await trimming.count_messages() == 5


async def test_overflow_of_a_batch_keeps_the_end_of_it(trimming: BaseMemorySession) -> None:
    seqs = await trimming.add_messages(Message(role, "x", message_id=f"m{n}") for n, role in enumerate(ROLES))
    assert seqs == list(range(1, 11))
    assert ids(await trimming.get_messages(full_history=True)) == "0 5 7 8 9"


async def test_overflow_corrects_the_token_count(trimming: BaseMemorySession) -> None:
    await trimming.add_messages(Message("user", "x", message_id=f"m{n}", token_count=n) for n in range(10))
    assert (await trimming.backend.get_usage_stats()).total_tokens == 7 + 8 + 9


async def test_overflow_leaves_positions_alone(trimming: BaseMemorySession) -> None:
    await trimming.add_messages(Message("user", "x", message_id=f"m{n}") for n in range(10))
    assert [message.seq for message in await trimming.get_messages()] == [8, 9, 10]


async def test_no_bound_deletes_nothing(trimming: BaseMemorySession) -> None:
    await trimming.update_metadata(max_messages=None)
    await trimming.add_messages(Message("user", "x", message_id=f"m{n}") for n in range(10))
    assert await trimming.count_messages() == 10


# --- expiry ----------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = Timestamp.of(START)

    def __call__(self) -> Timestamp:
        return self.at


@pytest.fixture(params=["in_memory", "sqlite", "postgres"])
async def expiring(request: pytest.FixtureRequest) -> AsyncIterator[tuple[BaseMemoryBackend, Clock]]:
    """A backend whose sessions expire a minute after their last message, and its clock."""
    clock, made = Clock(), None
    if request.param == "in_memory":
        made = InMemoryBackend(ttl=60, clock=clock)
    elif request.param == "sqlite":
        made = SQLiteBackend(":memory:", ttl=60, clock=clock)
    else:
        made = PostgresBackend(request.getfixturevalue("postgres_url"), ttl=60, clock=clock)
    async with made:
        yield made, clock


async def test_expiry_slides_with_each_message(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    session = await backend.create_session(SessionMetadata("s"))
    for _ in range(3):
        clock.at += timedelta(seconds=59)
        await session.add_messages([Message("user", "x"), Message("user", "y")])
        assert (await session.refresh()).expires_at == clock.at + timedelta(seconds=60)
    clock.at += timedelta(seconds=60)
    assert await backend.get_session("s") is None
    with pytest.raises(SessionExpiredError):
        await session.add_message(Message("user", "too late"))


async def test_replayed_message_slides_the_expiry_too(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "x", message_id="m"))
    clock.at += timedelta(seconds=59)
    await session.add_message(Message("user", "x", message_id="m"))
    clock.at += timedelta(seconds=59)
    assert await backend.get_session("s") is not None


async def test_reading_does_not_slide_the_expiry(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    session = await backend.create_session(SessionMetadata("s"))
    clock.at += timedelta(seconds=59)
    await session.get_messages()
    clock.at += timedelta(seconds=1)
    assert await backend.get_session("s") is None


async def test_expiry_of_its_own_is_kept_until_the_first_message(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    far = clock.at + timedelta(days=1)
    session = await backend.create_session(SessionMetadata("s", expires_at=far))
    assert (await session.refresh()).expires_at == far


async def test_expired_session_is_listed_as_such_alone(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    await backend.create_session(SessionMetadata("s"))
    clock.at += timedelta(seconds=60)
    assert await backend.list_sessions() == []
    (metadata,) = await backend.list_sessions(status=SessionStatus.EXPIRED)
    assert (metadata.session_id, metadata.status) == ("s", SessionStatus.EXPIRED)
    assert await backend.open_session("s") is None


async def test_ttl_can_be_ended(expiring: tuple[BaseMemoryBackend, Clock]) -> None:
    backend, clock = expiring
    backend.set_ttl(None)
    session = await backend.create_session(SessionMetadata("s"))
    await session.add_message(Message("user", "x"))
    clock.at += timedelta(days=10_000)
    assert await backend.get_session("s") is not None
