"""Servers that stop, stall and refuse; replies that are lost, primitive by primitive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import errors

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.errors import (
    ConflictError,
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryBackendError,
    MemoryConnectionError,
    SessionExistsError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from langswarm_memory.interfaces.records import SessionMetadata
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.repository.protocol import MessageQuery, Rewrite, SessionQuery
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.settings import MongoDBSettings
from langswarm_memory.testing.samples import START, fetch, filled, new_message, new_messages, new_session, new_summary
from langswarm_memory.testing.samples import read_ids as ids
from tests.faults.proxy import Proxy, proxied
from tests.services.mongodb import MongoServer, MongoService
from tests.stores.mongodb.conftest import Commands, ended, past_the_lease

Call = Callable[[MongoDBRepository], Awaitable[Any]]

CHANGE = Rewrite(edits=0, replaced=((new_message(2).numbered(2), new_message(2, "new")),))

PRIMITIVES: dict[str, Call] = {
    "ping": lambda repository: repository.ping(),
    "insert_session": lambda repository: repository.insert_session(new_session("new")),
    "fetch_session": lambda repository: repository.fetch_session("s"),
    "replace_session": lambda repository: repository.replace_session(new_session("s"), expected_revision=1),
    "list_sessions": lambda repository: repository.list_sessions(SessionQuery()),
    "delete_sessions": lambda repository: repository.delete_sessions(["other"]),
    "append": lambda repository: repository.append("s", new_messages(2, first=3), now=START),
    "read_messages": lambda repository: repository.read_messages("s", MessageQuery()),
    "fetch_with_messages": lambda repository: repository.fetch_with_messages("s", MessageQuery()),
    "rewrite": lambda repository: repository.rewrite("s", CHANGE, now=START),
    "delete_messages": lambda repository: repository.delete_messages("s", through_seq=1),
    "put_summary": lambda repository: repository.put_summary(new_summary("a")),
    "list_summaries": lambda repository: repository.list_summaries("s"),
    "search_text": lambda repository: repository.search_text(parse("text"), SearchFilter(), limit=5),
    "mark_indexed": lambda repository: repository.mark_indexed("s", "i", last_seq=1, edits=0),
    "index_state": lambda repository: repository.index_state("s", "i"),
    "stale_sessions": lambda repository: repository.stale_sessions("i", limit=5),
    "forget_index": lambda repository: repository.forget_index("i"),
    "stats": lambda repository: repository.stats(),
}


# ---- the server goes away --------------------------------------------------------------------------------------


@pytest.mark.store("mongodb")
async def test_every_primitive_tells_that_the_server_is_gone(mongodb_to_break: MongoServer) -> None:
    with mongodb_to_break.service.fresh_database() as uri:
        async with MongoDBBackend(uri, timeout=0.5) as backend:
            repository = backend.repository
            await filled(repository, new_messages(2))
            told: dict[str, LangSwarmMemoryError] = {}
            await asyncio.to_thread(mongodb_to_break.stop, "immediate")
            try:
                for name, call in PRIMITIVES.items():
                    with pytest.raises(StorageUnavailableError) as caught:
                        await call(repository)
                    told[name] = caught.value
                health = await backend.health_check()
            finally:
                await asyncio.to_thread(mongodb_to_break.start)
            assert {name: error.retryable for name, error in told.items()} == dict.fromkeys(PRIMITIVES, True)
            assert [name for name, error in told.items() if error.__cause__ is None] == []
            assert health["status"] == "unhealthy"
            for call in PRIMITIVES.values():
                await call(repository)
            assert await ids(repository) == ["m2", "m3", "m4"]


@pytest.mark.store("mongodb")
async def test_store_that_could_not_be_opened_opens_when_the_server_is_there(mongodb_to_break: MongoServer) -> None:
    with mongodb_to_break.service.fresh_database() as uri:
        await asyncio.to_thread(mongodb_to_break.stop)
        backend = MongoDBBackend(uri, timeout=0.3)
        try:
            with pytest.raises(StorageUnavailableError):
                await backend.connect()
        finally:
            await asyncio.to_thread(mongodb_to_break.start)
        async with backend:
            assert await backend.get_session("s") is None


@pytest.mark.store("mongodb")
async def test_server_that_does_not_answer_is_given_up_after_the_timeout(mongodb_to_break: MongoServer) -> None:
    with mongodb_to_break.service.fresh_database() as uri:
        async with MongoDBBackend(uri, timeout=0.5) as backend:
            await filled(backend.repository, new_messages(2))
            await asyncio.to_thread(mongodb_to_break.pause)
            start = time.monotonic()
            try:
                with pytest.raises(StorageUnavailableError) as caught:
                    await backend.repository.append("s", new_messages(1, first=3), now=START)
                waited = time.monotonic() - start
            finally:
                await asyncio.to_thread(mongodb_to_break.resume)
            assert caught.value.retryable
            assert 0.4 < waited < 5
            await backend.repository.append("s", new_messages(1, first=3), now=START)
            assert await ids(backend.repository) == ["m1", "m2", "m3"]
            # The server carries out, late, what it was asked while it stood still: numbers that nobody uses. They are
            # counted until the lease is over.
            async with asyncio.timeout(10):
                while (await fetch(backend.repository)).message_count != 3:
                    await past_the_lease(backend.get_db())


# ---- replies that are lost ------------------------------------------------------------------------------------


@pytest.fixture
async def through(options: dict[str, Any], commands: Commands) -> AsyncIterator[tuple[MongoDBRepository, Proxy]]:
    """A repository behind a proxy. Its driver asks seldom how the server is, so that every reply is one of ours."""
    async with proxied(options["uri"]) as (uri, proxy):
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            uri, event_listeners=[commands], heartbeatFrequencyMS=600_000, socketTimeoutMS=5_000
        )
        async with MongoDBBackend(client=client, transactions=options["transactions"]) as backend:
            await filled(backend.repository, new_messages(2))
            await backend.repository.insert_session(new_session("other"))
            yield backend.repository, proxy
        await ended(client)


async def outcome(call: Awaitable[Any]) -> LangSwarmMemoryError | None:
    """Return the error that a call ended with, or None."""
    try:
        await call
    except LangSwarmMemoryError as exc:
        return exc
    return None


ANSWERED_AS_DONE = {"insert_session": SessionExistsError, "replace_session": ConflictError, "rewrite": ConflictError}
"""What a call says that is repeated after it was carried out, by the caller or by the driver."""


@pytest.mark.parametrize("primitive", PRIMITIVES)
async def test_primitive_whose_reply_was_lost_can_be_repeated(
    through: tuple[MongoDBRepository, Proxy], primitive: str
) -> None:
    repository, proxy = through
    proxy.lose_next_reply()
    first = await outcome(PRIMITIVES[primitive](repository))
    assert proxy.lost == 1
    if isinstance(first, StorageUnavailableError):
        assert first.retryable
        assert first.__cause__ is not None
        first = await outcome(PRIMITIVES[primitive](repository))
    assert first is None or type(first) is ANSWERED_AS_DONE.get(primitive)
    stored = await ids(repository)
    assert (await fetch(repository)).message_count == len(stored) == len(set(stored))


@pytest.mark.parametrize("mode", ["mongodb-transactions"], indirect=True)
@pytest.mark.parametrize("command", ["findAndModify", "insert", "commitTransaction"])
async def test_transaction_that_was_cut_stores_its_batch_once(
    through: tuple[MongoDBRepository, Proxy], commands: Commands, command: str
) -> None:
    repository, proxy = through
    commands.before[command] = proxy.lose_next_reply
    batch = new_messages(3, first=3)
    failed = await outcome(repository.append("s", batch, now=START))
    assert failed is None or failed.retryable
    assert (await repository.append("s", batch, now=START)).seqs == (3, 4, 5)
    assert proxy.lost == 1
    assert await ids(repository) == ["m1", "m2", "m3", "m4", "m5"]
    assert (await fetch(repository)).message_count == 5


# ---- servers that refuse --------------------------------------------------------------------------------------


@pytest.mark.store("mongodb")
async def test_wrong_password_is_refused_and_not_worth_another_try(mongodb_server: MongoService) -> None:
    where = urlsplit(mongodb_server.url).netloc.rpartition("@")[2]
    backend = MongoDBBackend(f"mongodb://ada:hunter2@{where}/stores")
    with pytest.raises(MemoryConnectionError) as caught:
        await backend.connect()
    assert not caught.value.retryable
    assert not isinstance(caught.value, StorageUnavailableError)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def in_a_batch(code: int) -> errors.BulkWriteError:
    return errors.BulkWriteError({"writeErrors": [{"index": 0, "code": code}]})


ERRORS: dict[str, tuple[BaseException, type[LangSwarmMemoryError], bool]] = {
    "refused": (errors.AutoReconnect("x"), StorageUnavailableError, True),
    "no server": (errors.ServerSelectionTimeoutError("x"), StorageUnavailableError, True),
    "pool exhausted": (errors.WaitQueueTimeoutError("x"), StorageUnavailableError, True),
    "too slow": (errors.ExecutionTimeout("x", 50), StorageUnavailableError, True),
    "write conflict": (errors.OperationFailure("x", 112), StorageUnavailableError, True),
    "deadlock of the engine": (in_a_batch(16908292), StorageUnavailableError, True),
    "not replicated in time": (errors.WTimeoutError("x", 64), StorageUnavailableError, True),
    "failing over": (errors.NotPrimaryError("x", {"code": 10107}), StorageUnavailableError, True),
    "wrong password": (errors.OperationFailure("x", 18), MemoryConnectionError, False),
    "not allowed": (errors.OperationFailure("x", 13), MemoryConnectionError, False),
    "no such name": (errors.ConfigurationError("x"), MemoryConnectionError, False),
    "disk full": (errors.OperationFailure("x", 14031), StorageFullError, True),
    "disk full in a batch": (in_a_batch(14031), StorageFullError, True),
    "too large": (errors.DocumentTooLarge("x"), InvalidInputError, False),
    "not to be encoded": (InvalidDocument("x"), InvalidInputError, False),
    "anything else": (errors.OperationFailure("x", 2), MemoryBackendError, False),
}


@pytest.mark.store("mongodb")
@pytest.mark.parametrize("case", ERRORS)
def test_error_of_the_driver_is_told_by_its_code(case: str) -> None:
    error, expected, retryable = ERRORS[case]
    found = MongoDBRepository(MongoDBSettings()).translate("append", error)
    assert type(found) is expected
    assert found.retryable is retryable


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_single_server_that_takes_no_writes_is_read_only(backend: MongoDBBackend) -> None:
    found = backend.repository.translate("append", errors.NotPrimaryError("x", {"code": 10107}))
    assert isinstance(found, StorageReadOnlyError)
    assert not found.retryable


async def test_record_larger_than_a_document_is_refused_before_it_is_counted(repository: MongoDBRepository) -> None:
    await filled(repository, [new_message(1)])
    with pytest.raises(InvalidInputError, match="16 MB"):
        await repository.append("s", [new_message(2), new_message(3, "x" * 17_000_000)], now=START)
    assert (await fetch(repository))[2:] == (1, 1, 1, 0)


async def test_message_of_fifteen_megabytes_is_stored(repository: MongoDBRepository) -> None:
    await filled(repository, [new_message(1, "x" * 15_000_000)])
    (found,) = await repository.read_messages("s", MessageQuery())
    assert len(found.text) == 15_000_000


# ---- event loops -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
def test_backend_goes_on_in_another_event_loop(options: dict[str, Any]) -> None:
    backend = MongoDBBackend(options)

    async def write(number: int) -> int:
        session = await backend.get_session("s") or await backend.create_session(SessionMetadata("s"))
        await session.add_message(new_message(number))
        return await session.count_messages()

    try:
        assert [asyncio.run(write(number)) for number in range(3)] == [1, 2, 3]
    finally:
        asyncio.run(backend.disconnect())


async def test_store_can_be_used_again_after_it_was_closed(repository: MongoDBRepository) -> None:
    await repository.insert_session(new_session())
    for _ in range(2):
        await repository.close()
        await repository.open()
    assert (await fetch(repository)).metadata.session_id == "s"
