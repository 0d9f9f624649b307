"""What RediSearch answers, in either version of Redis's protocol: RESP3 has mappings, RESP2 lists."""

from __future__ import annotations

from typing import Any, TypeAlias

Rows: TypeAlias = "list[tuple[bytes, dict[bytes, bytes]]]"
"""Key and fields of each row."""

_UNKNOWN_INDEX = ("unknown index name", "no such index")  # up to RediSearch 2.10, and from 8 on


def rows(reply: Any, *, aggregated: bool = False) -> Rows | None:
    """Return the rows of a reply. None: the server ran out of time, and some are missing."""
    if isinstance(reply, dict):
        if reply.get(b"warning"):
            return None
        return [(row.get(b"id", b""), row.get(b"extra_attributes", {})) for row in reply[b"results"]]
    if aggregated:
        return [(b"", mapping(row)) for row in reply[1:]]
    if len(reply) > 2 and isinstance(reply[2], list):
        return [(reply[at], mapping(reply[at + 1])) for at in range(1, len(reply), 2)]
    return [(key, {}) for key in reply[1:]]


def mapping(reply: Any) -> dict[bytes, Any]:
    """Return a reply of pairs as a mapping. A flag at its end, which has no value, is dropped."""
    if isinstance(reply, dict):
        return reply
    return {reply[at]: reply[at + 1] for at in range(0, len(reply) - 1, 2)}


def total(reply: Any) -> int:
    """Return how many rows there are in all."""
    return int(reply[b"total_results"] if isinstance(reply, dict) else reply[0])


def is_unknown_index(error: BaseException) -> bool:
    """Return whether an error says that there is no such index."""
    return any(words in str(error).lower() for words in _UNKNOWN_INDEX)
