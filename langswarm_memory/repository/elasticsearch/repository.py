"""Elasticsearch behind the protocol.

    {prefix}_sessions   _id session_id: metadata, counters, and under ``pending`` what searches may not find yet
    {prefix}_messages   one document per message, routed by the key of its session
    {prefix}_summaries  one document per summary, routed in the same way

Reading and writing by id is immediate in Elasticsearch, searching is not. So whatever must hold at once hangs on a
session's own document, which is read and written by id (``writes.py``); searches add what they find (``reads.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ...interfaces.message import Message
from ...interfaces.records import ConversationSummary, SessionMetadata
from .. import codec
from ..matching import newest_summaries
from ..optional import IndexState
from ..protocol import Appended, MessageQuery, Rewrite, SessionQuery, SessionRecord, StoreFeatures, StoreStats
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery
from . import deletions, rewrites, schema, search, tracking
from .calls import AsyncElasticsearch, Calls
from .conditions import listed
from .reads import PAGE, in_session, pages, read_session
from .records import Json, StoredSession, document_id, microseconds, read_summary, summary_source
from .writes import Writes

STATUSES = 100  # distinct statuses counted; there are five
FIRST_RESULTS = 10_000  # index.max_result_window: beyond it pages are asked for by their last row
UNLISTED = ["pending", "rewrite"]  # what only readers and writers of messages need
ORDER: list[Json] = [{"created": "desc"}, {"session_id": "desc"}]


class ElasticsearchRepository:
    """Sessions in Elasticsearch.

    Args:
        connect: Makes the client, on the event loop that is to use it; called by every ``open``.
        prefix: Begins the names of indexes and templates.
        refresh: As in ``ElasticsearchSettings``.
        shards: Primary shards of an index that is made.
        replicas: Copies of each shard of an index that is made.
        owns_client: Whether ``close`` closes the client.
    """

    name = Calls.name
    features = StoreFeatures(text_search=True)

    def __init__(
        self,
        connect: Callable[[], AsyncElasticsearch],
        *,
        prefix: str,
        refresh: bool | str = False,
        shards: int = 1,
        replicas: int = 1,
        owns_client: bool = True,
    ) -> None:
        self._connect, self._shards, self._replicas, self._owns = connect, shards, replicas, owns_client
        self.calls = Calls(prefix, refresh)
        self._writes = Writes(self.calls)

    # --- life --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and ensure the indexes."""
        if self.calls.connected is not None:
            return
        try:
            self.calls.connected = self._connect()
        except (OSError, TypeError, ValueError) as exc:  # a file of certificates that is none, a key of a wrong form
            raise self.calls.refused("open", exc, "check hosts, api_key and ca_certs") from exc
        self._writes = Writes(self.calls)  # its locks belong to this event loop
        try:
            await schema.ensure(self.calls, shards=self._shards, replicas=self._replicas)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the client if it is ours."""
        client, self.calls.connected = self.calls.connected, None
        if client is not None and self._owns:
            await client.close()

    async def ping(self) -> None:
        """Ask for the health of the cluster."""
        with self.calls.io("ping"):
            await self.calls.client.cluster.health()

    async def describe(self) -> Mapping[str, Any]:
        """Return ``hosts`` (without credentials), ``cluster_name`` and ``version``."""
        client = self.calls.client
        with self.calls.io("describe"):
            health = await client.cluster.health(filter_path="cluster_name")
            nodes = await client.nodes.info(node_id="_local", filter_path="nodes.*.version")
        versions = [node["version"] for node in nodes.get("nodes", {}).values()]
        return {
            "hosts": [_without_credentials(node.base_url) for node in client.transport.node_pool.all()],
            "cluster_name": health["cluster_name"],
            "version": versions[0] if versions else None,
        }

    # --- sessions ----------------------------------------------------------------------------------------------

    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        """Store a new session."""
        return (await self._writes.insert(metadata)).record()

    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None."""
        found = await self.calls.get("fetch_session", "sessions", [session_id], without=UNLISTED)
        return StoredSession.of_hit(found[0]).record() if found else None

    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        """Replace metadata by compare-and-set."""
        return (await self._writes.replace(metadata, expected_revision=expected_revision)).record()

    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        """Return a page, newest first; the index of sessions, which changes by id, is refreshed before."""
        if query.limit == 0:
            return []
        await self.calls.make_searchable("list_sessions", "sessions")
        conditions = listed(query)
        after: dict[str, Any] = {}
        if query.after is not None:
            after["search_after"] = [microseconds(query.after[0]), query.after[1]]
        skip = query.offset
        while skip:
            hits = await self._sessions(conditions, after, min(skip, FIRST_RESULTS), source=False)
            if len(hits) < min(skip, FIRST_RESULTS):
                return []
            skip -= len(hits)
            after["search_after"] = hits[-1]["sort"]
        found: list[SessionRecord] = []
        while len(found) < query.limit:
            size = min(query.limit - len(found), PAGE)
            hits = await self._sessions(conditions, after, size, source_excludes=UNLISTED)
            found += [StoredSession.of_hit(hit).record() for hit in hits]
            if len(hits) < size:
                break
            after["search_after"] = hits[-1]["sort"]
        return found

    async def _sessions(self, conditions: Json, after: dict[str, Any], size: int, **source: Any) -> list[Json]:
        answer = await self.calls.search(
            "list_sessions",
            "sessions",
            query={"bool": conditions},
            sort=ORDER,
            size=size,
            seq_no_primary_term=True,
            track_total_hits=False,
            **after,
            **source,
        )
        return list(answer["hits"]["hits"])

    async def delete_sessions(self, session_ids: Sequence[str]) -> int:
        """Delete sessions, then what belonged to them."""
        return await deletions.delete_sessions(self.calls, self._writes, session_ids)

    # --- messages ----------------------------------------------------------------------------------------------

    async def append(
        self, session_id: str, messages: Sequence[Message], *, now: datetime, expires_at: datetime | None = None
    ) -> Appended:
        """Append a batch, all or nothing."""
        return await self._writes.append(session_id, messages, now=now, expires_at=expires_at)

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        """Return messages, oldest first: the session's document, then one request of up to two searches."""
        found = await read_session(
            self.calls,
            query,
            lambda: self._writes.read("read_messages", session_id),
            self._writes.patience("read_messages"),
        )
        return [] if found is None else found[1]

    async def fetch_with_messages(
        self, session_id: str, query: MessageQuery
    ) -> tuple[SessionRecord, list[Message]] | None:
        """Return a session and its messages of one moment, at the cost of ``read_messages``."""
        found = await read_session(
            self.calls,
            query,
            lambda: self._writes.find("fetch_with_messages", session_id),
            self._writes.patience("fetch_with_messages"),
        )
        return None if found is None else (found[0].record(), found[1])

    async def delete_messages(
        self, session_id: str, *, through_seq: int | None = None, keep_roles: frozenset[str] = frozenset()
    ) -> int:
        """Delete messages up to a seq."""
        return await rewrites.delete_messages(
            self.calls, self._writes, session_id, through_seq=through_seq, keep_roles=keep_roles
        )

    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        """Delete and replace messages, all or nothing."""
        return (await rewrites.rewrite(self._writes, session_id, change, now=now)).record()

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Return the best hits; the index of messages is refreshed before."""
        return await search.search_text(self.calls, query, where, limit=limit, after=after)

    async def reindex_messages(self) -> int:
        """Make messages searchable that were stored by a version without a search; return how many. Repeatable."""
        return await search.reindex(self.calls)

    # --- summaries and state -----------------------------------------------------------------------------------

    async def put_summary(self, summary: ConversationSummary) -> None:
        """Store or replace a summary; it is listed by a search, so its index is refreshed."""
        row = codec.encode_summary(summary)
        key = (await self._writes.read("put_summary", row.session_id)).key
        action = {"index": {"_id": document_id(key, row.summary_id), "routing": key}}
        document = summary_source(row, summary, key)
        await self.calls.bulk("put_summary", "summaries", [(action, document)], refresh=self.calls.refresh or True)

    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        """Return summaries, newest first."""
        key = (await self._writes.read("list_summaries", session_id)).key
        if limit == 0:
            return []
        found: list[ConversationSummary] = []
        async for hits in pages(
            self.calls,
            "list_summaries",
            "summaries",
            routing=key,
            query={"bool": {"filter": in_session(key)}},
            sort=[{"created": "desc"}, {"summary_id": "desc"}],
            size=PAGE if limit is None else min(limit, PAGE),
            source_includes=["document"],
            track_total_hits=False,
        ):
            found += [read_summary(hit["_source"]) for hit in hits]
            if limit is not None and len(found) >= limit:
                break
        return newest_summaries(found, limit)

    async def stale_sessions(self, index: str, *, limit: int, after: str | None = None) -> list[IndexState]:
        """Return a page of sessions that an index has not seen as they are."""
        return await tracking.stale_sessions(self.calls, index, limit=limit, after=after)

    async def index_state(self, session_id: str, index: str) -> IndexState | None:
        """Return how far an index has come with a session."""
        found = await self._writes.find("index_state", session_id)
        return None if found is None else tracking.index_state(found, index)

    async def mark_indexed(self, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
        """Note what an index has seen of a session."""
        await tracking.mark_indexed(self._writes, session_id, index, last_seq=last_seq, edits=edits)

    async def forget_index(self, index: str) -> None:
        """Drop what is noted of an index."""
        await tracking.forget_index(self.calls, self._writes, index)

    async def stats(self) -> StoreStats:
        """Add up the sessions' counters, and ask for the size of the indexes, copies included."""
        await self.calls.make_searchable("stats", "sessions")
        sums = {name: {"sum": {"field": name}} for name in ("message_count", "token_count")}
        answer = await self.calls.search(
            "stats",
            "sessions",
            size=0,
            track_total_hits=True,
            aggs={"statuses": {"terms": {"field": "status", "size": STATUSES}}, **sums},
        )
        with self.calls.io("stats"):
            sizes = await self.calls.client.indices.stats(
                index=[self.calls.index(name) for name in schema.NAMES], metric="store"
            )
        found = answer["aggregations"]
        return StoreStats(
            sessions=int(answer["hits"]["total"]["value"]),
            messages=int(found["message_count"]["value"]),
            tokens=int(found["token_count"]["value"]),
            size_bytes=int(sizes["_all"]["total"]["store"]["size_in_bytes"]),
            sessions_by_status={bucket["key"]: int(bucket["doc_count"]) for bucket in found["statuses"]["buckets"]},
        )


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
