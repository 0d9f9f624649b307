"""The errors: one tree, constructors in every documented form, texts without secrets, copies that survive a process."""

from __future__ import annotations

import copy
import importlib
import pickle
import sqlite3
from typing import Any

import pytest

from langswarm_memory import errors
from langswarm_memory.errors import (
    ConflictError,
    CorruptRecordError,
    EmbeddingError,
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryBackendError,
    MemoryConfigurationError,
    MemoryConnectionError,
    MemoryStorageError,
    MissingDependencyError,
    NotConnectedError,
    QueryError,
    SchemaVersionError,
    SessionExistsError,
    SessionExpiredError,
    SessionNotFoundError,
    SessionOwnershipError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
    SummarizerError,
    UnsupportedOperationError,
    VectorSearchError,
    VectorStoreError,
    describe,
)

CAUSE = ValueError("the text of a conversation")
ONE_OF_EACH: list[LangSwarmMemoryError] = [
    SummarizerError("the model's answer holds no summary"),
    LangSwarmMemoryError("what happened", {"a": 1}, "do that"),
    MemoryConfigurationError("wrong", "sqlite", {"password": "s3cret"}, suggestion="write it right"),
    MissingDependencyError("asyncpg", extra="postgres"),
    InvalidInputError("no such thing"),
    NotConnectedError("gone"),
    SessionNotFoundError("s"),
    SessionExpiredError("s"),
    SessionExistsError("s"),
    SessionOwnershipError("s"),
    ConflictError("too late", retryable=True),
    UnsupportedOperationError("in_memory", "text search", "use another"),
    MemoryBackendError("sqlite", "append", CAUSE, "try again"),
    MemoryBackendError("it broke", backend="sqlite", details={"a": 1}),
    MemoryConnectionError("postgres", "open", CAUSE),
    StorageUnavailableError("postgres", "open", CAUSE, "wait"),
    QueryError("sqlite", "query", CAUSE),
    SchemaVersionError("sqlite", found="0001", expected="0002", suggestion="upgrade"),
    MemoryStorageError("append", "sqlite", CAUSE, "message"),
    StorageFullError("append", "sqlite", CAUSE),
    StorageReadOnlyError("append", "sqlite", CAUSE, suggestion="make room"),
    CorruptRecordError("sqlite", "message 'm'", CAUSE),
    VectorSearchError("query", "qdrant", "what is asked", CAUSE),
    VectorStoreError("qdrant", "upsert", CAUSE),
    EmbeddingError("embed", "openai", CAUSE, "the text"),
]
each_error = pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)


def test_there_is_one_of_each() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert {type(error) for error in ONE_OF_EACH} == classes


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (MemoryConfigurationError, (ValueError,)),
        (MissingDependencyError, (MemoryConfigurationError, ImportError)),
        (InvalidInputError, (ValueError,)),
        (NotConnectedError, (RuntimeError,)),
        (SessionNotFoundError, (LookupError,)),
        (SessionExpiredError, (SessionNotFoundError,)),
        (SessionOwnershipError, (PermissionError,)),
        (UnsupportedOperationError, (NotImplementedError,)),
        (MemoryConnectionError, (MemoryBackendError, ConnectionError)),
        (StorageUnavailableError, (MemoryConnectionError,)),
        (QueryError, (MemoryBackendError, ValueError)),
        (SchemaVersionError, (MemoryBackendError,)),
        (MemoryStorageError, (MemoryBackendError,)),
        (StorageFullError, (MemoryStorageError,)),
        (StorageReadOnlyError, (MemoryStorageError,)),
        (CorruptRecordError, (MemoryStorageError,)),
        (VectorSearchError, (MemoryBackendError,)),
    ],
)
def test_error_can_be_caught_as_its_parents(kind: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    assert issubclass(kind, (LangSwarmMemoryError,))
    assert all(issubclass(kind, parent) for parent in parents)


def test_retryable_errors_are_those_that_time_may_mend() -> None:
    retryable = {type(error) for error in ONE_OF_EACH if error.retryable}
    assert retryable == {
        ConflictError,
        MemoryConnectionError,
        StorageUnavailableError,
        StorageFullError,
        SummarizerError,
    }


@each_error
def test_error_does_not_quote_its_cause(error: LangSwarmMemoryError) -> None:
    for secret in ("the text", "what is asked", "s3cret"):
        assert secret not in str(error)
        assert secret not in error.message


@each_error
@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])
def test_copy_of_an_error_tells_the_same(error: LangSwarmMemoryError, duplicate: Any) -> None:
    again = duplicate(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert {key: repr(value) for key, value in vars(again).items()} == {k: repr(v) for k, v in vars(error).items()}
    assert again.retryable == error.retryable


def test_text_joins_message_details_suggestion() -> None:
    assert str(LangSwarmMemoryError("it broke", {"a": 1}, "do that")) == "it broke (a=1); do that"
    assert str(LangSwarmMemoryError("it broke")) == "it broke"


def test_backend_error_takes_both_forms() -> None:
    raised = MemoryBackendError("sqlite", "append", CAUSE, "try again")
    assert (raised.backend, raised.operation, raised.original_error) == ("sqlite", "append", CAUSE)
    assert str(raised) == "sqlite: append failed (ValueError); try again"
    told = MemoryBackendError("it broke", backend="sqlite", details={"a": 1})
    assert (told.backend, told.operation, told.details, told.message) == ("sqlite", None, {"a": 1}, "it broke")


def test_configuration_error_takes_both_forms() -> None:
    full = MemoryConfigurationError("wrong", "sqlite", {"password": "s3cret"})
    assert (full.issue, full.component, full.config_data) == ("wrong", "sqlite", {"password": "s3cret"})
    assert str(full) == "sqlite: wrong"
    for short in (MemoryConfigurationError("wrong", {"a": 1}), MemoryConfigurationError("wrong", config={"a": 1})):
        assert (short.component, short.config, short.config_data) == (None, {"a": 1}, {"a": 1})


def test_storage_and_search_errors_take_the_documented_order() -> None:
    storage = MemoryStorageError("append", "sqlite", CAUSE, "message")
    assert (storage.operation, storage.backend, storage.data_type) == ("append", "sqlite", "message")
    search = VectorSearchError("query", "qdrant", "what is asked", CAUSE)
    assert (search.operation, search.backend, search.query) == ("query", "qdrant", "what is asked")
    embedding = EmbeddingError("embed", "openai", CAUSE, "the text")
    assert (embedding.operation, embedding.provider, embedding.text_preview) == ("embed", "openai", "the text")


def test_missing_dependency_is_a_command() -> None:
    error = MissingDependencyError("asyncpg", extra="postgres")
    assert str(error) == "the 'asyncpg' package is not installed; run: pip install 'langswarm-memory[postgres]'"


def test_schema_error_names_both_revisions() -> None:
    error = SchemaVersionError("sqlite", found="0003", expected="0005", suggestion="run 'db upgrade'")
    assert str(error) == "sqlite: schema is at revision 0003, this version needs 0005; run 'db upgrade'"


def test_driver_error_is_described_by_class_and_code() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a UNIQUE)")
    connection.execute("INSERT INTO t VALUES ('the text')")
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute("INSERT INTO t VALUES ('the text')")
    connection.close()
    assert describe(caught.value) == "IntegrityError SQLITE_CONSTRAINT_UNIQUE"
    assert describe(CAUSE) == "ValueError"


@pytest.mark.parametrize("module", ["langswarm_memory", "langswarm_memory.exceptions", "langswarm_memory.factory"])
def test_error_is_the_same_class_under_every_module(module: str) -> None:
    found = importlib.import_module(module)
    for name in ("MemoryBackendError", "MemoryConfigurationError"):
        assert getattr(found, name) is getattr(errors, name)
