"""Settings of the Redis store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from .base import BackendSettings, assign, is_int, is_number, require

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings(BackendSettings):
    """Settings of the Redis backend.

    Args:
        ttl: Seconds after its last message that a session expires; Redis then removes it by itself. None or 0: never.
        url: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://path``; wins over the parts below.
            ``redis+cluster://host:port`` for a Cluster (any of its nodes), and
            ``redis+sentinel://host:26379,host:26379/service/db`` for a primary that Sentinels know.
        host: Server.
        port: Port.
        db: Number of the database. A Cluster has only 0.
        username: User.
        password: Password.
        client: A redis-py client of the caller's, used instead of all above. One that blocks, or that decodes its
            replies, is not used itself: a client with the same connection settings is made.
        key_prefix: Begins every key.
        max_connections: Commands under way at once, and so connections. More callers than that wait for their turn.
        timeout: Seconds to wait for a connection, or for a reply.
        retries: Times a command is sent again, with growing pauses, after the connection was lost.
        compression: Whether messages from 512 bytes are kept compressed (zlib).
        text_search: Whether messages are indexed for text search. ``"auto"``: where the server has RediSearch; True:
            else ``connect`` raises MemoryConfigurationError.
        ssl: Whether to use TLS, as ``rediss://`` does.
        ssl_cert_reqs: ``"required"``, ``"optional"`` or ``"none"``: what is asked of the server's certificate.
        ssl_ca_certs: File of the authorities to trust.
        ssl_certfile: File of the client's certificate.
        ssl_keyfile: File of its key.
        sentinel_password: Password of the Sentinels themselves.
    """

    ttl: int | None = 86_400
    url: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    key_prefix: str = "langswarm:memory:"
    max_connections: int = 10
    timeout: float = 10.0
    retries: int = 3
    compression: bool = False
    text_search: bool | Literal["auto"] = "auto"
    ssl: bool = False
    ssl_cert_reqs: str = "required"
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    address: ClassVar[str | None] = "url"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "prefix": "key_prefix",
        "pool_size": "max_connections",
        "socket_timeout": "timeout",
        "user": "username",
        "connection_string": "url",
        "redis_url": "url",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        if isinstance(self.ssl_cert_reqs, bool) or self.ssl_cert_reqs is None:
            assign(self, "ssl_cert_reqs", "required" if self.ssl_cert_reqs else "none")
        scheme = (self.url or "redis://").partition("://")[0] if isinstance(self.url or "", str) else ""
        require(scheme in SCHEMES, f"url must be text that begins with one of {', '.join(f'{s}://' for s in SCHEMES)}")
        require(isinstance(self.host, str) and bool(self.host), "host must be text")
        require(is_int(self.port, 1, 65_535), "port must be an int from 1 to 65,535")
        require(is_int(self.db, 0), "db must be an int from 0")
        require(isinstance(self.key_prefix, str) and "{" not in self.key_prefix, "key_prefix must be text without '{'")
        for name in ("username", "password", "sentinel_password"):
            require(isinstance(getattr(self, name), str | None), f"{name} must be text or None")
        require(is_int(self.max_connections, 1), "max_connections must be an int from 1")
        require(self.text_search in (True, False, "auto"), "text_search must be True, False or 'auto'")
        require(is_int(self.retries, 0), "retries must be an int from 0")
        require(is_number(self.timeout, 0.001), "timeout must be seconds above 0")
        require(
            self.ssl_cert_reqs in ("required", "optional", "none"),
            "ssl_cert_reqs must be 'required', 'optional' or 'none'",
        )
