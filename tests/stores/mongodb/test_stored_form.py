"""What is stored, field by field: other programs read it, and later versions have to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langswarm_memory.errors import CorruptRecordError, SchemaVersionError
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.testing.samples import START, at, fetch, filled, new_message, new_session, new_summary, read
from tests.stores.mongodb.conftest import Database

FIRST = "066238086615123456"  # START: microseconds since the year 1, as text of 18 digits


async def test_session_is_a_document_of_filters_counters_and_metadata(
    repository: MongoDBRepository, raw: Database
) -> None:
    await repository.insert_session(new_session("s", user_id="u", agent_id="a", expires_at=at(1), tags=["é"]))
    (found,) = await raw.sessions.find().to_list(None)
    born, document = found.pop("born"), json.loads(found.pop("document"))
    assert found == {
        "_id": "s",
        "user_id": "u",
        "agent_id": "a",
        "status": "active",
        "created": FIRST,
        "updated": FIRST,
        "expires": "066238086616123456",
        "revision": 1,
        "message_count": 0,
        "token_count": 0,
        "last_seq": 0,
        "edits": 0,
        "changes": 0,
        "recounts": 0,
        "writing": [],
    }
    assert len(born) == 32
    assert (document["session_id"], document["tags"], document["created_at"]) == ("s", ["é"], FIRST)


async def test_session_that_does_not_expire_says_never(repository: MongoDBRepository, raw: Database) -> None:
    await repository.insert_session(new_session())
    assert await raw.sessions.distinct("expires") == ["never"]


async def test_message_is_a_document_of_its_own(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, [new_message(1, "é\x00", role="critic", token_count=7, metadata={"a": 1.0})])
    (found,) = await raw.messages.find().to_list(None)
    (session,) = await raw.sessions.find().to_list(None)
    document = found.pop("document")
    assert found == {
        "_id": {"s": "s", "m": "m1"},
        "session_id": "s",
        "born": session["born"],
        "seq": 1,
        "message_id": "m1",
        "role": "critic",
        "at": "066238086616123456",
        "tokens": 7,
        "terms": ["é"],
        "length": 1,
    }
    assert (
        document
        == (
            '{"id":"m1","at":"066238086616123456","role":"critic","content":"é\\u0000",'
            '"metadata":{"a":1.0},"token_count":7}'
        ).encode()
    )


async def test_summary_is_a_document_of_its_own(repository: MongoDBRepository, raw: Database) -> None:
    await repository.insert_session(new_session())
    await repository.put_summary(new_summary("sum"))
    (found,) = await raw.summaries.find({}, {"_id": 0, "born": 0}).to_list(None)
    assert json.loads(found.pop("document"))["summary"] == "summary sum"
    assert found == {"session_id": "s", "summary_id": "sum", "created": FIRST}


async def test_indexes_have_fixed_names_and_keys(repository: MongoDBRepository, raw: Database) -> None:
    found: dict[str, Any] = {}
    for name in ("sessions", "messages", "summaries"):
        for key, index in (await raw[name].index_information()).items():
            if key != "_id_":
                found[f"{name}.{key}"] = [*(f"{f}{'-' if d < 0 else ''}" for f, d in index["key"]), index.get("unique")]
    assert {key: [field for field in value if field is not None] for key, value in found.items()} == {
        "sessions.by_created": ["created-", "_id-"],
        "sessions.by_user": ["user_id", "created-", "_id-"],
        "sessions.by_agent": ["agent_id", "created-", "_id-"],
        "sessions.by_status": ["status", "created-", "_id-"],
        "sessions.by_expiry": ["expires"],
        "sessions.by_update": ["updated"],
        "messages.by_seq": ["session_id", "seq", True],
        "messages.by_role": ["session_id", "role", "seq"],
        "messages.by_term": ["terms"],
        "summaries.by_summary_id": ["session_id", "summary_id", True],
    }


async def test_index_that_was_dropped_comes_back_when_the_store_is_opened(
    repository: MongoDBRepository, raw: Database
) -> None:
    await raw.messages.drop_index("by_role")
    await repository.open()
    assert "by_role" in await raw.messages.index_information()


@pytest.mark.parametrize("form", [{"document": b"{"}, {"document": 7}, {"document": b'{"id": 7}'}], ids=str)
async def test_message_of_another_form_is_corrupt(
    repository: MongoDBRepository, raw: Database, form: dict[str, Any]
) -> None:
    await filled(repository, [new_message(1, "secret text")])
    await raw.messages.update_one({}, {"$set": form})
    with pytest.raises(CorruptRecordError) as caught:
        await read(repository)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "form", [{"document": b"[]"}, {"revision": None}, {"expires": "soon"}, {"updated": None}], ids=str
)
async def test_session_of_another_form_is_corrupt(
    repository: MongoDBRepository, raw: Database, form: dict[str, Any]
) -> None:
    await repository.insert_session(new_session())
    await raw.sessions.update_one({}, {"$set": form})
    with pytest.raises(CorruptRecordError, match="'s'"):
        await repository.fetch_session("s")


async def test_summary_of_another_form_is_corrupt(repository: MongoDBRepository, raw: Database) -> None:
    await repository.insert_session(new_session())
    await repository.put_summary(new_summary("sum"))
    await raw.summaries.update_one({}, {"$set": {"document": b"\xff"}})
    with pytest.raises(CorruptRecordError):
        await repository.list_summaries("s")


async def test_collections_of_another_program_are_left_alone(repository: MongoDBRepository, raw: Database) -> None:
    await raw.sessions.create_index("session_id", unique=True)
    await repository.close()
    try:
        with pytest.raises(SchemaVersionError, match="collection_prefix"):
            await repository.open()
    finally:
        await raw.sessions.drop_index("session_id_1")


async def test_messages_of_an_earlier_session_of_the_id_go_when_it_is_made_again(
    repository: MongoDBRepository, raw: Database
) -> None:
    await filled(repository, [new_message(1)])
    await repository.put_summary(new_summary("sum"))
    await raw.sessions.delete_one({})  # as an append does, that was under way while its session was deleted
    await repository.insert_session(new_session())
    await repository.append("s", [new_message(1)], now=START)
    assert (await raw.messages.count_documents({}), await raw.summaries.count_documents({})) == (1, 0)
    assert (await fetch(repository)).message_count == 1
