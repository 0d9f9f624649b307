"""Every option does what it says, and a wrong one is told before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from langswarm_memory import Message, SessionMetadata
from langswarm_memory.backends.redis import RedisBackend
from langswarm_memory.errors import MemoryConfigurationError
from tests.services.redis import RedisService
from tests.stores.redis.conftest import Make

pytestmark = pytest.mark.store("redis")


def options(**given: Any) -> dict[str, Any]:
    """Return the options of the connections that a backend of these settings would make."""
    client = RedisBackend(**given).get_redis()
    assert isinstance(client, Redis)
    return dict(client.connection_pool.connection_kwargs)


def some(found: dict[str, Any], *names: str) -> list[Any]:
    return [found.get(name) for name in names]


PLACE = ("host", "port", "db", "username", "password")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["localhost", 6379, 0, None, None]),
        ({"host": "h", "port": 1, "db": 2, "username": "u", "password": "p"}, ["h", 1, 2, "u", "p"]),
        ({"url": "redis://u:p%40@h:1/2"}, ["h", 1, 2, "u", "p@"]),
        ({"url": "redis://h"}, ["h", 6379, 0, None, None]),
        ({"url": "redis://h", "port": 7, "db": 3, "password": "p"}, ["h", 7, 3, None, "p"]),
        ({"url": "redis://u:p@h:1/2", "host": "x", "port": 9, "db": 9, "password": "y"}, ["h", 1, 2, "u", "p"]),
        ({"url": "rediss://h:1"}, ["h", 1, 0, None, None]),
        ({"redis_url": "redis://h"}, ["h", 6379, 0, None, None]),
    ],
)
def test_url_goes_before_parts(given: dict[str, Any], expected: list[Any]) -> None:
    assert some(options(**given), *PLACE) == expected


def test_unix_socket_is_a_path() -> None:
    client = RedisBackend(url="unix:///run/redis.sock?db=1").get_redis()
    assert client.connection_pool.connection_class is UnixDomainSocketConnection
    assert some(client.connection_pool.connection_kwargs, "path", "db") == ["/run/redis.sock", 1]


@pytest.mark.parametrize("given", [{"url": "rediss://h"}, {"ssl": True}, {"url": "redis://h", "ssl": True}])
def test_tls_is_asked_for_by_url_or_option(given: dict[str, Any]) -> None:
    assert RedisBackend(**given).get_redis().connection_pool.connection_class is SSLConnection


def test_tls_options_reach_the_connection(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")}
    for path in files.values():
        Path(path).touch()
    found = options(ssl=True, **files)
    assert some(found, *files) == list(files.values())
    assert found["ssl_cert_reqs"] == "required"


def test_certificate_that_is_not_asked_for_needs_no_name_either() -> None:
    assert some(options(ssl=True, ssl_cert_reqs="none"), "ssl_cert_reqs", "ssl_check_hostname") == ["none", False]


def test_tls_options_without_tls_are_left_alone() -> None:
    assert "ssl_cert_reqs" not in options(ssl_cert_reqs="none")


def test_timeout_is_that_of_connections_and_replies() -> None:
    assert some(options(timeout=1.5), "socket_timeout", "socket_connect_timeout") == [1.5, 1.5]


def test_url_options_go_before_settings() -> None:
    found = options(url="redis://h?socket_timeout=3&client_name=me", timeout=1.5)
    assert some(found, "socket_timeout", "socket_connect_timeout", "client_name") == [3, 1.5, "me"]


@pytest.mark.parametrize("retries", [0, 5])
def test_retries_are_counted(retries: int) -> None:
    assert options(retries=retries)["retry"].get_retries() == retries


def test_replies_are_never_decoded() -> None:
    assert RedisBackend(url="redis://h?decode_responses=true").get_redis().get_encoder().decode_responses is False


def test_cluster_is_asked_for_by_url() -> None:
    client = RedisBackend(url="redis+cluster://u:p@h:7000", timeout=2).get_redis()
    assert isinstance(client, RedisCluster)
    [node] = client.nodes_manager.startup_nodes.values()
    assert (node.host, node.port) == ("h", 7000)
    assert some(client.connection_kwargs, "username", "password", "socket_timeout") == ["u", "p", 2]


def test_cluster_with_tls_is_asked_for_by_url() -> None:
    client = RedisBackend(url="rediss+cluster://h:7000").get_redis()
    assert isinstance(client, RedisCluster)
    assert client.connection_kwargs["connection_class"] is SSLConnection


def test_sentinels_are_asked_for_by_url() -> None:
    client = RedisBackend(url="redis+sentinel://u:p%20@h1:1,h2/main/3", sentinel_password="q", timeout=2).get_redis()
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.is_master) == ("main", True)
    assert some(pool.connection_kwargs, "username", "password", "db", "socket_timeout") == ["u", "p ", 3, 2]
    known = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [some(one, "host", "port", "password", "socket_timeout") for one in known] == [
        ["h1", 1, "q", 2],
        ["h2", 26_379, "q", 2],
    ]


def test_sentinels_with_tls_are_asked_for_by_url() -> None:
    pool = RedisBackend(url="rediss+sentinel://h1/main", ssl_cert_reqs="none").get_redis().connection_pool
    assert pool.connection_class is SentinelManagedSSLConnection
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_class is SSLConnection


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://h:secret"},
        {"url": "redis://h:secret"},
        {"url": "redis://h?socket_timeout=secret"},
        {"url": "redis://h?secret=1"},
        {"url": "redis+cluster://h:secret"},
        {"url": "redis+cluster://h:1/2"},
        {"url": "redis+cluster://h", "db": 1},
        {"url": "redis+sentinel://h:1"},
        {"url": "redis+sentinel://h:1/service/secret"},
        {"url": "redis+sentinel://,/service"},
        {"url": "unix://"},
        {"ssl": True, "ssl_ca_certs": "/nowhere/ca.pem"},
        {"client": "redis://:secret@h"},
        {"client": object()},
        {"password": b"secret"},
        {"port": 0},
        {"db": -1},
        {"key_prefix": "a{b}"},
        {"max_connections": 0},
        {"timeout": 0},
        {"retries": -1},
        {"ssl_cert_reqs": "some"},
    ],
)
def test_wrong_setting_is_refused_without_telling_secrets(given: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError) as caught:
        RedisBackend(**given)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_accessors_say_what_was_set() -> None:
    backend = RedisBackend(prefix="p:", ttl_seconds=60)
    assert (backend.get_key_prefix(), backend.get_ttl()) == ("p:", 60)


@pytest.mark.parametrize(("given", "ttl"), [({}, 86_400), ({"ttl": None}, None), ({"ttl": 0}, None)])
def test_sessions_expire_after_a_day_unless_told_otherwise(given: dict[str, Any], ttl: int | None) -> None:
    assert RedisBackend(**given).get_ttl() == ttl


# --- a client of the caller's -----------------------------------------------------------------------------------------


async def used(backend: RedisBackend) -> None:
    async with backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello"))
        assert [message.content for message in await session.get_messages()] == ["hello"]
        await backend.delete_session("s")


async def test_client_of_the_callers_is_used_and_left_open(redis_server: RedisService, make: Make) -> None:
    async with Redis.from_url(redis_server.url, client_name="of-the-caller") as client:
        backend = make(client=client)
        assert backend.get_redis() is client
        await used(backend)
        with redis_server.client() as other:
            assert "of-the-caller" in {one["name"] for one in other.client_list()}


@pytest.mark.parametrize("kind", [redis.Redis, Redis])
async def test_client_that_blocks_or_decodes_is_replaced_by_one_like_it(
    redis_server: RedisService, make: Make, kind: Any
) -> None:
    url = redis_server.url.replace("/0", "/5")
    given = kind.from_url(url, decode_responses=True, client_name="named")
    backend = make(url=None, client=given)
    client = backend.get_redis()
    wanted = {**given.connection_pool.connection_kwargs}
    names = ("host", "port", "db", "client_name")
    assert some(client.connection_pool.connection_kwargs, *names) == some(wanted, *names)
    await used(backend)
    (await given.aclose()) if kind is Redis else given.close()


def test_tls_client_is_replaced_by_a_tls_client() -> None:
    given = redis.Redis.from_url("rediss://h:1", ssl_cert_reqs="none", ssl_check_hostname=False)
    pool = RedisBackend(client=given).get_redis().connection_pool
    assert pool.connection_class is SSLConnection
    assert some(pool.connection_kwargs, "host", "port", "ssl_cert_reqs") == ["h", 1, "none"]


def test_unix_socket_client_is_replaced_by_one() -> None:
    given = redis.Redis(unix_socket_path="/run/redis.sock", db=2)
    pool = RedisBackend(client=given).get_redis().connection_pool
    assert pool.connection_class is UnixDomainSocketConnection
    assert some(pool.connection_kwargs, "path", "db") == ["/run/redis.sock", 2]


def test_sentinel_client_is_replaced_by_one() -> None:
    sentinel = redis.Sentinel([("h1", 1)], sentinel_kwargs={"password": "q"})
    pool = RedisBackend(client=sentinel.master_for("main", password="p")).get_redis().connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.connection_kwargs["password"]) == ("main", "p")
    known = pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    assert some(known, "host", "port", "password") == ["h1", 1, "q"]


@pytest.mark.store("redis-cluster")
@pytest.mark.parametrize("kind", [redis.RedisCluster, RedisCluster])
async def test_cluster_client_that_blocks_or_decodes_is_replaced_by_one(
    redis_cluster_server: RedisService, redis_cluster_prefix: str, kind: Any
) -> None:
    given = kind.from_url(redis_cluster_server.url, decode_responses=True)
    backend = RedisBackend(client=given, key_prefix=redis_cluster_prefix)
    assert isinstance(backend.get_redis(), RedisCluster)
    await used(backend)
    (await given.aclose()) if kind is RedisCluster else given.close()


def test_secrets_do_not_show() -> None:
    backend = RedisBackend(url="redis://u:secret@h", sentinel_password="secret")
    assert "secret" not in repr(backend) + repr(backend.settings)
