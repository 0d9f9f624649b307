"""Many points as several requests, none larger than a server takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .checking import CheckedPoint

T = TypeVar("T")

NUMBER_BYTES = 21
"""Longest text of a 32-bit float in JSON, with its comma."""
OWN_BYTES = 100
"""Room for the names of the fields of a point, and for the keys of a store's own."""


def in_batches(items: Sequence[T], most: int, size: Callable[[T], int], most_bytes: int) -> Iterator[list[T]]:
    """Yield items in their order, in batches of up to `most`, and of up to `most_bytes` where one item has no more."""
    batch: list[T] = []
    total = 0
    for item in items:
        of_item = size(item)
        if batch and (len(batch) == most or total + of_item > most_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += of_item
    if batch:
        yield batch


def point_bytes(point: CheckedPoint) -> int:
    """Return how many bytes of JSON a point has, rather too many than too few."""
    payload = sum(len(key.encode()) + 24 + sum(map(_text_bytes, _texts(value))) for key, value in point.payload.items())
    return len(point.vector) * NUMBER_BYTES + 2 * _text_bytes(point.id) + payload + OWN_BYTES


def _text_bytes(text: str) -> int:
    return 2 * len(text.encode()) + 4  # twice: quotes and line ends become two characters


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, list) else ()
