"""Qdrant's REST interface in front of Qdrant Edge, the server's own engine as a library.

What is stored, filtered, indexed and compared is the engine's doing; what is ours is the way from a request to it, for
the calls that the store makes. One thing is not the engine's: the library takes a condition on True for one on 1, so
true and false are kept as text beside the payload, and conditions on them are put to that.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tests.vector_stores.http_stub import HttpStub, Refusal

KEY = "qdrant-test-not-a-secret"
BOUNDS = ("gt", "gte", "lt", "lte")
BOOL = "gateway-bool-"


class QdrantGateway(HttpStub):
    """The server. Use it as a context manager.

    Args:
        folder: Where the collections lie.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.collections: dict[str, tuple[edge.EdgeShard, dict[str, Any]]] = {}

    def stop(self) -> None:
        super().stop()
        for name in list(self.collections):
            self._drop(name)

    def error(self, refusal: Refusal) -> Any:
        return {"status": {"error": str(refusal)}, "time": 0.0}

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[Any, dict[str, str]]:
        if headers.get("api-key", KEY) != KEY:
            raise Refusal(401, "UNAUTHENTICATED", "Invalid api-key")
        found = re.fullmatch(r"/collections/([^/?]+)(/[^?]*)?(\?.*)?", path)
        if found is None:
            raise Refusal(404, "NOT_FOUND", "no such path")
        name, rest = found[1], found[2] or ""
        result = self._collection(method, name, body) if rest == "" else self._within(method, name, rest, body)
        return {"result": result, "status": "ok", "time": 0.0}, {}

    def _collection(self, method: str, name: str, body: Any) -> Any:
        if method == "PUT":
            if name in self.collections:
                raise Refusal(409, "CONFLICT", f"Collection `{name}` already exists!")
            vectors = body["vectors"]
            params = edge.EdgeVectorParams(vectors["size"], getattr(edge.Distance, vectors["distance"]))
            path = self.folder / name
            path.mkdir(parents=True)
            self.collections[name] = edge.EdgeShard.create(str(path), edge.EdgeConfig(params)), vectors
            return True
        if method == "DELETE":
            return self._drop(name)
        shard, vectors = self._shard(name)
        info = shard.info()
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "config": {
                "params": {"vectors": vectors},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
            "payload_schema": {
                key: {"data_type": str(each.data_type).rpartition(".")[2].lower(), "points": each.points}
                for key, each in info.payload_schema.items()
            },
        }

    def _drop(self, name: str) -> bool:
        shard, _ = self._shard(name)
        del self.collections[name]
        shard.close()
        shutil.rmtree(self.folder / name)
        return True

    def _shard(self, name: str) -> tuple[edge.EdgeShard, dict[str, Any]]:
        if name not in self.collections:
            raise Refusal(404, "NOT_FOUND", f"Not found: Collection `{name}` doesn't exist!")
        return self.collections[name]

    def _within(self, method: str, name: str, rest: str, body: Any) -> Any:
        if rest == "/exists":
            return {"exists": name in self.collections}
        shard, _ = self._shard(name)
        if (method, rest) == ("PUT", "/index"):
            kind = getattr(edge.PayloadSchemaType, body["field_schema"].capitalize())
            return self._update(shard, edge.UpdateOperation.create_field_index(body["field_name"], kind))
        if (method, rest) == ("PUT", "/points"):
            points = [edge.Point(one["id"], one["vector"], with_bools(one["payload"])) for one in body["points"]]
            return self._update(shard, edge.UpdateOperation.upsert_points(points))
        if rest == "/points/delete":
            if "points" in body:
                return self._update(shard, edge.UpdateOperation.delete_points(body["points"]))
            return self._update(shard, edge.UpdateOperation.delete_points_by_filter(condition(body["filter"])))
        if rest == "/points/count":
            return {"count": shard.count(edge.CountRequest(exact=body["exact"], filter=condition(body.get("filter"))))}
        if rest == "/points/query":
            exact = bool((body.get("params") or {}).get("exact"))
            hits = shard.query(
                edge.QueryRequest(
                    limit=body["limit"],
                    query=edge.Query.Nearest(body["query"]["nearest"]),
                    filter=condition(body.get("filter")),
                    params=edge.SearchParams(exact=exact),
                    with_payload=True,
                )
            )
            return {"points": [{**record(one), "version": 0, "score": one.score} for one in hits]}
        if rest == "/points/scroll":
            page, following = shard.scroll(
                edge.ScrollRequest(
                    offset=body.get("offset"),
                    limit=body["limit"],
                    filter=condition(body.get("filter")),
                    with_payload=True,
                )
            )
            return {"points": [record(one) for one in page], "next_page_offset": following and str(following)}
        if rest == "/points":
            found = shard.retrieve(body["ids"], body.get("with_payload"), bool(body.get("with_vector")))
            return [record(one) for one in found]
        raise Refusal(404, "NOT_FOUND", "no such path")

    def _update(self, shard: edge.EdgeShard, operation: edge.UpdateOperation) -> Any:
        shard.update(operation)
        return {"operation_id": 1, "status": "completed"}


def record(found: edge.Record | edge.ScoredPoint) -> dict[str, Any]:
    payload = {key: value for key, value in (found.payload or {}).items() if not key.startswith(BOOL)}
    return {"id": str(found.id), "payload": payload, "vector": found.vector}


def with_bools(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {**payload, **{BOOL + key: str(value) for key, value in payload.items() if isinstance(value, bool)}}


def condition(given: Any) -> edge.Filter | None:
    """Return a filter of the engine's."""
    return None if given is None else edge.Filter(must=[field(one) for one in given.get("must") or []])


def field(given: Mapping[str, Any]) -> edge.FieldCondition:
    match, bounds = given.get("match"), given.get("range")
    if match is not None and isinstance(match.get("value"), bool):
        return edge.FieldCondition(BOOL + given["key"], match=edge.MatchValue(str(match["value"])))
    if match is not None:
        made = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
        return edge.FieldCondition(given["key"], match=made)
    return edge.FieldCondition(
        given["key"], range=edge.RangeFloat(**{name: bounds[name] for name in BOUNDS if name in bounds})
    )
