"""The text indexes of the two databases: what they index, and the statements that make them.

Neither keeps the texts a second time. SQLite has an FTS5 table over a view of ``messages``, kept by triggers, and one
of trigrams for texts in scripts without spaces. PostgreSQL has a GIN index on an expression: a stored ``tsvector``
would take half as much again as the messages themselves.

The first SEARCHABLE characters of a message are found; a ``tsvector`` ends at one megabyte.
"""

from __future__ import annotations

import re

from ...errors import MemoryConfigurationError
from ...search.words import UNSPACED

SEARCHABLE = 100_000
DEFAULT_LANGUAGE = "english"
GIN_INDEX = "messages_text"

_UNSPACED_GLOB = f"*[{UNSPACED}]*"

_VIEW = (
    f"CREATE VIEW {{name}} AS SELECT rowid AS id, substr(content, 1, {SEARCHABLE}) AS content FROM messages "
    "WHERE {condition}"
)
# What a view shows is what the triggers index, row for row: FTS5 counts them.
_HAS_TEXT = "{row}.content <> ''"
_HAS_UNSPACED = f"{{row}}.content GLOB '{_UNSPACED_GLOB}'"


def _fts(table: str, source: str, tokenizer: str) -> str:
    return (
        f"CREATE VIRTUAL TABLE {table} USING fts5(content, content='{source}', content_rowid='id', "
        f"tokenize='{tokenizer}')"
    )


def _triggers(table: str, condition: str) -> list[str]:
    new = f"INSERT INTO {table}(rowid, content) VALUES (new.rowid, substr(new.content, 1, {SEARCHABLE}));"
    old = (
        f"INSERT INTO {table}({table}, rowid, content) "
        f"VALUES ('delete', old.rowid, substr(old.content, 1, {SEARCHABLE}));"
    )
    had, has = condition.format(row="old"), condition.format(row="new")
    return [
        f"CREATE TRIGGER {table}_insert AFTER INSERT ON messages WHEN {has} BEGIN {new} END",
        f"CREATE TRIGGER {table}_delete AFTER DELETE ON messages WHEN {had} BEGIN {old} END",
        # Two, as each has a condition of its own. The old text goes before: of two triggers that come after,
        # SQLite does not say which is first.
        f"CREATE TRIGGER {table}_before BEFORE UPDATE OF content ON messages "
        f"WHEN {had} AND old.content IS NOT new.content BEGIN {old} END",
        f"CREATE TRIGGER {table}_after AFTER UPDATE OF content ON messages "
        f"WHEN {has} AND old.content IS NOT new.content BEGIN {new} END",
    ]


def create_sqlite() -> list[str]:
    """Return the statements that make and fill the indexes of SQLite."""
    return [
        _VIEW.format(name="messages_searchable", condition=_HAS_TEXT.format(row="messages")),
        _VIEW.format(name="messages_unspaced", condition=_HAS_UNSPACED.format(row="messages")),
        _fts("messages_text", "messages_searchable", "porter unicode61 remove_diacritics 2"),
        _fts("messages_trigrams", "messages_unspaced", "trigram"),
        *_triggers("messages_text", _HAS_TEXT),
        *_triggers("messages_trigrams", _HAS_UNSPACED),
        *REBUILD_SQLITE,
    ]


TABLES_SQLITE = ("messages_text", "messages_trigrams")
REBUILD_SQLITE = [f"INSERT INTO {table}({table}) VALUES ('rebuild')" for table in TABLES_SQLITE]
OPTIMIZE_SQLITE = [f"INSERT INTO {table}({table}) VALUES ('optimize')" for table in TABLES_SQLITE]
"""Drop what the indexes still hold of deleted texts: they only note a deletion, until segments are merged."""

DROP_SQLITE = [
    *(f"DROP TRIGGER {table}_{event}" for table in TABLES_SQLITE for event in ("insert", "delete", "before", "after")),
    "DROP TABLE messages_text",
    "DROP TABLE messages_trigrams",
    "DROP VIEW messages_searchable",
    "DROP VIEW messages_unspaced",
]

# The parser of PostgreSQL takes addresses, paths and numbers with signs for words of their own.
_PUNCTUATION = "./:@-_+&<>=~#%''’"
_SPACED = " " * (len(_PUNCTUATION) - 1)  # '' is one character


def vector_sql(language: str, column: str = "content") -> str:
    """Return the expression that the index of PostgreSQL is made on."""
    plain = f"translate(left({column}, {SEARCHABLE}), '{_PUNCTUATION}', '{_SPACED}')"
    ranges = "".join(
        part if part == "-" else f"\\u{ord(part):04x}" if ord(part) < 0x10000 else f"\\U{ord(part):08x}"
        for part in UNSPACED
    )
    apart = f"regexp_replace({plain}, '([{ranges}])', ' \\1 ', 'g')"  # each character a word
    text = f"CASE WHEN octet_length({column}) = length({column}) THEN {plain} ELSE {apart} END"
    return f"to_tsvector('{checked_language(language)}'::regconfig, {text})"


def checked_language(language: str) -> str:
    """Return the name of a text search configuration of PostgreSQL.

    Raises:
        MemoryConfigurationError: It cannot be one.
    """
    if not isinstance(language, str) or re.fullmatch(r"[a-z][a-z0-9_]{0,62}", language) is None:
        raise MemoryConfigurationError(
            "search_language must be the name of a text search configuration", "postgres", suggestion="such as english"
        )
    return language


def create_postgres(language: str = DEFAULT_LANGUAGE, table: str = "messages") -> list[str]:
    """Return the statements that make the index of PostgreSQL. It is filled as it is made."""
    # Without fastupdate: a list of what is not sorted in yet would cost more room than the index, and time in searches.
    return [f"CREATE INDEX {GIN_INDEX} ON {table} USING gin (({vector_sql(language)})) WITH (fastupdate = off)"]
