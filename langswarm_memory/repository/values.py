"""Values that every store can hold: ids, clean text, JSON, and the exact form of what is not clean.

Databases refuse some of what providers and users send: NUL and lone surrogates in text, NaN and Infinity in JSON. Such
a value is *unclean*; :func:`clean` gives its nearest clean form, :func:`dump_verbatim` its exact one.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import InvalidInputError

MAX_ID_BYTES = 512
"""Longest id. Two ids share an index entry, and PostgreSQL's end near 2,700 bytes; Elasticsearch's ids at 512."""

MAX_JSON_DEPTH = 512
"""Deepest nesting stored. The JSON readers of Python and SQLite stop near 1,000 levels."""

_UNCLEAN = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = "\\u0000"
_NUL_IN_JSON = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # not the six characters that a text may hold
_SCALARS = (str, int, float, bool, type(None))
MAX_INT = 2**63 - 1
MAX_TOKENS = 2**31 - 1
"""Highest token count of a message. The sum of a session's counts must stay below 64 bits."""


def is_clean(text: str) -> bool:
    """Return whether every database can hold the text: no NUL, no lone surrogates."""
    if text.isascii():
        return "\x00" not in text
    if "\x00" in text:
        return False
    try:
        text.encode()  # refuses lone surrogates, in a fraction of the time of a search for them
    except UnicodeEncodeError:
        return False
    return True


def clean(text: str) -> str:
    """Return the text with U+FFFD in place of what databases cannot hold."""
    return _UNCLEAN.sub("\ufffd", text)


def check_id(value: object, what: str) -> str:
    """Return an id that every store can hold.

    Raises:
        InvalidInputError: Not text, empty, over 512 bytes of UTF-8, or with NUL or lone surrogates.
    """
    if type(value) is str and 0 < len(value) <= MAX_ID_BYTES and value.isascii() and "\x00" not in value:
        return value
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be a str, got {type(value).__name__}")
    if not value:
        raise InvalidInputError(f"{what} must not be empty")
    if len(value) > MAX_ID_BYTES or (not value.isascii() and len(value.encode("utf-8", "replace")) > MAX_ID_BYTES):
        raise InvalidInputError(f"{what} is longer than {MAX_ID_BYTES} bytes", suggestion="store a hash of it")
    if not is_clean(value):
        raise InvalidInputError(f"{what} holds NUL or lone surrogates, which no store can look up")
    return value


def check_optional_id(value: object, what: str) -> str | None:
    """As :func:`check_id`, but None is allowed."""
    return None if value is None else check_id(value, what)


def check_json(value: Any, where: str) -> None:
    """Refuse what JSON would drop or change: other types, keys that are no text, cycles, too deep nesting.

    Raises:
        InvalidInputError: Naming the place and the type, never the value.
    """
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind is str or kind in _SCALARS:
            continue
        if depth >= MAX_JSON_DEPTH:
            raise InvalidInputError(f"{where} is nested more than {MAX_JSON_DEPTH} levels deep, or holds itself")
        if isinstance(item, dict):
            for key, child in item.items():
                if not isinstance(key, str):
                    raise InvalidInputError(f"{where} has a key of type {type(key).__name__}; JSON keys are str")
                stack.append((child, depth + 1))
        elif isinstance(item, list):
            stack.extend((child, depth + 1) for child in item)
        elif not isinstance(item, _SCALARS):
            hint = "use a list" if isinstance(item, tuple | set | frozenset) else "convert it to text first"
            if isinstance(item, bytes | bytearray):
                hint = "encode it as base64 text"
            raise InvalidInputError(f"{where} holds a {kind.__name__}, which JSON cannot carry", suggestion=hint)


def dump_json(value: Any, where: str) -> tuple[str, bool]:
    """Return JSON text that every database takes, and whether it is exact.

    Raises:
        InvalidInputError: The value is not JSON; see :func:`check_json`.
    """
    check_json(value, where)
    try:
        text = _dumps(value)
        if is_clean(text) and _ESCAPED_NUL not in text:
            return text, True
    except ValueError:
        pass  # NaN or Infinity, or an integer beyond Python's limit of digits: the exact form below tells which
    try:
        exact = dump_exact(value)
    except ValueError as exc:
        raise InvalidInputError(f"{where} holds an integer of too many digits", suggestion="store it as text") from exc
    text = _clean_json(exact)
    return text, text == exact


def _dumps(value: Any) -> str:
    return _strict(value)


def dump_exact(value: Any) -> str:
    """Return the one text of a JSON value: equal for equal values, different for 1, 1.0 and True.

    Lone surrogates stay single code points: JSON's own escapes would join two of them.
    """
    return _exact(value)


# Made once: json.dumps() makes an encoder for each call that differs from its defaults, a third of the time.
_exact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_strict = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def copy_json(value: Any) -> Any:
    """Return a copy of a JSON value, 512 levels deep included, where ``copy.deepcopy`` exceeds Python's stack."""
    return json.loads(json.dumps(value, ensure_ascii=False))


def _clean_json(exact: str) -> str:
    # On the text rather than on the value: a walk through 512 levels would exceed Python's stack.
    value = json.loads(clean(exact), parse_constant=lambda _name: None)  # NaN and the infinities
    return _NUL_IN_JSON.sub("\\1\ufffd", _dumps(value))


def dump_verbatim(values: dict[str, Any]) -> bytes | None:
    """Return the exact form of some fields, or None for none."""
    if not values:
        return None
    return dump_exact(values).encode("utf-8", "surrogatepass")


def load_verbatim(data: bytes) -> dict[str, Any]:
    """Reverse :func:`dump_verbatim`."""
    loaded = json.loads(bytes(data).decode("utf-8", "surrogatepass"))
    if not isinstance(loaded, dict):
        raise ValueError("verbatim values are a JSON object")
    return loaded
