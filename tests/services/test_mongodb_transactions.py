"""Transactions on the MongoDB-compatible server, by the gateway of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

Client = AsyncIOMotorClient[dict[str, Any]]
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def client(mongodb_transactions_url: str) -> AsyncIterator[Client]:
    client: Client = AsyncIOMotorClient(mongodb_transactions_url)
    yield client
    client.close()


@pytest.fixture
async def database(client: Client) -> Database:
    database: Database = client.get_default_database()
    await database.c.insert_one({"_id": 0, "n": 0})  # a collection cannot be made in every kind of transaction
    return database


async def test_committed_transaction_is_stored(client: Client, database: Database) -> None:
    async with await client.start_session() as session, session.start_transaction():
        await database.c.insert_one({"_id": 1}, session=session)
        await database.c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=session)
    assert (await database.c.count_documents({}), await database.c.distinct("n")) == (2, [1])


async def test_aborted_transaction_leaves_nothing(client: Client, database: Database) -> None:
    async with await client.start_session() as session:
        session.start_transaction()
        await database.c.insert_one({"_id": 1}, session=session)
        await session.abort_transaction()
    assert await database.c.count_documents({}) == 1


async def test_open_transaction_is_seen_by_itself_alone(client: Client, database: Database) -> None:
    async with await client.start_session() as session, session.start_transaction():
        await database.c.insert_one({"_id": 1}, session=session)
        inside = await database.c.count_documents({}, session=session)
        outside = await database.c.count_documents({})
    assert (inside, outside) == (2, 1)


async def test_failed_write_ends_the_transaction(client: Client, database: Database) -> None:
    async with await client.start_session() as session:
        session.start_transaction()
        await database.c.insert_one({"_id": 1}, session=session)
        with pytest.raises(DuplicateKeyError):
            await database.c.insert_one({"_id": 0}, session=session)
        with pytest.raises(OperationFailure) as caught:
            await session.commit_transaction()
    assert (caught.value.code, await database.c.count_documents({})) == (251, 1)


async def test_conflicting_write_may_be_tried_again(client: Client, database: Database) -> None:
    async with await client.start_session() as first, await client.start_session() as second:
        first.start_transaction()
        second.start_transaction()
        await database.c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=first)
        with pytest.raises(OperationFailure) as caught:
            await database.c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=second)
        await first.commit_transaction()
    assert (caught.value.code, caught.value.has_error_label("TransientTransactionError")) == (112, True)


async def test_driver_repeats_a_transaction_that_conflicted(client: Client, database: Database) -> None:
    async with await client.start_session() as other, await client.start_session() as session:
        other.start_transaction()
        await database.c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=other)
        tries = 0

        async def increment(within: AsyncIOMotorClientSession) -> None:
            nonlocal tries
            tries += 1
            if tries == 2:
                await other.commit_transaction()
            await database.c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=within)

        await session.with_transaction(increment)
    assert await database.c.distinct("n") == [2]


async def test_transaction_of_a_client_that_has_gone_is_undone(
    mongodb_transactions_url: str, database: Database
) -> None:
    lost: Client = AsyncIOMotorClient(mongodb_transactions_url)
    session = await lost.start_session()
    session.start_transaction()
    await lost.get_default_database().c.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=session)
    lost.close()
    # Waits for the end of the other: outside a transaction a write has no limit for that.
    await database.c.update_one({"_id": 0}, {"$inc": {"n": 10}})
    assert await database.c.distinct("n") == [10]


async def test_index_can_be_added_to_a_full_collection(database: Database) -> None:
    assert await database.c.create_index("n") == "n_1"


async def test_long_result_is_read_in_batches(database: Database) -> None:
    await database.c.insert_many([{"_id": number} for number in range(1, 300)])
    found = await database.c.find().sort("_id", -1).batch_size(7).to_list()
    assert [document["_id"] for document in found] == list(range(299, -1, -1))
