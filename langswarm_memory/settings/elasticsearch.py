"""Settings of the Elasticsearch store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from .base import BackendSettings, assign, is_int, is_number, require


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticsearchSettings(BackendSettings):
    """Settings of the Elasticsearch backend.

    Args:
        hosts: URLs of nodes, with a port unless it is 443; one may be given as text.
        index_prefix: Begins the names of indexes and index templates.
        api_key: API key, encoded or as (id, key).
        username: User, for basic authentication.
        password: Password.
        ca_certs: File or folder of the authorities to trust.
        verify_certs: Whether the nodes' certificates are checked.
        ssl_assert_fingerprint: SHA-256 of the nodes' certificate, to be trusted as it is.
        client: An ``AsyncElasticsearch`` of the caller's, used instead of all above and not closed.
        refresh: When the searches of other programs find a message that was appended: ``False`` (within a second or
            what ``index.refresh_interval`` says), ``"wait_for"`` (as soon as the append returns, for which it waits up
            to that long) or ``True`` (likewise, by a refresh for each append; costly). What this package reads
            does not depend on it.
        shards: Primary shards of an index that is made.
        replicas: Copies of each shard of an index that is made.
        timeout: Seconds a request may take.
        retries: Times a request is sent again, to another node if there is one, after the connection was lost.
    """

    hosts: Sequence[str] = field(default=("http://localhost:9200",), repr=False)  # may hold a password
    index_prefix: str = "langswarm_memory"
    api_key: Any = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    ssl_assert_fingerprint: str | None = None
    client: Any = field(default=None, repr=False)
    refresh: bool | str = False
    shards: int = 1
    replicas: int = 1
    timeout: float = 10.0
    retries: int = 3

    address: ClassVar[str | None] = "hosts"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "host": "hosts",
        "url": "hosts",
        "prefix": "index_prefix",
        "user": "username",
        "request_timeout": "timeout",
        "max_retries": "retries",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        hosts = (self.hosts,) if isinstance(self.hosts, str) else self.hosts
        require(
            isinstance(hosts, Sequence) and bool(hosts) and all(_is_node(host) for host in hosts),
            "hosts must be URLs that begin with http:// or https://; with http, a port is needed",
        )
        assign(self, "hosts", tuple(hosts))
        require(
            isinstance(self.index_prefix, str)
            and re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,99}", self.index_prefix) is not None,
            "index_prefix must be 1 to 100 small letters, digits, dots, dashes and underscores",
        )
        require(
            (self.username is None) == (self.password is None), "username and password must be given both or neither"
        )
        require(_is_key(self.api_key), "api_key must be text, or (id, key)")
        require(self.api_key is None or self.username is None, "give api_key, or username and password, but not both")
        require(
            isinstance(self.refresh, bool) or self.refresh == "wait_for", "refresh must be 'wait_for', True or False"
        )
        require(is_int(self.shards, 1), "shards must be an int from 1")
        require(is_int(self.replicas, 0), "replicas must be an int from 0")
        require(is_number(self.timeout, 0.001), "timeout must be seconds above 0")
        require(is_int(self.retries, 0), "retries must be an int from 0")


def _is_key(key: object) -> bool:
    pair = key if isinstance(key, tuple | list) else (key, "") if key is not None else ("", "")
    return len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _is_node(host: object) -> bool:
    if not isinstance(host, str):
        return False
    try:
        parts = urlsplit(host)
        return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.port is not None))
    except ValueError:
        return False
