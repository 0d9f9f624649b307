"""What lies in the indexes, read with the client alone: a stored shape must not change unnoticed."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import blake2b
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from langswarm_memory import SchemaVersionError, SessionMetadata, SessionStatus
from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from langswarm_memory.repository.elasticsearch import schema
from langswarm_memory.repository.protocol import MessageQuery
from langswarm_memory.testing.samples import START, at, new_message, new_messages, new_session, new_summary
from tests.services.elasticsearch import ElasticsearchService
from tests.stores.elasticsearch.conftest import MakeBackend

pytestmark = pytest.mark.store("elasticsearch")

FIRST = 66_238_086_615_123_456  # START, in microseconds since the year 1


async def source(raw: AsyncElasticsearch, index: str, document_id: str, routing: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (await raw.get(index=index, id=document_id, routing=routing))["_source"]
    return found


async def session_key(raw: AsyncElasticsearch, prefix: str, session_id: str = "s") -> str:
    return str((await source(raw, f"{prefix}_sessions", session_id))["session_key"])


def id_of(key: str, own_id: str) -> str:
    return blake2b(f"{key}\0{own_id}".encode(), digest_size=16).hexdigest()


def unpacked(document: str) -> Any:
    return json.loads(b64decode(document))


async def test_session_is_one_document_under_its_own_id(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    metadata = new_session(
        "s", user_id="u", agent_id="a", workflow_id="w", tags=["t"], properties={"p": 1.0}, expires_at=at(9)
    )
    async with make() as backend:
        await backend.repository.insert_session(metadata)
    found = await source(raw, f"{prefix}_sessions", "s")
    assert unpacked(found.pop("document"))["properties"] == {"p": 1.0}
    assert len(found.pop("session_key")) == 32
    assert found == {
        "session_id": "s",
        "user_id": "u",
        "agent_id": "a",
        "workflow_id": "w",
        "status": "active",
        "tags": ["t"],
        "created": FIRST,
        "updated": found["updated"],
        "expires": FIRST + 9_000_000,
        "created_at": "2100-01-01T12:30:15.123456+00:00",
        "updated_at": found["updated_at"],
        "expires_at": "2100-01-01T12:30:24.123456+00:00",
        "revision": 1,
        "message_count": 0,
        "token_count": 0,
        "last_seq": 0,
        "edits": 0,
        "pending": [],
    }


async def test_message_is_one_document_routed_by_its_session(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append(
            "s", [new_message(1, "a\x00b", token_count=7, metadata={"k": 1.0, "l": []})], now=START
        )
    key = await session_key(raw, prefix)
    found = await source(raw, f"{prefix}_messages", id_of(key, "m1"), key)
    assert unpacked(found.pop("document"))["content"] == "a\x00b"
    assert len(found.pop("batch")) == 16
    assert found == {
        "session_id": "s",
        "session_key": key,
        "seq": 1,
        "message_id": "m1",
        "role": "user",
        "at": FIRST + 1_000_000,
        "timestamp": "2100-01-01T12:30:16.123456+00:00",
        "tokens": 7,
        "content": "a\ufffdb",
        "metadata": ["k=n:1"],
        "edit": 0,
    }


async def test_version_of_a_message_is_its_seq(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(3), now=START)
    key = await session_key(raw, prefix)
    found = await raw.get(index=f"{prefix}_messages", id=id_of(key, "m3"), routing=key)
    assert found["_version"] == 3


async def test_appended_message_is_pending_until_searches_find_it(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1)], now=START)
    key = await session_key(raw, prefix)
    stored = await source(raw, f"{prefix}_messages", id_of(key, "m1"), key)
    (pending,) = (await source(raw, f"{prefix}_sessions", "s"))["pending"]
    assert pending == {name: value for name, value in stored.items() if name not in ("session_id", "session_key")}


async def test_append_counts_on_the_session(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(3, token_count=5), now=at(60), expires_at=at(99))
    found = await source(raw, f"{prefix}_sessions", "s")
    names = ("message_count", "token_count", "last_seq", "revision", "updated", "expires")
    assert [found[name] for name in names] == [3, 15, 3, 1, FIRST + 60_000_000, FIRST + 99_000_000]


async def test_summary_is_one_document_routed_by_its_session(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.put_summary(new_summary("a", key_topics=["t"]))
    key = await session_key(raw, prefix)
    found = await source(raw, f"{prefix}_summaries", id_of(key, "a"), key)
    assert unpacked(found.pop("document"))["key_topics"] == ["t"]
    assert found == {
        "session_id": "s",
        "session_key": key,
        "summary_id": "a",
        "created": FIRST,
        "created_at": "2100-01-01T12:30:15.123456+00:00",
        "summary": "summary a",
    }


async def test_deleted_session_leaves_no_document(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", new_messages(40), now=START)
        await backend.repository.append("s", new_messages(3, first=41), now=START)
        await backend.repository.put_summary(new_summary("a"))
        assert await backend.delete_session("s") is True
    await raw.indices.refresh(index=f"{prefix}_*")
    assert (await raw.count(index=f"{prefix}_*"))["count"] == 0


async def test_session_made_again_has_another_key(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        keys = []
        for _ in range(2):
            await backend.create_session(SessionMetadata("s"))
            keys.append(await session_key(raw, prefix))
            await backend.delete_session("s")
    assert len(set(keys)) == 2


async def test_words_of_messages_are_found_by_other_programs(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str
) -> None:
    async with make(refresh=True) as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1, "the red car"), new_message(2, "a bus")], now=START)
    hits = (await raw.search(index=f"{prefix}_messages", query={"match": {"content": "car"}}))["hits"]["hits"]
    assert [hit["_source"]["message_id"] for hit in hits] == ["m1"]


# ---- indexes -------------------------------------------------------------------------------------------------


async def test_indexes_are_made_by_templates_of_this_version(
    elasticsearch_server: ElasticsearchService, elasticsearch_prefix: str, raw: AsyncElasticsearch
) -> None:
    prefix = elasticsearch_prefix
    async with ElasticsearchBackend(elasticsearch_server.url, index_prefix=prefix, shards=2, replicas=0):
        pass
    for name in ("sessions", "messages", "summaries"):
        template = (await raw.indices.get_index_template(name=f"{prefix}_{name}"))["index_templates"][0]
        assert template["index_template"]["version"] == schema.SCHEMA_VERSION
        made = (await raw.indices.get(index=f"{prefix}_{name}"))[f"{prefix}_{name}"]
        assert made["mappings"]["_meta"] == {"schema": schema.SCHEMA_VERSION}
        assert made["mappings"]["dynamic"] == "strict"
        assert made["mappings"].get("_routing", {}).get("required", False) is (name != "sessions")
        settings = made["settings"]["index"]
        assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("2", "0")


async def test_index_of_a_newer_version_is_refused(
    elasticsearch_server: ElasticsearchService, elasticsearch_prefix: str, raw: AsyncElasticsearch
) -> None:
    await raw.indices.create(index=f"{elasticsearch_prefix}_messages", mappings={"_meta": {"schema": 99}})
    backend = ElasticsearchBackend(elasticsearch_server.url, index_prefix=elasticsearch_prefix, replicas=0)
    with pytest.raises(SchemaVersionError, match="newer version") as caught:
        await backend.connect()
    assert (caught.value.found, caught.value.expected) == ("99", str(schema.SCHEMA_VERSION))


async def test_index_of_another_program_is_refused(
    elasticsearch_server: ElasticsearchService, elasticsearch_prefix: str, raw: AsyncElasticsearch
) -> None:
    await raw.indices.create(index=f"{elasticsearch_prefix}_sessions")
    backend = ElasticsearchBackend(elasticsearch_server.url, index_prefix=elasticsearch_prefix, replicas=0)
    with pytest.raises(SchemaVersionError, match="another index_prefix"):
        await backend.connect()


async def test_index_of_an_older_version_gets_the_new_fields(
    elasticsearch_server: ElasticsearchService,
    elasticsearch_prefix: str,
    raw: AsyncElasticsearch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def opened() -> None:
        async with ElasticsearchBackend(elasticsearch_server.url, index_prefix=elasticsearch_prefix, replicas=0):
            pass

    await opened()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    monkeypatch.setitem(schema.FIELDS, "messages", {**schema.FIELDS["messages"], "mood": {"type": "keyword"}})
    await opened()
    name = f"{elasticsearch_prefix}_messages"
    mappings = (await raw.indices.get_mapping(index=name))[name]["mappings"]
    assert mappings["_meta"] == {"schema": schema.SCHEMA_VERSION}
    assert mappings["properties"]["mood"] == {"type": "keyword"}


async def test_template_of_the_users_may_outrank_ours(
    elasticsearch_server: ElasticsearchService, elasticsearch_prefix: str, raw: AsyncElasticsearch
) -> None:
    prefix = elasticsearch_prefix
    settings = {"settings": {"number_of_replicas": 0, "refresh_interval": "7s"}}
    await raw.indices.put_index_template(
        name=f"{prefix}-all", index_patterns=[f"{prefix}*"], priority=900, template=settings
    )
    for _ in range(2):
        async with ElasticsearchBackend(elasticsearch_server.url, index_prefix=prefix):
            pass
    made = (await raw.indices.get(index=f"{prefix}_messages"))[f"{prefix}_messages"]
    assert made["settings"]["index"]["refresh_interval"] == "7s"
    assert made["mappings"]["_meta"] == {"schema": schema.SCHEMA_VERSION}


async def test_messages_behind_an_alias_are_used(
    elasticsearch_server: ElasticsearchService, elasticsearch_prefix: str, raw: AsyncElasticsearch
) -> None:
    prefix = elasticsearch_prefix
    settings = {"number_of_shards": 3, "number_of_replicas": 0}
    await raw.indices.create(
        index=f"{prefix}-of-2100",
        mappings=schema.mappings("messages"),
        settings=settings,
        aliases={f"{prefix}_messages": {}},
    )
    async with ElasticsearchBackend(elasticsearch_server.url, index_prefix=prefix, replicas=0) as backend:
        for number in range(5):
            await backend.repository.insert_session(new_session(f"s,{number}", status=SessionStatus.PAUSED))
            await backend.repository.append(f"s,{number}", new_messages(3), now=START)
            found = await backend.repository.read_messages(f"s,{number}", MessageQuery())
            assert [message.seq for message in found] == [1, 2, 3]
    assert (await raw.count(index=f"{prefix}-of-2100"))["count"] <= 15
