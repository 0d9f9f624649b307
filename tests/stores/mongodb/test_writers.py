"""Many writers of one session, in one process and in several."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.errors import ConflictError, StorageUnavailableError
from langswarm_memory.repository.protocol import Appended
from langswarm_memory.testing.samples import START, fetch, new_message, new_messages, new_session, read
from tests.stores.mongodb.conftest import Database, past_the_lease

ROOT = Path(__file__).parents[3]
WRITERS, ROUNDS = 16, 5
PROCESSES = 3


async def checked(backend: MongoDBBackend, expected: set[str], *, first: int = 1) -> None:
    """Check that a session holds these messages, each once and under a number of its own, and counts them right."""
    stored = await read(backend.repository)
    seqs = [message.seq or 0 for message in stored]
    record = await fetch(backend.repository)
    assert sorted(message.message_id for message in stored) == sorted(expected)
    assert seqs == sorted(set(seqs))
    assert (record.message_count, record.token_count) == (len(expected), len(expected))
    if backend.features.gapless_seq:
        assert seqs == list(range(first, first + len(expected)))


async def test_writers_with_clients_of_their_own_lose_nothing(options: dict[str, Any]) -> None:
    async def write(writer: int) -> None:
        async with MongoDBBackend(options, max_pool_size=2) as backend:
            for number in range(ROUNDS):
                message = new_message(0, message_id=f"{writer}/{number}")
                await backend.repository.append("s", [message], now=START)

    async with MongoDBBackend(options) as backend:
        await backend.repository.insert_session(new_session())
        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        await checked(backend, {f"{writer}/{number}" for writer in range(WRITERS) for number in range(ROUNDS)})


async def test_race_for_one_id_has_one_winner(backend: MongoDBBackend) -> None:
    for turn in range(3):
        await backend.repository.delete_sessions(["s"])
        await backend.repository.insert_session(new_session())
        results = await asyncio.gather(
            *(backend.repository.append("s", [new_message(1, f"of {w}")], now=START) for w in range(WRITERS)),
            return_exceptions=True,
        )
        kinds = [type(result) for result in results]
        assert (kinds.count(Appended), kinds.count(ConflictError)) == (1, WRITERS - 1), turn
        await checked(backend, {"m1"})


async def test_race_of_one_message_stores_it_once(backend: MongoDBBackend) -> None:
    await backend.repository.insert_session(new_session())
    batch = [new_message(1), new_message(2)]
    results = await asyncio.gather(
        *(backend.repository.append("s", [*batch, new_message(10 + w)], now=START) for w in range(WRITERS))
    )
    assert len({result.seqs[:2] for result in results}) == 1
    await checked(backend, {"m1", "m2", *(f"m{10 + w}" for w in range(WRITERS))})


PROCESS = """
import asyncio, sys
from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.testing.samples import START, new_message

async def main(uri, transactions, name, rounds):
    async with MongoDBBackend(uri, transactions=transactions == "True") as backend:
        for number in range(int(rounds)):
            shared = new_message(0, message_id=f"shared/{number}")
            own = new_message(0, message_id=f"{name}/{number}")
            await backend.repository.append("s", [shared, own], now=START)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_write_the_same_and_their_own_count_right(options: dict[str, Any]) -> None:
    async with MongoDBBackend(options) as backend:
        await backend.repository.insert_session(new_session())
        command = [sys.executable, "-c", PROCESS, options["uri"], str(options["transactions"])]
        processes = [
            await asyncio.create_subprocess_exec(*command, str(name), str(ROUNDS), cwd=ROOT)
            for name in range(PROCESSES)
        ]
        async with asyncio.timeout(60):
            assert [await process.wait() for process in processes] == [0] * PROCESSES
        own = {f"{name}/{number}" for name in range(PROCESSES) for number in range(ROUNDS)}
        await checked(backend, own | {f"shared/{number}" for number in range(ROUNDS)})


async def test_stores_opened_at_the_same_time_make_their_indexes_once(
    mongodb_url: str, mongodb_transactions_url: str
) -> None:
    for uri in (mongodb_url, mongodb_transactions_url):
        backends = [MongoDBBackend(uri) for _ in range(6)]
        await asyncio.gather(*(backend.connect() for backend in backends))
        found = await backends[0].get_db().messages.index_information()
        await asyncio.gather(*(backend.disconnect() for backend in backends))
        assert sorted(found) == ["_id_", "by_role", "by_seq", "by_term"]


async def test_store_that_moves_to_a_server_with_transactions_goes_on_counting_right(
    mongodb_transactions_url: str,
) -> None:
    async with MongoDBBackend(mongodb_transactions_url, transactions=False) as before:
        await before.repository.insert_session(new_session())
        await before.repository.append("s", new_messages(3), now=START)
        await past_the_lease(before.get_db())
    async with MongoDBBackend(mongodb_transactions_url, transactions=True) as after:
        await after.repository.append("s", new_messages(2, first=4), now=START)
        assert await after.repository.delete_messages("s", through_seq=2) == 2
        await checked(after, {"m3", "m4", "m5"}, first=3)


async def test_calls_of_all_kinds_at_the_same_time_leave_the_counters_right(
    options: dict[str, Any], raw: Database
) -> None:
    chance = random.Random(5)
    backends = [MongoDBBackend(options) for _ in range(3)]
    await asyncio.gather(*(backend.connect() for backend in backends))
    repository = backends[0].repository

    def call() -> Awaitable[Any]:
        of = chance.choice(backends).repository
        if chance.random() < 0.2:
            return of.delete_messages("s", through_seq=chance.choice([None, 5, 20, 50]))
        numbers = chance.sample(range(30), chance.choice([1, 1, 3]))
        text = "other" if chance.random() < 0.1 else "text"
        batch = [new_message(number, text, token_count=number + 1) for number in numbers]
        return of.append("s", batch, now=START)

    for _ in range(4):
        await repository.delete_sessions(["s"])
        await repository.insert_session(new_session())
        for _ in range(4):
            results = await asyncio.gather(*(call() for _ in range(10)), return_exceptions=True)
            failures = [result for result in results if isinstance(result, BaseException)]
            assert {type(failure) for failure in failures} <= {ConflictError, StorageUnavailableError}
        await past_the_lease(raw)  # for what the engine gave up
        stored, record = await read(repository), await fetch(repository)
        tokens = sum(message.token_count or 0 for message in stored)
        assert (record.message_count, record.token_count) == (len(stored), tokens)
        assert len({message.message_id for message in stored}) == len(stored)
    await asyncio.gather(*(backend.disconnect() for backend in backends))
