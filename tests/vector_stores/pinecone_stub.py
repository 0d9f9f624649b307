"""A stand-in for Pinecone's HTTP interface, for its real client: serverless, one index, with the documented limits.

Written after the documentation, not after a server. Like Pinecone it is eventually consistent: what was written shows
once `lag` more queries have been answered, and headers say up to where a write and a query have come.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from tests.vector_stores.http_stub import HttpStub, Refusal

KEY = "pcsk_test_not_a_secret"
DEFAULT_NAMESPACE = "__default__"
MOST_UPSERTED, MOST_FETCHED, MOST_DELETED, MOST_HITS = 1_000, 1_000, 1_000, 10_000
MOST_METADATA_BYTES, MOST_ID = 40 * 1024, 512

Vector = dict[str, Any]


class PineconeStub(HttpStub):
    """The server. Use it as a context manager.

    Args:
        dimension: Dimension of the index. None: there is no index until one is made.
        lag: Queries that a write stays hidden for.
        positions: Whether answers have the headers that say up to where they have come.
    """

    most_bytes = 2 * 1024**2

    def __init__(self, dimension: int | None = None, *, lag: int = 1, positions: bool = True) -> None:
        super().__init__()
        self.dimension, self.lag, self.positions = dimension, lag, positions
        self.name = "tests"
        self.metric = "cosine"
        self.namespaces: dict[str, dict[str, Vector]] = {}
        self._log: list[tuple[int, Callable[[], None]]] = []
        self._position = self._shown = self._queries = 0

    # --- requests ---------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[Any, dict[str, str]]:
        parts = urlsplit(path)
        if headers.get("Api-Key") != KEY:
            raise Refusal(401, "UNAUTHENTICATED", "Invalid API Key")
        if not headers.get("X-Pinecone-Api-Version"):
            raise Refusal(400, "INVALID_ARGUMENT", "X-Pinecone-Api-Version is missing")
        if parts.path.startswith("/indexes"):
            return self._control(method, parts.path, body), {}
        if self.dimension is None:
            raise Refusal(404, "NOT_FOUND", "no such index")
        query = parse_qs(parts.query)
        routes: dict[tuple[str, str], Callable[[], tuple[Any, dict[str, str]]]] = {
            ("POST", "/vectors/upsert"): lambda: self._upsert(body),
            ("POST", "/query"): lambda: self._query(body),
            ("GET", "/vectors/fetch"): lambda: (self._fetch(query), {}),
            ("POST", "/vectors/fetch_by_metadata"): lambda: (self._fetch_by_metadata(body), {}),
            ("POST", "/vectors/delete"): lambda: self._delete(body),
            ("GET", "/vectors/list"): lambda: (self._list(query), {}),
            ("POST", "/describe_index_stats"): lambda: (self._stats(), {}),
        }
        route = routes.get((method, parts.path))
        if route is None:
            raise Refusal(404, "NOT_FOUND", "no such path")
        return route()

    def _control(self, method: str, path: str, body: Any) -> Any:
        if method == "POST" and path == "/indexes":
            if self.dimension is not None:
                raise Refusal(409, "ALREADY_EXISTS", "Resource already exists")
            ((name, field),) = body["schema"]["fields"].items()
            if name != "_values" or body["deployment"].get("deployment_type") != "managed":
                raise Refusal(400, "INVALID_ARGUMENT", "not a serverless index of vectors")
            self.name, self.dimension, self.metric = body["name"], field["dimension"], field["metric"]
        elif method == "DELETE" and path == f"/indexes/{self.name}" and self.dimension is not None:
            self.dimension = None
            self.namespaces.clear()
            return {}
        elif self.dimension is None or path != f"/indexes/{self.name}":
            raise Refusal(404, "NOT_FOUND", "Resource not found")
        field = {"type": "dense_vector", "dimension": self.dimension, "metric": self.metric}
        return {
            "name": self.name,
            "host": self.url,
            "status": {"ready": True, "state": "Ready"},
            "schema": {"fields": {"_values": field}},
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "deletion_protection": "disabled",
        }

    # --- writes -----------------------------------------------------------------------------------------------------

    def _committed(self, change: Callable[[], None]) -> dict[str, str]:
        self._position += 1
        self._log.append((self._queries + self.lag, change))
        self._show()
        return {"x-pinecone-request-lsn": str(self._position)} if self.positions else {}

    def _show(self) -> None:
        while self._log and self._log[0][0] <= self._queries:
            self._log.pop(0)[1]()
            self._shown += 1

    def _upsert(self, body: Any) -> tuple[Any, dict[str, str]]:
        vectors: list[Vector] = body["vectors"]
        if not 1 <= len(vectors) <= MOST_UPSERTED:
            raise Refusal(400, "INVALID_ARGUMENT", f"{len(vectors)} vectors")
        stored = {vector["id"]: self._checked(vector) for vector in vectors}
        namespace = body.get("namespace") or DEFAULT_NAMESPACE
        headers = self._committed(lambda: self.namespaces.setdefault(namespace, {}).update(stored))
        return {"upsertedCount": len(vectors)}, headers

    def _checked(self, vector: Vector) -> Vector:
        point_id, values, metadata = vector["id"], vector["values"], vector.get("metadata") or {}
        if not point_id.isascii() or not 1 <= len(point_id) <= MOST_ID:
            raise Refusal(400, "INVALID_ARGUMENT", "Vector ID must be ASCII, of 1 to 512 characters")
        self._check_values(values)
        if len(json.dumps(metadata, ensure_ascii=False).encode()) > MOST_METADATA_BYTES:
            raise Refusal(400, "INVALID_ARGUMENT", "Metadata size exceeds the limit of 40960 bytes")
        kept: dict[str, Any] = {}
        for key, value in metadata.items():
            if isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            is_list = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
            if key.startswith("$") or not (isinstance(value, str | float | bool) or is_list):
                raise Refusal(400, "INVALID_ARGUMENT", "Metadata value must be a string, number, boolean or list")
            kept[key] = value
        return {"id": point_id, "values": [float(np.float32(value)) for value in values], "metadata": kept}

    def _check_values(self, values: list[float]) -> None:
        if len(values) != self.dimension:
            raise Refusal(400, "INVALID_ARGUMENT", f"Vector dimension {len(values)} does not match {self.dimension}")
        if not any(values):
            raise Refusal(400, "INVALID_ARGUMENT", "Dense vectors must contain at least one non-zero value")

    def _delete(self, body: Any) -> tuple[Any, dict[str, str]]:
        namespace = body.get("namespace") or DEFAULT_NAMESPACE
        if namespace not in self.namespaces:
            raise Refusal(404, "NOT_FOUND", "Namespace not found")
        ids, everything = body.get("ids"), body.get("deleteAll", False)
        if bool(ids) == everything or len(ids or ()) > MOST_DELETED:
            raise Refusal(400, "INVALID_ARGUMENT", "ids, up to 1000, or deleteAll")

        def change() -> None:
            kept = self.namespaces[namespace]
            for one in list(kept) if everything else ids:
                kept.pop(one, None)

        return {}, self._committed(change)

    # --- reads ------------------------------------------------------------------------------------------------------

    def _in(self, namespace: str | None) -> dict[str, Vector]:
        return self.namespaces.get(namespace or DEFAULT_NAMESPACE, {})

    def _query(self, body: Any) -> tuple[Any, dict[str, str]]:
        self._show()
        self._queries += 1
        headers = {"x-pinecone-max-indexed-lsn": str(self._shown)} if self.positions else {}
        self._check_values(body["vector"])
        if not 1 <= body["topK"] <= MOST_HITS:
            raise Refusal(400, "INVALID_ARGUMENT", "topK")
        found = [one for one in self._in(body.get("namespace")).values() if holds(one["metadata"], body.get("filter"))]
        if not found:
            return {"matches": []}, headers
        matrix = np.asarray([one["values"] for one in found], dtype=np.float32)
        asked = np.asarray(body["vector"], dtype=np.float32)
        scores = matrix @ asked / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(asked))
        best = np.argsort(-scores, kind="stable")[: body["topK"]]
        return {
            "matches": [
                {
                    "id": found[place]["id"],
                    "score": float(scores[place]),
                    **({"metadata": found[place]["metadata"]} if body.get("includeMetadata") else {}),
                }
                for place in best
            ]
        }, headers

    def _fetch(self, query: Mapping[str, list[str]]) -> Any:
        if not 1 <= len(query["ids"]) <= MOST_FETCHED:
            raise Refusal(400, "INVALID_ARGUMENT", "ids")
        there = self._in(query.get("namespace", [""])[0])
        return {"vectors": {one: there[one] for one in query["ids"] if one in there}}

    def _fetch_by_metadata(self, body: Any) -> Any:
        if not body.get("filter"):
            raise Refusal(400, "INVALID_ARGUMENT", "filter must not be empty")
        there = self._in(body.get("namespace"))
        found = [one for one in there.values() if holds(one["metadata"], body["filter"])]
        page, following = paged([one["id"] for one in found], body.get("paginationToken"), body.get("limit", 100))
        return {"vectors": {one: there[one] for one in page}, **following}

    def _list(self, query: Mapping[str, list[str]]) -> Any:
        limit = int(query.get("limit", ["100"])[0])
        if limit > 100:
            raise Refusal(400, "INVALID_ARGUMENT", "limit")
        there = self._in(query.get("namespace", [""])[0])
        page, following = paged(sorted(there), query.get("paginationToken", [None])[0], limit)
        return {"vectors": [{"id": one} for one in page], **following}

    def _stats(self) -> Any:
        counts = {name: {"vectorCount": len(points)} for name, points in self.namespaces.items()}
        return {
            "dimension": self.dimension,
            "metric": self.metric,
            "vectorType": "dense",
            "indexFullness": 0.0,
            "totalVectorCount": sum(each["vectorCount"] for each in counts.values()),
            "namespaces": counts,
        }


def paged(ids: list[str], token: str | None, limit: int) -> tuple[list[str], dict[str, Any]]:
    start = int(token or 0)
    more = start + limit < len(ids)
    return ids[start : start + limit], {"pagination": {"next": str(start + limit)}} if more else {}


def holds(metadata: Mapping[str, Any], condition: Any) -> bool:
    """Return whether a filter of Pinecone's holds."""
    if not condition:
        return True
    for key, wanted in condition.items():
        if key == "$and":
            if not all(holds(metadata, each) for each in wanted):
                return False
        elif key.startswith("$") or not isinstance(wanted, dict):
            raise Refusal(400, "INVALID_ARGUMENT", "filter")
        elif not all(compares(metadata.get(key), operator, operand) for operator, operand in wanted.items()):
            return False
    return True


def compares(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return any(same(each, operand) for each in (value if isinstance(value, list) else [value]))
    if operator == "$in":
        return any(compares(value, "$eq", each) for each in operand)
    if operator not in ("$gte", "$lt"):
        raise Refusal(400, "INVALID_ARGUMENT", "operator")
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise Refusal(400, "INVALID_ARGUMENT", "operand must be a number")
    return isinstance(value, float) and (value >= operand if operator == "$gte" else value < operand)


def same(value: Any, operand: Any) -> bool:
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand
    return bool(value == operand)
