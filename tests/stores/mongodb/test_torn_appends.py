"""Without transactions: an append that is torn between its two round trips is completed, and counted right, later."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.errors import ConflictError, StorageUnavailableError
from langswarm_memory.repository.mongodb.batches import Batch
from langswarm_memory.repository.mongodb.marks import MarkedWrites
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.testing.samples import START, fetch, filled, new_message, new_messages, new_session, read_ids
from tests.faults.proxy import Proxy, proxied
from tests.stores.mongodb.conftest import Commands, Database, ended, past_the_lease

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.parametrize("mode", ["mongodb"], indirect=True)


class Cut:
    """Cuts every connection when the next command of a name is about to be sent."""

    def __init__(self, proxy: Proxy, commands: Commands) -> None:
        self._proxy, self._commands, self._loop = proxy, commands, asyncio.get_running_loop()

    def before(self, command: str) -> None:
        self._commands.before[command] = self._cut

    def reply_of(self, command: str) -> None:
        self._commands.before[command] = self._proxy.lose_next_reply

    def _cut(self) -> None:  # in a thread of the driver's
        done = threading.Event()

        def cut() -> None:
            self._proxy.cut()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        assert done.wait(5)


@pytest.fixture
async def through(options: dict[str, Any], commands: Commands) -> AsyncIterator[tuple[MongoDBRepository, Cut]]:
    """A repository behind a proxy. Its driver asks seldom how the server is, so that every reply is one of ours."""
    async with proxied(options["uri"]) as (uri, proxy):
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            uri, event_listeners=[commands], heartbeatFrequencyMS=600_000, socketTimeoutMS=5_000
        )
        async with MongoDBBackend(client=client, transactions=False) as backend:
            await filled(backend.repository, new_messages(2, token_count=5))
            yield backend.repository, Cut(proxy, commands)
        await ended(client)


async def counted(repository: MongoDBRepository) -> tuple[int, int]:
    record = await fetch(repository)
    return record.message_count, record.token_count


async def torn(through: tuple[MongoDBRepository, Cut], count: int = 3) -> MongoDBRepository:
    """Return a repository whose append of m3, m4, … was cut after its messages were counted."""
    repository, cut = through
    cut.before("insert")
    with pytest.raises(StorageUnavailableError) as caught:
        await repository.append("s", new_messages(count, first=3, token_count=5), now=START)
    assert caught.value.retryable
    return repository


async def test_torn_append_stores_nothing(through: tuple[MongoDBRepository, Cut]) -> None:
    assert await read_ids(await torn(through)) == ["m1", "m2"]


async def test_repeating_a_torn_append_completes_it(through: tuple[MongoDBRepository, Cut]) -> None:
    repository = await torn(through)
    appended = await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    assert (appended.inserted, appended.message_count) == (3, 5)
    assert await read_ids(repository) == ["m1", "m2", "m3", "m4", "m5"]


async def test_repeating_a_torn_append_counts_it_once(through: tuple[MongoDBRepository, Cut]) -> None:
    repository = await torn(through)
    await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    assert await counted(repository) == (5, 25)


async def test_append_torn_several_times_is_counted_once(through: tuple[MongoDBRepository, Cut]) -> None:
    for _ in range(3):
        repository = await torn(through)
    await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    assert await counted(repository) == (5, 25)


async def test_append_whose_reply_was_lost_is_repeated_without_doubling(
    through: tuple[MongoDBRepository, Cut],
) -> None:
    repository, cut = through
    cut.reply_of("insert")
    with pytest.raises(StorageUnavailableError):
        await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    appended = await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    assert (appended.inserted, appended.message_count, appended.seqs) == (0, 5, (3, 4, 5))
    assert await counted(repository) == (5, 25)


async def test_append_whose_numbers_were_lost_is_repeated_without_doubling(
    through: tuple[MongoDBRepository, Cut],
) -> None:
    repository, cut = through
    cut.reply_of("findAndModify")
    with pytest.raises(StorageUnavailableError):
        await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    await repository.append("s", new_messages(3, first=3, token_count=5), now=START)
    assert await counted(repository) == (5, 25)
    assert await read_ids(repository) == ["m1", "m2", "m3", "m4", "m5"]


async def test_torn_append_that_nobody_repeats_is_not_counted_after_the_lease(
    through: tuple[MongoDBRepository, Cut], raw: Database
) -> None:
    repository = await torn(through)
    await past_the_lease(raw)
    assert await counted(repository) == (2, 10)


async def test_next_append_after_the_lease_corrects_the_stored_counters(
    through: tuple[MongoDBRepository, Cut], raw: Database
) -> None:
    repository = await torn(through)
    await past_the_lease(raw)
    appended = await repository.append("s", [new_message(9, token_count=5)], now=START)
    (stored,) = await raw.sessions.find().to_list(None)
    assert appended.message_count == 3
    assert (stored["message_count"], stored["token_count"], len(stored["writing"])) == (3, 15, 1)


async def test_append_under_way_elsewhere_is_left_alone(
    through: tuple[MongoDBRepository, Cut], options: dict[str, Any], raw: Database
) -> None:
    await torn(through)  # as it looks to another process while the messages are on their way
    async with MongoDBBackend(options) as other:
        await other.repository.append("s", [new_message(9, token_count=5)], now=START)
    (stored,) = await raw.sessions.find().to_list(None)
    assert (stored["message_count"], stored["token_count"]) == (6, 30)


async def test_deleting_messages_leaves_the_count_of_a_torn_append_to_be_corrected(
    through: tuple[MongoDBRepository, Cut], raw: Database
) -> None:
    repository = await torn(through)
    assert await repository.delete_messages("s") == 2
    await past_the_lease(raw)
    assert await counted(repository) == (0, 0)


async def test_deletion_that_was_torn_is_counted_when_it_is_repeated(through: tuple[MongoDBRepository, Cut]) -> None:
    repository, cut = through
    cut.before("update")
    with pytest.raises(StorageUnavailableError):
        await repository.delete_messages("s")
    assert await read_ids(repository) == []
    assert await repository.delete_messages("s") == 0
    assert await counted(repository) == (0, 0)


async def test_messages_that_another_process_appended_are_deleted_and_counted_right(
    backend: MongoDBBackend, options: dict[str, Any], raw: Database
) -> None:
    await filled(backend.repository, new_messages(3, token_count=5))
    async with MongoDBBackend(options) as other:
        assert await other.repository.delete_messages("s", through_seq=2) == 2
        assert await counted(other.repository) == (1, 5)
        await past_the_lease(raw)
        assert await counted(other.repository) == (1, 5)
    await backend.repository.append("s", [new_message(9, token_count=5)], now=START)
    assert await counted(backend.repository) == (2, 10)


async def test_deletions_at_the_same_time_count_right(backend: MongoDBBackend) -> None:
    repository = backend.repository
    await filled(repository, new_messages(60, token_count=5))
    deleted = await asyncio.gather(*(repository.delete_messages("s", through_seq=50) for _ in range(4)))
    assert sum(deleted) == 50
    assert await counted(repository) == (10, 50)


async def test_finished_marks_go_with_the_next_append(backend: MongoDBBackend, raw: Database) -> None:
    await backend.repository.insert_session(new_session())
    for number in range(5):
        await backend.repository.append("s", [new_message(number)], now=START)
    (stored,) = await raw.sessions.find().to_list(None)
    assert [(mark["first"], mark["count"], mark["tokens"]) for mark in stored["writing"]] == [(5, 1, 1)]


async def test_marks_of_a_process_that_is_gone_do_not_pile_up(options: dict[str, Any], raw: Database) -> None:
    for number in range(4):
        async with MongoDBBackend(options) as backend:
            if not number:
                await backend.repository.insert_session(new_session())
            await backend.repository.append("s", [new_message(number)], now=START)
            await past_the_lease(raw)
    async with MongoDBBackend(options) as backend:
        for number in range(4, 6):  # the first finds them finished, the second takes them out
            await backend.repository.append("s", [new_message(number)], now=START)
        (stored,) = await raw.sessions.find().to_list(None)
        assert len(stored["writing"]) == 1
        assert await counted(backend.repository) == (6, 6)


async def test_session_made_again_knows_nothing_of_marks_before(backend: MongoDBBackend) -> None:
    repository = backend.repository
    for _ in range(3):
        await repository.delete_sessions(["s"])
        await filled(repository, [new_message(1)])
        with pytest.raises(ConflictError):
            await repository.append("s", [new_message(1, "other")], now=START)
        await repository.append("s", [new_message(2)], now=START)
        assert await counted(repository) == (2, 2)


KILLED = """
import asyncio, os, sys
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient
from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.testing.samples import START, new_messages
from tests.stores.mongodb.conftest import Commands

async def main():
    commands = Commands()
    client = AsyncIOMotorClient(sys.argv[1], event_listeners=[commands])
    async with MongoDBBackend(client=client, transactions=False) as backend:
        commands.before["insert"] = lambda: os._exit(9)
        await backend.repository.append("s", new_messages(3, first=3), now=START)

asyncio.run(main())
"""


async def test_append_torn_by_the_death_of_its_process_is_completed_by_another(
    backend: MongoDBBackend, options: dict[str, Any]
) -> None:
    repository = backend.repository
    await filled(repository, new_messages(2))
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, options["uri"]], cwd=ROOT, timeout=60, check=False
    )
    assert killed.returncode == 9
    assert await read_ids(repository) == ["m1", "m2"]
    await repository.append("s", new_messages(3, first=3), now=START)
    assert await read_ids(repository) == ["m1", "m2", "m3", "m4", "m5"]
    assert await counted(repository) == (5, 5)


async def test_writer_slower_than_the_lease_counts_again(
    watched: MongoDBRepository, commands: Commands, options: dict[str, Any]
) -> None:
    await watched.insert_session(new_session())

    def take_out() -> None:  # what another process does after the lease
        with MongoClient[dict[str, Any]](options["uri"]) as client:
            change = {"message_count": -2, "token_count": -2, "changes": 1}
            client.get_default_database().sessions.update_one({}, {"$set": {"writing": []}, "$inc": change})

    commands.before["insert"] = take_out
    await MarkedWrites(watched, lease_seconds=0).append(Batch.of("s", new_messages(2), START, None, searchable=True))
    assert await counted(watched) == (2, 2)
