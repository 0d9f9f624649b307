"""Text search: BigQuery picks the candidates by patterns over the texts, and they are ranked in this process.

The patterns find a little more than what is looked for, never less: what words begin with that have the stem of a
word. What a candidate really holds, and how well it matches, is told by ``langswarm_memory.search``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...search import rank
from ...search.words import UNSPACED, grams, is_unspaced, stem
from ..documents import unpack_message
from ..matching import SCORE_DIGITS, message_in_scope, page_of
from ..text_search import SearchCursor, SearchFilter, SearchHit, TextQuery, Word, WordPhrase
from ..values import clean, dump_json
from .client import Row
from .parameters import Parameter, instant, number, text, texts
from .rows import STORE
from .statements import Statements

CANDIDATES = 2_000
"""Messages that are ranked, at most: those with the most and the rarest words, the newest first."""

CANDIDATE_BYTES = 32_000_000
"""Bytes of their documents, at most, but for the last one."""

_BEFORE = rf"(?:^|[^\pL\pN]|[{UNSPACED}])"  # where a word begins
_REST = r"[\pL\pN]*"
_BETWEEN = r"[^\pL\pN]*"

_IRREGULAR = {"die": "d", "lie": "l", "tie": "t"}  # dying, lying, tying
_CHANGING = ("e", "i", "y")  # hope, hoping; fly, flies


def word_pattern(word: Word) -> str:
    """Return a pattern that every text matches in which a word, standing alone, is found."""
    if is_unspaced(word.text):
        return "|".join(grams(word.text))
    return f"(?i){_BEFORE}{_beginning(word)}"


def phrase_pattern(phrase: WordPhrase) -> str:
    """Return a pattern that every text matches in which a phrase is found."""
    parts = [_BETWEEN.join(word.text) if is_unspaced(word.text) else _beginning(word) + _REST for word in phrase]
    start = "" if is_unspaced(phrase[0].text) else _BEFORE
    return f"(?i){start}{_BETWEEN.join(parts)}"


def _beginning(word: Word) -> str:
    """Return what all words begin with that have the stem of this one, or that begin as it does where it says so."""
    if not word.text.isascii():
        return word.text  # has no stem
    root = stem(word.text)
    if root in _IRREGULAR:
        return _IRREGULAR[root]
    if len(root) > 1 and (root.endswith(_CHANGING) or root.endswith("bl")):  # possible, possibility
        root = root[:-1]
    return root


def candidates(tables: Statements, query: TextQuery, where: SearchFilter) -> tuple[str, list[Parameter]]:
    """Return the messages to be ranked: ``session_id``, ``seq``, ``message``.

    How rare a word is, is counted over what was found, so that the common words of many new messages do not drive out
    the rare ones of a few old ones.
    """
    conditions, parameters = _scope(tables, where)
    flags = []
    for place, word in enumerate(query.words):
        flags.append(f"has_{place}")
        parameters.append(text(f"word_{place}", word_pattern(word)))
    wanted = [f"REGEXP_CONTAINS(subject, @phrase_{place})" for place in range(len(query.phrases))]
    parameters += [text(f"phrase_{place}", phrase_pattern(phrase)) for place, phrase in enumerate(query.phrases)]
    told = "".join(f", REGEXP_CONTAINS(subject, @word_{place}) AS {flag}" for place, flag in enumerate(flags))
    counts = "".join(f", COUNTIF({flag}) AS of_{flag}" for flag in flags)
    weight = " + ".join(f"IF({flag}, LN(1 + total / of_{flag}), 0)" for flag in flags) or "0"
    order = "weight DESC, `timestamp` DESC, session_id DESC, seq DESC"
    sql = f"""
        WITH hits AS (
            SELECT * FROM (
                SELECT session_id, seq, `timestamp`, document{told}
                FROM (
                    SELECT m.session_id, m.seq, m.timestamp, m.document,
                        CONCAT(m.content, '\\n', NORMALIZE_AND_CASEFOLD(m.content)) AS subject
                    FROM {tables.messages} AS m WHERE {" AND ".join(conditions)}
                ) WHERE {" AND ".join(wanted) or "TRUE"}
            ) WHERE {"TRUE" if wanted else " OR ".join(flags)}
        ),
        counts AS (SELECT COUNT(*) AS total{counts} FROM hits),
        best AS (
            SELECT session_id, seq, `timestamp`, document, {weight} AS weight
            FROM hits CROSS JOIN counts ORDER BY {order} LIMIT @most
        )
        SELECT session_id, seq, document AS message FROM (
            SELECT *, SUM(BYTE_LENGTH(document)) OVER (
                ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS bytes_before
            FROM best
        ) WHERE IFNULL(bytes_before, 0) < @most_bytes
    """
    return sql, [*parameters, number("most", CANDIDATES), number("most_bytes", CANDIDATE_BYTES)]


def _scope(tables: Statements, where: SearchFilter) -> tuple[list[str], list[Parameter]]:
    """Return what must hold of a message ``m``; metadata roughly, the rest exactly."""
    conditions = ["m.content IS NOT NULL"]
    parameters: list[Parameter] = []
    if where.session_ids is not None:
        conditions.append("m.session_id IN UNNEST(@sessions)")
        parameters.append(texts("sessions", sorted(where.session_ids)))
    if where.roles is not None:
        conditions.append("m.role IN UNNEST(@roles)")
        parameters.append(texts("roles", sorted(where.roles)))
    for name, sign in (("since", ">="), ("until", "<")):
        value = getattr(where, name)
        if value is not None:
            conditions.append(f"m.timestamp {sign} @{name}")
            parameters.append(instant(name, value))
    for place, (key, value) in enumerate(where.metadata.items()):
        conditions.append(f"STRPOS(m.metadata, @pair_{place}) > 0")
        parameters.append(text(f"pair_{place}", _pair(key, value)))
    of_session = []
    for name in ("user_id", "agent_id"):
        value = getattr(where, name)
        if value is not None:
            of_session.append(f"s.{name} = @{name}")
            parameters.append(text(name, value))
    if where.live_at is not None:
        of_session.append("s.status != 'expired' AND (s.expires_at IS NULL OR s.expires_at > @live_at)")
        parameters.append(instant("live_at", where.live_at))
    if where.tags:
        of_session.append(
            "(SELECT COUNT(DISTINCT t) FROM UNNEST(JSON_VALUE_ARRAY(s.tags)) AS t WHERE t IN UNNEST(@tags)) "
            "= ARRAY_LENGTH(@tags)"
        )
        parameters.append(texts("tags", sorted({clean(tag) for tag in where.tags})))
    if of_session:
        found = f"SELECT s.session_id FROM {tables.sessions} AS s WHERE {' AND '.join(of_session)}"
        conditions.append(f"m.session_id IN ({found})")
    return conditions, parameters


def _pair(key: str, value: str | float | bool) -> str:
    """Return what the JSON of metadata with this value holds; of a number, only its key: it has several forms."""
    exact = isinstance(value, str | bool)
    written, _ = dump_json({key: value if exact else 0}, "metadata")
    return written[1:-1] if exact else written[1:-2]


def ranked(
    found: Sequence[Row], query: TextQuery, where: SearchFilter, limit: int, after: SearchCursor | None
) -> list[SearchHit]:
    """Return the page of hits among candidates. Takes time: not for the event loop."""
    messages = {}
    for row in found:
        message = unpack_message(STORE, row["message"], row["seq"])
        if message_in_scope(message, where):
            messages[row["session_id"], row["seq"]] = message
    scores = rank(query, ((key, message.text) for key, message in messages.items()))
    least = 10**-SCORE_DIGITS  # a hit's score is above 0
    hits = [SearchHit(key[0], messages[key], max(round(score, SCORE_DIGITS), least)) for score, key in scores]
    return page_of(hits, limit, after)
