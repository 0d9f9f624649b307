"""What indexes outside of the store have seen of each session, kept in the session's own document.

Whatever changes messages empties ``fresh``, the names of the indexes that have seen all there is. So a search tells
the stale sessions from the others.
"""

from __future__ import annotations

from ...errors import CorruptRecordError
from ..optional import IndexState
from ..values import clean
from .calls import Calls
from .records import MAX_TAG, STORE, UNREADABLE, Json, StoredSession
from .sessions import Sessions

SESSIONS_AT_ONCE = 500  # in one request
FIELDS = ["session_id", "last_seq", "edits", "indexed"]
_EMPTY: Json = {"bool": {"filter": [{"term": {"last_seq": 0}}], "must_not": [{"range": {"edits": {"gte": 1}}}]}}


def index_state(stored: StoredSession, index: str) -> IndexState:
    """Return how far an index has come with a session."""
    seq, edits = _indexed(stored).get(index, (0, 0))
    return IndexState(stored.session_id, stored.number("last_seq"), stored.edits, seq, edits)


async def stale_sessions(calls: Calls, index: str, *, limit: int, after: str | None) -> list[IndexState]:
    """Return sessions that an index has not seen as they are: two requests, more only beyond a page."""
    await calls.make_searchable("stale_sessions", "sessions")
    found: list[IndexState] = []
    while len(found) < limit:
        size = min(limit - len(found), SESSIONS_AT_ONCE)
        answer = await calls.search(
            "stale_sessions",
            "sessions",
            query={"bool": {"must_not": [{"term": {"fresh": _name(index)}}, _EMPTY]}},
            sort=[{"session_id": "asc"}],
            size=size,
            source_includes=FIELDS,
            seq_no_primary_term=True,
            track_total_hits=False,
            **({} if after is None else {"search_after": [after]}),
        )
        hits = answer["hits"]["hits"]
        states = [index_state(StoredSession.of_hit(hit), index) for hit in hits]
        found += [state for state in states if state[1:3] != state[3:]]
        if len(hits) < size:
            break
        after = hits[-1]["sort"][0]
    return found


async def mark_indexed(sessions: Sessions, session_id: str, index: str, *, last_seq: int, edits: int) -> None:
    """Note what an index has seen: a read and a conditional write."""
    state = sessions.states.of(session_id)
    async with state.lock:
        patience = sessions.patience("mark_indexed")
        while (read := await sessions.find("mark_indexed", session_id)) is not None:
            source = _marked(read, _indexed(read) | {index: (last_seq, edits)})
            stored = read if source == read.source else await sessions.change("mark_indexed", read, source)
            if stored is not None:
                state.learn(stored)
                return
            await patience.pause()


async def forget_index(calls: Calls, sessions: Sessions, index: str) -> None:
    """Drop what is noted of an index, some hundred sessions in three requests."""
    patience = sessions.patience("forget_index")
    while True:
        await calls.make_searchable("forget_index", "sessions")
        answer = await calls.search(
            "forget_index",
            "sessions",
            query={"bool": {"filter": [{"term": {"indexes": _name(index)}}]}},
            size=SESSIONS_AT_ONCE,
            source=False,
            track_total_hits=False,
        )
        ids = [hit["_id"] for hit in answer["hits"]["hits"]]
        if not ids:
            return
        async with sessions.states.held(ids):
            read = [StoredSession.of_hit(hit) for hit in await calls.get("forget_index", "sessions", ids)]
            actions: list[tuple[Json, Json | None]] = []
            for stored in read:
                left = {name: seen for name, seen in _indexed(stored).items() if _name(name) != _name(index)}
                actions.append(({"index": stored.matches({"_id": stored.session_id})}, _marked(stored, left)))
            items = await calls.bulk("forget_index", "sessions", actions)
        if any(item.conflicts for item in items):
            await patience.pause()


def _indexed(stored: StoredSession) -> dict[str, tuple[int, int]]:
    """Return what each index has seen: its name → last_seq, edits."""
    try:
        return {name: (int(seq), int(edits)) for name, seq, edits in stored.source.get("indexed") or []}
    except UNREADABLE as exc:
        raise CorruptRecordError(STORE, "session, field indexed", exc) from exc


def _marked(stored: StoredSession, indexed: dict[str, tuple[int, int]]) -> Json:
    now = (stored.number("last_seq"), stored.edits)
    return {
        **stored.source,
        "indexed": [[name, *seen] for name, seen in indexed.items()],
        "indexes": [_name(name) for name in indexed],
        "fresh": [_name(name) for name, seen in indexed.items() if seen == now],
    }


def _name(index: str) -> str:
    return clean(index)[:MAX_TAG]
