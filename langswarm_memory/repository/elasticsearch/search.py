"""Searching for words: candidates from the index of messages, each checked against its session's document.

What is indexed are the stems of a message's words in their order (``records.message_document``), made in this process:
so words, phrases and exclusions mean here what they mean everywhere in this package, whichever analyzers a server has.
Whose a session is, its tags and its expiry are looked up when searching, and not copied to its messages: they change.
"""

from __future__ import annotations

from ...interfaces.message import Message
from ...search.bm25 import matches
from ...search.words import grams, is_unspaced, stem
from ..matching import message_in_scope, session_in_scope
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery, Word, WordPhrase
from ..values import clean
from .calls import Calls
from .conditions import expired
from .reads import HIT_FIELDS, entries, pages
from .records import MAX_TAG, Changes, Json, StoredSession, label, labels, message_document, microseconds, read_message
from .sessions import SEQ_BITS

MOST_SESSIONS = 10_000  # that a search is confined to beforehand; where it is about more, hits are left out afterwards
SMALLEST_PAGE, LARGEST_PAGE = 50, 1_000  # candidates in one answer
SHORTEST_STEM = 3  # letters, of those that a prefix may be longer than
ORDER: list[Json] = [{"_score": "desc"}, {"session_id": "asc"}, {"seq": "desc"}]


async def search_text(
    calls: Calls, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None
) -> list[SearchHit]:
    """Return the best hits.

    Requests: a refresh, the search, the sessions of the hits; one more to find the sessions that a filter is about.
    More where candidates have to be left out.
    """
    filters = await _filters(calls, where)
    if filters is None:
        return []
    body = {"query": {"bool": {**_texts(query), "filter": filters}}, "sort": ORDER}
    behind = None if after is None else list(after)
    check = any(word.prefix for word in _words(query))
    found: list[SearchHit] = []
    while len(found) < limit:
        size = min(max(limit - len(found), SMALLEST_PAGE), LARGEST_PAGE)
        answer = await calls.search(
            "search_text",
            "messages",
            size=size,
            source_includes=["session_id", "session_key", *HIT_FIELDS],
            track_total_hits=False,
            search_type="dfs_query_then_fetch",  # words are as rare on one shard as on the other
            **body,
            **({} if behind is None else {"search_after": behind}),
        )
        page = answer["hits"]["hits"]
        for session_id, message, score in await _visible(calls, page, where):
            if not check or matches(query, message.text):
                found.append(SearchHit(session_id, message, score))
        if len(page) < size:
            break
        behind = page[-1]["sort"]
    return found[:limit]


async def _visible(calls: Calls, page: list[Json], where: SearchFilter) -> list[tuple[str, Message, float]]:
    """Return those hits that are messages of sessions looked into, as these are after the search."""
    sources = entries(page)
    asked = list(dict.fromkeys(source["session_id"] for source in sources))
    read = [StoredSession.of_hit(hit) for hit in await calls.get("search_text", "sessions", asked, without=["pending"])]
    sessions = {stored.key: stored for stored in read if session_in_scope(stored.record().metadata, where)}
    found = []
    for hit, source in zip(page, sources, strict=True):
        stored = sessions.get(source["session_key"])
        if stored is None or _is_superseded(stored, source):
            continue
        message = read_message(source)
        if message_in_scope(message, where):
            found.append((stored.session_id, message, float(hit["sort"][0])))
    return found


def _is_superseded(stored: StoredSession, source: Json) -> bool:
    """Return whether a message was deleted or replaced, and the index of messages does not know yet."""
    changes = stored.changes or Changes({}, {})
    seq = source["seq"]
    return seq in changes.gone or (seq in changes.instead and source.get("edit") != changes.instead[seq].get("edit"))


# --- what to look for ---------------------------------------------------------------------------------------------


def _words(query: TextQuery) -> list[Word]:
    return [*query.words, *(word for phrase in (*query.phrases, *query.excluded) for word in phrase)]


def _texts(query: TextQuery) -> Json:
    should: list[Json] = []
    for word in query.words:
        alone = grams(word.text) if is_unspaced(word.text) else [word.text]
        should += [clause for one in alone if (clause := _phrase((Word(one, word.prefix),))) not in should]
    # A phrase with a prefix is found by its other words, and looked at afterwards; so it cannot exclude by itself.
    excluded = [_phrase(phrase) for phrase in query.excluded if not any(word.prefix for word in phrase)]
    return {
        "must": [_phrase(phrase) for phrase in query.phrases],
        "should": should,
        "must_not": excluded,
        "minimum_should_match": 0 if query.phrases else 1,
    }


def _phrase(phrase: WordPhrase) -> Json:
    stems: list[str] = []
    last: list[Json] = []
    for word in phrase:
        if is_unspaced(word.text):
            stems += word.text  # each character is a word
        elif word.prefix:
            last.append(_prefix(word.text))
        else:
            stems.append(stem(word.text))
    if not last:
        return {"match_phrase": {"stems": " ".join(stems)}}
    return {"bool": {"must": [*({"match": {"stems": one}} for one in stems), *last]}}


def _prefix(text: str) -> Json:
    """Return a query for words that begin with a text: their stems begin so, or are shorter."""
    shorter = [text[:length] for length in range(SHORTEST_STEM, len(text))]
    either = [{"prefix": {"stems": {"value": text}}}, {"terms": {"stems": [*shorter, stem(text)]}}]
    return {"constant_score": {"filter": {"bool": {"should": either}}}}


# --- where to look ------------------------------------------------------------------------------------------------


async def _filters(calls: Calls, where: SearchFilter) -> list[Json] | None:
    """Return filters for messages, after a refresh; None: there is nowhere to look."""
    if where.session_ids == frozenset() or where.roles == frozenset():
        return None
    scoped = where.session_ids is not None or bool(
        where.user_id is not None or where.agent_id is not None or where.tags
    )
    await calls.make_searchable("search_text", "messages", *(["sessions"] if scoped else []))
    filters: list[Json] = []
    if scoped:
        keys = await _session_keys(calls, where)
        if not keys:
            return None
        if len(keys) <= MOST_SESSIONS:
            filters.append({"terms": {"session_key": keys}})
    if where.roles is not None:
        filters.append({"terms": {"role": sorted(clean(role) for role in where.roles)}})
    if where.since is not None:
        filters.append({"range": {"at": {"gte": microseconds(where.since)}}})
    if where.until is not None:
        filters.append({"range": {"at": {"lt": microseconds(where.until)}}})
    filters += [{"term": {"metadata": label(key, value)}} for key, value in where.metadata.items()]
    return filters


async def _session_keys(calls: Calls, where: SearchFilter) -> list[str]:
    """Return the keys of the sessions to look into, or more than MOST_SESSIONS where there are more."""
    filters: list[Json] = [
        {"term": {name: value}}
        for name, value in (("user_id", where.user_id), ("agent_id", where.agent_id))
        if value is not None
    ]
    filters += [{"term": {"tags": clean(tag)[:MAX_TAG]}} for tag in where.tags]
    if where.session_ids is not None and len(where.session_ids) <= MOST_SESSIONS:
        filters.append({"terms": {"session_id": sorted(where.session_ids)}})
    must_not = [] if where.live_at is None else expired(where.live_at)
    keys: list[str] = []
    async for hits in pages(
        calls,
        "search_text",
        "sessions",
        query={"bool": {"filter": filters, "must_not": must_not}},
        sort=[{"session_id": "asc"}],
        source_includes=["session_key"],
        track_total_hits=False,
    ):
        keys += [hit["_source"]["session_key"] for hit in hits]
        if len(keys) > MOST_SESSIONS:
            break
    return keys


# --- messages stored before there was a search --------------------------------------------------------------------


async def reindex(calls: Calls) -> int:
    """Write those messages anew that an earlier version of the package has written; return how many."""
    await calls.make_searchable("reindex_messages", "messages")
    written = 0
    async for hits in pages(
        calls,
        "reindex_messages",
        "messages",
        query={"bool": {"must_not": [{"exists": {"field": "edit"}}]}},
        sort=[{"session_key": "asc"}, {"seq": "asc"}],
        size=SMALLEST_PAGE,
        version=True,
        track_total_hits=False,
    ):
        items = await calls.bulk("reindex_messages", "messages", [_anew(hit) for hit in hits])
        written += sum(not item.conflicts for item in items)  # a conflict: it was deleted or replaced meanwhile
    return written


def _anew(hit: Json) -> tuple[Json, Json | None]:
    source = hit["_source"]
    key, session_id = source["session_key"], source["session_id"]
    kept = {name: value for name, value in source.items() if name not in ("session_key", "session_id")}
    message = read_message(kept)
    entry = {**kept, "edit": hit["_version"] >> SEQ_BITS, "metadata": labels(message)}
    action = {"_id": hit["_id"], "routing": key, "version": hit["_version"], "version_type": "external_gte"}
    return {"index": action}, message_document(key, session_id, entry)
