"""One token for a key with a value: what stands for both where a store's own filters cannot be relied on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .protocol import Scalar


def term(key: str, value: Scalar) -> str:
    """Return a digest of 32 letters and digits. Equal for equal values: 1 and 1.0, but not 1, True and "1"."""
    if isinstance(value, bool):
        text = f"b{value}"
    elif isinstance(value, str):
        text = f"s{value}"
    else:
        text = f"n{number_text(value)}"
    return hashlib.blake2b(f"{key}={text}".encode(), digest_size=16).hexdigest()


def values_of(value: Scalar | list[str]) -> Iterable[Scalar]:
    """Return the texts of a list, or the scalar alone."""
    return value if isinstance(value, list) else (value,)


def number_text(value: float) -> str:
    """Return the one text of a number: 1 and 1.0 are equal, and so are -0.0 and 0."""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
