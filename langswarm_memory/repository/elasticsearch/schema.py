"""Indexes, their mappings and templates, and the version that they carry."""

from __future__ import annotations

from asyncio import gather
from typing import Any

from ...errors import SchemaVersionError
from .calls import Calls

SCHEMA_VERSION = 2
"""Of the mappings below. Raise it with every change; a change may only add fields."""

TEMPLATE_PRIORITY = 200  # above the built-in templates' 100
DELETES_REMEMBERED = "5m"  # longer than any request is under way: a late one must not bring back what was deleted
NAMES = ("sessions", "messages", "summaries")

_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_DATE = {"type": "date"}
_KEPT = {"type": "binary"}  # base64 in the source, neither indexed nor kept in columns
_UNSEEN = {"type": "object", "enabled": False}
_OWNED = {"session_id": _KEYWORD, "session_key": _KEYWORD}

# Instants are there twice: as `long`, in microseconds since the year 1, which is what this package sorts and filters
# by, and as `date`, whose milliseconds are enough for people and their dashboards.
FIELDS: dict[str, dict[str, Any]] = {
    "sessions": {
        **_OWNED,
        "user_id": _KEYWORD,
        "agent_id": _KEYWORD,
        "workflow_id": _KEYWORD,
        "status": _KEYWORD,
        "tags": _KEYWORD,
        "created": _LONG,
        "updated": _LONG,
        "expires": _LONG,
        "created_at": _DATE,
        "updated_at": _DATE,
        "expires_at": _DATE,
        "revision": _LONG,
        "message_count": _LONG,
        "token_count": _LONG,
        "last_seq": _LONG,
        "document": _KEPT,
        "pending": _UNSEEN,
        "edits": _LONG,
        "editor": _KEYWORD,
        "rewrite": _UNSEEN,
        "indexed": _UNSEEN,
        "indexes": _KEYWORD,
        "fresh": _KEYWORD,
    },
    "messages": {
        **_OWNED,
        "seq": _LONG,
        "batch": _KEYWORD,
        "message_id": _KEYWORD,
        "role": _KEYWORD,
        "at": _LONG,
        "timestamp": _DATE,
        "tokens": _LONG,
        "content": {"type": "text"},
        "stems": {"type": "text", "analyzer": "whitespace"},
        "metadata": _KEYWORD,
        "edit": _LONG,
        "document": _KEPT,
    },
    "summaries": {
        **_OWNED,
        "summary_id": _KEYWORD,
        "created": _LONG,
        "created_at": _DATE,
        "summary": {"type": "text"},
        "document": _KEPT,
    },
}


def mappings(name: str) -> dict[str, Any]:
    """Return the mappings of an index."""
    routed: dict[str, Any] = {} if name == "sessions" else {"_routing": {"required": True}}
    if name == "messages":
        routed["_source"] = {"excludes": ["stems"]}  # made of the text again whenever a document is written
    # Strict: a field that a newer version adds must not get whatever type its first value suggests.
    return {"dynamic": "strict", "_meta": {"schema": SCHEMA_VERSION}, **routed, "properties": FIELDS[name]}


async def ensure(calls: Calls, *, shards: int, replicas: int) -> None:
    """Create what is missing, and add the fields that an older version of the package did not know.

    One round trip where nothing is to be done, for which reading the mappings is all that a user must be allowed.

    Raises:
        SchemaVersionError: An index was made by a newer version, or by something else.
    """
    tasks = (_ensure_index(calls, name, shards, replicas) for name in NAMES)
    for error in await gather(*tasks, return_exceptions=True):  # all have ended, whoever closes the client next
        if isinstance(error, BaseException):
            raise error


async def _ensure_index(calls: Calls, name: str, shards: int, replicas: int) -> None:
    found = await _version(calls, name)
    if found == SCHEMA_VERSION:
        return
    await calls.put_template(
        calls.index(name),
        version=SCHEMA_VERSION,
        priority=TEMPLATE_PRIORITY,
        template={
            "settings": {
                "number_of_shards": shards,
                "number_of_replicas": replicas,
                "gc_deletes": DELETES_REMEMBERED,
                # Messages are written once, and are there twice: as text and as a document of all their fields.
                "codec": "default" if name == "sessions" else "best_compression",
            },
            "mappings": mappings(name),
        },
    )
    if found is not None:
        await calls.put_mapping(name, properties=FIELDS[name], meta={"schema": SCHEMA_VERSION})
    elif not await calls.create_index(name, mappings(name)):  # named: a template of the user's may outrank ours
        await _version(calls, name)  # somebody else was first: what they made must suit us as well


async def _version(calls: Calls, name: str) -> int | None:
    """Return the version of an index that we can use, or None where there is no such index."""
    found = await calls.mapping(name)
    if found is None:
        return None
    version = found.get("_meta", {}).get("schema")
    if type(version) is not int or not 0 < version <= SCHEMA_VERSION:
        newer = type(version) is int and version > SCHEMA_VERSION
        raise SchemaVersionError(
            calls.name,
            found=None if version is None else str(version),
            expected=str(SCHEMA_VERSION),
            suggestion=f"index {calls.index(name)!r} was made by "
            + ("a newer version; upgrade langswarm-memory" if newer else "something else; choose another index_prefix"),
        )
    return version
