"""Chroma for the shared suites: a real server, and a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores.chroma import ChromaVectorStore
from tests.services.chroma import ChromaService


def chroma(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    server: ChromaService = request.getfixturevalue("chroma_server")
    name = request.getfixturevalue("chroma_collection")
    return lambda dimension: ChromaVectorStore(name, dimension=dimension, host=server.host, port=server.port)


def chroma_folder(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    return lambda dimension: ChromaVectorStore("tests", dimension=dimension, persist_directory=folder / "chroma")


STORES = {"chroma": chroma, "chroma-folder": chroma_folder}
