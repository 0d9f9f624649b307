"""What lies in the dataset, read with the driver alone: others query it, so it cannot change unnoticed."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter

from langswarm_memory.backends.bigquery import BigQueryBackend
from langswarm_memory.errors import CorruptRecordError, MemoryBackendError, SchemaVersionError
from langswarm_memory.interfaces.message import Message
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from langswarm_memory.repository.documents import pack_message, pack_metadata, pack_summary
from langswarm_memory.repository.optional import IndexState
from langswarm_memory.repository.protocol import MessageQuery, Rewrite
from langswarm_memory.testing.samples import START, at, fetch, filled, new_message, new_session, new_summary, read
from tests.conformance.store_bigquery import bigquery_options
from tests.services.bigquery import BigQueryService
from tests.stores.bigquery.conftest import CountingClient, MakeBackend

pytestmark = pytest.mark.store("bigquery")

LAYOUT = {
    "sessions": "session_id STRING, user_id STRING?, agent_id STRING?, workflow_id STRING?, status STRING, "
    "created_at TIMESTAMP, updated_at TIMESTAMP, expires_at TIMESTAMP?, tags STRING?, properties STRING?, "
    "revision INTEGER, message_count INTEGER, token_count INTEGER, last_seq INTEGER, summary_count INTEGER, "
    "document BYTES, edits INTEGER?, indexed RECORD",
    "messages": "session_id STRING, seq INTEGER, message_id STRING, role STRING, content STRING?, "
    "timestamp TIMESTAMP, token_count INTEGER, tool_call_id STRING?, name STRING?, content_blocks STRING?, "
    "tool_calls STRING?, function_call STRING?, metadata STRING?, stored_at TIMESTAMP, batch STRING, digest STRING, "
    "document BYTES",
    "summaries": "session_id STRING, summary_id STRING, summary STRING, message_count INTEGER, token_count INTEGER, "
    "start_time TIMESTAMP, end_time TIMESTAMP, first_seq INTEGER?, last_seq INTEGER?, key_topics STRING?, "
    "summary_type STRING, created_at TIMESTAMP, document BYTES",
    "locks": "name STRING?, taken INTEGER?",
}


def rows(client: Client, dataset: str, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in client.query_and_wait(f"SELECT * FROM {dataset}.{table} ORDER BY 1, 2")]


def change(client: Client, sql: str, **texts: str) -> None:
    parameters = [ScalarQueryParameter(name, "STRING", value) for name, value in texts.items()]
    client.query_and_wait(sql, job_config=QueryJobConfig(query_parameters=parameters))


@pytest.mark.parametrize("table", LAYOUT)
async def test_table_has_the_documented_columns(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str, table: str
) -> None:
    schema = counting.get_table(f"{bigquery_shared_dataset}.{table}").schema
    found = ", ".join(f"{f.name} {f.field_type}{'?' if f.mode == 'NULLABLE' else ''}" for f in schema)
    assert found == LAYOUT[table]


@pytest.mark.parametrize(
    ("table", "clustering", "partition"),
    [
        ("sessions", ["session_id", "user_id"], None),
        ("messages", ["session_id", "seq"], "stored_at"),
        ("summaries", ["session_id"], None),
    ],
)
async def test_table_is_clustered_by_session(
    repository: BigQueryRepository,
    counting: CountingClient,
    bigquery_shared_dataset: str,
    table: str,
    clustering: list[str],
    partition: str | None,
) -> None:
    found = counting.get_table(f"{bigquery_shared_dataset}.{table}")
    partitioning = found.time_partitioning
    assert (found.clustering_fields, partitioning and (partitioning.field, partitioning.type_)) == (
        clustering,
        partition and (partition, "DAY"),
    )


async def test_every_table_carries_the_version_of_the_schema(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    labels = {table.table_id: table.labels for table in counting.list_tables(bigquery_shared_dataset)}
    assert labels == {name: {"langswarm_memory_schema": "2"} for name in LAYOUT}


async def test_session_is_a_row(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    given = new_session(
        "s", user_id="u", agent_id="a", workflow_id="w", expires_at=at(90), tags=["t", "\x00"], properties={"z": 1.0}
    )
    await repository.insert_session(given)
    await repository.append("s", [new_message(1, token_count=7)], now=at(5))
    assert rows(counting, bigquery_shared_dataset, "sessions") == [
        {
            "session_id": "s",
            "user_id": "u",
            "agent_id": "a",
            "workflow_id": "w",
            "status": "active",
            "created_at": START,
            "updated_at": at(5),
            "expires_at": at(90),
            "tags": '["t","\ufffd"]',
            "properties": '{"z":1.0}',
            "revision": 1,
            "message_count": 1,
            "token_count": 7,
            "last_seq": 1,
            "summary_count": 0,
            "document": pack_metadata(given),
            "edits": 0,
            "indexed": [],
        }
    ]


async def test_message_is_a_row(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    given = Message(
        "assistant",
        [{"type": "text", "text": "a\x00"}],
        timestamp=at(3),
        message_id="m",
        metadata={"b": 1.0, "a": 1e22},
        token_count=4,
        function_call={"name": "f"},
        tool_calls=[{"id": "c"}],
        tool_call_id="c",
        name="n",
    )
    await filled(repository, [given])
    (row,) = rows(counting, bigquery_shared_dataset, "messages")
    assert abs(row.pop("stored_at") - datetime.now(UTC)) < timedelta(minutes=5)
    assert len(row.pop("batch")) == 32
    content = ["assistant", given.content, "n", "c", {"name": "f"}, [{"id": "c"}], given.metadata]
    assert row == {
        "session_id": "s",
        "seq": 1,
        "message_id": "m",
        "role": "assistant",
        "content": "a\ufffd",
        "timestamp": at(3),
        "token_count": 4,
        "tool_call_id": "c",
        "name": "n",
        "content_blocks": '[{"type":"text","text":"a\ufffd"}]',
        "tool_calls": '[{"id":"c"}]',
        "function_call": '{"name":"f"}',
        "metadata": '{"b":1.0,"a":1e+22}',
        "digest": hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest(),
        "document": pack_message(given),
    }


async def test_summary_is_a_row(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    given = new_summary("a", 9, key_topics=["x"], token_count=3, first_seq=1, last_seq=2)
    await repository.insert_session(new_session())
    await repository.put_summary(given)
    assert rows(counting, bigquery_shared_dataset, "summaries") == [
        {
            "session_id": "s",
            "summary_id": "a",
            "summary": "summary a",
            "message_count": 2,
            "token_count": 3,
            "start_time": START,
            "end_time": at(1),
            "first_seq": 1,
            "last_seq": 2,
            "key_topics": '["x"]',
            "summary_type": given.summary_type.value,
            "created_at": at(9),
            "document": pack_summary(given),
        }
    ]


async def test_rewritten_message_is_the_row_of_the_new_one(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    """But for its place: id, seq, the day of its partition, and the job that stored it first."""
    await filled(repository, [new_message(1, name="n", metadata={"a": 1}), new_message(2)])
    before = rows(counting, bigquery_shared_dataset, "messages")
    old = (await read(repository))[0]
    new = Message("critic", "new", timestamp=at(70), message_id=old.message_id, token_count=9)
    await repository.rewrite("s", Rewrite(edits=0, replaced=((old, new),)), now=at(80))
    after = rows(counting, bigquery_shared_dataset, "messages")
    kept = ("session_id", "seq", "message_id", "stored_at", "batch")
    await filled(repository, [new], "other")
    fresh = rows(counting, bigquery_shared_dataset, "messages")[0]
    assert after == [{**fresh, **{name: before[0][name] for name in kept}}, before[1]]


async def test_indexes_are_an_array_of_the_session(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    await repository.insert_session(new_session())
    for index, seq in (("b", 1), ("a", 2), ("b", 3)):
        await repository.mark_indexed("s", index, last_seq=seq, edits=0)
    (row,) = rows(counting, bigquery_shared_dataset, "sessions")
    assert sorted(row["indexed"], key=lambda one: str(one["name"])) == [
        {"name": "a", "last_seq": 2, "edits": 0},
        {"name": "b", "last_seq": 3, "edits": 0},
    ]


async def test_messages_of_one_append_share_a_batch(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    await filled(repository, [new_message(1), new_message(2)])
    await repository.append("s", [new_message(3)], now=START)
    first, second, third = (row["batch"] for row in rows(counting, bigquery_shared_dataset, "messages"))
    assert first == second != third


async def test_session_counts_its_summaries(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    await repository.insert_session(new_session())
    for summary_id in ("a", "b", "a"):
        await repository.put_summary(new_summary(summary_id))
    (row,) = rows(counting, bigquery_shared_dataset, "sessions")
    assert row["summary_count"] == 2


@pytest.mark.parametrize("document", [b"no json", b"[]", b'{"id": 7}', b"{}"])
async def test_message_that_cannot_be_decoded_is_corrupt(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str, document: bytes
) -> None:
    await filled(repository, [new_message(1)])
    sql = f"UPDATE {bigquery_shared_dataset}.messages SET document = CAST(@given AS BYTES) WHERE TRUE"
    change(counting, sql, given=document.decode())
    with pytest.raises(CorruptRecordError):
        await repository.read_messages("s", MessageQuery())


async def test_append_corrects_counters_after_a_partition_has_expired(
    repository: BigQueryRepository, counting: CountingClient, bigquery_shared_dataset: str
) -> None:
    await filled(repository, [new_message(1), new_message(2)])
    change(counting, f"DELETE FROM {bigquery_shared_dataset}.messages WHERE seq = 1")  # as an expired partition would
    appended = await repository.append("s", [new_message(3)], now=START)
    assert (appended.seqs, appended.message_count) == ((3,), 2)


# ---- the schema's own life -----------------------------------------------------------------------------------


async def test_newer_schema_is_refused(
    bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)):
        pass
    table = counting.get_table(f"{bigquery_dataset}.sessions")
    table.labels = {"langswarm_memory_schema": "3"}
    counting.update_table(table, ["labels"])
    with pytest.raises(SchemaVersionError) as caught:
        await BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)).connect()
    assert (caught.value.found, caught.value.expected) == ("3", "2")


@pytest.fixture
async def first_layout(bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient) -> str:
    """A dataset as version 1 made it, with a session of two messages."""
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)) as backend:
        await filled(backend.repository, [new_message(1), new_message(2)])
    change(counting, f"ALTER TABLE {bigquery_dataset}.sessions DROP COLUMN edits, DROP COLUMN indexed")
    for name in LAYOUT:
        table = counting.get_table(f"{bigquery_dataset}.{name}")
        table.labels = {"langswarm_memory_schema": "1", "team": "theirs"}
        counting.update_table(table, ["labels"])
    return bigquery_dataset


async def test_sessions_of_the_first_layout_have_no_edits(
    bigquery_server: BigQueryService, first_layout: str, counting: CountingClient
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, first_layout)) as backend:
        repository = backend.repository
        assert (await fetch(repository)).edits == 0
        assert await repository.stale_sessions("i", limit=5) == [IndexState("s", 2, 0, 0, 0)]
        await repository.mark_indexed("s", "i", last_seq=2, edits=0)
        assert await repository.stale_sessions("i", limit=5) == []
        first = (await read(repository))[0]
        record = await repository.rewrite("s", Rewrite(edits=0, removed=(first,)), now=at(9))
        assert (record.edits, record.message_count) == (1, 1)


async def test_labels_of_others_outlive_a_change_of_layout(
    bigquery_server: BigQueryService, first_layout: str, counting: CountingClient
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, first_layout)):
        labels = {table.table_id: table.labels for table in counting.list_tables(first_layout)}
    assert labels == {name: {"langswarm_memory_schema": "2", "team": "theirs"} for name in LAYOUT}


async def test_change_of_layout_that_was_interrupted_is_completed(
    bigquery_server: BigQueryService, first_layout: str, counting: CountingClient
) -> None:
    """Columns come first, labels last: where one label is old, everything is done again."""
    change(counting, f"ALTER TABLE {first_layout}.sessions ADD COLUMN edits INT64")
    async with BigQueryBackend(bigquery_options(bigquery_server, first_layout)) as backend:
        assert await backend.repository.index_state("s", "i") == IndexState("s", 2, 0, 0, 0)


async def test_table_of_somebody_else_is_left_alone(
    bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient
) -> None:
    counting.create_dataset(bigquery_dataset)
    change(counting, f"CREATE TABLE {bigquery_dataset}.messages AS SELECT 1 AS theirs")
    with pytest.raises(MemoryBackendError, match="'messages'"):
        await BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)).connect()
    assert [table.table_id for table in counting.list_tables(bigquery_dataset)] == ["messages"]


async def test_tables_that_are_missing_are_made(
    bigquery_server: BigQueryService, bigquery_dataset: str, counting: CountingClient
) -> None:
    """As after a process that was killed while it made them."""
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)):
        pass
    for name in ("summaries", "locks"):
        counting.delete_table(f"{bigquery_dataset}.{name}")
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)) as backend:
        await filled(backend.repository, [new_message(1)])
        assert rows(counting, bigquery_dataset, "locks") == [{"name": "insert_session", "taken": 1}]


async def test_dataset_is_found_again_by_the_next_process(make_backend: MakeBackend) -> None:
    async with make_backend() as backend:
        await filled(backend.repository, [new_message(1)])
    async with make_backend() as backend:
        assert [m.message_id for m in await backend.repository.read_messages("s", MessageQuery())] == ["m1"]
