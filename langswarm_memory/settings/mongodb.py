"""Settings of the MongoDB store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .base import BackendSettings, is_int, is_number, require


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoDBSettings(BackendSettings):
    """Settings of the MongoDB backend.

    Args:
        uri: ``mongodb://user:password@host:port`` or ``mongodb+srv://…``, with any option of the driver's.
        database: Database. None: the one the URI names, else ``langswarm_memory``.
        collection_prefix: Begins the names of the collections.
        client: A motor client of the caller's, used instead of `uri` and not closed.
        transactions: Whether an append is a transaction. None: if the server has them (a replica set or a sharded
            cluster). Without, an append that is torn by a crash leaves a gap, and repeating it completes it.
        text_search: Whether messages are indexed for text search. It is what most of an append's work then is.
        max_pool_size: Connections at most.
        timeout: Seconds to wait for a server, and for its answer.
    """

    uri: str = field(default="mongodb://localhost:27017", repr=False)
    database: str | None = None
    collection_prefix: str = ""
    client: Any = field(default=None, repr=False)
    transactions: bool | None = None
    text_search: bool = True
    max_pool_size: int = 100
    timeout: float = 10.0

    address: ClassVar[str | None] = "uri"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "url": "uri",
        "connection_string": "uri",
        "database_name": "database",
        "db": "database",
        "prefix": "collection_prefix",
        "max_connections": "max_pool_size",
        "pool_size": "max_pool_size",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        require(
            isinstance(self.uri, str) and self.uri.startswith(("mongodb://", "mongodb+srv://")),
            "uri must be text that begins with mongodb:// or mongodb+srv://",
        )
        require(
            self.database is None
            or (
                isinstance(self.database, str) and re.fullmatch(r'[^/\\. "$*<>:|?\0]{1,63}', self.database) is not None
            ),
            'database must be a name of 1 to 63 characters, none of them /\\. "$*<>:|?',
        )
        require(
            isinstance(self.collection_prefix, str)
            and re.fullmatch(r"(?!system\.)[^$\0]{0,100}", self.collection_prefix) is not None,
            "collection_prefix must be text of up to 100 characters without $ and NUL",
        )
        require(self.transactions in (None, True, False), "transactions must be True, False or None")
        require(isinstance(self.text_search, bool), "text_search must be True or False")
        require(is_int(self.max_pool_size, 1), "max_pool_size must be an int from 1")
        require(is_number(self.timeout, 0.001), "timeout must be seconds above 0")
