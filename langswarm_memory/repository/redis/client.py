"""From settings to a client: one server, a primary that Sentinels know, or a Cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    RedisCluster,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import EqualJitterBackoff

from ...errors import MemoryConfigurationError
from ...settings import RedisSettings
from .commands import Client, Commands

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds before a command is sent again
SENTINEL_PORT = 26_379
UNLIMITED = 2**31  # connections of the client; `Commands` keeps the limit

_SAME_CONNECTION = ("host", "port", "db", "username", "password", "path", "client_name", "credential_provider")
_TLS_CONNECTIONS = (SSLConnection, redis.SSLConnection)

Make = Callable[[], Client]
Node = tuple[str, int]


def connect(settings: RedisSettings) -> Commands:
    """Return the way to the server of the settings, without I/O.

    Raises:
        MemoryConfigurationError: The URL, an option in it, a file or the client cannot be used.
    """
    given = settings.client
    if isinstance(given, Redis | RedisCluster) and not given.get_encoder().decode_responses:
        return Commands(lambda: given, owned=False, turns=settings.max_connections, timeout=settings.timeout)
    try:
        make = _by_address(settings) if given is None else _like(given, settings)
        _check(make())
    except (TypeError, ValueError, redis.RedisError) as exc:
        if isinstance(exc, MemoryConfigurationError):
            raise
        # Neither chained nor quoted: the text of such errors may hold the URL, and with it the password.
        raise MemoryConfigurationError("the URL, or an option in it, cannot be used", "redis") from None
    return Commands(make, turns=settings.max_connections, timeout=settings.timeout)


def _check(client: Any) -> None:
    """Make one connection, without connecting it, to see whether the driver takes all options."""
    if isinstance(client, Redis):
        pool: Any = client.connection_pool
        pool.make_connection()


# --- by URL or parts ------------------------------------------------------------------------------------------------


def _by_address(settings: RedisSettings) -> Make:
    scheme, _, rest = (settings.url or "").partition("://")
    kind = scheme.partition("+")[2]
    options: dict[str, Any] = {"db": settings.db, "username": settings.username, "password": settings.password}
    if kind == "sentinel":
        nodes, service, found = _parse_sentinels(rest)
        return _sentinels(nodes, service, options | found, settings, tls=settings.ssl or scheme.startswith("rediss"))
    found = dict(parse_url(f"{scheme.partition('+')[0]}://{rest}")) if settings.url else {}
    connection_class = found.pop("connection_class", None)
    tls = settings.ssl or connection_class is SSLConnection
    if connection_class is UnixDomainSocketConnection:
        if "path" not in found:
            raise MemoryConfigurationError("url names no path", "redis")
        return _server(UnixDomainSocketConnection, options | found, settings)
    options |= {"host": settings.host, "port": settings.port, **found}
    if kind == "cluster":
        node = options.pop("host"), options.pop("port")
        return _cluster([node], options, settings, tls=tls)
    return _server(SSLConnection if tls else Connection, options, settings, tls=tls)


def _parse_sentinels(rest: str) -> tuple[list[Node], str, dict[str, Any]]:
    parts = urlsplit("//" + rest)
    account, _, hosts = parts.netloc.rpartition("@")
    nodes = []
    for host in hosts.split(","):
        node = urlsplit("//" + host)
        nodes.append((node.hostname or "", node.port or SENTINEL_PORT))
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not all(host for host, _ in nodes):
        raise MemoryConfigurationError("a Sentinel's url is redis+sentinel://host:port,host:port/service/db", "redis")
    if db and not db.isdigit():
        raise MemoryConfigurationError("the number of the database, at the end of the url, is not a number", "redis")
    found: dict[str, Any] = dict(parse_url(f"redis://{account}@localhost/{db}?{parts.query}"))
    found.pop("host")
    return nodes, unquote(service), found


# --- after a client that cannot be used itself ----------------------------------------------------------------------


def _like(client: Any, settings: RedisSettings) -> Make:
    """Return what makes a client with the connection settings of one that blocks, or that decodes its replies."""
    if isinstance(client, RedisCluster | redis.RedisCluster):
        manager = client.nodes_manager
        given = client.connection_kwargs if isinstance(client, RedisCluster) else manager.connection_kwargs
        nodes = [(str(node.host), int(node.port)) for node in manager.startup_nodes.values()]
        options = _kept(given)
        for name in ("host", "port", "path"):
            options.pop(name, None)
        return _cluster(
            nodes, options, settings, tls=_uses_tls(given.get("connection_class")) or bool(given.get("ssl"))
        )
    if not isinstance(client, Redis | redis.Redis):
        raise MemoryConfigurationError(
            f"client must be a client of redis-py, got {type(client).__name__}",
            "redis",
            suggestion="pass redis.asyncio.Redis(...), or its url",
        )
    pool: Any = client.connection_pool
    options, tls = _kept(pool.connection_kwargs), _uses_tls(pool.connection_class)
    if hasattr(pool, "sentinel_manager"):
        known = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
        nodes = [(one["host"], one["port"]) for one in known]
        return _sentinels(nodes, pool.service_name, options, settings, tls=tls, password=known[0].get("password"))
    if "path" in options:
        return _server(UnixDomainSocketConnection, options, settings)
    return _server(SSLConnection if tls else Connection, options, settings, tls=False)


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in options.items()
        if value is not None and (name in _SAME_CONNECTION or name.startswith("ssl_"))
    }


def _uses_tls(connection_class: Any) -> bool:
    return isinstance(connection_class, type) and issubclass(connection_class, _TLS_CONNECTIONS)


# --- the three kinds ------------------------------------------------------------------------------------------------


def _options(settings: RedisSettings, given: Mapping[str, Any], *, tls: bool) -> dict[str, Any]:
    """Return the options of a connection: those of the settings, and over them what the URL says."""
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "socket_keepalive": True,
        # Not after a time-out: whoever waited that long should hear of it, not wait as long again, and again.
        "retry": Retry(EqualJitterBackoff(LONGEST_PAUSE, FIRST_PAUSE), settings.retries, (redis.ConnectionError,)),
        "retry_on_error": [redis.ConnectionError],
    }
    if tls:
        files = {
            "ssl_ca_certs": settings.ssl_ca_certs,
            "ssl_certfile": settings.ssl_certfile,
            "ssl_keyfile": settings.ssl_keyfile,
        }
        options |= {"ssl_cert_reqs": settings.ssl_cert_reqs, **files}
    options |= given
    if tls and options["ssl_cert_reqs"] == "none":
        options.setdefault("ssl_check_hostname", False)
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if options.get(name) is not None and not Path(options[name]).is_file():
            raise MemoryConfigurationError(f"{name} names no file", "redis")
    for name in ("decode_responses", "timeout"):  # ours to say; the second is that of a pool that is not ours
        options.pop(name, None)
    options["max_connections"] = UNLIMITED
    return options


def _server(
    connection_class: type[Any], given: Mapping[str, Any], settings: RedisSettings, *, tls: bool = False
) -> Make:
    options = _options(settings, given, tls=tls)
    if connection_class is UnixDomainSocketConnection:
        del options["socket_keepalive"]

    def make() -> Client:
        return Redis.from_pool(ConnectionPool(connection_class=connection_class, **options))

    return make


def _sentinels(
    nodes: Sequence[Node],
    service: str,
    given: Mapping[str, Any],
    settings: RedisSettings,
    *,
    tls: bool,
    password: str | None = None,
) -> Make:
    options = _options(settings, given, tls=tls)
    known = {name: options[name] for name in options if name.startswith(("socket_", "ssl_"))}
    known |= {"password": password or settings.sentinel_password, "ssl": tls, "retry": options["retry"]}
    connection_class = SentinelManagedSSLConnection if tls else SentinelManagedConnection

    make_sentinel: Any = Sentinel
    make_pool: Any = SentinelConnectionPool

    def make() -> Client:
        sentinel = make_sentinel(nodes, sentinel_kwargs=known)
        return Redis.from_pool(make_pool(service, sentinel, connection_class=connection_class, **options))

    return make


def _cluster(nodes: Sequence[Node], given: Mapping[str, Any], settings: RedisSettings, *, tls: bool) -> Make:
    options = _options(settings, given, tls=tls)
    if options.pop("db", 0):
        raise MemoryConfigurationError("a Cluster has only database 0", "redis")

    def make() -> Client:
        return RedisCluster(startup_nodes=[ClusterNode(*node) for node in nodes], ssl=tls, **options)

    return make
