"""Sessions in Elasticsearch."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..backend import BaseMemoryBackend
from ..errors import MemoryConfigurationError
from ..interfaces.enums import MemoryBackendType
from ..repository.elasticsearch.calls import AsyncElasticsearch
from ..repository.elasticsearch.repository import ElasticsearchRepository
from ..repository.elasticsearch.transport import StreamingNode
from ..session import BaseMemorySession
from ..settings import ElasticsearchSettings

WAITING_CONNECTIONS = 100  # instead of 10: an append that waits for a refresh holds one for up to a second


class ElasticsearchSession(BaseMemorySession):
    """A session kept in Elasticsearch. Behaviour: BaseMemorySession."""

    __slots__ = ()


class ElasticsearchBackend(BaseMemoryBackend):
    """Sessions in Elasticsearch. Options: see ElasticsearchSettings."""

    settings_class, session_class = ElasticsearchSettings, ElasticsearchSession
    kind = MemoryBackendType.ELASTICSEARCH
    settings: ElasticsearchSettings
    repository: ElasticsearchRepository

    def _build(self, settings: ElasticsearchSettings) -> ElasticsearchRepository:
        given = settings.client
        if given is not None and not isinstance(given, AsyncElasticsearch):
            raise MemoryConfigurationError(
                f"client must be an AsyncElasticsearch, got {type(given).__name__}", "elasticsearch"
            )
        return ElasticsearchRepository(
            partial(AsyncElasticsearch, **_arguments(settings)) if given is None else lambda: given,
            prefix=settings.index_prefix,
            refresh=settings.refresh,
            shards=settings.shards,
            replicas=settings.replicas,
            owns_client=given is None,
        )

    def get_client(self) -> AsyncElasticsearch:
        """Return the client.

        Raises:
            NotConnectedError: Before ``connect()`` there is none, unless it was given.
        """
        given: AsyncElasticsearch | None = self.settings.client
        return self.repository.calls.client if given is None else given

    def get_index_name(self, name: str) -> str:
        """Return the full name of an index: ``"sessions"``, ``"messages"`` or ``"summaries"``."""
        return self.repository.calls.index(name)

    async def reindex_messages(self) -> int:
        """Make messages searchable that were stored by a version without a search, and return how many they were.

        To be called once after such an update; it may be interrupted and repeated.
        """
        return await self.perform(self.repository.reindex_messages)


def _arguments(settings: ElasticsearchSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "hosts": list(settings.hosts),
        "request_timeout": settings.timeout,
        "max_retries": settings.retries,
        "node_class": StreamingNode,
    }
    if settings.refresh == "wait_for":
        arguments["connections_per_node"] = WAITING_CONNECTIONS
    if settings.api_key is not None:
        arguments["api_key"] = settings.api_key
    if settings.username is not None:
        arguments["basic_auth"] = (settings.username, settings.password)
    if any(host.startswith("https:") for host in settings.hosts):
        arguments["verify_certs"] = settings.verify_certs
        arguments["ssl_show_warn"] = False
        if settings.ca_certs is not None:
            arguments["ca_certs"] = settings.ca_certs
        if settings.ssl_assert_fingerprint is not None:
            arguments["ssl_assert_fingerprint"] = settings.ssl_assert_fingerprint
    return arguments
