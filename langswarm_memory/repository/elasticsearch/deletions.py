"""Deleting sessions: each by its id, then what belonged to it, which searches find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .calls import Calls
from .reads import pages
from .records import Json, StoredSession
from .sessions import Sessions, deletion, fence_deletion

SESSIONS_AT_ONCE = 500  # in one request, and in one search for what belonged to them


async def delete_sessions(calls: Calls, sessions: Sessions, session_ids: Sequence[str]) -> int:
    """Delete sessions, then what belonged to them; return how many there were."""
    ids = list(dict.fromkeys(session_ids))
    gone = 0
    for start in range(0, len(ids), SESSIONS_AT_ONCE):
        some = ids[start : start + SESSIONS_AT_ONCE]
        async with sessions.states.held(some):
            deleted = await _delete_documents(calls, sessions, some)
        await _purge(calls, deleted)
        gone += len({stored.session_id for stored in deleted})
    return gone


async def _delete_documents(calls: Calls, sessions: Sessions, ids: list[str]) -> list[StoredSession]:
    """Delete the sessions' own documents; return them as they last were, so that nothing of theirs is missed."""
    deleted: list[StoredSession] = []
    patience = sessions.patience("delete_sessions")
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
    actions: list[tuple[Json, Any]] = []
    edits: dict[str, int] = {}  # one more than their last ones: whoever is late with a message is refused
    for stored in deleted:
        changes = stored.changes
        late = stored.pending + list(changes.instead.values() if changes is not None else ())
        edits[stored.key] = stored.edits + 1
        actions += [deletion(stored.key, entry["message_id"], entry["seq"], stored.edits + 1) for entry in late]
        actions.append(fence_deletion(stored.key, stored.edits))
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
        actions += [
            deletion(key := each["session_key"], each["message_id"], each["seq"], edits[key]) for each in sources
        ]
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
