"""Searching the text indexes: one statement per page, ranked alike on both databases.

A statement fetches the matches of each word from the index alone, without looking at a text, and adds up the weights of
the words that a message holds: BM25 with each word counted once, the message's tokens as its length (k1 = 0.9, b = 0.4,
the constants of Anserini: Yang, Fang and Lin, 2017), and rarity among the messages that hold any of the words, which
needs no statistics. Of one word, SQLite ranks by the BM25 of FTS5. How much of what is asked for is found stands in
docs/search.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from ...search.words import STOP_WORDS, grams, is_unspaced
from ..codec import is_clean
from ..matching import SCORE_DIGITS
from ..text_search import SearchCursor, SearchFilter, TextQuery, Word, WordPhrase
from .statements import MESSAGE_COLUMNS
from .text_index import vector_sql

K1, B = 0.9, 0.4
MOST_TERMS = 60  # a term has a bit of an integer each; of long runs without spaces the first pairs count
SAMPLE = 500  # matches whose mean length stands for that of all
SPARE = 50  # hits beyond the page that are looked up, in case that some belong to expired sessions
LEADING = 3  # columns in front of those of the message: session_id, score, matches in all

Instant = Callable[[datetime], Any]


COLUMNS = ", ".join(f'm."{name}"' for name in MESSAGE_COLUMNS)
"""The columns of a message ``m``, as ``message_from_row`` takes them."""


def searchable_scope(where: SearchFilter) -> bool:
    """Return whether anything can match. Text that a database cannot hold is in no column of it."""
    texts = [
        *where.tags,
        *(where.roles or ()),
        *where.metadata,
        *(v for v in where.metadata.values() if type(v) is str),
    ]
    return all(is_clean(text) for text in (*texts, *(where.session_ids or ())))


class Arguments:
    """Values bound to a statement, and the marks that stand for them."""

    def __init__(self, mark: Callable[[int], str]) -> None:
        self.values: list[Any] = []
        self._mark = mark

    def __call__(self, value: Any) -> str:
        """Bind a value and return its mark."""
        self.values.append(value)
        return self._mark(len(self.values))


Built = tuple[str, list[Any]]


def _place(bind: Arguments, after: SearchCursor | None) -> Iterator[str]:
    if after is not None:
        score, session, seq = bind(after.score), bind(after.session_id), bind(after.seq)
        # By number: the same value is compared twice.
        yield (
            f"(f.score < {score} OR (f.score = {score} AND "
            f"(m.session_id > {session} OR (m.session_id = {session} AND m.seq < {seq}))))"
        )


def narrow(where: SearchFilter, after: SearchCursor | None) -> bool:
    """Return whether few of the best hits may remain: then all must be looked up."""
    return bool(
        after is not None
        or where.session_ids is not None
        or where.user_id is not None
        or where.agent_id is not None
        or where.tags
        or where.roles is not None
        or where.since is not None
        or where.until is not None
        or where.metadata
    )


def _common(where: SearchFilter, bind: Arguments, instant: Instant) -> Iterator[str]:
    """Yield the conditions that both databases write alike."""
    if where.user_id is not None:
        yield f"s.user_id = {bind(where.user_id)}"
    if where.agent_id is not None:
        yield f"s.agent_id = {bind(where.agent_id)}"
    if where.live_at is not None:
        yield f"s.status <> 'expired' AND (s.expires_at IS NULL OR s.expires_at > {bind(instant(where.live_at))})"
    if where.since is not None:
        yield f"m.timestamp >= {bind(instant(where.since))}"
    if where.until is not None:
        yield f"m.timestamp < {bind(instant(where.until))}"


# --- SQLite --------------------------------------------------------------------------------------------------------


def sqlite_search(
    query: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None, instant: Instant, *, bounded: bool
) -> Built:
    """Return the statement and its parameters for SQLite."""
    bind = Arguments(lambda number: f"?{number}")
    conditions = [*scope_sqlite(where, bind, instant), *_place(bind, after)]
    bound = ""
    if bounded:
        best = f"SELECT score FROM found ORDER BY score DESC LIMIT {bind(limit + SPARE)}"
        bound = f"f.score >= (SELECT min(score) FROM ({best})) AND "
    found, total = _sqlite_found(query, bind, limit + SPARE if bounded else None)
    sql = (
        f"WITH {found} SELECT m.session_id, f.score, ({total}), {COLUMNS} FROM found f "
        "CROSS JOIN messages m ON m.rowid = f.id JOIN sessions s ON s.session_id = m.session_id "
        f"WHERE {bound}{' AND '.join(conditions) or 'true'} "
        f"ORDER BY f.score DESC, m.session_id, m.seq DESC LIMIT {bind(limit)}"
    )
    return sql, bind.values


def _sqlite_found(query: TextQuery, bind: Arguments, best: int | None) -> tuple[str, str]:
    """Return the CTEs of which the last, ``found``, has (id, score), and the SELECT of how many messages match.

    With `best`, only so many of the best need be among them.
    """
    words = [*query.words, *(word for phrase in query.phrases for word in phrase)]
    terms = list(dict.fromkeys(_fts_phrase((word,)) for word in words if not is_unspaced(word.text)))
    scope = _sqlite_required(query, bind)
    runs = dict.fromkeys(gram for word in words if is_unspaced(word.text) for gram in grams(word.text, 3))
    if len(terms) == 1 and not runs:
        # One word needs no weight: the ranking of FTS5 itself, which looks at no message.
        score = f"round(-bm25(messages_text), {SCORE_DIGITS})"
        matching = f"FROM messages_text WHERE messages_text MATCH {bind(terms[0])}{scope}"
        return f"found AS MATERIALIZED (SELECT rowid AS id, {score} AS score {matching})", "SELECT count(*) FROM found"
    matches = [f"messages_text WHERE messages_text MATCH {bind(term)}{scope}" for term in terms]
    for gram in runs:
        if len(gram) == 3:
            matches.append(f"messages_trigrams WHERE messages_trigrams MATCH {bind(_quoted(gram))}{scope}")
        else:  # an index of trigrams knows nothing shorter: then the texts in such scripts are read
            here = scope.replace("AND rowid", "AND id")
            matches.append(f"messages_unspaced WHERE instr(content, {bind(gram)}){here}")
    return _sqlite_ranked(matches[:MOST_TERMS], best), "SELECT total FROM rarity"


def _sqlite_ranked(matches: Sequence[str], best: int | None) -> str:
    """Return the CTEs that rank by which of the terms a message holds: one bit each, so that few kinds are weighed."""
    hits = " UNION ALL ".join(
        f"SELECT {'id' if match.startswith('messages_unspaced') else 'rowid'} AS id, {1 << number} AS bit FROM {match}"
        for number, match in enumerate(matches)
    )
    numbers = range(len(matches))
    holding = ", ".join(f"coalesce((SELECT sum(n) FROM kinds WHERE mask & {1 << one}), 0) AS d{one}" for one in numbers)
    weight = " + ".join(
        f"CASE WHEN mask & {1 << one} THEN ln(1 + (total - d{one} + 0.5) / (d{one} + 0.5)) ELSE 0 END"
        for one in numbers
    )
    score = f"w.weight * {K1 + 1} / (1 + {K1} * ({1 - B} + {B} * m.token_count / mean))"
    sized = "size, weights w JOIN masks s ON s.mask = w.mask CROSS JOIN messages m ON m.rowid = s.id"
    ctes = [
        f"hits AS ({hits})",
        "masks AS MATERIALIZED (SELECT id, sum(bit) AS mask FROM hits GROUP BY id)",
        "kinds AS MATERIALIZED (SELECT mask, count(*) AS n FROM masks GROUP BY mask)",
        f"rarity AS MATERIALIZED (SELECT coalesce((SELECT sum(n) FROM kinds), 0) AS total, {holding})",
        f"weights AS MATERIALIZED (SELECT mask, n, {weight} AS weight FROM kinds, rarity)",
        "size AS MATERIALIZED (SELECT max(avg(m.token_count), 1) AS mean "
        f"FROM (SELECT id FROM masks LIMIT {SAMPLE}) s CROSS JOIN messages m ON m.rowid = s.id)",
    ]
    enough = ""
    if best is not None:
        # However short, a message cannot be better than its words allow: most need not be looked at for their length.
        ctes += [
            "lead AS MATERIALIZED (SELECT coalesce(min(weight), 0) AS weight FROM (SELECT weight, "
            f"sum(n) OVER (ORDER BY weight DESC) - n AS before FROM weights) WHERE before < {best * 5})",
            f"first AS MATERIALIZED (SELECT {score} AS score FROM {sized} WHERE w.weight >= (SELECT weight FROM lead))",
            "bar AS MATERIALIZED (SELECT coalesce((SELECT score FROM first "
            f"ORDER BY score DESC LIMIT 1 OFFSET {best - 1}), 0) AS score)",
        ]
        enough = f" WHERE w.weight * {K1 + 1} / (1 + {K1} * {1 - B}) >= (SELECT score FROM bar)"
    ctes.append(f"found AS MATERIALIZED (SELECT s.id, round({score}, {SCORE_DIGITS}) AS score FROM {sized}{enough})")
    return ", ".join(ctes)


def _sqlite_required(query: TextQuery, bind: Arguments) -> str:
    """Return the conditions on ``rowid`` that phrases and exclusions are."""
    conditions = []
    for phrase, what in (*((one, "IN") for one in query.phrases), *((one, "NOT IN") for one in query.excluded)):
        if _unspaced(phrase):
            holding = " AND ".join(f"instr(lower(content), {bind(word.text)})" for word in phrase)
            conditions.append(f"rowid {what} (SELECT id FROM messages_unspaced WHERE {holding})")
        else:
            match = bind(_fts_phrase(phrase))
            conditions.append(f"rowid {what} (SELECT rowid FROM messages_text WHERE messages_text MATCH {match})")
    return "".join(f" AND {condition}" for condition in conditions)


def _unspaced(phrase: WordPhrase) -> bool:
    return any(is_unspaced(word.text) for word in phrase)


def _fts_phrase(phrase: WordPhrase) -> str:
    star = "*" if phrase[-1].prefix else ""
    return _quoted(" ".join(word.text for word in phrase)) + star


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def scope_sqlite(where: SearchFilter, bind: Arguments, instant: Instant) -> Iterator[str]:
    """Yield the conditions of a search on a session ``s`` and a message ``m``, for SQLite."""
    yield from _common(where, bind, instant)
    if where.session_ids is not None:
        yield f"m.session_id IN (SELECT value FROM json_each({bind(json.dumps(sorted(where.session_ids)))}))"
    if where.roles is not None:
        yield f"m.role IN (SELECT value FROM json_each({bind(json.dumps(sorted(where.roles)))}))"
    for tag in sorted(where.tags):
        yield f"EXISTS (SELECT 1 FROM json_each(s.tags) WHERE value = {bind(tag)})"
    for key, value in where.metadata.items():
        if isinstance(value, bool):
            same = f"type = '{'true' if value else 'false'}'"
        elif isinstance(value, str):
            same = f"type = 'text' AND atom = {bind(value)}"
        else:
            same = f"type IN ('integer', 'real') AND atom = {bind(value)}"
        yield f"EXISTS (SELECT 1 FROM json_each(m.metadata) WHERE key = {bind(key)} AND {same})"


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def postgres_search(
    query: TextQuery,
    where: SearchFilter,
    limit: int,
    after: SearchCursor | None,
    instant: Instant,
    *,
    bounded: bool,
    language: str,
    schema: str,
) -> Built:
    """Return the statement and its parameters for PostgreSQL. `schema` comes quoted and with a dot behind it."""
    bind = Arguments(lambda number: f"${number}")
    conditions = [*scope_postgres(where, bind, instant), *_place(bind, after)]
    messages, vector = f"{schema}messages", vector_sql(language)
    row = "tableoid AS part, ctid AS id"  # where a row lies is unique within a partition only

    def matching(phrase: WordPhrase) -> str:
        if all(word.text in STOP_WORDS and not word.prefix for word in phrase):
            # Function words are not in the index.
            return f"content ~* {bind(_pattern(phrase))}::text"
        return f"{vector} @@ to_tsquery('{language}'::regconfig, {bind(_ts_phrase(phrase))}::text)"

    terms = [
        term for word in (*query.words, *(word for phrase in query.phrases for word in phrase)) for term in _terms(word)
    ]
    telling = [term for term in terms if term[0].text not in STOP_WORDS or term[0].prefix or len(term) > 1]
    matches = " UNION ALL ".join(
        f"SELECT {row}, {number} AS term, token_count FROM {messages} WHERE {matching(term)}"
        for number, term in enumerate(dict.fromkeys(telling or terms))
    )
    for phrase in query.phrases:
        rows = f"SELECT {row} FROM {messages} WHERE {matching(phrase)}"
        matches = f"SELECT * FROM ({matches}) o WHERE (part, id) IN ({rows})"
    for phrase in query.excluded:
        rows = f"SELECT {row} FROM {messages} WHERE {matching(phrase)}"
        matches = f"SELECT * FROM ({matches}) o WHERE (part, id) NOT IN ({rows})"
    parts = [
        f"WITH hits AS MATERIALIZED ({matches})",
        "whole AS (SELECT (SELECT count(*) FROM (SELECT DISTINCT part, id FROM hits) d) AS total, "
        "greatest(avg(token_count)::float8, 1) AS mean FROM hits)",
        "terms AS (SELECT term, ln(1 + (min(total) - count(*) + 0.5) / (count(*) + 0.5)) AS weight "
        "FROM hits, whole GROUP BY term)",
        "found AS MATERIALIZED (SELECT hits.part, hits.id, "
        f"round((sum(weight) * {K1 + 1} / (1 + {K1} * ({1 - B} + {B} * "
        f"min(token_count) / min(mean))))::numeric, {SCORE_DIGITS})::float8 AS score "
        "FROM hits JOIN terms USING (term), whole GROUP BY hits.part, hits.id)",
    ]
    bound = ""
    if bounded:
        best = f"SELECT score FROM found ORDER BY score DESC LIMIT {bind(limit + SPARE)}"
        bound = f"f.score >= (SELECT min(score) FROM ({best}) b) AND "
    sql = (
        f"{', '.join(parts)} "
        f"SELECT m.session_id, f.score, (SELECT count(*) FROM found), {COLUMNS} FROM found f "
        f"JOIN {messages} m ON m.tableoid = f.part AND m.ctid = f.id "
        f"JOIN {schema}sessions s ON s.session_id = m.session_id "
        f"WHERE {bound}{' AND '.join(conditions) or 'true'} "
        f"ORDER BY f.score DESC, m.session_id, m.seq DESC LIMIT {bind(limit)}"
    )
    return sql, bind.values


def _terms(word: Word) -> list[WordPhrase]:
    """Return what a word is looked for by: itself, or any pair of characters where there are no spaces."""
    return [(Word(gram),) for gram in grams(word.text)] if is_unspaced(word.text) else [(word,)]


def _pattern(phrase: WordPhrase) -> str:
    # Of letters and digits only, so nothing in it needs an escape.
    return r"\m" + r"\W+".join(word.text for word in phrase) + r"\M"


def _ts_phrase(phrase: WordPhrase) -> str:
    parts = []
    for word in phrase:
        parts += list(word.text) if is_unspaced(word.text) else [word.text + (":*" if word.prefix else "")]
    return " <-> ".join(parts)


def scope_postgres(where: SearchFilter, bind: Arguments, instant: Instant) -> Iterator[str]:
    """Yield the conditions of a search on a session ``s`` and a message ``m``, for PostgreSQL."""
    yield from _common(where, bind, instant)
    if where.session_ids is not None:
        yield f"m.session_id = ANY({bind(sorted(where.session_ids))}::text[])"
    if where.roles is not None:
        yield f"m.role = ANY({bind(sorted(where.roles))}::text[])"
    for tag in sorted(where.tags):
        yield f"s.tags::jsonb @> {bind(json.dumps([tag]))}::text::jsonb"
    if where.metadata:
        yield f"m.metadata::jsonb @> {bind(json.dumps(dict(where.metadata)))}::text::jsonb"
