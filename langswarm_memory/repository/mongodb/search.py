"""Text search: an index of terms finds and ranks in the server, what it cannot tell is looked at here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import CorruptRecordError, UnsupportedOperationError
from ...interfaces.message import Message
from ...search.bm25 import matches
from ..documents import instant_text
from ..matching import message_in_scope
from ..protocol import StoreFeatures
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery
from .connection import NAME, Connection, UpdateOne
from .forms import MAX_DOCUMENT, session_record, unpack
from .rewrites import Rewrites
from .terms import WITHOUT_TERMS, searched, text_fields
from .texts import Term, candidates, needs_look, ranked, score_of, wanted, weight

SCOPE = 1_000  # sessions that are named in a query; of more, each candidate's session is looked at
PAGE, LONGEST_PAGE, GROWTH = 50, 2_000, 4  # candidates looked at at once; more, and more, while they are none
COUNTED = 10_000  # messages counted to tell how rare a term is
BUILD_PAGE = 500  # messages read at once when texts of earlier versions are made searchable


class SearchesTexts(Connection):
    """The primitive of ``repository/text_search.py``, for the repository."""

    features: StoreFeatures
    _rewrites: Rewrites

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Return the best hits: three round trips, and two more where many candidates turn out to be none."""
        if not self.features.text_search:
            raise UnsupportedOperationError(NAME, "text search", "open the store with text_search=True")
        if where.session_ids is not None and not where.session_ids:
            return []
        if (where.roles is not None and not where.roles) or (weights := await self._weights(query)) is None:
            return []
        conditions = candidates(query, where)
        scope = await self._scope(where)
        if scope is not None:
            if not scope:
                return []
            conditions["session_id"] = {"$in": scope}
        found: list[SearchHit] = []
        size = max(limit, PAGE)
        while len(found) < limit:
            with self.io("search_text"):
                pipeline = ranked(conditions, weights, size, after)
                page = await self.collections.messages.aggregate(pipeline).to_list(None)
            found += await self._hits(page, query, where)
            if len(page) < size:
                break
            after = SearchCursor(score_of(page[-1]["rank"]), page[-1]["session_id"], page[-1]["seq"])
            size = min(GROWTH * size, LONGEST_PAGE)
        return found[:limit]

    async def _weights(self, query: TextQuery) -> dict[Term, float] | None:
        """Return what each term of a query tells; None: no message has any of them."""
        asked = wanted([*query.words, *(word for phrase in query.phrases for word in phrase)])
        messages = self.collections.messages
        with self.io("search_text"):
            total, *counts = await asyncio.gather(
                messages.estimated_document_count(),
                *(messages.count_documents(term.condition, limit=COUNTED) for term in asked),
            )
        if not any(counts):
            return None
        return {term: weight(count, total) for term, count in zip(asked, counts, strict=True)}

    async def _scope(self, where: SearchFilter) -> list[str] | None:
        """Return the ids of the sessions to look into; None: too many to name, or all."""
        conditions = _sessions(where)
        if where.session_ids is not None:
            conditions["_id"] = {"$in": sorted(where.session_ids)}
        elif where.user_id is None and where.agent_id is None:
            return None
        with self.io("search_text"):
            cursor = self.collections.sessions.find(conditions, {"_id": 1}).limit(SCOPE + 1)
            found = [session["_id"] for session in await cursor.to_list(None)]
        return found if len(found) <= SCOPE else None

    async def _hits(self, page: Sequence[Mapping[str, Any]], query: TextQuery, where: SearchFilter) -> list[SearchHit]:
        """Return the hits among candidates, in their order."""
        if not page:
            return []
        sessions, messages, _ = self.collections
        ids = sorted({one["session_id"] for one in page})
        keys = {"session_id": {"$in": ids}, "_id": {"$in": [one["_id"] for one in page]}}
        of_these = {**_sessions(where), "_id": {"$in": ids}}
        with self.io("search_text"):
            of_page, documents = await asyncio.gather(
                sessions.find(of_these, None if where.tags else {"born": 1}).to_list(None),
                messages.find(keys, WITHOUT_TERMS).to_list(None),
            )
        inside = {
            session["_id"]: session["born"]
            for session in of_page
            if (where.session_ids is None or session["_id"] in where.session_ids)
            and (not where.tags or where.tags <= set(session_record(session).metadata.tags))
        }
        if any(document.get("rewriting") for document in documents):
            documents = await self._unchanged(documents, keys)
        look = needs_look(query)
        found = {_place(document): document for document in documents}
        hits = []
        for one in page:
            document = found.get(_place(one))
            if document is None or inside.get(one["session_id"]) != document["born"]:
                continue  # gone meanwhile, or left behind by a session that was deleted
            message: Message = unpack(document)
            if message_in_scope(message, where) and (not look or matches(query, searched(message.text))):
                hits.append(SearchHit(one["session_id"], message, score_of(one["rank"])))
        return hits

    async def _unchanged(self, documents: Sequence[Mapping[str, Any]], keys: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read messages again once what is under way in their sessions is carried out."""
        for session_id in sorted({one["session_id"] for one in documents if one.get("rewriting")}):
            await self._rewrites.settled(session_id)
        with self.io("search_text"):
            return list(await self.collections.messages.find(keys, WITHOUT_TERMS).to_list(None))

    async def index_texts(self) -> None:
        """Make messages searchable that an earlier version stored: two round trips per 500. ``open`` does so."""
        messages = self.collections.messages
        while True:
            with self.io("open"):
                page = await messages.find({"terms": None}).limit(BUILD_PAGE).to_list(None)
            requests = []
            for document in page:
                try:
                    fields = text_fields(unpack(document).text, MAX_DOCUMENT - len(document["document"]))
                except CorruptRecordError:
                    fields = {"terms": [], "length": 0}  # reading it tells; the others can be found
                # Unless it was rewritten meanwhile.
                where = {"session_id": document["session_id"], "_id": document["_id"], "terms": None}
                requests.append(UpdateOne(where, {"$set": fields}))
            if requests:
                with self.io("open"):
                    await messages.bulk_write(requests, ordered=False)
            if len(page) < BUILD_PAGE:
                return


def _sessions(where: SearchFilter) -> dict[str, Any]:
    """Return the conditions of a search on sessions, but those on ids and tags."""
    conditions: dict[str, Any] = {
        name: getattr(where, name) for name in ("user_id", "agent_id") if getattr(where, name) is not None
    }
    if where.live_at is not None:
        conditions |= {"expires": {"$gt": instant_text(where.live_at)}, "status": {"$ne": "expired"}}
    return conditions


def _place(document: Mapping[str, Any]) -> tuple[str, int]:
    return document["session_id"], document["seq"]
