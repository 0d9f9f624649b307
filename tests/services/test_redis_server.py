"""The Redis servers that the tests bring up, by what the adapter needs of them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from tests.services.fixtures_servers import require
from tests.services.redis import RedisClusterServer, RedisServer, RedisService

APPEND = """
local seq = redis.call('INCRBY', KEYS[1], #ARGV)
for i, body in ipairs(ARGV) do redis.call('ZADD', KEYS[2], seq - #ARGV + i, body) end
return seq
"""


@pytest.fixture
async def plain(redis_server: RedisService) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.from_url(redis_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def stack(redis_stack_server: RedisService) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.from_url(redis_stack_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def cluster(redis_cluster_server: RedisService) -> AsyncIterator[redis.asyncio.RedisCluster]:
    async with redis.asyncio.RedisCluster.from_url(redis_cluster_server.url, decode_responses=True) as client:
        yield client


async def call(client: redis.asyncio.Redis, *words: object) -> Any:
    """Send a command that the client has no method for."""
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


# ---- plain ---------------------------------------------------------------------------------------------------


async def test_script_appends_in_one_call(plain: redis.asyncio.Redis, redis_prefix: str) -> None:
    keys = [f"{redis_prefix}seq", f"{redis_prefix}log"]
    assert [await plain.eval(APPEND, 2, *keys, "a", "b"), await plain.eval(APPEND, 2, *keys, "c")] == [2, 3]


async def test_unknown_script_is_told_apart(plain: redis.asyncio.Redis) -> None:
    with pytest.raises(NoScriptError):
        await plain.evalsha("0" * 40, 0)


async def test_registered_script_survives_a_script_flush(plain: redis.asyncio.Redis, redis_prefix: str) -> None:
    script = plain.register_script(APPEND)
    await plain.script_flush()
    assert await script(keys=[f"{redis_prefix}seq", f"{redis_prefix}log"], args=["a"]) == 1


async def test_failing_script_keeps_what_it_wrote(plain: redis.asyncio.Redis, redis_prefix: str) -> None:
    with pytest.raises(ResponseError):
        await plain.eval("redis.call('SET', KEYS[1], 'x'); redis.call('INCR', KEYS[1])", 1, f"{redis_prefix}k")
    assert await plain.get(f"{redis_prefix}k") == "x"


async def test_fresh_prefix_leaves_no_key(redis_server: RedisService, plain: redis.asyncio.Redis) -> None:
    with redis_server.fresh_prefix() as prefix:
        await plain.set(f"{prefix}k", "1")
    assert await plain.keys(f"{prefix}*") == []


async def test_plain_server_has_no_search(plain: redis.asyncio.Redis) -> None:
    with pytest.raises(ResponseError, match="unknown command 'FT"):
        await call(plain, "FT._LIST")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("HEXPIRE", ["h", 1, "FIELDS", 1, "f"]),
        ("JSON.GET", ["k"]),
        ("VADD", ["v", "VALUES", 1, 1, "e"]),
        ("XACKDEL", ["s", "g", "IDS", 1, "1-1"]),
    ],
)
async def test_plain_server_is_of_before_redis_7_4(
    plain: redis.asyncio.Redis, command: str, arguments: list[str | int]
) -> None:
    with pytest.raises(ResponseError, match="unknown command"):
        await call(plain, command, *arguments)


async def test_password_is_demanded_where_set(pytestconfig: pytest.Config) -> None:
    require(pytestconfig, "redis")
    with RedisServer({"requirepass": "secret"}) as server:
        async with redis.asyncio.from_url(server.url) as good:
            assert await good.ping()
        async with redis.asyncio.from_url(server.url.replace("secret", "wrong")) as bad:
            with pytest.raises(AuthenticationError):
                await bad.ping()


async def test_replica_refuses_writes(pytestconfig: pytest.Config, redis_server: RedisService) -> None:
    require(pytestconfig, "redis")
    with RedisServer() as primary, RedisServer({"replicaof": f"127.0.0.1 {primary.port}"}) as replica:
        async with redis.asyncio.from_url(replica.url) as client:
            with pytest.raises(ReadOnlyError):
                await client.set("k", "v")


async def test_restart_keeps_what_was_acknowledged(redis_to_break: RedisServer) -> None:
    async with redis.asyncio.from_url(redis_to_break.url) as client:
        await client.set("kept", "1")
    redis_to_break.restart("immediate")
    async with redis.asyncio.from_url(redis_to_break.url) as client:
        assert await client.get("kept") == b"1"


async def test_paused_server_times_out(redis_to_break: RedisServer) -> None:
    async with redis.asyncio.from_url(redis_to_break.url, socket_timeout=0.1, retry=None) as client:
        redis_to_break.pause()
        try:
            with pytest.raises(TimeoutError):
                await client.ping()
        finally:
            redis_to_break.resume()


async def test_stopped_server_refuses_connections(redis_to_break: RedisServer) -> None:
    redis_to_break.stop()
    try:
        async with redis.asyncio.from_url(redis_to_break.url, retry=None) as client:
            with pytest.raises(ConnectionError):
                await client.ping()
    finally:
        redis_to_break.start()


# ---- with search ---------------------------------------------------------------------------------------------


async def test_search_finds_text_of_one_user(stack: redis.asyncio.Redis, redis_stack_prefix: str) -> None:
    p = redis_stack_prefix
    await call(
        stack,
        *("FT.CREATE", f"{p}index", "ON", "HASH", "PREFIX", 1, f"{p}m:", "SCHEMA"),
        *("user", "TAG", "CASESENSITIVE", "at", "NUMERIC", "SORTABLE", "text", "TEXT"),
    )
    await stack.hset(f"{p}m:1", mapping={"user": "Al ice", "at": 1, "text": "a wide world"})
    await stack.hset(f"{p}m:2", mapping={"user": "bob", "at": 2, "text": "a wide world"})
    answer = await call(
        stack,
        *("FT.SEARCH", f"{p}index", "@user:{$u} @text:wide @at:[1 +inf]"),
        *("PARAMS", 2, "u", "Al ice", "SORTBY", "at", "DESC", "NOCONTENT", "DIALECT", 2),
    )
    await call(stack, "FT.DROPINDEX", f"{p}index")
    assert [hit["id"] for hit in answer["results"]] == [f"{p}m:1"]


async def test_search_finds_the_nearest_vector(stack: redis.asyncio.Redis, redis_stack_prefix: str) -> None:
    p = redis_stack_prefix
    await call(
        stack,
        *("FT.CREATE", f"{p}index", "ON", "HASH", "PREFIX", 1, f"{p}v:", "SCHEMA", "user", "TAG"),
        *("vector", "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "COSINE"),
    )
    for name, user, vector in (("1", "a", (1.0, 0.0)), ("2", "a", (0.0, 1.0)), ("3", "b", (1.0, 0.1))):
        await stack.hset(f"{p}v:{name}", mapping={"user": user, "vector": struct.pack("2f", *vector)})
    answer = await call(
        stack,
        *("FT.SEARCH", f"{p}index", "(@user:{a})=>[KNN 1 @vector $q AS distance]"),
        *("PARAMS", 2, "q", struct.pack("2f", 1.0, 0.1), "SORTBY", "distance", "NOCONTENT", "DIALECT", 2),
    )
    await call(stack, "FT.DROPINDEX", f"{p}index")
    assert [hit["id"] for hit in answer["results"]] == [f"{p}v:1"]


async def test_stack_stores_json(stack: redis.asyncio.Redis, redis_stack_prefix: str) -> None:
    await call(stack, "JSON.SET", f"{redis_stack_prefix}j", "$", '{"a": [1, 2]}')
    assert await call(stack, "JSON.GET", f"{redis_stack_prefix}j", "$.a[1]") == "[2]"


# ---- cluster -------------------------------------------------------------------------------------------------


async def test_cluster_spreads_keys_over_three_nodes(
    cluster: redis.asyncio.RedisCluster, redis_cluster_prefix: str
) -> None:
    keys = [f"{redis_cluster_prefix}{number}" for number in range(64)]
    nodes = {cluster.get_node_from_key(key) for key in keys}
    assert len(nodes) == 3


async def test_script_over_keys_of_one_hash_tag_runs(
    cluster: redis.asyncio.RedisCluster, redis_cluster_prefix: str
) -> None:
    keys = [f"{redis_cluster_prefix}{{s1}}:seq", f"{redis_cluster_prefix}{{s1}}:log"]
    assert await cluster.eval(APPEND, 2, *keys, "a", "b") == 2


async def test_script_over_keys_of_two_slots_is_refused(cluster: redis.asyncio.RedisCluster) -> None:
    with pytest.raises(redis.exceptions.RedisClusterException, match="must map to the same key slot"):
        await cluster.eval(APPEND, 2, "{s1}:seq", "{s2}:log", "a")


async def test_registered_script_reaches_a_node_that_never_saw_it(
    cluster: redis.asyncio.RedisCluster, redis_cluster_prefix: str
) -> None:
    await cluster.script_flush()
    script = cluster.register_script(APPEND)
    tags = [f"{redis_cluster_prefix}{{{number}}}" for number in range(8)]
    answers = await asyncio.gather(*(script(keys=[f"{tag}:seq", f"{tag}:log"], args=["a"]) for tag in tags))
    assert answers == [1] * len(tags)


async def test_database_other_than_zero_is_refused_by_a_cluster(redis_cluster_server: RedisService) -> None:
    async with redis.asyncio.from_url(redis_cluster_server.url.removesuffix("/0") + "/1") as client:
        with pytest.raises(ResponseError, match="SELECT is not allowed in cluster mode"):
            await client.ping()


async def test_cluster_of_a_stopped_node_fails(redis_cluster_to_break: RedisClusterServer) -> None:
    redis_cluster_to_break.nodes[1].stop("immediate")
    try:
        redis_cluster_to_break.await_state("fail")
        async with redis.asyncio.from_url(redis_cluster_to_break.url) as client:
            with pytest.raises(redis.exceptions.ClusterDownError):
                await client.get("any")
    finally:
        redis_cluster_to_break.nodes[1].start()
        redis_cluster_to_break.await_state("ok")


async def test_cluster_keeps_its_ports_over_a_restart(redis_cluster_to_break: RedisClusterServer) -> None:
    before = [node.port for node in redis_cluster_to_break.nodes]
    redis_cluster_to_break.restart()
    async with redis.asyncio.RedisCluster.from_url(redis_cluster_to_break.url) as client:
        await client.set("k", "v")
        assert sorted(node.port for node in client.get_primaries()) == sorted(before)
