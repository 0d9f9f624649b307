"""Deleting messages and sessions: found by searches, deleted by id, and counted anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .calls import Calls
from .reads import in_session, pages
from .records import Json, StoredSession
from .writes import Writes, deletion

SESSIONS_AT_ONCE = 500  # in one request, and in one search for what belonged to them


async def delete_messages(
    calls: Calls, writes: Writes, session_id: str, *, through_seq: int | None, keep_roles: frozenset[str]
) -> int:
    """Delete messages up to a seq, but for those of some roles; return how many.

    The counters are not corrected but counted anew: whatever a call that died before has left wrong is right after it.
    """
    state = writes.states.of(session_id)
    async with state.lock:
        read = await writes.read("delete_messages", session_id)
        doomed = await _doomed(calls, read, through_seq, keep_roles)
        if doomed:
            actions = [deletion(read.key, message_id, seq) for seq, message_id in doomed.items()]
            items = await calls.bulk("delete_messages", "messages", actions, refresh=True)
            anew = {seq for seq, item in zip(doomed, items, strict=True) if item.conflicts}
        else:
            anew = set()
        patience = writes.patience("delete_messages")
        while True:
            left = [entry for entry in read.pending if entry["seq"] not in doomed]
            count, tokens = await _count(calls, read, left)
            source = {**read.source, "pending": left, "message_count": count, "token_count": tokens}
            stored = read if source == read.source else await writes.change("delete_messages", read, source)
            if stored is not None:
                state.learn(stored)
                return len(doomed) - len(anew)
            await patience.pause()
            read = await writes.read("delete_messages", session_id)


async def _doomed(
    calls: Calls, read: StoredSession, through_seq: int | None, keep_roles: frozenset[str]
) -> dict[int, str]:
    """Return the messages to delete: seq → message_id."""
    last = read.number("last_seq") if through_seq is None else min(through_seq, read.number("last_seq"))
    if last < 1:
        return {}
    conditions: Json = {"filter": in_session(read.key, {"range": {"seq": {"lte": last}}})}
    if keep_roles:
        conditions["must_not"] = [{"terms": {"role": sorted(keep_roles)}}]
    doomed: dict[int, str] = {}
    async for hits in pages(
        calls,
        "delete_messages",
        "messages",
        routing=read.key,
        query={"bool": conditions},
        sort=[{"seq": "asc"}],
        source_includes=["seq", "message_id"],
        track_total_hits=False,
    ):
        doomed |= {hit["_source"]["seq"]: hit["_source"]["message_id"] for hit in hits}
    pending = (entry for entry in read.pending if entry["seq"] <= last and entry["role"] not in keep_roles)
    return doomed | {entry["seq"]: entry["message_id"] for entry in pending}


async def _count(calls: Calls, read: StoredSession, pending: list[Json]) -> tuple[int, int]:
    """Return count and tokens of what is stored: what is pending, and what a search finds of the rest."""
    conditions: Json = {
        "filter": in_session(read.key, {"range": {"seq": {"lte": read.number("last_seq")}}}),
        "must_not": [{"terms": {"seq": [entry["seq"] for entry in pending]}}],
    }
    answer = await calls.search(
        "delete_messages",
        "messages",
        routing=read.key,
        query={"bool": conditions},
        size=0,
        track_total_hits=True,
        aggs={"tokens": {"sum": {"field": "tokens"}}},
    )
    tokens = int(answer["aggregations"]["tokens"]["value"]) + sum(entry["tokens"] for entry in pending)
    return int(answer["hits"]["total"]["value"]) + len(pending), tokens


async def delete_sessions(calls: Calls, writes: Writes, session_ids: Sequence[str]) -> int:
    """Delete sessions, then what belonged to them; return how many there were."""
    ids = list(dict.fromkeys(session_ids))
    gone = 0
    for start in range(0, len(ids), SESSIONS_AT_ONCE):
        some = ids[start : start + SESSIONS_AT_ONCE]
        async with writes.states.held(some):
            deleted = await _delete_documents(calls, writes, some)
        await _purge(calls, deleted)
        gone += len({stored.session_id for stored in deleted})
    return gone


async def _delete_documents(calls: Calls, writes: Writes, ids: list[str]) -> list[StoredSession]:
    """Delete the sessions' own documents; return them as they last were, so that nothing of theirs is missed."""
    deleted: list[StoredSession] = []
    patience = writes.patience("delete_sessions")
    left, seen = ids, dict[str, StoredSession]()
    while True:
        found = {hit["_id"]: StoredSession.of_hit(hit) for hit in await calls.get("delete_sessions", "sessions", left)}
        # There when it was read, and gone now: deleted by this call, whose answer was lost, or by another just then.
        deleted += [stored for session_id, stored in seen.items() if session_id in left and session_id not in found]
        if not found:
            return deleted
        seen, left = found, list(found)
        actions: list[tuple[Json, Any]] = [
            ({"delete": stored.matches({"_id": session_id})}, None) for session_id, stored in found.items()
        ]
        items = await calls.bulk("delete_sessions", "sessions", actions)
        left = []
        for (session_id, stored), item in zip(found.items(), items, strict=True):
            if item.conflicts:
                left.append(session_id)
            else:
                deleted.append(stored)
        if not left:
            return deleted
        await patience.pause()


async def _purge(calls: Calls, deleted: list[StoredSession]) -> None:
    """Delete messages and summaries of sessions that are gone.

    Nobody can reach them any more, so it does not matter to anybody when this happens. Pending messages are deleted
    whether they are there or not: the deletion refuses whoever is still about to write them.
    """
    if not deleted:
        return
    keys = {"terms": {"session_key": [stored.key for stored in deleted]}}
    await calls.make_searchable("delete_sessions", "messages", "summaries")
    actions: list[tuple[Json, Any]] = [
        deletion(stored.key, entry["message_id"], entry["seq"]) for stored in deleted for entry in stored.pending
    ]
    fields = ["session_key", "seq", "message_id"]
    async for hits in pages(
        calls,
        "delete_sessions",
        "messages",
        query=keys,
        sort=[{"session_key": "asc"}, {"seq": "asc"}],
        source_includes=fields,
        track_total_hits=False,
    ):
        sources = [hit["_source"] for hit in hits]
        actions += [deletion(each["session_key"], each["message_id"], each["seq"]) for each in sources]
        await calls.bulk("delete_sessions", "messages", actions)
        actions = []
    await calls.bulk("delete_sessions", "messages", actions)
    async for hits in pages(
        calls,
        "delete_sessions",
        "summaries",
        query=keys,
        sort=[{"session_key": "asc"}, {"summary_id": "asc"}],
        source=False,
        track_total_hits=False,
    ):
        found = [({"delete": {"_id": hit["_id"], "routing": hit["_routing"]}}, None) for hit in hits]
        await calls.bulk("delete_sessions", "summaries", found)
