"""Requests to Elasticsearch: the only place where its client is called and its errors become ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ...errors import (
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryBackendError,
    NotConnectedError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from ..translate import Translating

try:
    import aiohttp  # noqa: F401  # what the asynchronous client travels on; it would miss it only when connecting
    from elastic_transport import AiohttpHttpNode as AiohttpHttpNode
    from elastic_transport import ConnectionError as Unreachable
    from elastic_transport import ConnectionTimeout, SniffingError, TlsError, TransportError
    from elasticsearch import ApiError, UnsupportedProductError
    from elasticsearch import AsyncElasticsearch as AsyncElasticsearch
except ModuleNotFoundError as exc:
    from ...errors import MissingDependencyError

    raise MissingDependencyError("elasticsearch", extra="elasticsearch") from exc

Json = dict[str, Any]

BUSY = frozenset({429, 502, 503, 504})
"""Statuses of a server that is overloaded, restarting, or has no shard to answer with."""

REFUSED = frozenset({401, 403})
TOO_LARGE = 413
CONFLICT = 409
BLOCKED = "cluster_block_exception"
BULK_BYTES = 5_000_000  # characters of documents in one request, about
MGET_IDS = 1_000  # documents read by id in one request


class Item(NamedTuple):
    """What became of one item of a bulk request."""

    status: int
    body: Json

    @property
    def failed(self) -> bool:
        """Whether it is neither done nor a conflict nor missing: those are answers."""
        return self.status >= 300 and self.status not in (CONFLICT, 404)

    @property
    def conflicts(self) -> bool:
        """Whether the document is no longer what the item expected."""
        return self.status == CONFLICT


class BulkError(MemoryBackendError):
    """Some items of a bulk request failed. ``details`` says how many, of how many, and with which types of error."""


class Calls(Translating):
    """The client, the names of the indexes, and one method per kind of request.

    Args:
        prefix: Begins the names of indexes and templates.
        refresh: As in ``ElasticsearchSettings``.
    """

    name = "elasticsearch"
    driver_errors: ClassVar[tuple[type[BaseException], ...]] = (TransportError, ApiError)

    def __init__(self, prefix: str, refresh: bool | str) -> None:
        self.prefix, self.refresh = prefix, refresh
        self.connected: AsyncElasticsearch | None = None
        self.begun = self.refreshed = 0

    @property
    def client(self) -> AsyncElasticsearch:
        """The client; there is one while the store is open."""
        if self.connected is None:
            raise NotConnectedError("the store is not open", suggestion="call connect() first")
        return self.connected

    def index(self, name: str) -> str:
        """Return the full name of an index."""
        return f"{self.prefix}_{name}"

    # --- documents ---------------------------------------------------------------------------------------------

    async def get(
        self,
        operation: str,
        name: str,
        ids: Sequence[str],
        *,
        routing: str | None = None,
        without: Sequence[str] | None = None,
    ) -> list[Json]:
        """Return documents by id as they are now, refreshed or not, those that exist, each as a hit."""
        found: list[Json] = []
        for start in range(0, len(ids), MGET_IDS):
            docs: list[Json] = [{"_id": each} for each in ids[start : start + MGET_IDS]]
            if routing is not None:
                for doc in docs:
                    doc["routing"] = routing
            with self.io(operation):
                answer = await self.client.mget(index=self.index(name), docs=docs, source_excludes=without)
            for doc in answer["docs"]:
                if "error" in doc:
                    raise MemoryBackendError(
                        self.name, operation, details={"types": {str(doc["error"].get("type")): 1}}
                    )
                if doc["found"]:
                    found.append(doc)
        return found

    async def bulk(
        self, operation: str, name: str, actions: Sequence[tuple[Json, Json | None]], *, refresh: bool | str = False
    ) -> list[Item]:
        """Send items, each an action and its document, and return what became of each.

        Args:
            operation: For errors.
            name: Index.
            actions: In order; those of one document are carried out in order.
            refresh: When the last request's changes are to be searchable.

        Raises:
            BulkError: Items failed otherwise than by a conflict or for want of the document.
        """
        items: list[Item] = []
        for last, lines in _requests(actions):
            with self.io(operation):
                answer = await self.client.bulk(
                    index=self.index(name), operations=lines, refresh=refresh if last else False
                )
            for item in answer["items"]:
                body = next(iter(item.values()))
                items.append(Item(body["status"], body))
        failed = [item for item in items if item.failed]
        if failed:
            raise self._bulk_error(operation, failed, len(items))
        return items

    def _bulk_error(self, operation: str, failed: list[Item], total: int) -> MemoryBackendError:
        types = Counter(str(item.body.get("error", {}).get("type")) for item in failed)
        error = self._by_status(operation, None, failed[0].status, next(iter(types))) or BulkError(self.name, operation)
        if isinstance(error, MemoryBackendError):
            error.details = {"failed": len(failed), "items": total, "types": dict(types)}
            return error
        raise error

    async def search(self, operation: str, name: str, **body: Any) -> Json:
        """Search one index; never answered from only some of its shards."""
        with self.io(operation):
            answer = await self.client.search(index=self.index(name), allow_partial_search_results=False, **body)
        return answer.body  # type: ignore[no-any-return]

    async def searches(self, operation: str, name: str, routing: str, bodies: Sequence[Json]) -> list[Json]:
        """Make several searches of one routing in one request."""
        lines: list[Mapping[str, Any]] = []
        for body in bodies:
            lines += ({"routing": routing, "allow_partial_search_results": False}, body)
        with self.io(operation):
            answer = await self.client.msearch(index=self.index(name), searches=lines)
        for response in answer["responses"]:
            if "error" in response:
                kind = str(response["error"].get("type"))
                error = self._by_status(operation, None, response["status"], kind)
                raise error or MemoryBackendError(self.name, operation, details={"types": {kind: 1}})
        return list(answer["responses"])

    async def make_searchable(self, operation: str, *names: str) -> None:
        """Refresh indexes: what was written is searched from now on."""
        self.begun += 1
        number = self.begun
        with self.io(operation):
            await self.client.indices.refresh(index=[self.index(name) for name in names])
        if "messages" in names:
            self.refreshed = max(self.refreshed, number)  # what was written while `begun` was lower is found

    # --- indexes -----------------------------------------------------------------------------------------------

    async def mapping(self, name: str) -> Json | None:
        """Return the mappings of an index, or None where there is no such index."""
        with self.io("open"):
            answer = await self.client.options(ignore_status=404).indices.get_mapping(index=self.index(name))
        if answer.meta.status == 404:
            return None
        found: Json = next(iter(answer.body.values()))["mappings"]  # by its own name where ours is an alias
        return found

    async def create_index(self, name: str, mappings: Json) -> bool:
        """Create an index with the settings of its template; False: somebody was first."""
        with self.io("open"):
            try:
                await self.client.indices.create(index=self.index(name), mappings=mappings)
            except ApiError as exc:
                if _kind(exc) != "resource_already_exists_exception":
                    raise
                return False
        return True

    async def put_template(self, index: str, *, version: int, priority: int, template: Json) -> None:
        """Store the template of one index."""
        with self.io("open"):
            await self.client.indices.put_index_template(
                name=index, index_patterns=[index], version=version, priority=priority, template=template
            )

    async def put_mapping(self, name: str, *, properties: Json, meta: Json) -> None:
        """Add fields to an index."""
        with self.io("open"):
            await self.client.indices.put_mapping(index=self.index(name), properties=properties, meta=meta)

    # --- errors ------------------------------------------------------------------------------------------------

    def translate(self, operation: str, error: BaseException) -> LangSwarmMemoryError:
        """Return what an error of the client means."""
        if isinstance(error, TlsError | UnsupportedProductError):
            return self.refused(operation, error, "check hosts, ca_certs and that the server is an Elasticsearch")
        if isinstance(error, Unreachable | ConnectionTimeout | SniffingError):
            return self.unavailable(operation, error)
        if isinstance(error, ApiError):
            found = self._by_status(operation, error, error.status_code, _kind(error))
            if found is not None:
                return found
        return MemoryBackendError(self.name, operation, error)

    def _by_status(
        self, operation: str, error: BaseException | None, status: int, kind: str
    ) -> LangSwarmMemoryError | None:
        if kind == BLOCKED and status == 429:  # the flood-stage watermark, which Elasticsearch lifts by itself
            return StorageFullError(operation, self.name, error, suggestion="free disk space and repeat the call")
        if kind == BLOCKED and status == 403:
            return StorageReadOnlyError(operation, self.name, error, suggestion="remove the block of the index")
        if status in REFUSED:
            return self.refused(operation, error or PermissionError(), "check api_key, or username and password")
        if status == TOO_LARGE:
            return InvalidInputError(
                "a record is larger than Elasticsearch's http.max_content_length",
                suggestion="keep large parts elsewhere",
            )
        if status in BUSY:
            return StorageUnavailableError(self.name, operation, error, "the server is busy; repeat the call")
        return None


def _kind(error: ApiError) -> str:
    """Return the type that the server gave to an error; proxies in front of it give none."""
    found = error.body.get("error") if isinstance(error.body, dict) else None
    return str(found.get("type")) if isinstance(found, dict) else ""


def _requests(actions: Sequence[tuple[Json, Json | None]]) -> list[tuple[bool, list[Json]]]:
    """Split items into the lines of requests that the server takes, and say which is the last."""
    requests: list[list[Json]] = [[]]
    size = 0
    for action, document in actions:
        length = 100 if document is None else _length(document)
        if size + length > BULK_BYTES and requests[-1]:
            requests.append([])
            size = 0
        size += length
        requests[-1].append(action)
        if document is not None:
            requests[-1].append(document)
    return [(number == len(requests), lines) for number, lines in enumerate(requests, 1) if lines]


def _length(document: Json) -> int:
    return 300 + sum(len(document.get(name) or "") for name in ("document", "content", "stems"))
