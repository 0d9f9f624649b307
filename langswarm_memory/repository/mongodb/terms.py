"""What messages are found by."""

from __future__ import annotations

from typing import Any

from ...search.bm25 import terms

SEARCHED_CHARACTERS = 100_000  # of a message; its words take 0.3 s to tell and a few hundred kB to store at worst
TERMS_BYTES = 1024 * 1024  # of one document, at most
WITHOUT_TERMS = {"terms": 0, "length": 0}
TERM_OVERHEAD = 16  # bytes of an element of an array, beside its text


def searched(text: str) -> str:
    """Return the part of a text that is searched."""
    return text[:SEARCHED_CHARACTERS]


def text_fields(text: str, room: int) -> dict[str, Any]:
    """Return the fields of a message that it is found by: its different terms, and how many there were.

    Args:
        text: Of the message.
        room: Bytes that they may take.
    """
    found = terms(searched(text))
    left = min(TERMS_BYTES, room)
    kept = []
    for term in dict.fromkeys(found):
        left -= len(term.encode()) + TERM_OVERHEAD
        if left < 0:
            break
        kept.append(term)
    return {"terms": kept, "length": len(found)}
