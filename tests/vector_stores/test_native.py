"""The documented classes: documents in and out, names and options as documented, and errors of the interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from langswarm_memory import vector_stores
from langswarm_memory.errors import (
    InvalidInputError,
    MemoryConfigurationError,
    MemoryConnectionError,
    UnsupportedOperationError,
    VectorStoreError,
)
from langswarm_memory.vector_stores import (
    ConnectionError as VectorConnection,
)
from langswarm_memory.vector_stores import (
    IVectorStore,
    QueryError,
    Range,
    VectorDocument,
    VectorQuery,
    VectorStoreConfig,
    VectorStoreFactory,
    create_auto_store,
    create_development_store,
    create_production_store,
)
from langswarm_memory.vector_stores.native import (
    NativeChromaStore,
    NativePGVectorStore,
    NativePineconeStore,
    NativeQdrantStore,
    NativeRedisVectorStore,
    NativeSQLiteStore,
    NativeVectorStore,
)

TIME = datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)
NATIVE = [
    NativeChromaStore,
    NativePGVectorStore,
    NativePineconeStore,
    NativeQdrantStore,
    NativeRedisVectorStore,
    NativeSQLiteStore,
]


def document(name: str, vector: list[float], **metadata: Any) -> VectorDocument:
    return VectorDocument(name, f"text of {name}", vector, metadata, TIME)


def sqlite(request: pytest.FixtureRequest, folder: Path) -> IVectorStore:
    return VectorStoreFactory.create_sqlite_store(str(folder / "vectors.db"), 2)


def pgvector(request: pytest.FixtureRequest, folder: Path) -> IVectorStore:
    url = request.getfixturevalue("vectors_database")
    return VectorStoreFactory.create_pgvector_store(2, dsn=url, table_name=f"t{uuid4().hex}")


class TestDocuments:
    @pytest.fixture(params=[sqlite, pgvector], ids=["sqlite", "postgres"])
    async def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IVectorStore]:
        store: IVectorStore = request.param(request, tmp_path)
        assert await store.connect() is True
        yield store
        assert await store.disconnect() is True

    async def test_document_comes_back_as_it_was(self, store: IVectorStore) -> None:
        given = document("a", [1.0, 0.5], user_id="u", deep={"a": [1, None]}, tags=["x"])
        assert await store.upsert_documents([given]) is True
        assert await store.get_document("a") == given

    async def test_missing_document_is_none(self, store: IVectorStore) -> None:
        assert await store.get_document("missing") is None

    async def test_answer_holds_content_and_metadata(self, store: IVectorStore) -> None:
        await store.upsert_documents([document("a", [1, 0], n=1), document("b", [0, 1], n=2)])
        (first, second) = await store.query(VectorQuery([1, 0]))
        assert (first.id, first.content, first.metadata) == ("a", "text of a", {"n": 1})
        assert first.score == pytest.approx(1, abs=1e-3)
        assert (second.id, second.embedding) == ("b", None)

    async def test_content_and_metadata_can_be_left_out(self, store: IVectorStore) -> None:
        await store.upsert_documents([document("a", [1, 0], n=1)])
        (hit,) = await store.query(VectorQuery([1, 0], include_metadata=False, include_content=False))
        assert (hit.content, hit.metadata) == ("", {})

    async def test_least_score_is_included(self, store: IVectorStore) -> None:
        await store.upsert_documents([document("a", [1, 0]), document("b", [0, 1]), document("c", [-1, 0])])
        hits = await store.query(VectorQuery([1, 0], min_score=0.0))
        assert [hit.id for hit in hits] == ["a", "b"]

    async def test_top_k_bounds_the_answer(self, store: IVectorStore) -> None:
        await store.upsert_documents([document(str(number), [1, number]) for number in range(5)])
        assert len(await store.query(VectorQuery([1, 0], top_k=2))) == 2

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"user": "u"}, ["a", "b"]),
            ({"user": ["u", "w"]}, ["a", "b", "c"]),
            ({"user": "u", "n": Range(ge=2)}, ["b"]),
            ({"tags": "x"}, ["a"]),
            ({"user": "nobody"}, []),
            ({"content": "text of c"}, ["c"]),
        ],
    )
    async def test_filters_narrow_the_answer(
        self, store: IVectorStore, filters: dict[str, Any], found: list[str]
    ) -> None:
        await store.upsert_documents(
            [
                document("a", [1, 0], user="u", n=1, tags=["x", "y"]),
                document("b", [1, 0.1], user="u", n=2, deep={}),
                document("c", [1, 0.2], user="w"),
            ]
        )
        assert [hit.id for hit in await store.query(VectorQuery([1, 0], filters=filters))] == found
        assert await store.list_documents(filters=filters) == found

    async def test_filter_that_is_none_is_refused(self, store: IVectorStore) -> None:
        with pytest.raises(InvalidInputError):
            await store.query(VectorQuery([1, 0], filters={"a": {"$ne": 1}}))

    async def test_deleted_documents_are_gone(self, store: IVectorStore) -> None:
        await store.upsert_documents([document("a", [1, 0]), document("b", [0, 1])])
        assert await store.delete_documents(["a", "missing"]) is True
        assert await store.delete_documents(["a"]) is False
        assert await store.list_documents() == ["b"]

    async def test_list_is_bounded(self, store: IVectorStore) -> None:
        await store.upsert_documents([document(name, [1, 0]) for name in "cab"])
        assert await store.list_documents(limit=2) == ["a", "b"]

    async def test_index_is_made_beside_and_deleted(self, store: IVectorStore) -> None:
        name = f"i{uuid4().hex}"
        assert await store.create_index(name, 3) is True
        assert await store.create_index(name, 3) is True
        with pytest.raises(MemoryConfigurationError, match=r"\b3\b.*\b4\b"):
            await store.create_index(name, 4)
        assert await store.delete_index(name) is True
        assert await store.delete_index(name) is False

    async def test_health_is_good(self, store: IVectorStore) -> None:
        assert await store.health_check() is True

    async def test_statistics_have_the_documented_names(self, store: IVectorStore) -> None:
        await store.upsert_documents([document("a", [1, 0])])
        stats = await store.get_stats()
        assert stats["total_vectors"] == 1
        names = {
            "sqlite": "average_dimension database_size_bytes database_size_mb table_name db_path",
            "pgvector": "table_size_bytes table_size_mb table_name",
        }[stats["store_type"]]
        assert set(stats) == {"total_vectors", "store_type", *names.split()}
        assert all(stats[name] > 0 for name in stats if name.endswith("_size_bytes"))


# --- values -----------------------------------------------------------------------------------------------------------


def test_document_without_id_gets_a_uuid() -> None:
    assert UUID(VectorDocument("", "text", [1.0]).id).version == 4


def test_document_without_time_is_of_now() -> None:
    made = VectorDocument("a", "text", [1.0]).timestamp
    assert made is not None
    assert made.tzinfo is not None


def test_configuration_shows_no_secret() -> None:
    assert "secret" not in repr(VectorStoreConfig("pinecone", {"api_key": "secret"}, 2))


def test_query_has_the_documented_defaults() -> None:
    query = VectorQuery([1.0])
    assert (query.top_k, query.filters, query.include_metadata, query.include_content, query.min_score) == (
        *(10, None, True, True),
        None,
    )


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_store_that_cannot_be_reached_is_a_connection_error() -> None:
    store = VectorStoreFactory.create_pgvector_store(2, dsn="postgresql://u:secret@127.0.0.1:1/d")
    with pytest.raises(VectorConnection) as caught:
        await store.connect()
    assert isinstance(caught.value, MemoryConnectionError)
    assert caught.value.retryable
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, VectorStoreError)


async def test_question_that_fails_is_a_query_error(tmp_path: Path) -> None:
    store = NativeSQLiteStore(VectorStoreConfig("sqlite", {"db_path": str(tmp_path / "v.db")}, 2))
    await store.connect()
    await store.delete_index("vectors")
    with pytest.raises(QueryError) as caught:
        await store.query(VectorQuery([1, 0]))
    assert isinstance(caught.value.__cause__, VectorStoreError)
    await store.disconnect()


async def test_health_of_a_store_that_does_not_answer_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    store = NativeSQLiteStore(VectorStoreConfig("sqlite", {"db_path": ":memory:"}, 2))

    async def fails() -> None:
        raise VectorStoreError("sqlite", "ping")

    monkeypatch.setattr(store.store, "ping", fails)
    assert await store.health_check() is False


@pytest.mark.parametrize("metric", ["euclidean", "dotproduct", "manhattan"])
def test_other_metric_is_refused(metric: str) -> None:
    with pytest.raises(UnsupportedOperationError, match=metric):
        VectorStoreFactory.create_sqlite_store(":memory:", 2, metric=metric)


def test_namespace_is_refused_where_there_are_none() -> None:
    with pytest.raises(UnsupportedOperationError, match="namespace"):
        VectorStoreFactory.create_store("sqlite", 2, {"db_path": ":memory:"}, namespace="n")


def test_unknown_option_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(MemoryConfigurationError, match="did you mean 'db_path'"):
        VectorStoreFactory.create_store("sqlite", 2, {"db_pth": ":memory:"})


def test_index_params_reach_the_store() -> None:
    with pytest.raises(MemoryConfigurationError, match="m must be"):
        VectorStoreFactory.create_store("pgvector", 2, {}, index_params={"m": 1})
    with pytest.raises(MemoryConfigurationError, match="nonsense"):
        VectorStoreFactory.create_store("pgvector", 2, {}, index_params={"nonsense": 1})


# --- the factory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("sqlite", NativeSQLiteStore),
        ("local", NativeSQLiteStore),
        ("pgvector", NativePGVectorStore),
        ("postgres", NativePGVectorStore),
        ("PostgreSQL", NativePGVectorStore),
        ("redis", NativeRedisVectorStore),
        ("qdrant", NativeQdrantStore),
        ("chroma", NativeChromaStore),
        ("chromadb", NativeChromaStore),
        ("pinecone", NativePineconeStore),
    ],
)
def test_store_is_made_by_each_of_its_names(name: str, cls: type[NativeVectorStore]) -> None:
    params = {"api_key": "k"} if name == "pinecone" else {}
    store = VectorStoreFactory.create_store(name, 8, params)
    assert type(store) is cls
    assert store.store.dimension == 8


@pytest.mark.parametrize(
    ("cls", "defaults"),
    [
        (NativeSQLiteStore, {"db_path": "langswarm_vectors.db", "table_name": "vectors"}),
        (
            NativePGVectorStore,
            {
                "dsn": None,
                "host": "localhost",
                "port": 5432,
                "database": "langswarm",
                "user": "postgres",
                "password": "postgres",
                "table_name": "vectors",
                "pool_min_size": 1,
                "pool_max_size": 10,
                "index_method": "hnsw",
            },
        ),
        (
            NativeRedisVectorStore,
            {"url": "redis://localhost:6379", "index_name": "idx:vectors", "key_prefix": "vectors:"},
        ),
        (
            NativeQdrantStore,
            {
                "url": "http://localhost:6333",
                "api_key": None,
                "collection_name": "langswarm_default",
                "prefer_grpc": False,
            },
        ),
        (
            NativeChromaStore,
            {"host": "localhost", "port": 8000, "collection_name": "langswarm_default", "persist_directory": None},
        ),
        (NativePineconeStore, {"api_key": None, "environment": None, "index_name": "langswarm-default"}),
    ],
)
def test_options_are_the_documented_ones(cls: type[NativeVectorStore], defaults: dict[str, Any]) -> None:
    assert dict(cls.defaults) == defaults


def test_pinecone_needs_a_key() -> None:
    with pytest.raises(MemoryConfigurationError, match="api_key"):
        VectorStoreFactory.create_store("pinecone", 8, {})


def test_unknown_type_is_refused_with_those_known() -> None:
    with pytest.raises(MemoryConfigurationError, match="known are chroma, pgvector"):
        VectorStoreFactory.create_store("nonsense", 8, {})


def test_stores_whose_packages_are_missing_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    listed = VectorStoreFactory.list_available_stores()
    assert "sqlite" in listed
    assert "chroma" not in listed


@pytest.mark.parametrize("name", ["sqlite", "pgvector", "redis", "qdrant", "chroma", "pinecone"])
def test_requirements_are_told(name: str) -> None:
    needs = VectorStoreFactory.get_store_requirements(name)
    assert set(needs) == {"pip_package", "required_params", "optional_params", "description"}
    assert needs["required_params"] == (["api_key"] if name == "pinecone" else [])


def test_class_of_the_callers_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorStoreFactory, "_classes", VectorStoreFactory._classes)

    class Mine(NativeSQLiteStore):
        pass

    VectorStoreFactory.register_store("mine", Mine)
    assert type(VectorStoreFactory.create_store("mine", 2, {"db_path": ":memory:"})) is Mine
    with pytest.raises(MemoryConfigurationError):
        VectorStoreFactory.register_store("mine", dict)  # type: ignore[arg-type]


def test_development_store_is_a_file_here() -> None:
    store = create_development_store(8)
    assert isinstance(store, NativeSQLiteStore)
    assert store.params["db_path"] == "langswarm_dev_vectors.db"


def test_production_store_takes_options_of_both_kinds() -> None:
    store = create_production_store("pgvector", 8, {"table_name": "mine", "index_params": {"m": 8}})
    assert isinstance(store, NativePGVectorStore)
    assert store.params["table_name"] == "mine"


@pytest.mark.parametrize(
    ("config", "cls"),
    [
        (None, NativeSQLiteStore),
        ({"db_path": "x.db"}, NativeSQLiteStore),
        ({"url": "http://localhost:1"}, NativeQdrantStore),
        ({"url": "http://localhost:1", "api_key": "k"}, NativeQdrantStore),
        ({"api_key": "k"}, NativePineconeStore),
        ({"host": "localhost"}, NativeChromaStore),
    ],
)
def test_store_is_chosen_by_its_options(config: dict[str, Any] | None, cls: type[NativeVectorStore]) -> None:
    assert type(create_auto_store(8, config)) is cls


def test_every_name_can_be_imported() -> None:
    for name in vector_stores.__all__:
        assert getattr(vector_stores, name).__doc__


def test_import_loads_no_driver() -> None:
    code = (
        "import sys, langswarm_memory.vector_stores, langswarm_memory.vector_stores.factory as f; "
        "f.VectorStoreFactory.list_available_stores(); "
        "print({'numpy', 'asyncpg', 'redis', 'qdrant_client', 'chromadb', 'pinecone', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
