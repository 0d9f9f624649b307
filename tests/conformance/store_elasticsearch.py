"""elasticsearch for the shared suites."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from tests.services.elasticsearch import REQUEST_SECONDS, ElasticsearchService

PAGE = 10_000  # documents deleted in one request


@pytest.fixture(scope="session")
def elasticsearch_memory(elasticsearch_server: ElasticsearchService) -> Iterator[str]:
    """A prefix of indexes that the run's tests use one after the other: making three takes half a second."""
    with elasticsearch_server.fresh_prefix() as prefix:
        yield prefix


def elasticsearch(request: pytest.FixtureRequest, folder: Path) -> Any:
    service: ElasticsearchService = request.getfixturevalue("elasticsearch_server")
    prefix: str = request.getfixturevalue("elasticsearch_memory")
    empty(service, prefix)
    options = {"hosts": service.url, "index_prefix": prefix, "replicas": 0}
    return lambda **more: ElasticsearchBackend(**{**options, **more})


def empty(service: ElasticsearchService, prefix: str) -> None:
    """Delete every document of the indexes of a prefix; the indexes stay."""
    service.ask("POST", f"/{prefix}_*/_refresh")
    while True:
        hits = service.ask("GET", f"/{prefix}_*/_search?size={PAGE}&_source=false")["hits"]["hits"]
        if not hits:
            return
        lines = []
        for hit in hits:
            routing = {"routing": hit["_routing"]} if "_routing" in hit else {}
            lines.append(json.dumps({"delete": {"_index": hit["_index"], "_id": hit["_id"], **routing}}) + "\n")
        send(service, "/_bulk?refresh=true", "".join(lines))


def send(service: ElasticsearchService, path: str, body: str, kind: str = "application/x-ndjson") -> Any:
    """Post a body and return the decoded answer."""
    parts = urlsplit(service.url)
    request = Request(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}", body.encode(), {"Content-Type": kind}
    )
    if parts.username:
        pair = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    with urlopen(request, timeout=REQUEST_SECONDS) as answer:
        return json.load(answer)
