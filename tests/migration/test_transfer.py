"""Copying between stores: everything arrives as it was, twice is once, and nothing of the target's own is touched."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import (
    ConflictError,
    InMemoryBackend,
    InvalidInputError,
    Message,
    SessionMetadata,
    StorageUnavailableError,
    create_memory_backend,
)
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.interfaces.timestamps import now
from langswarm_memory.migration.numbering import GAP_ROLE
from langswarm_memory.migration.stores import StoreSource
from langswarm_memory.migration.transfer import transfer
from langswarm_memory.repository.protocol import MessageQuery
from langswarm_memory.summaries.verify import verify
from tests.migration.conftest import Maker
from tests.migration.stored import SESSIONS, START, WANTED_MESSAGES, at, contents, conversation, fill, hashes

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
WRITES = ("insert_whole", "insert_session", "append", "put_summary", "delete_messages", "replace_session")
WAYS = [
    ("sqlite", "postgres"),
    ("postgres", "sqlite"),
    ("in_memory", "redis"),
    ("redis", "in_memory"),
    ("in_memory", "in_memory"),
]


@pytest.fixture(params=WAYS, ids="-".join)
async def way(request: pytest.FixtureRequest, make: Maker) -> tuple[BaseMemoryBackend, BaseMemoryBackend]:
    """A filled store and an empty one."""
    kinds: tuple[str, str] = request.param
    return await fill(make(kinds[0])), make(kinds[1])


# --- what arrives --------------------------------------------------------------------------------------------------


async def test_everything_arrives_as_it_was(way: tuple[BaseMemoryBackend, BaseMemoryBackend]) -> None:
    source, target = way
    before = await contents(source)
    report = await transfer(source, target)
    assert (report.failures, report.copied, report.messages) == ((), len(SESSIONS), WANTED_MESSAGES)
    assert await contents(target) == before


async def test_hashes_are_equal(way: tuple[BaseMemoryBackend, BaseMemoryBackend]) -> None:
    source, target = way
    await transfer(source, target)
    assert await hashes(target) == await hashes(source)


async def test_copying_again_writes_nothing(way: tuple[BaseMemoryBackend, BaseMemoryBackend]) -> None:
    source, target = way
    await transfer(source, target)
    calls = count_writes(target)
    report = await transfer(source, target)
    assert (report.unchanged, report.messages, report.summaries) == (len(SESSIONS), 0, 0)
    assert set(calls) <= {"insert_session", "insert_whole"}  # tried for the first sessions, and refused


async def test_copying_back_finds_everything(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    await transfer(source, target)
    assert (await transfer(target, source)).unchanged == len(SESSIONS)


async def test_source_is_not_changed(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    calls = count_writes(source)
    await transfer(source, target)
    assert calls == Counter()


async def test_sessions_come_oldest_first(source: BaseMemoryBackend) -> None:
    found = [session.metadata async for session in StoreSource(source).sessions()]
    assert found == sorted(found, key=lambda metadata: (metadata.created_at, metadata.session_id))
    assert len(found) == len(SESSIONS)


async def test_listing_longer_than_a_page_is_whole(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        for number in range(1_234):
            await source.create_session(SessionMetadata(f"s{number}", created_at=at(number % 97)))
        assert (await transfer(source, target)).copied == 1_234


async def test_chosen_sessions_are_all_that_is_copied(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    report = await transfer(source, target, session_ids=["odd", "no such session", "long"])
    assert (report.sessions, sorted(await contents(target))) == (2, ["long", "odd"])


async def test_progress_ends_at_the_total(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    calls: list[tuple[int, int]] = []
    await transfer(source, target, progress=lambda done, total, _session: calls.append((done, total)))
    assert calls[-1] == (WANTED_MESSAGES, WANTED_MESSAGES)


# --- positions and summaries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["in_memory", "sqlite", "postgres", "redis"])
async def test_summaries_hold_or_are_outlived_as_before(source: BaseMemoryBackend, make: Maker, kind: str) -> None:
    target = make(kind)
    await transfer(source, target)
    for session_id in ("trimmed", "cleared", "summed up"):
        found = []
        for backend in (source, target):
            session = await backend.get_session(session_id)
            assert session is not None
            found.append([check.verdict for check in await verify(session)])
        assert found[0] == found[1]


async def test_covered_messages_that_are_gone_keep_their_summary_in_the_context(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        session = await source.create_session(SessionMetadata("s", max_messages=10, auto_summarize=False))
        await session.add_messages(conversation(30))
        await session.create_summary()
        await source.repository.delete_messages("s", through_seq=20)
        await transfer(source, target)
        moved = await target.get_session("s")
        assert moved is not None
        wanted = [message.content for message in await session.get_conversation_context(include_summaries=True)]
        assert [message.content for message in await moved.get_conversation_context(include_summaries=True)] == wanted


async def test_no_placeholder_stays(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    await transfer(source, target)
    for session_id in SESSIONS:
        messages = await target.repository.read_messages(session_id, MessageQuery())
        assert all(message.role != GAP_ROLE for message in messages)


async def test_positions_begin_at_one_without_gaps_where_no_summary_needs_them(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        session = await source.create_session(SessionMetadata("s"))
        await session.add_messages(conversation(30))
        await source.repository.delete_messages("s", through_seq=20, keep_roles=SYSTEM_ROLES)
        await transfer(source, target)
        messages = await target.repository.read_messages("s", MessageQuery())
        assert [message.seq for message in messages] == list(range(1, 11))


# --- the target's own ----------------------------------------------------------------------------------------------


async def one(backend: BaseMemoryBackend, messages: list[Message], **values: Any) -> None:
    await backend.repository.insert_session(SessionMetadata("s", **{"created_at": START, **values}))
    if messages:
        await backend.repository.append("s", messages, now=values.get("updated_at", at(60)))


CONFLICTS: dict[str, tuple[list[Message], dict[str, Any]]] = {
    "other content": ([*conversation(3), *conversation(1, "other")], {}),
    "other session": (conversation(2, "other"), {"user_id": "bo"}),
    "same messages, other owner": (conversation(5), {"user_id": "bo"}),
    "same messages, other tags": (conversation(5), {"tags": ["mine"]}),
    "fewer messages, other status": (conversation(2), {"status": "archived"}),
}


@pytest.mark.parametrize("name", CONFLICTS)
async def test_session_that_holds_something_else_is_a_conflict(name: str, target: BaseMemoryBackend) -> None:
    messages, values = CONFLICTS[name]
    async with InMemoryBackend() as source:
        await one(source, conversation(5))
        await one(target, messages, **values)
        before = await contents(target)
        report = await transfer(source, target)
        assert [failure.session_id for failure in report.conflicts] == ["s"]
        assert await contents(target) == before


async def test_conflict_leaves_the_others_alone(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    await target.create_session(SessionMetadata("long", tags=["mine"]))
    report = await transfer(source, target)
    assert (report.copied, len(report.failures)) == (len(SESSIONS) - 1, 1)
    with pytest.raises(ConflictError):
        report.raise_for_failures()


async def test_session_that_went_on_in_the_target_is_left_as_it_is(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        await one(source, conversation(5))
        await transfer(source, target)
        session = await target.get_session("s")
        assert session is not None
        await session.add_message(Message("user", "and then?"))
        before = await contents(target)
        report = await transfer(source, target)
        assert (report.ahead, report.failures) == (1, ())
        assert await contents(target) == before


async def test_session_that_grew_in_the_source_gets_what_is_new(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        await one(source, conversation(5), expires_at=at(100))
        await transfer(source, target)
        await source.repository.append("s", conversation(4, "new"), now=at(90), expires_at=at(200))
        report = await transfer(source, target)
        assert (report.continued, report.messages) == (1, 4)
        assert await contents(target) == await contents(source)


async def test_expired_session_is_left_out_where_the_store_would_remove_it(make: Maker) -> None:
    async with InMemoryBackend() as source:
        gone = now() - timedelta(days=2)
        await one(source, conversation(2), expires_at=gone, updated_at=gone - timedelta(days=1))
        target = make("redis")
        assert (await transfer(source, target)).expired == 1
        assert (await transfer(source, target)).expired == 1


# --- without writing -----------------------------------------------------------------------------------------------


async def test_dry_run_tells_what_the_run_does(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    await transfer(source, target, session_ids=["odd"])
    calls = count_writes(target)
    planned = await transfer(source, target, dry_run=True)
    assert calls == Counter()
    done = await transfer(source, target)
    counts = [(one.copied, one.unchanged, one.messages, one.summaries) for one in (planned, done)]
    assert counts[0] == counts[1]


async def test_message_that_cannot_be_stored_leaves_its_session_out(target: BaseMemoryBackend) -> None:
    async with InMemoryBackend() as source:
        await one(source, conversation(5))
        bad = Broken(source, {"s"})
        report = await transfer(bad, target)
        assert [type(failure.error) for failure in report.failures] == [InvalidInputError]
        assert await contents(target) == {}


class Broken(StoreSource):
    """A source in which some sessions hold a message id twice, on two pages."""

    def __init__(self, backend: BaseMemoryBackend, broken: set[str]) -> None:
        super().__init__(backend)
        self._broken = broken

    async def sessions(self) -> Any:
        async for session in super().sessions():
            if session.metadata.session_id in self._broken:
                pages = [page async for page in session.pages()]

                async def twice(pages: Any = pages) -> Any:
                    for page in (*pages, *pages):
                        yield page

                session.pages = twice  # type: ignore[method-assign]
            yield session


async def test_same_backend_on_both_sides_is_refused(source: BaseMemoryBackend) -> None:
    with pytest.raises(InvalidInputError):
        await transfer(source, source)


# --- interrupted ---------------------------------------------------------------------------------------------------


class Cut(Exception):
    """Stands for the end of the process."""


def count_writes(backend: BaseMemoryBackend) -> Counter[str]:
    return wrap_writes(backend, cut_at=None)[0]


def wrap_writes(
    backend: BaseMemoryBackend, *, cut_at: int | None, afterwards: bool = False
) -> tuple[Counter[str], dict[str, Any]]:
    """Count the backend's writes, and let the n-th fail: before it is done, or after."""
    calls: Counter[str] = Counter()
    originals = {name: getattr(backend.repository, name) for name in WRITES if hasattr(backend.repository, name)}

    def wrapped(name: str, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            number = calls.total()
            if cut_at is not None and number >= cut_at and not (afterwards and number == cut_at):
                raise Cut
            result = await write(*args, **kwargs)
            if number == cut_at:
                raise Cut
            return result

        return call

    for name, original in originals.items():
        setattr(backend.repository, name, wrapped(name, original))
    return calls, originals


async def test_transfer_that_ends_at_any_write_goes_on(source: BaseMemoryBackend) -> None:
    wanted, total = await contents(source), 0
    async with InMemoryBackend() as whole:
        calls = count_writes(whole)
        await transfer(source, whole, batch_size=300)
        total = calls.total()
        summaries = await hashes(whole)
    assert total > 25
    for cut in range(1, total + 1):
        for afterwards in (False, True):
            async with InMemoryBackend() as target:
                _, originals = wrap_writes(target, cut_at=cut, afterwards=afterwards)
                with pytest.raises(Cut):
                    await transfer(source, target, batch_size=300)
                for name, original in originals.items():
                    setattr(target.repository, name, original)
                report = await transfer(source, target, batch_size=300)
                assert report.failures == (), (cut, afterwards)
                assert await contents(target) == wanted, (cut, afterwards)
                assert await hashes(target) == summaries, (cut, afterwards)


async def test_failure_of_the_target_is_raised(source: BaseMemoryBackend, target: BaseMemoryBackend) -> None:
    async def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise StorageUnavailableError("in_memory", "append")

    target.repository.append = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        await transfer(source, target)


async def test_cancelled_transfer_goes_on(way: tuple[BaseMemoryBackend, BaseMemoryBackend]) -> None:
    source, target = way
    running = asyncio.ensure_future(transfer(source, target, progress=lambda *_call: running.cancel()))
    with pytest.raises(asyncio.CancelledError):
        await running
    await transfer(source, target)
    assert await contents(target) == await contents(source)


async def test_two_transfers_at_once_store_everything_once(make: Maker) -> None:
    source, target = await fill(make("sqlite")), make("postgres")
    whole = sorted({*SESSIONS} - {"trimmed", "cleared"})
    await asyncio.gather(*(transfer(source, target, session_ids=whole) for _ in range(2)))
    await transfer(source, target)
    assert await contents(target) == await contents(source)


CHILD = """
import asyncio, sys
from langswarm_memory import create_memory_backend
from langswarm_memory.migration.transfer import transfer

def progress(done, total, session_id):
    print(done, flush=True)

async def main(source, target):
    async with create_memory_backend(source) as one, create_memory_backend(target) as other:
        await transfer(one, other, batch_size=50, progress=progress)

asyncio.run(main(*sys.argv[1:]))
"""


def kill_after(lines: int, program: str, *arguments: str) -> None:
    """Start a program and kill it as soon as it has told of so many pages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LANGSWARM_")}
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline(), "it ended before it was killed"
        child.kill()
        child.wait(SECONDS)


@pytest.mark.parametrize("kinds", [("sqlite", "postgres"), ("postgres", "sqlite")], ids="-".join)
async def test_killed_transfer_is_completed_by_the_next(
    kinds: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    urls = {"sqlite": f"sqlite:///{tmp_path / 'memory.db'}", "postgres": request.getfixturevalue("postgres_url")}
    source = create_memory_backend(urls[kinds[0]])
    assert isinstance(source, BaseMemoryBackend)
    await fill(source)
    more = [*conversation(50)]
    for number in range(40):
        await one_of_many(source, f"more-{number:02}", more)
    for lines in (1, 5, 20):
        await asyncio.to_thread(kill_after, lines, CHILD, urls[kinds[0]], urls[kinds[1]])
    target = create_memory_backend(urls[kinds[1]])
    assert isinstance(target, BaseMemoryBackend)
    report = await transfer(source, target)
    assert report.failures == ()
    assert await contents(target) == await contents(source)
    await source.disconnect()
    await target.disconnect()


async def one_of_many(backend: BaseMemoryBackend, session_id: str, messages: list[Message]) -> None:
    await backend.repository.insert_session(SessionMetadata(session_id, created_at=at(1_000)))
    await backend.repository.append(session_id, messages, now=at(1_000))


@pytest.mark.parametrize(
    "kinds", [("in_memory", "in_memory"), ("sqlite", "in_memory"), ("sqlite", "sqlite")], ids="-".join
)
async def test_what_waits_between_reader_and_writers_is_bounded(kinds: tuple[str, str], make: Maker) -> None:
    source, target = make(kinds[0]), make(kinds[1])
    await source.connect()
    for number in range(60):
        await one_of_many(source, f"s{number:03}", conversation(200))
    held = most = 0

    def reading(read: Callable[..., Awaitable[Any]], size: Callable[[Any], int]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal held, most
            page = await read(*args, **kwargs)
            held += size(page)
            most = max(most, held)
            return page

        return call

    def writing(write: Callable[..., Awaitable[Any]], size: Callable[[Any], int]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal held
            for _ in range(50):  # a slow store
                await asyncio.sleep(0)
            result = await write(*args, **kwargs)
            held -= size(args)
            return result

        return call

    def sized(found: Any) -> int:
        return sum(len(messages) for messages, _ in found.values())

    for backend, name, wrapper, size in (
        (source, "read_messages", reading, len),
        (source, "read_whole", reading, sized),
        (target, "append", writing, lambda args: len(args[1])),
        (target, "insert_whole", writing, lambda args: sum(len(one.messages) for one in args[0])),
    ):
        original = getattr(backend.repository, name, None)
        if original is not None:
            setattr(backend.repository, name, wrapper(original, size))
    report = await transfer(source, target)
    assert (report.messages, held) == (12_000, 0)
    assert most < 8_000
