"""The MongoDB-compatible server that the tests bring up, by what the adapter needs of it, and what it lacks.

What is missing here is pinned as well: an adapter must not rely on it, and a test that begins to fail says that
the server has learned it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, InsertOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from tests.services.mongodb import URL_VARIABLE, MongoServer, MongoService, service_from_environment

Database = AsyncIOMotorDatabase[dict[str, Any]]

ferretdb_only = pytest.mark.skipif(
    service_from_environment() is not None, reason=f"says what FerretDB lacks; the server is that of {URL_VARIABLE}"
)


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(mongodb_url, tz_aware=True)
    yield client.get_default_database()
    client.close()


@pytest.fixture
async def messages(database: Database) -> Any:
    await database.messages.create_index([("session_id", ASCENDING), ("seq", ASCENDING)], unique=True)
    await database.messages.insert_many([{"session_id": "a", "seq": seq} for seq in range(1, 301)])
    return database.messages


async def stored(database: Database, field: str) -> Any:
    document = await database.c.find_one({"_id": 1})
    assert document is not None
    return document[field]


async def test_fresh_database_is_empty(database: Database) -> None:
    assert await database.list_collection_names() == []


async def test_fresh_database_is_dropped_afterwards(mongodb_server: MongoService) -> None:
    with mongodb_server.fresh_database() as url:
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url)
        await client.get_default_database().c.insert_one({"a": 1})
    name = url.rpartition("/")[2]
    left = await client.list_database_names()
    client.close()
    assert name not in left


async def test_second_document_under_a_unique_compound_key_is_refused(messages: Any) -> None:
    with pytest.raises(DuplicateKeyError):
        await messages.insert_one({"session_id": "a", "seq": 7})


async def test_duplicate_key_error_names_the_index(messages: Any) -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        await messages.insert_one({"session_id": "a", "seq": 7})
    assert caught.value.code == 11000
    assert "session_id_1_seq_1" in str(caught.value)


async def test_bulk_write_tells_which_item_failed(messages: Any) -> None:
    writes = [InsertOne({"session_id": "a", "seq": seq}) for seq in (1000, 5, 1001)]
    with pytest.raises(BulkWriteError) as caught:
        await messages.bulk_write(writes, ordered=False)
    details = caught.value.details
    assert details is not None
    assert ([(error["index"], error["code"]) for error in details["writeErrors"]], details["nInserted"]) == (
        [(1, 11000)],
        2,
    )


async def test_ordered_bulk_write_stops_at_the_first_error(messages: Any) -> None:
    writes = [InsertOne({"session_id": "a", "seq": seq}) for seq in (1000, 5, 1001)]
    with pytest.raises(BulkWriteError):
        await messages.bulk_write(writes)
    assert await messages.count_documents({"seq": {"$gte": 1000}}) == 1


async def test_bulk_upserts_tell_what_was_new(database: Database) -> None:
    writes = [UpdateOne({"_id": number}, {"$setOnInsert": {"v": number}}, upsert=True) for number in range(3)]
    await database.c.bulk_write(writes[:1])
    assert sorted(cast("dict[int, int]", (await database.c.bulk_write(writes)).upserted_ids)) == [1, 2]


async def test_range_is_read_in_order(messages: Any) -> None:
    found = await messages.find({"session_id": "a", "seq": {"$gt": 10, "$lt": 20}}).sort("seq", -1).limit(3).to_list()
    assert [document["seq"] for document in found] == [19, 18, 17]


async def test_long_result_keeps_its_order_over_batches(messages: Any) -> None:
    found = await messages.find({"session_id": "a"}).sort("seq", DESCENDING).batch_size(7).to_list()
    assert [document["seq"] for document in found] == list(range(300, 0, -1))


async def test_upsert_counts_from_nothing(database: Database) -> None:
    updated = await database.counters.find_one_and_update(
        {"_id": "s"}, {"$inc": {"seq": 3}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    assert updated["seq"] == 3


async def test_concurrent_upserts_of_one_counter_lose_nothing(database: Database) -> None:
    async def increment() -> int:
        updated = await database.counters.find_one_and_update(
            {"_id": "s"}, {"$inc": {"seq": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int(updated["seq"])

    assert sorted(await asyncio.gather(*(increment() for _ in range(50)))) == list(range(1, 51))


async def test_update_computes_from_the_old_document(database: Database) -> None:
    await database.c.insert_one({"_id": 1, "n": 2})
    updated = await database.c.find_one_and_update(
        {"_id": 1}, [{"$set": {"n": {"$add": ["$n", 5]}}}], return_document=ReturnDocument.AFTER
    )
    assert updated["n"] == 7


async def test_conditional_update_tells_that_nothing_matched(database: Database) -> None:
    await database.c.insert_one({"_id": 1, "revision": 2})
    result = await database.c.update_one({"_id": 1, "revision": 1}, {"$set": {"revision": 2}})
    assert (result.matched_count, result.modified_count) == (0, 0)


async def test_array_is_cut_as_it_grows(database: Database) -> None:
    await database.c.insert_one({"_id": 1, "l": [1, 2]})
    await database.c.update_one({"_id": 1}, {"$push": {"l": {"$each": [3, 4], "$slice": -3}}})
    assert await stored(database, "l") == [2, 3, 4]


async def test_groups_are_counted(messages: Any) -> None:
    pipeline = [{"$group": {"_id": "$session_id", "n": {"$sum": 1}, "last": {"$max": "$seq"}}}]
    assert await messages.aggregate(pipeline).to_list() == [{"_id": "a", "n": 300, "last": 300}]


async def test_size_of_documents_is_told(database: Database) -> None:
    await database.c.insert_one({"_id": 1, "text": "x" * 1000})
    (row,) = await database.c.aggregate([{"$project": {"size": {"$bsonSize": "$$ROOT"}}}]).to_list()
    assert 1000 < row["size"] < 1100


async def test_expiry_index_is_kept(database: Database) -> None:
    await database.sessions.create_index("expires_at", expireAfterSeconds=0)
    assert (await database.sessions.index_information())["expires_at_1"]["expireAfterSeconds"] == 0


async def test_partial_unique_index_leaves_others_alone(database: Database) -> None:
    await database.c.create_index("k", unique=True, partialFilterExpression={"k": {"$exists": True}})
    await database.c.insert_many([{"a": 1}, {"a": 2}, {"k": 1}])
    assert await database.c.count_documents({}) == 3


async def test_index_can_be_added_to_a_full_collection(messages: Any) -> None:
    assert await messages.create_index("seq") == "seq_1"


async def test_text_index_finds_words(database: Database) -> None:
    await database.c.create_index([("body", "text")])
    await database.c.insert_many([{"_id": 1, "body": "a wide world"}, {"_id": 2, "body": "narrow"}])
    assert [row["_id"] for row in await database.c.find({"$text": {"$search": "wide"}}).to_list()] == [1]


@pytest.mark.parametrize("text", ["a\0b", "é\u2028😀", ""])
async def test_text_comes_back_as_it_was(database: Database, text: str) -> None:
    await database.c.insert_one({"_id": 1, "t": text})
    assert await stored(database, "t") == text


async def test_lone_surrogate_is_refused_by_the_driver(database: Database) -> None:
    with pytest.raises(UnicodeEncodeError):
        await database.c.insert_one({"_id": 1, "t": "\ud800"})


async def test_dates_are_cut_to_milliseconds(database: Database) -> None:
    await database.c.insert_one({"_id": 1, "t": datetime(2026, 1, 2, microsecond=123456, tzinfo=UTC)})
    assert await stored(database, "t") == datetime(2026, 1, 2, microsecond=123000, tzinfo=UTC)


async def test_document_over_16_mb_is_refused_by_the_driver(database: Database) -> None:
    with pytest.raises(DocumentTooLarge):
        await database.c.insert_one({"t": "x" * 17_000_000})


async def test_majority_write_is_accepted(database: Database) -> None:
    journaled = database.get_collection("c", write_concern=WriteConcern("majority", j=True))
    assert (await journaled.insert_one({"_id": 1})).acknowledged


# ---- what it lacks -------------------------------------------------------------------------------------------


@ferretdb_only
async def test_server_is_no_replica_set(database: Database) -> None:
    assert "setName" not in await database.client.admin.command("hello")


@ferretdb_only
async def test_transaction_is_refused_only_at_its_commit(database: Database) -> None:
    async with await database.client.start_session() as session:
        session.start_transaction()
        await database.c.insert_one({"_id": 1}, session=session)
        with pytest.raises(OperationFailure, match="no such command: 'commitTransaction'"):
            await session.commit_transaction()
    assert await database.c.count_documents({}) == 1  # written all the same


@ferretdb_only
async def test_changes_cannot_be_watched(database: Database) -> None:
    with pytest.raises(OperationFailure, match="changeStream is not supported"):
        async with database.c.watch():
            pass


@ferretdb_only
async def test_collation_is_refused(database: Database) -> None:
    await database.c.insert_one({"a": "x"})
    with pytest.raises(OperationFailure, match="collation is not supported"):
        await database.c.find({"a": "X"}).collation({"locale": "en", "strength": 2}).to_list()


@ferretdb_only
async def test_schema_of_a_collection_is_not_enforced(database: Database) -> None:
    await database.create_collection("v", validator={"$jsonSchema": {"required": ["a"]}})
    assert (await database.v.insert_one({"b": 1})).acknowledged


@ferretdb_only
async def test_collection_cannot_be_sharded(database: Database) -> None:
    with pytest.raises(OperationFailure, match="no such command: 'shardCollection'"):
        await database.client.admin.command("shardCollection", f"{database.name}.c", key={"session_id": "hashed"})


# ---- faults --------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(mongodb_to_break: MongoServer) -> Iterator[MongoServer]:
    mongodb_to_break.stop()
    yield mongodb_to_break
    mongodb_to_break.start()


async def test_restart_keeps_the_documents(mongodb_to_break: MongoServer) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(mongodb_to_break.url)
    await client.d.c.replace_one({"_id": 1}, {"n": 7}, upsert=True)
    mongodb_to_break.restart("immediate")
    kept = await client.d.c.find_one({"_id": 1})
    client.close()
    assert kept == {"_id": 1, "n": 7}


async def test_stopped_server_is_not_found(broken: MongoServer) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(broken.url, serverSelectionTimeoutMS=200)
    with pytest.raises(ServerSelectionTimeoutError):
        await client.admin.command("ping")
    client.close()


async def test_paused_server_times_out(mongodb_to_break: MongoServer) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(mongodb_to_break.url, socketTimeoutMS=200)
    await client.admin.command("ping")
    mongodb_to_break.pause()
    try:
        with pytest.raises(NetworkTimeout):
            await client.admin.command("ping")
    finally:
        mongodb_to_break.resume()
        client.close()
