"""Deleting and replacing messages: decided by the session's document, then carried out in the index of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex

from ...errors import ConflictError
from .. import codec
from ..protocol import Rewrite
from .calls import Calls
from .reads import in_session, pages
from .records import Changes, Json, StoredSession, instants, message_source
from .sessions import Sessions


async def rewrite(sessions: Sessions, session_id: str, change: Rewrite, *, now: datetime) -> StoredSession:
    """Delete and replace messages of a session that is as it was read.

    Four requests: the session, its change, the messages' documents, and the note of the change dropped.
    """
    editor = token_hex(8)
    instead: dict[int, Json] = {}
    for old, new in change.replaced:
        source = message_source(codec.encode_message(new), new, editor)
        instead[old.seq or 0] = {"seq": old.seq, "edit": change.edits + 1, **source}
    changes = Changes({message.seq or 0: message.message_id for message in change.removed}, instead)
    state = sessions.states.of(session_id)
    async with state.lock:
        patience = sessions.patience("rewrite")
        tried = False
        while True:
            read = await sessions.settle("rewrite", state, await sessions.read("rewrite", session_id))
            if tried and read.source.get("editor") == editor:
                return read  # our own, sent again by the client after its answer was lost
            read.check_expiry(now)
            if read.edits != change.edits or change.last_seq not in (None, read.number("last_seq")):
                raise ConflictError(f"messages of session {session_id!r} were changed meanwhile", retryable=True)
            moment = instants(now, None)
            source = _changed(
                read,
                changes,
                editor,
                message_count=read.number("message_count") - change.count,
                token_count=read.number("token_count") - change.tokens,
            ) | {name: moment[name] for name in ("updated", "updated_at")}
            stored = await sessions.change("rewrite", read, source)
            tried = True
            if stored is not None:
                state.learn(stored)
                return await sessions.settle("rewrite", state, stored)
            await patience.pause()


async def delete_messages(
    calls: Calls, sessions: Sessions, session_id: str, *, through_seq: int | None, keep_roles: frozenset[str]
) -> int:
    """Delete messages up to a seq, but for those of some roles; return how many.

    The counters are not corrected but counted anew: whatever has left them wrong, they are right after it.
    """
    editor = token_hex(8)
    state = sessions.states.of(session_id)
    async with state.lock:
        patience = sessions.patience("delete_messages")
        doomed: list[Json] = []
        tried = False
        while True:
            read = await sessions.read("delete_messages", session_id)
            read = await sessions.settle("delete_messages", state, read)
            if tried and read.source.get("editor") == editor:
                return len(doomed)
            last = read.number("last_seq")  # of the first look: what is appended meanwhile stays
            through_seq = last if through_seq is None else min(through_seq, last)
            doomed = await _doomed(calls, read, through_seq, keep_roles)
            count, tokens = await _count(calls, read, doomed)
            changes = Changes({entry["seq"]: entry["message_id"] for entry in doomed}, {})
            if doomed:
                source = _changed(read, changes, editor, message_count=count, token_count=tokens)
            else:
                source = {**read.source, "message_count": count, "token_count": tokens}
            if source == read.source:
                state.learn(read)
                return 0
            stored = await sessions.change("delete_messages", read, source)
            tried = True
            if stored is not None:
                state.learn(stored)
                await sessions.settle("delete_messages", state, stored)
                return len(doomed)
            await patience.pause()


def _changed(read: StoredSession, changes: Changes, editor: str, **counters: int) -> Json:
    left = [e for e in read.pending if e["seq"] not in changes.gone and e["seq"] not in changes.instead]
    return {
        **read.source,
        **counters,
        "edits": read.edits + 1,
        "editor": editor,
        "pending": left,
        "rewrite": changes.source(),
        "fresh": [],
    }


async def _doomed(calls: Calls, read: StoredSession, last: int, keep_roles: frozenset[str]) -> list[Json]:
    """Return the messages to delete, with their seq, message_id and tokens."""
    if last < 1:
        return []
    conditions: Json = {"filter": in_session(read.key, {"range": {"seq": {"lte": last}}})}
    if keep_roles:
        conditions["must_not"] = [{"terms": {"role": sorted(keep_roles)}}]
    doomed: dict[int, Json] = {}
    async for hits in pages(
        calls,
        "delete_messages",
        "messages",
        routing=read.key,
        query={"bool": conditions},
        sort=[{"seq": "asc"}],
        source_includes=["seq", "message_id", "tokens"],
        track_total_hits=False,
    ):
        doomed |= {hit["_source"]["seq"]: hit["_source"] for hit in hits}
    pending = (entry for entry in read.pending if entry["seq"] <= last and entry["role"] not in keep_roles)
    return list((doomed | {entry["seq"]: entry for entry in pending}).values())


async def _count(calls: Calls, read: StoredSession, doomed: Sequence[Json]) -> tuple[int, int]:
    """Return count and tokens of what is left: what is pending, and what a search finds of the rest."""
    gone = {entry["seq"] for entry in doomed}
    seqs = {entry["seq"] for entry in read.pending}
    conditions: Json = {
        "filter": in_session(read.key, {"range": {"seq": {"lte": read.number("last_seq")}}}),
        "must_not": [{"terms": {"seq": sorted(seqs)}}],
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
    left = [entry for entry in read.pending if entry["seq"] not in gone]
    found = [entry for entry in doomed if entry["seq"] not in seqs]
    count = int(answer["hits"]["total"]["value"]) - len(found) + len(left)
    tokens = int(answer["aggregations"]["tokens"]["value"])
    return count, tokens - sum(entry["tokens"] for entry in found) + sum(entry["tokens"] for entry in left)
