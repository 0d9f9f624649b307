"""What earlier software left in Redis and in PostgreSQL: as the earlier package wrote it, and with every trap."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pymongo import MongoClient
from redis import Redis

from langswarm_memory.errors import StorageUnavailableError
from langswarm_memory.interfaces.timestamps import Timestamp
from langswarm_memory.migration.sources import CurrentFormatError, UnknownFormatError, detect_source
from tests.faults.proxy import proxied
from tests.migration.earlier import AT, Read, exact, message_row, read_all, session_row
from tests.migration.test_sources_reference import as_read
from tests.services.redis import RedisService

SAMPLES = Path(__file__).parent / "samples"
PACKAGE_PREFIX = "langswarm:memory:"

Config = dict[str, Any]


def check(given: list[dict[str, Any]], found: dict[str, Read]) -> None:
    """Compare conversations with what the earlier package was given."""
    assert set(found) == {conversation["session_id"] for conversation in given}
    for conversation in given:
        read = found[conversation["session_id"]]
        assert [exact(message.to_dict()) for message in read.messages] == [
            exact(as_read(message)) for message in conversation["messages"]
        ]
        for name in ("user_id", "agent_id", "workflow_id", "max_messages", "max_tokens", "auto_summarize"):
            assert getattr(read.metadata, name) == conversation[name]
        assert read.metadata.created_at == Timestamp.parse(conversation["created_at"], naive_is_utc=True)
        assert exact([read.metadata.tags, read.metadata.properties]) == exact(
            [conversation["tags"], conversation["properties"]]
        )


# --- Redis --------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(redis_server: RedisService) -> Iterator[Redis]:
    with redis_server.client() as made:
        assert isinstance(made, Redis)
        yield made


@pytest.fixture
def at_redis(redis_server: RedisService, redis_prefix: str) -> Config:
    return {"backend": "redis", "url": redis_server.url, "key_prefix": redis_prefix}


def put(client: Redis, prefix: str, stored: dict[str, Any]) -> None:
    for key, value in stored.items():
        if isinstance(value, dict):
            client.hset(prefix + key, mapping=value)
        elif isinstance(value, list):
            client.rpush(prefix + key, *value)
        else:
            client.set(prefix + key, value)


@pytest.mark.store("redis")
async def test_what_the_package_left_in_redis_is_what_it_was_given(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    sample = json.loads((SAMPLES / "redis-0.2.0.json").read_text())
    put(client, redis_prefix, {key.removeprefix(PACKAGE_PREFIX): value for key, value in sample["stored"].items()})
    _, found = await read_all(at_redis)
    check(sample["given"], found)


@pytest.mark.store("redis")
async def test_messages_of_redis_whose_session_or_list_is_gone_are_carried(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    put(
        client,
        redis_prefix,
        {
            "messages:no hash": ["a", "gone"],
            "message:a": message_row("a", "no hash", "listed"),
            "message:c": message_row("c", "no list", "second", timestamp="2025-03-02T00:00:00"),
            "message:b": message_row("b", "no list", "first", timestamp="2025-03-01T00:00:00"),
        },
    )
    counts, found = await read_all(at_redis)
    assert {name: read.texts for name, read in found.items()} == {"no hash": ["listed"], "no list": ["first", "second"]}
    assert found["no list"].metadata.created_at == datetime(2025, 3, 1, tzinfo=UTC)
    assert counts.losses["messages that had expired in Redis before they could be read"] == 1


@pytest.mark.store("redis")
async def test_a_message_listed_twice_in_redis_is_two_messages(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    put(client, redis_prefix, {"messages:s": ["a", "a"], "message:a": message_row("a")})
    _, found = await read_all(at_redis)
    assert found["s"].texts == ["text", "text"]


@pytest.mark.store("redis")
async def test_a_conversation_of_the_guide_is_told_apart_under_the_same_prefix(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    entry = {"role": "user", "content": "Hi", "timestamp": "2024-01-01T00:00:00", "metadata": {"a": 1}}
    guide = {"user_id": "u", "created_at": "2024-01-01T00:00:00", "messages": json.dumps([entry, "odd"])}
    session = {**session_row("new"), "status": "active"}
    put(client, redis_prefix, {"g1": guide, "session:new": session, "g2": {"messages": "[{"}})
    counts, found = await read_all(at_redis)
    assert {name: read.texts for name, read in found.items()} == {"g1": ["Hi", "odd"], "new": [], "g2": []}
    assert (found["g1"].metadata.user_id, found["g1"].messages[0].metadata) == ("u", {"a": 1})
    assert found["g2"].metadata.properties == {"messages": "[{"}
    assert counts.losses["unreadable messages of a conversation: kept as they were"] == 1


@pytest.mark.store("redis")
async def test_a_langchain_list_is_read_oldest_first(client: Redis, redis_prefix: str, at_redis: Config) -> None:
    entries = [json.dumps({"type": "human", "data": {"content": str(number)}}) for number in (3, 2, 1)]
    put(client, redis_prefix, {"lc": entries})
    _, found = await read_all(at_redis)
    assert found["lc"].texts == ["1", "2", "3"]


@pytest.mark.store("redis")
async def test_documents_in_redis_are_read(client: Redis, redis_prefix: str, at_redis: Config) -> None:
    document = {"value": "Found it", "metadata": {"agent": "scout", "timestamp": "2023-11-05T10:00:00"}}
    put(client, redis_prefix, {"team:2023-11-05T10:00:00Z": str(document), "other": "{'value': 1, 'more': 2}"})
    _, found = await read_all(at_redis)
    assert [(read.texts, read.metadata.agent_id) for read in found.values()] == [(["Found it"], "scout")]


@pytest.mark.store("redis")
async def test_redis_without_earlier_data_is_refused_with_the_keys_found(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    put(client, redis_prefix, {"cart:1": "apples"})
    with pytest.raises(UnknownFormatError) as caught:
        await detect_source(at_redis)
    assert caught.value.details == {"found": [f"{redis_prefix}cart:1"]}


@pytest.mark.store("redis")
async def test_a_redis_url_tells_the_prefix_in_its_query(client: Redis, redis_prefix: str, at_redis: Config) -> None:
    put(client, redis_prefix, {"session:s": session_row()})
    _, found = await read_all(f"{at_redis['url']}?key_prefix={redis_prefix}")
    assert list(found) == ["s"]


@pytest.mark.store("redis")
async def test_redis_of_the_present_version_says_so(at_redis: Config) -> None:
    from langswarm_memory import Message, RedisBackend, SessionMetadata

    async with RedisBackend(url=at_redis["url"], key_prefix=at_redis["key_prefix"]) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "Hi"))
    with pytest.raises(CurrentFormatError):
        await detect_source(at_redis)


@pytest.mark.store("redis")
async def test_a_pattern_in_the_prefix_stands_for_itself(client: Redis, redis_prefix: str, at_redis: Config) -> None:
    put(client, redis_prefix, {"[x]*session:s": session_row(), "xsession:t": session_row("t")})
    _, found = await read_all(at_redis | {"key_prefix": f"{redis_prefix}[x]*"})
    assert list(found) == ["s"]


async def test_a_redis_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StorageUnavailableError):
        await detect_source("redis://:secret@127.0.0.1:1/0")


@pytest.mark.store("redis")
async def test_a_redis_that_goes_away_while_it_is_read_is_unavailable(
    client: Redis, redis_prefix: str, at_redis: Config
) -> None:
    put(client, redis_prefix, {"messages:s": ["a"], "message:a": message_row("a")})
    async with proxied(at_redis["url"]) as (url, proxy):
        source = await detect_source(at_redis | {"url": url})
        await source.open()
        proxy.lose_next_reply()
        with pytest.raises(StorageUnavailableError):
            await source.counts()
        await source.close()


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

TABLES = """
CREATE TABLE {prefix}sessions (session_id TEXT PRIMARY KEY, user_id TEXT, agent_id TEXT, workflow_id TEXT,
    status TEXT NOT NULL, max_messages INTEGER, max_tokens INTEGER, auto_summarize BOOLEAN, summary_threshold INTEGER,
    created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, tags JSONB, properties JSONB);
CREATE TABLE {prefix}messages (message_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT NOT NULL, timestamp TIMESTAMPTZ, token_count INTEGER, metadata JSONB, function_call JSONB,
    tool_calls JSONB, embedding REAL[]);
CREATE TABLE {prefix}summaries (summary_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, summary TEXT NOT NULL,
    message_count INTEGER, start_time TIMESTAMPTZ, end_time TIMESTAMPTZ, key_topics JSONB, created_at TIMESTAMPTZ);
"""
TIMES = ("created_at", "updated_at", "expires_at", "timestamp", "start_time", "end_time")


async def insert(url: str, tables: dict[str, list[dict[str, Any]]], script: str = "") -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(script)
        for table, rows in tables.items():
            for row in rows:
                values = [
                    datetime.fromisoformat(value) if name in TIMES and value else value for name, value in row.items()
                ]
                marks = ", ".join(f"${number + 1}" for number in range(len(row)))
                await connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *values)
    finally:
        await connection.close()


@pytest.mark.store("postgres")
async def test_what_the_package_left_in_postgres_is_what_it_was_given(postgres_url: str) -> None:
    sample = json.loads((SAMPLES / "postgres-0.2.0.json").read_text())
    await insert(postgres_url, sample["stored"], TABLES.format(prefix="ls_"))
    _, found = await read_all({"backend": "postgres", "url": postgres_url, "table_prefix": "ls_"})
    check(sample["given"], found)
    summaries = {name: [item.summary for item in read.summaries] for name, read in found.items() if read.summaries}
    assert summaries == {"plain": [sample["given"][0]["summaries"][0][1]]}


@pytest.mark.store("postgres")
async def test_rows_of_one_transaction_come_by_time(postgres_url: str) -> None:
    values = ", ".join(f"('m{day}', 's', 'user', '{day}', '2025-01-0{day}Z')" for day in (5, 1, 3))
    script = f"INSERT INTO messages (message_id, session_id, role, content, timestamp) VALUES {values};"
    await insert(postgres_url, {}, TABLES.format(prefix="") + script)
    _, found = await read_all(postgres_url)
    assert found["s"].texts == ["1", "3", "5"]


@pytest.mark.store("postgres")
async def test_tables_in_a_schema_with_an_odd_name_are_read(postgres_url: str) -> None:
    tables = {'"my ""old"" schema".messages': [message_row("m", "lost")]}
    script = 'CREATE SCHEMA "my ""old"" schema"; SET search_path TO "my ""old"" schema";' + TABLES.format(prefix="")
    await insert(postgres_url, tables, script)
    counts, found = await read_all({"backend": "postgres", "url": postgres_url, "schema": 'my "old" schema'})
    assert found["lost"].texts == ["text"]
    assert found["lost"].metadata.created_at == datetime.fromisoformat(AT)
    assert counts.losses == {"messages whose session's row is missing: carried into a session of that id": 1}


@pytest.mark.store("postgres")
async def test_long_histories_of_postgres_come_in_pages(postgres_url: str) -> None:
    script = (
        "INSERT INTO messages (message_id, session_id, role, content, timestamp, metadata) "
        "SELECT 'm' || n, 's', 'user', n::text, "
        "'2025-01-01Z'::timestamptz + n * interval '1 second', '\"{}\"' FROM generate_series(1, 1203) n;"
    )
    await insert(postgres_url, {}, TABLES.format(prefix="") + script)
    counts, found = await read_all(postgres_url)
    assert found["s"].texts == [str(number) for number in range(1, 1204)]
    assert sum(counts.losses.values()) == 1203  # the session's row is missing; the metadata is read


@pytest.mark.store("postgres")
async def test_a_langchain_table_of_postgres_is_read(postgres_url: str) -> None:
    script = "CREATE TABLE message_store (id SERIAL PRIMARY KEY, session_id TEXT, message TEXT);"
    rows = [{"session_id": "lc", "message": json.dumps({"type": "ai", "data": {"content": text}})} for text in "ab"]
    await insert(postgres_url, {"message_store": rows}, script)
    _, found = await read_all(postgres_url)
    assert [(message.role, message.content) for message in found["lc"].messages] == [
        ("assistant", "a"),
        ("assistant", "b"),
    ]


@pytest.mark.store("postgres")
async def test_a_postgres_without_earlier_tables_is_refused(postgres_url: str) -> None:
    with pytest.raises(UnknownFormatError) as caught:
        await detect_source(postgres_url)
    assert "postgres@" not in str(caught.value)


@pytest.mark.store("postgres")
async def test_a_postgres_that_goes_away_while_it_is_read_is_unavailable(postgres_url: str) -> None:
    await insert(postgres_url, {"messages": [message_row("a")]}, TABLES.format(prefix=""))
    async with proxied(postgres_url) as (url, proxy):
        source = await detect_source(url)
        await source.open()
        proxy.lose_next_reply()
        with pytest.raises(StorageUnavailableError):
            await source.counts()
        await source.close()


@pytest.mark.parametrize("url", ["redis://localhost", "postgresql://x/y", "mongodb://x/y"])
def test_a_driver_that_is_not_installed_is_named_with_its_command(url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "for name in ('redis', 'asyncpg', 'motor'):\n    sys.modules[name] = None\n"
        "from langswarm_memory.errors import MissingDependencyError\n"
        "from langswarm_memory.migration.sources import detect_source\n"
        f"try:\n    asyncio.run(detect_source({url!r}))\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'langswarm-memory[" in told.stdout


async def test_a_postgres_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StorageUnavailableError) as caught:
        await detect_source("postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


# --- MongoDB ------------------------------------------------------------------------------------------------------


def mongo_collections(url: str, **collections: list[dict[str, Any]]) -> None:
    """Store documents as langswarm-memory 0.2 does, one after the other."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    try:
        for name, documents in collections.items():
            for document in documents:
                times = {key: datetime.fromisoformat(document[key]) for key in TIMES if document.get(key)}
                client.get_default_database()[name].insert_one({**document, **times})
    finally:
        client.close()


@pytest.mark.store("mongodb")
async def test_collections_of_the_package_are_read(mongodb_url: str) -> None:
    session = {**session_row(), "status": "inactive", "max_messages": 7, "tags": ["a"], "properties": {"x": {"y": 1.5}}}
    rich = message_row("m1", metadata={"a": 1, "at": datetime(2025, 1, 1, tzinfo=UTC)}, tool_calls=[{"id": "c"}])
    early = message_row("m2", content="second", timestamp="2024-01-01T00:00:00+00:00", metadata={}, tool_calls=None)
    lost = message_row("m3", "lost", "orphan", metadata=None)
    summary = {"summary_id": "x", "session_id": "s", "summary": "All.", "message_count": 2, "key_topics": ["t"]}
    times = {"start_time": AT, "end_time": AT, "created_at": AT}
    mongo_collections(mongodb_url, sessions=[session], messages=[rich, early, lost], summaries=[summary | times])
    counts, found = await read_all(mongodb_url)
    read = found["s"]
    assert read.texts == ["text", "second"]
    assert exact([message.metadata for message in read.messages]) == exact(
        [{"a": 1, "at": "2025-01-01T00:00:00+00:00"}, {}]
    )
    assert (read.messages[0].tool_calls, read.messages[1].timestamp.year) == ([{"id": "c"}], 2024)
    assert (read.metadata.max_messages, read.metadata.status, read.metadata.tags) == (7, "paused", ["a"])
    assert read.metadata.properties == {"x": {"y": 1.5}}
    assert [(item.summary, item.key_topics) for item in read.summaries] == [("All.", ["t"])]
    assert found["lost"].texts == ["orphan"]
    assert counts.losses == {
        "messages whose session's row is missing: carried into a session of that id": 1,
        "status inactive: now paused": 1,
    }


@pytest.mark.store("mongodb")
async def test_long_histories_of_mongodb_come_in_pages(mongodb_url: str) -> None:
    rows = [message_row(f"m{number}", content=str(number)) for number in range(603)]
    mongo_collections(mongodb_url, old_messages=rows)
    _, found = await read_all({"backend": "mongodb", "uri": mongodb_url, "collection_prefix": "old_"})
    assert found["s"].texts == [str(number) for number in range(603)]


@pytest.mark.store("mongodb")
async def test_a_mongodb_of_the_present_version_says_so(mongodb_url: str) -> None:
    from langswarm_memory import Message, MongoDBBackend, SessionMetadata

    async with MongoDBBackend(uri=mongodb_url) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "Hi"))
    with pytest.raises(CurrentFormatError):
        await detect_source(mongodb_url)


@pytest.mark.store("mongodb")
async def test_a_mongodb_without_earlier_data_is_refused(mongodb_url: str) -> None:
    mongo_collections(mongodb_url, carts=[{"fruit": "apple"}])
    with pytest.raises(UnknownFormatError) as caught:
        await detect_source(mongodb_url)
    assert caught.value.details == {"found": ["carts"]}
