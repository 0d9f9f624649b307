"""The statements of the SQLite vector store: its table, and conditions on JSON.

The table is that of version 0.2 of the package, so that its files can be opened. A second one holds what belongs to a
collection: its dimension, and a number that triggers raise with every change, whoever makes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .documents import CONTENT, TIMESTAMP
from .protocol import Condition, Range, Scalar

COLLECTIONS = "langswarm_vector_collections"
_NUMBER = "('integer', 'real')"


def schema(table: str) -> list[str]:
    """Return the statements that make what is not there yet. The names were checked: they are identifiers."""
    change = f"UPDATE {COLLECTIONS} SET revision = revision + 1 WHERE name = '{table}'"
    return [
        f"CREATE TABLE IF NOT EXISTS {COLLECTIONS} "
        "(name TEXT PRIMARY KEY, dimension INTEGER NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID",
        f'CREATE TABLE IF NOT EXISTS "{table}" (id TEXT PRIMARY KEY, content TEXT, embedding BLOB NOT NULL, '
        "metadata TEXT, timestamp TEXT, dimension INTEGER NOT NULL, created_at TEXT)",
        *(
            f'CREATE TRIGGER IF NOT EXISTS "{table}_{event.lower()}d" AFTER {event} ON "{table}" BEGIN {change}; END'
            for event in ("INSERT", "UPDATE", "DELETE")
        ),
    ]


def indexes(table: str, indexed: Iterable[str]) -> list[str]:
    """Return the statements that make the indexes; where a row's metadata is no JSON they fail."""
    # Both halves of the condition on a text use one: equal to the text, and a list that holds it.
    return [
        f'CREATE INDEX IF NOT EXISTS "{table}_{key}" ON "{table}" '
        f"(json_type(metadata, '$.{key}'), json_extract(metadata, '$.{key}'))"
        for key in indexed
    ]


def conditions(where: Mapping[str, Condition]) -> tuple[str, list[Any]]:
    """Return conditions as SQL, and its parameters. Keys were checked: they are identifiers; values are bound."""
    texts: list[str] = []
    values: list[Any] = []
    for key, condition in where.items():
        text, bound = _condition(_source(key), f"'$.{key}'", condition)
        texts.append(f"({text})")
        values += bound
    return " AND ".join(texts) or "1", values


def _source(key: str) -> str:
    if key not in (CONTENT, TIMESTAMP):
        return "metadata"
    # Kept in a column of its own, unless it is empty, no text, or the metadata of an older row has such a key too.
    return (
        f"CASE WHEN coalesce({key}, '') = '' OR json_type(metadata, '$.{key}') IS NOT NULL THEN metadata "
        f"ELSE json_object('{key}', {key}) END"
    )


def _condition(source: str, path: str, condition: Condition) -> tuple[str, list[Any]]:
    kind, value = f"json_type({source}, {path})", f"json_extract({source}, {path})"
    within = f"{kind} = 'array' AND EXISTS (SELECT 1 FROM json_each({source}, {path}) AS each WHERE each.value"
    if isinstance(condition, Range):
        texts, bound = [f"{kind} IN {_NUMBER}"], []
        for operator, end in ((">=", condition.ge), ("<", condition.lt)):
            if end is not None:
                texts.append(f"{value} {operator} json_extract(?, '$')")
                bound.append(json.dumps(end))
        return " AND ".join(texts), bound
    if isinstance(condition, frozenset):
        among = json.dumps(sorted(condition))
        one = "IN (SELECT value FROM json_each(?))"
        return f"({kind} = 'text' AND {value} {one}) OR ({within} {one}))", [among, among]
    if isinstance(condition, bool):
        return f"{kind} = '{json.dumps(condition)}'", []
    if isinstance(condition, str):
        return f"({kind} = 'text' AND {value} = ?) OR ({within} = ?))", [condition, condition]
    # Read by the same function on both sides: SQLite's reading of a decimal may end in another last bit than Python's.
    return f"{kind} IN {_NUMBER} AND {value} = json_extract(?, '$')", [json.dumps(condition)]


def column(payload: dict[str, Scalar | list[str]], key: str) -> str:
    """Return what goes into the column of a key, "" for nothing."""
    value = payload.get(key)
    return value if isinstance(value, str) else ""  # not NULL, which tables of version 0.2 do not take


def metadata_of(payload: dict[str, Scalar | list[str]]) -> str:
    """Return the rest of a payload, as JSON."""
    kept = {key: value for key, value in payload.items() if key not in (CONTENT, TIMESTAMP) or not column(payload, key)}
    return json.dumps(kept, ensure_ascii=False)
