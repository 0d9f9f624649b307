"""The Elasticsearch node that the tests bring up, by what the adapter needs of it, and the modules that it lacks.

A complete distribution has all of them. An adapter may use one only where it does without it as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    AuthenticationException,
    BadRequestError,
    ConflictError,
    ConnectionTimeout,
    NotFoundError,
)
from elasticsearch.helpers import async_scan

from tests.services.elasticsearch import (
    URL_VARIABLE,
    ElasticsearchServer,
    ElasticsearchService,
    service_from_environment,
)
from tests.services.fixtures_servers import own_elasticsearch

MAPPINGS: dict[str, Any] = {
    "dynamic": False,
    "_routing": {"required": True},
    "_meta": {"schema": 3},
    "properties": {
        "session_id": {"type": "keyword"},
        "seq": {"type": "long"},
        "at": {"type": "date_nanos"},
        "text": {"type": "text"},
        "raw": {"type": "object", "enabled": False},
        "body": {"type": "keyword", "index": False, "doc_values": False},
    },
}

bare_node_only = pytest.mark.skipif(
    service_from_environment() is not None, reason=f"says what a bare node lacks; the server is that of {URL_VARIABLE}"
)


@pytest.fixture
async def client(elasticsearch_server: ElasticsearchService) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(elasticsearch_server.url) as client:
        yield client


@pytest.fixture
async def index(client: AsyncElasticsearch, elasticsearch_prefix: str) -> str:
    """An index made by a template, with 30 messages of one session."""
    await client.indices.put_index_template(
        name=elasticsearch_prefix,
        index_patterns=[f"{elasticsearch_prefix}-*"],
        version=3,
        priority=500,
        template={"settings": {"number_of_shards": 2, "number_of_replicas": 0}, "mappings": MAPPINGS},
    )
    name = f"{elasticsearch_prefix}-messages"
    operations: list[dict[str, Any]] = []
    for seq in range(30):
        operations.append({"create": {"_index": name, "_id": f"a:{seq}", "routing": "a"}})
        operations.append({"session_id": "a", "seq": seq, "text": f"hello {seq}"})
    assert not (await client.bulk(operations=operations, refresh=True))["errors"]
    return name


async def test_template_gives_a_new_index_its_mapping(client: AsyncElasticsearch, index: str) -> None:
    mapping = await client.indices.get_mapping(index=index)
    assert mapping[index]["mappings"]["_meta"] == {"schema": 3}


async def test_template_tells_its_version(client: AsyncElasticsearch, index: str, elasticsearch_prefix: str) -> None:
    answer = await client.indices.get_index_template(name=elasticsearch_prefix)
    assert answer["index_templates"][0]["index_template"]["version"] == 3


async def test_fresh_prefix_leaves_no_index(
    elasticsearch_server: ElasticsearchService, client: AsyncElasticsearch
) -> None:
    with elasticsearch_server.fresh_prefix() as prefix:
        await client.indices.create(index=f"{prefix}-x")
    assert not await client.indices.exists(index=f"{prefix}-x")


async def test_bulk_tells_what_became_of_each_item(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.bulk(
        operations=[
            {"create": {"_index": index, "_id": "a:1", "routing": "a"}},
            {"seq": 1},
            {"index": {"_index": index, "_id": "a:98", "routing": "a"}},
            {"seq": "not a number"},
            {"index": {"_index": index, "_id": "a:99"}},
            {"seq": 99},
            {"index": {"_index": index, "_id": "a:100", "routing": "a"}},
            {"seq": 100},
            {"delete": {"_index": index, "_id": "a:101", "routing": "a"}},
        ]
    )
    items = [next(iter(item.values())) for item in answer["items"]]
    assert [(item["status"], item.get("error", {}).get("type")) for item in items] == [
        (409, "version_conflict_engine_exception"),
        (400, "document_parsing_exception"),
        (400, "routing_missing_exception"),
        (201, None),
        (404, None),
    ]


async def test_change_of_a_changed_document_conflicts(client: AsyncElasticsearch, index: str) -> None:
    seen = await client.get(index=index, id="a:3", routing="a")
    unchanged = {"if_seq_no": seen["_seq_no"], "if_primary_term": seen["_primary_term"]}
    await client.index(index=index, id="a:3", routing="a", document={"seq": 3}, **unchanged)
    with pytest.raises(ConflictError) as caught:
        await client.index(index=index, id="a:3", routing="a", document={"seq": 3}, **unchanged)
    assert caught.value.error == "version_conflict_engine_exception"


async def test_second_create_of_an_id_conflicts(client: AsyncElasticsearch, index: str) -> None:
    with pytest.raises(ConflictError):
        await client.create(index=index, id="a:3", routing="a", document={"seq": 3})


async def test_search_tells_what_a_conditional_change_needs(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.search(index=index, routing="a", query={"term": {"seq": 4}}, seq_no_primary_term=True)
    assert answer["hits"]["hits"][0].keys() >= {"_seq_no", "_primary_term"}


async def test_write_is_read_by_id_before_any_refresh(client: AsyncElasticsearch, index: str) -> None:
    await client.index(index=index, id="a:50", routing="a", document={"seq": 50})
    assert (await client.get(index=index, id="a:50", routing="a"))["_source"] == {"seq": 50}


async def test_write_is_not_searched_before_a_refresh(client: AsyncElasticsearch, index: str) -> None:
    await client.indices.put_settings(index=index, settings={"refresh_interval": -1})
    await client.index(index=index, id="a:50", routing="a", document={"seq": 50})
    before = (await client.count(index=index, query={"term": {"seq": 50}}))["count"]
    await client.indices.refresh(index=index)
    assert (before, (await client.count(index=index, query={"term": {"seq": 50}}))["count"]) == (0, 1)


async def test_several_ids_are_read_in_one_request(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.mget(docs=[{"_index": index, "_id": name, "routing": "a"} for name in ("a:1", "a:77")])
    assert [document["found"] for document in answer["docs"]] == [True, False]


async def test_range_is_read_in_order(client: AsyncElasticsearch, index: str) -> None:
    query = {"bool": {"filter": [{"term": {"session_id": "a"}}, {"range": {"seq": {"gte": 10, "lt": 20}}}]}}
    answer = await client.search(index=index, routing="a", query=query, sort=[{"seq": "desc"}], size=3)
    assert [hit["_source"]["seq"] for hit in answer["hits"]["hits"]] == [19, 18, 17]


async def test_next_page_starts_after_the_last_row(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.search(index=index, routing="a", sort=[{"seq": "asc"}], size=2, search_after=[10])
    assert [hit["sort"] for hit in answer["hits"]["hits"]] == [[11], [12]]


async def test_routed_search_asks_one_shard(client: AsyncElasticsearch, index: str) -> None:
    routed = await client.search(index=index, routing="a", size=0)
    assert (routed["_shards"]["total"], (await client.search(index=index, size=0))["_shards"]["total"]) == (1, 2)


async def test_words_are_found(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.search(index=index, query={"match_phrase": {"text": "hello 7"}})
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["a:7"]


async def test_groups_are_counted(client: AsyncElasticsearch, index: str) -> None:
    aggregations = {"by": {"terms": {"field": "session_id"}, "aggs": {"last": {"max": {"field": "seq"}}}}}
    answer = await client.search(index=index, size=0, aggs=aggregations)
    (bucket,) = answer["aggregations"]["by"]["buckets"]
    assert (bucket["key"], bucket["doc_count"], bucket["last"]["value"]) == ("a", 30, 29.0)


async def test_all_documents_are_scanned(client: AsyncElasticsearch, index: str) -> None:
    assert len([hit async for hit in async_scan(client, index=index, size=7)]) == 30


async def test_documents_are_deleted_in_bulk(client: AsyncElasticsearch, index: str) -> None:
    operations = [{"delete": {"_index": index, "_id": f"a:{seq}", "routing": "a"}} for seq in range(10)]
    await client.bulk(operations=operations, refresh=True)
    assert (await client.count(index=index))["count"] == 20


async def test_mapping_takes_a_new_field(client: AsyncElasticsearch, index: str) -> None:
    await client.indices.put_mapping(index=index, properties={"extra": {"type": "keyword"}}, meta={"schema": 4})
    mapping = await client.indices.get_mapping(index=index)
    assert mapping[index]["mappings"]["_meta"] == {"schema": 4}


async def test_sizes_are_told(client: AsyncElasticsearch, index: str) -> None:
    answer = await client.indices.stats(index=index, metric=["docs", "store"])
    assert answer["_all"]["primaries"]["store"]["size_in_bytes"] > 0


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "é\u2028😀"])
async def test_text_comes_back_as_it_was(client: AsyncElasticsearch, index: str, text: str) -> None:
    await client.index(index=index, id="t", routing="a", document={"raw": {"t": text}})
    assert (await client.get(index=index, id="t", routing="a"))["_source"] == {"raw": {"t": text}}


async def test_indexed_keyword_over_32_kb_is_refused(client: AsyncElasticsearch, index: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.index(index=index, id="t", routing="a", document={"session_id": "x" * 40_000})
    assert caught.value.error == "document_parsing_exception"


async def test_stored_keyword_has_no_limit(client: AsyncElasticsearch, index: str) -> None:
    await client.index(index=index, id="t", routing="a", document={"body": "x" * 40_000})
    assert len((await client.get(index=index, id="t", routing="a"))["_source"]["body"]) == 40_000


async def test_missing_document_is_told_from_a_missing_index(client: AsyncElasticsearch, index: str) -> None:
    errors = []
    for name in (index, f"{index}-none"):
        with pytest.raises(NotFoundError) as caught:
            await client.get(index=name, id="none", routing="a")
        errors.append(caught.value.body.get("error", {}).get("type"))
    assert errors == [None, "index_not_found_exception"]


# ---- what it lacks -------------------------------------------------------------------------------------------


@bare_node_only
async def test_root_of_the_server_tells_nothing(client: AsyncElasticsearch) -> None:
    with pytest.raises(ApiError, match="Incorrect HTTP method for uri"):
        await client.info()


@bare_node_only
async def test_ping_says_no_though_the_server_answers(client: AsyncElasticsearch) -> None:
    assert (await client.ping(), (await client.cluster.health())["timed_out"]) == (False, False)


@bare_node_only
async def test_documents_cannot_be_deleted_by_query(client: AsyncElasticsearch, index: str) -> None:
    with pytest.raises(BadRequestError, match="no handler found for uri"):
        await client.delete_by_query(index=index, query={"match_all": {}}, routing="a")


@bare_node_only
async def test_update_by_script_is_refused(client: AsyncElasticsearch, index: str) -> None:
    with pytest.raises(BadRequestError, match="failed to execute script"):
        await client.update(index=index, id="a:1", routing="a", script={"source": "ctx._source.seq += 1"})


@bare_node_only
@pytest.mark.parametrize("kind", ["wildcard", "match_only_text", "constant_keyword", "unsigned_long", "join"])
async def test_field_type_is_unknown(client: AsyncElasticsearch, elasticsearch_prefix: str, kind: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.indices.create(index=f"{elasticsearch_prefix}-x", mappings={"properties": {"f": {"type": kind}}})
    assert "does not exist" in str(caught.value)


@bare_node_only
async def test_analyzer_of_a_language_is_unknown(client: AsyncElasticsearch, elasticsearch_prefix: str) -> None:
    with pytest.raises(BadRequestError, match="analyzer \\[english\\] has not been configured"):
        await client.indices.create(
            index=f"{elasticsearch_prefix}-x", mappings={"properties": {"f": {"type": "text", "analyzer": "english"}}}
        )


# ---- faults --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(pytestconfig: pytest.Config) -> Iterator[ElasticsearchServer]:
    """A server with a password, for this module's tests to break as well: each node costs half a minute."""
    with own_elasticsearch(pytestconfig, password="secret") as server:
        yield server


async def test_password_is_accepted(guarded: ElasticsearchServer) -> None:
    async with AsyncElasticsearch(guarded.url) as client:
        assert (await client.cluster.health())["status"] == "green"


async def test_wrong_password_is_refused(guarded: ElasticsearchServer) -> None:
    async with AsyncElasticsearch(guarded.url.replace("secret", "wrong")) as client:
        with pytest.raises(AuthenticationException):
            await client.cluster.health()


async def test_paused_server_times_out(guarded: ElasticsearchServer) -> None:
    async with AsyncElasticsearch(guarded.url, request_timeout=0.2, max_retries=0) as client:
        guarded.pause()
        try:
            with pytest.raises(ConnectionTimeout):
                await client.cluster.health()
        finally:
            guarded.resume()


async def test_restart_keeps_the_documents(guarded: ElasticsearchServer) -> None:
    async with AsyncElasticsearch(guarded.url) as client:
        await client.index(index="kept", id="1", document={"n": 7}, refresh=True)
        guarded.restart("immediate")
        assert (await client.get(index="kept", id="1"))["_source"] == {"n": 7}
