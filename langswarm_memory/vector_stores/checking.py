"""What every vector store checks alike: points, questions and conditions, before anything is sent.

A payload key begins with a letter, so that adapters may keep keys of their own beginning with an underscore beside
the caller's. Numbers are held exactly by every store: integers to 53 bits, finite floats.
"""

from __future__ import annotations

import math
import re
import sys
import uuid
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidInputError, MemoryConfigurationError
from ..repository.values import is_clean
from .protocol import Condition, Range, Scalar, VectorPoint, Where

if TYPE_CHECKING:
    Floats = array[float]
else:
    Floats = array

MAX_ID_LENGTH = 512
MAX_INTEGER = 2**53
"""Redis, Pinecone and JSON readers hold numbers as doubles; above this, neighbours become equal."""
MIN_NORM, MAX_NORM = 1e-15, 1e15
"""Lengths of a vector at which the squares of its components are still ordinary 32-bit floats."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
"""Names of tables, collections and indexes: 63 characters, where PostgreSQL cuts a name off."""
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_NAMESPACE = uuid.UUID("7b0a3b5e-6f3e-5d0c-9b57-2f2f0f6f3c11")


class CheckedPoint(NamedTuple):
    """A point that every store can hold: 32-bit floats, and a payload of its own."""

    id: str
    vector: Floats
    payload: dict[str, Scalar | list[str]]


def check_dimension(dimension: object, store: str, *, most: int) -> int:
    """Return the dimension of a collection.

    Raises:
        MemoryConfigurationError: No whole number from 1 to `most`.
    """
    if type(dimension) is not int or not 1 <= dimension <= most:
        raise MemoryConfigurationError(f"dimension must be a whole number from 1 to {most}, got {dimension!r}", store)
    return dimension


def check_identifier(name: object, store: str, what: str) -> str:
    """Return a name that can stand, quoted, in a statement.

    Raises:
        MemoryConfigurationError: Not letters, digits and underscores, 63 at most.
    """
    if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
        raise MemoryConfigurationError(
            f"{what} must be letters, digits and underscores, not beginning with a digit, 63 at most; got {name!r}",
            store,
        )
    return name


def wrong_dimension(store: str, collection: str, *, found: int, wanted: int) -> MemoryConfigurationError:
    """Return the error of a collection that was made for another dimension."""
    return MemoryConfigurationError(
        f"the collection {collection!r} holds vectors of dimension {found}, not {wanted}",
        store,
        suggestion="use the embedding model it was made with, or a collection of another name",
    )


def check_vector(vector: Sequence[float], dimension: int, store: str) -> Floats:
    """Return a vector as 32-bit floats.

    Raises:
        MemoryConfigurationError: Another dimension; the message names both numbers.
        InvalidInputError: No numbers, NaN, infinity, zero, or too long or short for 32-bit floats.
    """
    floats = _floats(vector)
    if len(floats) != dimension:
        raise MemoryConfigurationError(
            f"the vector has dimension {len(floats)}, the collection {dimension}",
            store,
            suggestion="use the embedding model that the collection was made with",
        )
    # The norm of a vector with NaN or infinity in it is NaN or infinite: neither lies between the bounds.
    if not MIN_NORM <= math.hypot(*floats) <= MAX_NORM:
        raise InvalidInputError(
            "the vector has no direction: it is zero, or holds NaN, infinity or numbers beyond 32-bit floats"
        )
    return floats


def check_points(points: Iterable[VectorPoint], dimension: int, store: str) -> list[CheckedPoint]:
    """Return points that every store can hold, one per id: of several with the same id the last.

    Raises:
        MemoryConfigurationError: A vector of another dimension.
        InvalidInputError: An id, vector or payload that no store can hold; nothing was written.
    """
    found: dict[str, CheckedPoint] = {}
    for point in points:
        checked = CheckedPoint(
            check_id(point.id), check_vector(point.vector, dimension, store), check_payload(point.payload)
        )
        found.pop(checked.id, None)  # so that the order is that of the points that stay
        found[checked.id] = checked
    return list(found.values())


def check_id(value: object) -> str:
    """Return an id.

    Raises:
        InvalidInputError: Not text of 1 to 512 characters, or with NUL or lone surrogates.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_LENGTH or not is_clean(value):
        raise InvalidInputError(
            f"the id of a point must be text of 1 to {MAX_ID_LENGTH} characters, without NUL and lone surrogates"
        )
    return value


def check_ids(ids: Iterable[str]) -> list[str]:
    """Return ids in their order, each once.

    Raises:
        InvalidInputError: One of them cannot be an id, or `ids` is one text.
    """
    if isinstance(ids, str):
        raise InvalidInputError("ids must be a sequence of ids, got one text")
    return list(dict.fromkeys(check_id(value) for value in ids))


def check_payload(payload: Mapping[str, Any]) -> dict[str, Scalar | list[str]]:
    """Return a copy of a payload, its sequences of text as lists.

    Raises:
        InvalidInputError: A key or a value that no store can hold; the value is not quoted.
    """
    if not isinstance(payload, Mapping):
        raise InvalidInputError(f"the payload must be a mapping, got {type(payload).__name__}")
    checked: dict[str, Scalar | list[str]] = {}
    for key, value in payload.items():
        check_key(key)
        if isinstance(value, list | tuple | set | frozenset):
            if not all(isinstance(text, str) and is_clean(text) for text in value):
                raise InvalidInputError(f"the list {key!r} of the payload must hold text without NUL and surrogates")
            texts = [str.__str__(text) for text in value]  # of an enumeration's member its value, as everywhere
            checked[key] = sorted(texts) if isinstance(value, set | frozenset) else texts
        else:
            checked[key] = _check_scalar(value, key)
    return checked


def check_key(key: object) -> str:
    """Return a payload key.

    Raises:
        InvalidInputError: Not a letter followed by letters, digits and underscores, 63 in all.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidInputError(
            f"a payload key must be a letter followed by letters, digits and underscores, 63 at most; got {key!r}"
        )
    return key


def check_where(where: Where | None) -> dict[str, Condition]:
    """Return conditions; none for None.

    Raises:
        InvalidInputError: A key or a value that no payload can have.
    """
    checked: dict[str, Condition] = {}
    for key, condition in (where or {}).items():
        check_key(key)
        if isinstance(condition, Range):
            for bound in (condition.ge, condition.lt):
                if bound is not None and isinstance(_check_scalar(bound, key), bool | str):
                    raise InvalidInputError(f"the bounds of the range on {key!r} must be numbers")
            checked[key] = condition
        elif isinstance(condition, frozenset | set):
            if not all(isinstance(text, str) and is_clean(text) for text in condition):
                raise InvalidInputError(f"the set for {key!r} must hold text without NUL and surrogates")
            checked[key] = frozenset(str.__str__(text) for text in condition)
        else:
            checked[key] = _check_scalar(condition, key)
    return checked


def check_limit(limit: object) -> int:
    """Return a limit.

    Raises:
        InvalidInputError: No whole number, or negative.
    """
    if type(limit) is not int or limit < 0:
        raise InvalidInputError(f"limit must be a whole number, 0 or more, got {limit!r}")
    return limit


def check_selection(
    ids: Sequence[str] | None, where: Where | None
) -> tuple[list[str], None] | tuple[None, dict[str, Condition]]:
    """Return what to delete: ids, or conditions, of which none at all means every point.

    Raises:
        InvalidInputError: Both are given, or neither.
    """
    if (ids is None) == (where is None):
        raise InvalidInputError("delete() takes either ids or where")
    return (check_ids(ids), None) if ids is not None else (None, check_where(where))


def point_uuid(point_id: str) -> str:
    """Return the UUID that stands for an id in a store that takes only UUIDs."""
    return str(uuid.uuid5(_NAMESPACE, point_id))


def matches(payload: Mapping[str, Any], where: Mapping[str, Condition]) -> bool:
    """Return whether all conditions hold. The specification of filters, and what in-process stores use."""
    return all(key in payload and _holds(payload[key], condition) for key, condition in where.items())


def _holds(value: Any, condition: Condition) -> bool:
    if isinstance(condition, Range):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (condition.ge is None or value >= condition.ge) and (condition.lt is None or value < condition.lt)
    if isinstance(condition, frozenset):
        return any(text in condition for text in value) if isinstance(value, list) else value in condition
    if isinstance(value, list):
        return isinstance(condition, str) and condition in value
    if isinstance(value, bool) or isinstance(condition, bool):  # True is not 1
        return value is condition
    return bool(value == condition)


def sizes(what: str, size_bytes: int) -> dict[str, Any]:
    """Return a size as ``details()`` tells it, in bytes and in megabytes."""
    return {f"{what}_size_bytes": size_bytes, f"{what}_size_mb": round(size_bytes / 1024**2, 2)}


def pack(vector: Floats) -> bytes:
    """Return 32-bit floats, little-endian."""
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return vector.tobytes()


def unpack(data: bytes) -> Floats:
    """Return what :func:`pack` packed."""
    vector = array("f")
    vector.frombytes(data)
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _check_scalar(value: object, key: str) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and is_clean(value):
        return str.__str__(value)  # of an enumeration's member, str() would be its name
    if isinstance(value, int) and -MAX_INTEGER <= value <= MAX_INTEGER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise InvalidInputError(
        f"the value of {key!r} must be text without NUL and surrogates, an integer of 53 bits, a finite float, "
        f"or true or false; got {type(value).__name__}"
    )


def _floats(vector: Any) -> Floats:
    if isinstance(vector, str | bytes | bytearray):
        raise InvalidInputError(f"a vector must be a sequence of numbers, got {type(vector).__name__}")
    try:
        return array("f", vector)
    except (TypeError, ValueError, OverflowError):
        # Not chained: the text of the error may quote the vector, and with it what was embedded.
        raise InvalidInputError("a vector must be a sequence of numbers") from None
