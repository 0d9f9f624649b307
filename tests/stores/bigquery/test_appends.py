"""Appends that share a job, in one process and in several, with a buffer and without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from langswarm_memory.errors import (
    ConflictError,
    InvalidInputError,
    NotConnectedError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
)
from langswarm_memory.repository.bigquery import appends
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from langswarm_memory.repository.protocol import Appended, MessageQuery, Rewrite, SessionQuery
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.testing.samples import (
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
from tests.stores.bigquery.conftest import CountingClient, MakeBackend

pytestmark = pytest.mark.store("bigquery")

PATIENT: dict[str, Any] = {"buffer_messages": 1_000, "buffer_seconds": 3_600.0}
"""A buffer that waits until it is told not to."""

PATIENCE = 60
"""Seconds after which a test of a buffer that never ends fails."""


@pytest.fixture
async def counted(make_backend: MakeBackend, counting: CountingClient) -> AsyncIterator[BigQueryRepository]:
    async with make_backend(client=counting) as backend:
        yield backend.repository


@pytest.fixture
async def buffered(make_backend: MakeBackend) -> AsyncIterator[BigQueryRepository]:
    async with asyncio.timeout(PATIENCE), make_backend(**PATIENT) as backend:
        yield backend.repository


class Gate:
    """Holds the thread that writes until it is opened."""

    def __init__(self, repository: BigQueryRepository) -> None:
        self._open = threading.Event()
        self._held = repository.gateway.submit_write(self._open.wait, PATIENCE)

    def open(self) -> None:
        self._open.set()


async def begun(*calls: Awaitable[Any]) -> Sequence[asyncio.Future[Any]]:
    """Start calls, and let each run until it waits."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


# ---- how many jobs -------------------------------------------------------------------------------------------


async def test_every_primitive_is_one_job(counted: BigQueryRepository, counting: CountingClient) -> None:
    record = await counted.insert_session(new_session())
    removed, pair = new_message(1).numbered(1), (new_message(2).numbered(2), new_message(2, "new"))
    primitives: dict[str, Awaitable[Any]] = {
        "insert_session": counted.insert_session(new_session("other")),
        "fetch_session": counted.fetch_session("s"),
        "replace_session": counted.replace_session(new_session(), expected_revision=record.revision),
        "list_sessions": counted.list_sessions(SessionQuery()),
        "append": counted.append("s", new_messages(20), now=START),
        "read_messages": counted.read_messages("s", MessageQuery(limit=5, max_tokens=4)),
        "fetch_with_messages": counted.fetch_with_messages("s", MessageQuery(limit=5)),
        "search_text": counted.search_text(parse("text"), SearchFilter(user_id="u"), limit=5),
        "put_summary": counted.put_summary(new_summary()),
        "list_summaries": counted.list_summaries("s"),
        "rewrite": counted.rewrite("s", Rewrite(edits=0, removed=(removed,), replaced=(pair,)), now=START),
        "delete_messages": counted.delete_messages("s", through_seq=3),
        "stale_sessions": counted.stale_sessions("i", limit=5),
        "index_state": counted.index_state("s", "i"),
        "mark_indexed": counted.mark_indexed("s", "i", last_seq=1, edits=0),
        "forget_index": counted.forget_index("i"),
        "stats": counted.stats(),
        "delete_sessions": counted.delete_sessions(["s", "other"]),
        "ping": counted.ping(),
    }
    jobs = {}
    for name, call in primitives.items():
        before = counting.jobs
        await call
        jobs[name] = counting.jobs - before
    assert jobs == dict.fromkeys(primitives, 1)


async def test_appends_that_wait_share_a_job(counted: BigQueryRepository, counting: CountingClient) -> None:
    await counted.insert_session(new_session())
    before = counting.jobs
    gate = Gate(counted)
    calls = await begun(*(counted.append("s", [new_message(number)], now=START) for number in range(16)))
    gate.open()
    answers = await asyncio.gather(*calls)
    assert [answer.seqs for answer in answers] == [(number,) for number in range(1, 17)]
    assert counting.jobs == before + 1


async def test_appends_that_share_a_job_answer_as_if_one_came_after_the_other(repository: BigQueryRepository) -> None:
    await filled(repository, new_messages(3))
    await repository.insert_session(new_session("expired", expires_at=START))
    gate = Gate(repository)
    calls = await begun(
        repository.append("s", [new_message(2)], now=START),  # nothing new
        repository.append("s", new_messages(2, first=4), now=START),
        repository.append("s", [new_message(6), new_message(1, "other")], now=START),
        repository.append("missing", [new_message(1)], now=START),
        repository.append("expired", [new_message(1)], now=START),
        repository.append("s", [new_message(5), new_message(7)], now=START),  # one of them is of the job itself
        repository.append("s", [new_message(4)], now=START),
    )
    gate.open()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) if isinstance(answer, BaseException) else tuple(answer) for answer in answers] == [
        ((2,), 0, 3, 3),
        ((4, 5), 2, 5, 5),
        ConflictError,
        SessionNotFoundError,
        SessionExpiredError,
        ((5, 6), 1, 6, 6),
        ((4,), 0, 6, 6),
    ]


async def test_two_contents_of_an_id_are_decided_in_order(
    counted: BigQueryRepository, counting: CountingClient
) -> None:
    await counted.insert_session(new_session())
    before = counting.jobs
    gate = Gate(counted)
    calls = await begun(*(counted.append("s", [new_message(1, text)], now=START) for text in ("a", "b", "a")))
    gate.open()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(second, ConflictError)
    assert isinstance(first, Appended)
    assert isinstance(third, Appended)
    assert first.inserted + third.inserted == 1
    assert counting.jobs == before + 2


async def test_append_that_is_cancelled_while_it_waits_is_not_stored(repository: BigQueryRepository) -> None:
    await repository.insert_session(new_session())
    gate = Gate(repository)
    cancelled, other = await begun(
        repository.append("s", [new_message(1)], now=START), repository.append("s", [new_message(2)], now=START)
    )
    cancelled.cancel()
    await asyncio.wait([cancelled])
    gate.open()
    await other
    assert await read_ids(repository) == ["m2"]


async def test_append_that_is_too_large_for_a_query_is_refused(repository: BigQueryRepository) -> None:
    await repository.insert_session(new_session())
    large = [new_message(number, "x" * 1_000_000) for number in range(4)]
    with pytest.raises(InvalidInputError, match="in several batches"):
        await repository.append("s", large, now=START)
    assert await read(repository) == []


async def test_appends_of_a_job_stay_below_the_size_of_a_query(
    counted: BigQueryRepository, counting: CountingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appends, "MOST_BYTES", 20_000)
    await counted.insert_session(new_session())
    before = counting.jobs
    gate = Gate(counted)
    large = [new_message(number, "x" * 5_000) for number in range(2)]
    calls = await begun(*(counted.append("s", [message], now=START) for message in large))
    gate.open()
    await asyncio.gather(*calls)
    assert counting.jobs == before + 2
    assert [exact_message(message) for message in await read(counted)] == [exact_message(m) for m in large]


# ---- with a buffer -------------------------------------------------------------------------------------------


async def test_append_waits_in_the_buffer_until_it_is_flushed(buffered: BigQueryRepository) -> None:
    await buffered.insert_session(new_session())
    (append,) = await begun(buffered.append("s", [new_message(1)], now=START))
    assert await read_ids(buffered) == []
    assert not append.done()
    await buffered.flush()
    assert (await append).seqs == (1,)


async def test_full_buffer_is_stored(make_backend: MakeBackend) -> None:
    options = {**PATIENT, "buffer_messages": 4}
    async with asyncio.timeout(PATIENCE), make_backend(**options) as backend:
        await filled_without_append(backend.repository)
        answers = await asyncio.gather(
            *(backend.repository.append("s", new_messages(2, first=first), now=START) for first in (1, 3))
        )
    assert [answer.seqs for answer in answers] == [(1, 2), (3, 4)]


async def test_buffer_waits_no_longer_than_it_may(make_backend: MakeBackend) -> None:
    options = {**PATIENT, "buffer_seconds": 0.05}
    async with asyncio.timeout(PATIENCE), make_backend(**options) as backend:
        await filled_without_append(backend.repository)
        assert (await backend.repository.append("s", [new_message(1)], now=START)).seqs == (1,)


async def filled_without_append(repository: BigQueryRepository) -> None:
    await repository.insert_session(new_session())


async def test_another_write_does_not_wait_for_the_buffer(buffered: BigQueryRepository) -> None:
    await buffered.insert_session(new_session())
    (append,) = await begun(buffered.append("s", [new_message(1)], now=START))
    assert await buffered.delete_messages("s") == 1
    assert (await append).inserted == 1


async def test_buffer_is_stored_at_disconnect(make_backend: MakeBackend) -> None:
    async with asyncio.timeout(PATIENCE), make_backend(**PATIENT) as backend:
        await filled_without_append(backend.repository)
        (append,) = await begun(backend.repository.append("s", [new_message(1)], now=START))
        await backend.disconnect()
        assert (await append).seqs == (1,)


async def test_failure_of_a_buffered_append_reaches_its_own_call(buffered: BigQueryRepository) -> None:
    await filled_without_append(buffered)
    calls = await begun(
        buffered.append("missing", [new_message(1)], now=START), buffered.append("s", [new_message(1)], now=START)
    )
    await buffered.flush()
    missing, good = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(missing, SessionNotFoundError)
    assert isinstance(good, Appended)


async def test_flush_of_nothing_returns(make_backend: MakeBackend) -> None:
    async with make_backend(**PATIENT) as backend:
        await backend.flush()


async def test_append_to_a_closed_store_is_refused(repository: BigQueryRepository) -> None:
    await repository.close()
    with pytest.raises(NotConnectedError):
        await repository.append("s", [new_message(1)], now=START)


# ---- processes that know nothing of each other ---------------------------------------------------------------


@pytest.fixture
async def several(make_backend: MakeBackend) -> AsyncIterator[list[BigQueryRepository]]:
    """Repositories with a thread each that writes: to BigQuery, they are processes."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(make_backend()) for _ in range(3)]
        yield [backend.repository for backend in backends]


async def test_processes_on_one_session_lose_nothing(several: list[BigQueryRepository]) -> None:
    await several[0].insert_session(new_session())

    async def write(number: int, repository: BigQueryRepository) -> list[tuple[int, ...]]:
        return [
            (await repository.append("s", [new_message(10 * number + turn)], now=at(turn))).seqs for turn in range(3)
        ]

    answers = await asyncio.gather(*(write(number, repository) for number, repository in enumerate(several)))
    stored = await read(several[0])
    assert [message.seq for message in stored] == list(range(1, 10))
    assert sorted(seqs for answer in answers for seqs in answer) == [(seq,) for seq in range(1, 10)]
    assert (await fetch(several[1])).message_count == 9


async def test_one_of_several_processes_inserts_a_session(several: list[BigQueryRepository]) -> None:
    results = await asyncio.gather(
        *(repository.insert_session(new_session()) for repository in several), return_exceptions=True
    )
    assert sorted(isinstance(result, SessionExistsError) for result in results) == [False, True, True]
    assert (await several[0].stats()).sessions == 1


async def test_summary_put_by_several_processes_is_stored_once(several: list[BigQueryRepository]) -> None:
    await several[0].insert_session(new_session())
    await asyncio.gather(*(repository.put_summary(new_summary()) for repository in several))
    assert len(await several[0].list_summaries("s")) == 1


async def test_session_deleted_by_another_process_leaves_no_messages(several: list[BigQueryRepository]) -> None:
    await filled(several[0], [new_message(1)])
    await asyncio.gather(
        several[0].append("s", [new_message(2)], now=START), several[1].delete_sessions(["s"]), return_exceptions=True
    )
    await several[2].insert_session(new_session())
    assert await read(several[2]) == []
