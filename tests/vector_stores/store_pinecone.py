"""Pinecone for the shared suites: its client on a stand-in of ours, or on the index that the environment names.

That index must have the dimension of the suites; the key is taken from ``PINECONE_API_KEY``.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from langswarm_memory.testing.vector_samples import DIMENSION
from langswarm_memory.testing.vector_stores import MakeVectorStore
from langswarm_memory.vector_stores.pinecone import PineconeVectorStore
from tests.vector_stores.pinecone_stub import KEY, PineconeStub

HOST_VARIABLE = "LANGSWARM_TEST_PINECONE_HOST"


def pinecone(request: pytest.FixtureRequest, folder: Path) -> MakeVectorStore:
    host, key = os.environ.get(HOST_VARIABLE), None
    if host is None:
        stub = PineconeStub(DIMENSION)
        stub.__enter__()
        request.addfinalizer(stub.stop)
        host, key = stub.url, KEY
    namespace = f"test_{uuid4().hex}"
    return lambda dimension: PineconeVectorStore(
        "tests", dimension=dimension, api_key=key, host=host, namespace=namespace
    )


STORES = {"pinecone": pinecone}
