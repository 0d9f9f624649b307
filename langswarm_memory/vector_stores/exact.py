"""Exact search in memory: by NumPy where it is installed, in plain Python otherwise, with the same answers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import nsmallest
from types import ModuleType
from typing import Any

from .checking import Floats, unpack

np: ModuleType | None
try:
    import numpy as np
except ModuleNotFoundError:
    np = None  # plain Python needs 400 times as long: 0.3 s for 20,000 vectors of 384 numbers

_FIRST_ROWS = 64


class ExactIndex:
    """Vectors by id. All lie without gaps in one matrix, each divided by its length."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._rows: Any = []
        if np is not None:
            self._rows = np.empty((_FIRST_ROWS, dimension), dtype=np.float32)

    @classmethod
    def of(cls, dimension: int, packed: list[tuple[str, bytes]]) -> ExactIndex:
        """Return an index of vectors as :func:`pack` wrote them, each of that dimension, no id twice."""
        index = cls(dimension)
        if np is None:
            for point_id, data in packed:
                index.put(point_id, unpack(data))
            return index
        index._ids = [point_id for point_id, _ in packed]
        index._places = {point_id: place for place, point_id in enumerate(index._ids)}
        if packed:
            rows = np.frombuffer(b"".join(data for _, data in packed), dtype="<f4").reshape(len(packed), dimension)
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
            lengths[lengths == 0] = 1.0  # a zero of an older file is near to nothing: its score is 0
            index._rows = (rows / lengths[:, None]).astype(np.float32)
        return index

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, point_id: str, vector: Floats) -> None:
        """Add a vector, or replace that of the id."""
        place = self._places.get(point_id)
        if place is None:
            place = self._places[point_id] = len(self._ids)
            self._ids.append(point_id)
        if np is None:
            length = math.hypot(*vector) or 1.0  # as in of()
            row = [value / length for value in vector]
            self._rows[place : place + 1] = [row]
            return
        if place == len(self._rows):
            # Doubled, so that adding n vectors one by one copies 2n of them in all, not n²/2.
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        exact = np.asarray(vector, dtype=np.float64)
        self._rows[place] = exact / (math.hypot(*vector) or 1.0)

    def drop(self, point_id: str) -> None:
        """Remove a vector, if it is there; the last one takes its place."""
        place = self._places.pop(point_id, None)
        if place is None:
            return
        last = self._ids.pop()
        if last != point_id:
            self._ids[place] = last
            self._places[last] = place
            self._rows[place] = self._rows[len(self._ids)]
        if np is None:
            self._rows.pop()

    def nearest(self, question: Floats, limit: int, among: Iterable[str] | None = None) -> list[tuple[str, float]]:
        """Return the nearest ids with their cosine similarity, best first; of equal ones the smaller id first."""
        if among is None:
            places: Any = range(len(self._ids))
        else:
            places = [self._places[point_id] for point_id in among if point_id in self._places]
        if not places or limit == 0:
            return []
        scored = self._python(question, places) if np is None else self._numpy(question, limit, places)
        return [
            (point_id, max(-1.0, min(1.0, score)))
            for score, point_id in ((-negative, name) for negative, name in nsmallest(limit, scored))
        ]

    def _python(self, question: Floats, places: Iterable[int]) -> list[tuple[float, str]]:
        length = math.hypot(*question)
        asked = [-value / length for value in question]
        return [
            (math.fsum(a * b for a, b in zip(self._rows[place], asked, strict=True)), self._ids[place])
            for place in places
        ]

    def _numpy(self, question: Floats, limit: int, places: Any) -> list[tuple[float, str]]:
        assert np is not None
        asked = (np.asarray(question, dtype=np.float64) / -math.hypot(*question)).astype(np.float32)
        if isinstance(places, range):
            scores = self._rows[: len(places)] @ asked
        else:
            places = np.asarray(places)
            scores = self._rows[places] @ asked
        if limit < len(scores):
            # All that are as near as the last one, so that ties are broken by id here too.
            bound = np.partition(scores, limit - 1)[limit - 1]
            chosen = np.flatnonzero(scores <= bound)
        else:
            chosen = np.arange(len(scores))
        return [(float(scores[place]), self._ids[int(places[int(place)])]) for place in chosen]
