"""Text search by RediSearch, where the server has it: a query, a page of hits, and a look at each of them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from redis.exceptions import ReadOnlyError, ResponseError

from ...errors import CorruptRecordError, MemoryConfigurationError, UnsupportedOperationError
from ...interfaces.message import Message
from ...search.words import grams, is_unspaced, query_words, stem
from ..documents import instant_text
from ..matching import in_scope
from ..protocol import MessageQuery, SessionRecord, StoreFeatures
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery, Word
from ..translate import Translating
from . import scripts
from .commands import Commands
from .indexes import Indexes
from .layout import STORE, read_arguments, record_of, session_of, split
from .messages import message_of
from .texts import Place, owner_of, scalar_token, session_token, text_of, token

SCHEMA = (
    *("text", "TEXT", "session", "TAG", "user", "TAG", "agent", "TAG", "tags", "TAG", "role", "TAG"),
    *("metadata", "TAG", "time", "NUMERIC", "place", "TAG", "SORTABLE", "UNF", "NOINDEX"),
)
EXACTNESS = 1_000_000  # scores are compared as whole numbers of this part, so that a page ends where the next begins
PAGE = 50  # hits looked at in one round trip, at least
BUILD_PAGE = 200  # messages whose texts are indexed by one script, when an index is built

Mode = bool | Literal["auto"]


class SearchesTexts(Translating):
    """The primitive of ``repository/text_search.py``, for the repository."""

    features: StoreFeatures
    _commands: Commands
    _indexes: Indexes
    _prefix: str
    _mode: Mode

    async def search_text(
        self, query: TextQuery, where: SearchFilter, *, limit: int, after: SearchCursor | None = None
    ) -> list[SearchHit]:
        """Return the best hits: two round trips per page, and another page only where hits were filtered out."""
        self._require_search()
        if where.session_ids is not None and not where.session_ids:
            return []
        wanted = " ".join((*_conditions(where), _query(query)))
        found: list[SearchHit] = []
        size = max(limit, PAGE)
        while len(found) < limit:
            with self.io("search_text"):
                page = await self._page(wanted, size, after)
                found += await self._hits(page, where)
            if len(page) < size:
                break
            last = page[-1]
            after = SearchCursor(last.rank / EXACTNESS, last.place.session_id, last.place.seq)
        return found[:limit]

    async def _page(self, wanted: str, size: int, after: SearchCursor | None) -> list[_Candidate]:
        behind: list[Any] = []
        if after is not None:
            rank, place = round(after.score * EXACTNESS), Place(after.session_id, after.seq).text
            behind = ["FILTER", f"@rank < {rank} || (@rank == {rank} && @place > '{place}')"]
        reply = await self._commands.call(
            *("FT.AGGREGATE", self._index, wanted, "SCORER", "BM25STD", "ADDSCORES"),
            # Longer than the client waits: a search that the server breaks off answers with less, and does not say so.
            *("TIMEOUT", int((self._commands.timeout + 1) * 1_000)),
            *("APPLY", f"floor(@__score * {EXACTNESS}) + 1", "AS", "rank", *behind),
            *("SORTBY", 4, "@rank", "DESC", "@place", "ASC", "MAX", size, "LOAD", 1, "@token"),
            *("LIMIT", 0, size, "DIALECT", 2),
        )
        return [_Candidate.parse(row) for row in _rows(reply)]

    async def _hits(self, page: Sequence[_Candidate], where: SearchFilter) -> list[SearchHit]:
        """Return the hits among candidates: those whose session and message are as the filter asks, and still there."""
        ids = list(dict.fromkeys(one.place.session_id for one in page))
        replies = await self._commands.many(
            [("HMGET", self._indexes.keys(one)[0], "document", "state", "text") for one in ids]
            + [
                ("ZRANGEBYSCORE", self._indexes.keys(place.session_id)[1], place.seq, place.seq)
                for place in (one.place for one in page)
            ]
        )
        sessions: dict[tuple[str, bytes], SessionRecord] = {}
        for session_id, (document, state, owner) in zip(ids, replies, strict=False):
            if state is not None and owner is not None:
                sessions[session_id, owner.partition(b" ")[0]] = record_of(document, state)
        hits = []
        for one, members in zip(page, replies[len(ids) :], strict=True):
            record = sessions.get((one.place.session_id, one.token))  # not another session that had the id before
            if record is not None and members:
                message = message_of(members[0])
                if in_scope(record.metadata, message, where):
                    hits.append(SearchHit(one.place.session_id, message, one.rank / EXACTNESS))
        return hits

    # --- the index ---------------------------------------------------------------------------------------------

    @property
    def _index(self) -> str:
        return f"{self._prefix}texts"

    @property
    def _ready_key(self) -> str:
        return f"{self._prefix}searchable"

    async def _open_search(self) -> None:
        """Find out whether the server can search; make the index, and fill it, if that was not done yet."""
        usable = self._mode is not False and not self._commands.clustered and await self._made()
        if usable and await self._commands.call("GET", self._ready_key) is None:
            try:
                await self._index_all()
            except ReadOnlyError:  # a replica, of a primary whose index was not built yet
                usable = False
        if self._mode is True and not usable:
            raise MemoryConfigurationError(
                "text_search=True needs RediSearch 2.10, database 0, and no Cluster",
                STORE,
                suggestion="use Redis Stack 7.4 or newer, or text_search='auto'",
            )
        self.features = replace(self.features, text_search=usable)

    async def _made(self) -> bool:
        create = ("FT.CREATE", self._index, "ON", "HASH", "PREFIX", 1, f"{self._prefix}text:", "LANGUAGE", "english")
        # Whatever the server says no to, an unknown command, an option, the database or the user: it cannot search.
        try:
            if not await self._is_made():
                with suppress(ResponseError):  # another process was first, or the next command tells
                    await self._commands.call(*create, "STOPWORDS", 0, "SCHEMA", *SCHEMA)
            await self._page("@text:(x)", 1, None)
        except ResponseError:
            return False
        return True

    async def _is_made(self) -> bool:
        return self._index.encode() in await self._commands.call("FT._LIST")

    async def index_texts(self) -> None:
        """Put the texts of all stored messages into the index: two round trips per 200 messages.

        ``open`` does so once. It may be repeated at any time.

        Raises:
            UnsupportedOperationError: The server has no text search, or it is switched off.
        """
        self._require_search()
        with self.io("index_texts"):
            await self._index_all()

    def _require_search(self) -> None:
        if not self.features.text_search:
            raise UnsupportedOperationError(STORE, "text_search", suggestion="use a Redis with RediSearch 2.10")

    async def _index_all(self) -> None:
        async for entries in self._indexes.all_entries():
            for entry in entries:
                with suppress(CorruptRecordError):  # it is told to whoever reads the session
                    await self._index_session(session_of(entry))
        await self._commands.call("SET", self._ready_key, 1)

    async def _index_session(self, session_id: str) -> None:
        keys = self._indexes.keys(session_id)
        done, size = 0, 0  # at first no message: from then on, what is appended brings its text along
        while True:
            query = MessageQuery(after_seq=done, newest_first=False, limit=size)
            reply = await self._commands.run(scripts.READ, keys[:4], *read_arguments(query, with_session=True))
            if reply is None:
                return
            document, state, *members = split(reply)
            record = record_of(document, state)
            owner = uuid.uuid4().hex + owner_of(record.metadata)
            outcome = await self._commands.run(scripts.INDEX, keys, owner, record.edits, *_texts(members))
            if outcome == b"conflict":
                continue
            if outcome == b"missing" or len(members) < size:
                return
            done, size = int(members[-1].split(b" ", 1)[0]) if members else done, BUILD_PAGE

    def _texts(self, messages: Iterable[Message]) -> list[bytes]:
        """Return the texts to send along with messages: those of all, or none."""
        return [text_of(message) for message in messages] if self.features.text_search else []


class _Candidate(NamedTuple):
    """What the index says of a hit."""

    rank: int
    place: Place
    token: bytes

    @classmethod
    def parse(cls, row: dict[bytes, bytes]) -> _Candidate:
        return cls(int(float(row[b"rank"])), Place.parse(row[b"place"].decode()), row.get(b"token", b""))


def _rows(reply: Any) -> Iterator[dict[bytes, bytes]]:
    """Yield the rows of a reply, in either version of the protocol."""
    if isinstance(reply, dict):
        for row in reply[b"results"]:
            yield row[b"extra_attributes"]
    else:
        for row in reply[1:]:
            yield dict(zip(row[::2], row[1::2], strict=True))


def _texts(members: Iterable[bytes]) -> Iterator[bytes]:
    for member in members:
        seq, _, time, _ = member.split(b" ", 3)
        with suppress(CorruptRecordError):  # it is told to whoever reads the message
            text = text_of(message_of(member))
            yield seq + b" " + time
            yield text


# --- the query language of RediSearch; all that is pasted are letters and digits ------------------------------------


def _conditions(where: SearchFilter) -> Iterator[str]:
    if where.session_ids is not None:
        yield _any_of("session", map(session_token, where.session_ids))
    if where.user_id is not None:
        yield _any_of("user", [token(where.user_id)])
    if where.agent_id is not None:
        yield _any_of("agent", [token(where.agent_id)])
    for tag in where.tags:
        yield _any_of("tags", [token(tag)])
    if where.roles is not None:
        yield _any_of("role", [token(str(getattr(role, "value", role))) for role in where.roles])
    for key, value in where.metadata.items():
        yield _any_of("metadata", [scalar_token(key, value)])
    if where.since is not None or where.until is not None:
        # The index holds floating point numbers, which are some microseconds off: what it finds is looked at again.
        low = "-inf" if where.since is None else _near(where.since, -math.inf)
        high = "+inf" if where.until is None else _near(where.until, math.inf)
        yield f"@time:[{low} {high}]"


def _near(instant: Any, direction: float) -> str:
    return f"{math.nextafter(float(instant_text(instant)), direction):.0f}"


def _any_of(field: str, tokens: Iterable[str]) -> str:
    # A condition does not count for the score; RediSearch drops the weight of one that has a single token.
    return f"(@{field}:{{{'|'.join([*tokens, 'none', 'nothing'])}}})=>{{$weight:0;}}"


def _query(query: TextQuery) -> str:
    parts = [_in_order(phrase) for phrase in query.phrases]
    words = "|".join(_any_gram(word) for word in query.words)
    if words:
        parts.append(f"~({words})" if parts else f"({words})")
    # The server looks for inflections only where words are wanted.
    parts += [f"-({_in_order(phrase, inflected=True)})" for phrase in query.excluded]
    return " ".join(parts)


def _any_gram(word: Word) -> str:
    """Return the query for a word; for one of a script without spaces, that for any two neighbours in it."""
    return "|".join(
        _in_order([Word(one, word.prefix)])
        for run in query_words(word.text)
        for one in (grams(run) if is_unspaced(run) else [run])
    )


def _in_order(phrase: Sequence[Word], *, inflected: bool = False) -> str:
    """Return the query for words that follow each other."""
    terms: list[str] = []
    for word in phrase:
        for run in query_words(word.text):
            if is_unspaced(run):
                terms += run
            else:
                terms.append(_term(run, prefix=word.prefix, inflected=inflected))
    if len(terms) == 1:
        return f"(@text:({terms[0]}))"
    return f"(@text:({' '.join(terms)}))=>{{$inorder:true;$slop:0;}}"


def _term(word: str, *, prefix: bool, inflected: bool) -> str:
    terms = [word]
    if inflected:
        terms += [stem(word), rf"\+{stem(word)}"]  # the latter is where RediSearch keeps the stems of other words
    if prefix:
        terms.append(f"w'{word}*'")
    return f"({'|'.join(dict.fromkeys(terms))})" if len(terms) > 1 else word
