"""Qdrant for the shared suites: the client's local mode, in memory and in a folder, and by REST.

By REST it is the server that the environment names, or a gateway of ours in front of the server's own engine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from langswarm_memory._lazy import installed
from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores.qdrant import QdrantVectorStore
from tests.services import stores
from tests.services.host import temporary_base

URL_VARIABLE = "LANGSWARM_TEST_QDRANT_URL"
ENGINE = "qdrant-edge-py"
SECONDS = 5.0


def qdrant(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    url = os.environ.get(URL_VARIABLE) or gateway(request, folder)
    name = f"test_{uuid4().hex}"

    def drop() -> None:
        with urlopen(Request(f"{url}/collections/{name}", method="DELETE"), timeout=SECONDS):
            pass

    if URL_VARIABLE in os.environ:
        request.addfinalizer(drop)
    indexes = {"user": "keyword", "n": "float"}  # some keys of the suites; the engine waits for disks for each
    return lambda dimension: QdrantVectorStore(name, dimension=dimension, url=url, payload_indexes=indexes, timeout=60)


def gateway(request: pytest.FixtureRequest, folder: Path) -> str:
    if not installed("qdrant_edge"):
        stores.missing_server(request.config, "qdrant", f"install its engine: pip install {ENGINE}")
    from tests.vector_stores.qdrant_gateway import QdrantGateway

    place = Path(tempfile.mkdtemp(dir=temporary_base(None, on_disk=False)))  # in memory: its engine waits for disks
    request.addfinalizer(lambda: shutil.rmtree(place))
    server = QdrantGateway(place)
    server.__enter__()
    request.addfinalizer(server.stop)
    return server.url


def qdrant_memory(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: QdrantVectorStore("tests", dimension=dimension, url=":memory:")


def qdrant_folder(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: QdrantVectorStore("tests", dimension=dimension, path=folder / "qdrant")


STORES = {"qdrant": qdrant, "qdrant-memory": qdrant_memory, "qdrant-folder": qdrant_folder}
IN_MEMORY = {"qdrant-memory"}
