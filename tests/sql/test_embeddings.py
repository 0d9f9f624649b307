"""Embeddings in the tables of the messages: what is near, what goes with a message, and which index answers."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from sqlalchemy import delete, func, select

from langswarm_memory import Message, PostgresBackend, SessionMetadata, SQLiteBackend
from langswarm_memory.errors import MemoryBackendError, MemoryConfigurationError
from langswarm_memory.models import EmbeddingRow, MessageRow
from langswarm_memory.recall.embedded import Embedded, EmbeddingIndex, Near
from langswarm_memory.relational import RelationalBackend
from langswarm_memory.repository.sql import embeddings, sqlite
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.vector_stores import exact
from tests.services import postgres
from tests.sql.conftest import SCHEMA
from tests.sql.databases import Database, role

MODEL = 'model\'s "own" %1'
"""A name that has to be quoted wherever it is written."""
EVERYWHERE = SearchFilter()

Vector = Sequence[float]


def hash_of(text: str) -> str:
    """Return what stands for the hash of a text: the tables keep it as it is."""
    return f"hash of {text}"


def index_of(backend: RelationalBackend, dimension: int, model: str = MODEL) -> EmbeddingIndex:
    """Return the embeddings of a model, not opened."""
    driver: Any = backend.repository.driver
    index: EmbeddingIndex = driver.embeddings(model, dimension)
    return index


async def opened(backend: RelationalBackend, dimension: int, model: str = MODEL) -> EmbeddingIndex:
    index = index_of(backend, dimension, model)
    await index.open()
    return index


async def say(backend: RelationalBackend, count: int, session_id: str = "s", user_id: str = "u") -> list[Message]:
    """Store a session of messages "s 0", "s 1", … and return them as they are stored."""
    session = await backend.create_session(SessionMetadata(session_id, user_id=user_id))
    await session.add_messages([Message("user", f"{session_id} {number}") for number in range(count)])
    return await session.get_messages(full_history=True)


async def put(
    index: EmbeddingIndex, messages: Sequence[Message], vectors: Sequence[Vector], session_id: str = "s"
) -> None:
    rows = [Embedded(message, hash_of(message.text), vector) for message, vector in zip(messages, vectors, strict=True)]
    await index.put(SessionMetadata(session_id), rows)


def vectors(count: int, dimension: int, seed: int = 1) -> list[list[float]]:
    chance = random.Random(seed)
    return [[chance.gauss(0, 1) for _ in range(dimension)] for _ in range(count)]


def contents(found: Sequence[Near]) -> list[Any]:
    return [near.message.content for near in found if near.message is not None]


async def stored(backend: RelationalBackend) -> int:
    async with backend.orm() as db:
        return int((await db.scalar(select(func.count()).select_from(EmbeddingRow))) or 0)


# --- what is near --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_nearest_are_those_that_numpy_finds(backend: RelationalBackend, seed: int) -> None:
    messages, given = await say(backend, 60), vectors(60, 16, seed)  # fewer than the candidates of the HNSW index
    index = await opened(backend, 16)
    await put(index, messages, given)
    (question,) = vectors(1, 16, seed + 100)
    matrix, asked = np.array(given), np.array(question)
    scores = matrix @ asked / np.linalg.norm(matrix, axis=1) / np.linalg.norm(asked)
    best = np.argsort(-scores)[:10]
    found = await index.nearest(question, EVERYWHERE, 10)
    assert contents(found) == [f"s {number}" for number in best]
    assert [near.score for near in found] == pytest.approx([scores[number] for number in best], abs=1e-5)


async def test_hits_carry_place_and_hash(backend: RelationalBackend) -> None:
    messages = await say(backend, 1)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0]])
    (near,) = await index.nearest([1, 0], EVERYWHERE, 10)
    assert (near.session_id, near.seq, near.hash) == ("s", 1, hash_of("s 0"))


@pytest.mark.parametrize("limit", [5, 50])
async def test_one_user_of_many_gets_all_its_messages(backend: RelationalBackend, limit: int) -> None:
    index = await opened(backend, 8)
    given = vectors(1000, 8)
    for number in range(200):
        name = f"s{number}"
        messages = await say(backend, 5, name, user_id=f"u{number}")
        await put(index, messages, given[number * 5 : number * 5 + 5], name)
    found = await index.nearest([-value for value in given[0]], SearchFilter(user_id="u0"), limit)
    assert sorted(contents(found)) == [f"s0 {number}" for number in range(5)]


async def test_embedding_written_by_another_backend_is_found(database: Database) -> None:
    async with database.backend() as one, database.backend() as other:
        messages = await say(one, 2)
        index, writer = await opened(one, 2), await opened(other, 2)
        await put(writer, messages[:1], [[1, 0]])
        before = contents(await index.nearest([0, 1], EVERYWHERE, 1))
        await put(writer, messages[1:], [[0, 1]])
        assert (before, contents(await index.nearest([0, 1], EVERYWHERE, 1))) == (["s 0"], ["s 1"])


async def test_embedding_replaced_by_another_backend_is_found_anew(database: Database) -> None:
    async with database.backend() as one, database.backend() as other:
        messages = await say(one, 2)
        index, writer = await opened(one, 2), await opened(other, 2)
        await put(writer, messages, [[1, 0], [0, 1]])
        before = contents(await index.nearest([1, 0], EVERYWHERE, 1))
        await put(writer, messages, [[0, 1], [1, 0]])
        assert (before, contents(await index.nearest([1, 0], EVERYWHERE, 1))) == (["s 0"], ["s 1"])


async def test_embedding_in_the_place_of_the_last_one_is_found_by_its_own_vector(backend: RelationalBackend) -> None:
    # A database gives the number of a row that was the last one to the next row.
    messages = await say(backend, 2)
    index = await opened(backend, 2)
    await put(index, messages, [[0.6, 0.8], [0, 1]])
    await index.nearest([1, 0], EVERYWHERE, 1)
    session = await backend.get_session("s")
    assert session is not None
    await session.delete_messages([2])
    await session.add_message(Message("user", "another"))
    (*_, another) = await session.get_messages()
    await put(index, [another], [[1, 0]])
    assert contents(await index.nearest([1, 0], EVERYWHERE, 1)) == ["another"]


async def test_vacuum_keeps_embeddings_with_their_messages(backend: RelationalBackend) -> None:
    messages = await say(backend, 3)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0], [0, 1], [-1, 0]])
    await index.nearest([1, 0], EVERYWHERE, 1)
    session = await backend.get_session("s")
    assert session is not None
    await session.delete_messages([1])
    await backend.vacuum_database()
    assert contents(await index.nearest([0, 1], EVERYWHERE, 1)) == ["s 1"]


# --- writing -------------------------------------------------------------------------------------------------------


async def test_embedding_of_the_same_message_is_replaced(backend: RelationalBackend) -> None:
    messages = await say(backend, 1)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0]])
    await put(index, messages, [[0, 1]])
    ((near,), count) = (await index.nearest([0, 1], EVERYWHERE, 10), await index.count())
    assert (near.score, count) == (pytest.approx(1.0), 1)


async def test_message_that_is_gone_meanwhile_gets_no_embedding(backend: RelationalBackend) -> None:
    messages = await say(backend, 2)
    index = await opened(backend, 2)
    session = await backend.get_session("s")
    assert session is not None
    await session.delete_messages([1])
    await put(index, messages, [[1, 0], [0, 1]])
    assert (await index.count(), await index.known(SessionMetadata("s"))) == (
        1,
        {messages[1].message_id: hash_of("s 1")},
    )


async def test_more_embeddings_than_one_statement_takes_are_all_stored(backend: RelationalBackend) -> None:
    messages = await say(backend, 450)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0]] * 450)
    assert await index.count() == 450


async def test_dropped_embeddings_are_gone(backend: RelationalBackend) -> None:
    messages = await say(backend, 3)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0]] * 3)
    await index.drop("s", [messages[0].message_id])
    assert sorted(contents(await index.nearest([1, 0], EVERYWHERE, 10))) == ["s 1", "s 2"]


async def test_embeddings_of_a_session_are_dropped_at_once(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    for name in ("s", "other"):
        await put(index, await say(backend, 2, name), [[1, 0]] * 2, name)
    await index.drop("s")
    assert (await index.known(SessionMetadata("s")), await index.count()) == ({}, 2)


# --- going with the message ----------------------------------------------------------------------------------------


async def test_embedding_goes_with_its_message(backend: RelationalBackend) -> None:
    messages = await say(backend, 2)
    index = await opened(backend, 2)
    await put(index, messages, [[1, 0], [0, 1]])
    session = await backend.get_session("s")
    assert session is not None
    await session.delete_messages([1])
    assert (await stored(backend), contents(await index.nearest([1, 0], EVERYWHERE, 10))) == (1, ["s 1"])


async def test_embedding_goes_in_the_transaction_that_deletes_the_message(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    await put(index, await say(backend, 1), [[1, 0]])
    seen = []

    async def delete_and_fail() -> None:
        async with backend.orm(write=True) as db:
            await db.execute(delete(MessageRow))
            seen.append(await db.scalar(select(func.count()).select_from(EmbeddingRow)))
            raise LookupError

    with pytest.raises(LookupError):
        await delete_and_fail()
    assert (seen, await stored(backend)) == ([0], 1)


async def test_embeddings_go_with_the_session(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    await put(index, await say(backend, 3), [[1, 0]] * 3)
    await backend.delete_session("s")
    assert await stored(backend) == 0


# --- models --------------------------------------------------------------------------------------------------------


async def test_models_lie_side_by_side(backend: RelationalBackend) -> None:
    messages = await say(backend, 2)
    one, other = await opened(backend, 2, "one"), await opened(backend, 3, "other")
    await put(one, messages, [[1, 0], [0, 1]])
    await put(other, messages, [[0, 1, 0], [1, 0, 0]])
    found = [await one.nearest([1, 0], EVERYWHERE, 1), await other.nearest([1, 0, 0], EVERYWHERE, 1)]
    assert [contents(near) for near in found] == [["s 0"], ["s 1"]]


async def test_destroying_a_model_leaves_the_others(backend: RelationalBackend) -> None:
    messages = await say(backend, 2)
    one, other = await opened(backend, 2, "one"), await opened(backend, 3, "other")
    await put(one, messages, [[1, 0], [0, 1]])
    await put(other, messages, [[0, 1, 0], [1, 0, 0]])
    await one.destroy()
    assert (await one.count(), await other.count()) == (0, 2)


async def test_stored_model_of_another_dimension_is_refused_with_both_numbers(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    await put(index, await say(backend, 1), [[1, 0]])
    with pytest.raises(MemoryConfigurationError, match=r"2 numbers.*3"):
        await opened(backend, 3)


async def test_vector_of_another_dimension_is_refused_with_both_numbers(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    messages = await say(backend, 1)
    with pytest.raises(MemoryConfigurationError, match=r"5 numbers.*2"):
        await put(index, messages, [[1, 0, 0, 0, 0]])


async def test_question_of_another_dimension_is_refused_with_both_numbers(backend: RelationalBackend) -> None:
    index = await opened(backend, 2)
    with pytest.raises(MemoryConfigurationError, match=r"5 numbers.*2"):
        await index.nearest([1, 0, 0, 0, 0], EVERYWHERE, 1)


# --- pgvector ------------------------------------------------------------------------------------------------------


def definitions(database: Database) -> list[str]:
    """Return the definitions of the HNSW indexes."""
    found = database.rows("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'embeddings_hnsw_%' ORDER BY 1")
    return [row[0] for row in found]


async def test_model_has_one_index_however_often_it_is_opened(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    for _ in range(2):
        async with database.backend() as backend:
            await opened(backend, 8)
    assert len(definitions(database)) == 1


@pytest.mark.parametrize(
    ("dimension", "kind"), [(2000, ["vector(2000)"]), (3072, ["halfvec(3072)"]), (4000, ["halfvec(4000)"]), (4096, [])]
)
async def test_index_holds_what_pgvector_can_index(postgres_url: str, dimension: int, kind: list[str]) -> None:
    database = Database("postgres", postgres_url)
    async with database.backend() as backend:
        await opened(backend, dimension)
    assert [one.partition("embedding)::")[2].partition(")")[0] + ")" for one in definitions(database)] == kind


@pytest.mark.parametrize("dimension", [3072, 4096])
async def test_long_vectors_are_found(postgres_url: str, dimension: int) -> None:
    async with PostgresBackend(postgres_url) as backend:
        messages, given = await say(backend, 20), vectors(20, dimension)
        index = await opened(backend, dimension)
        await put(index, messages, given)
        (near,) = await index.nearest(given[7], EVERYWHERE, 1)
    assert (near.seq, near.score) == (8, pytest.approx(1.0, abs=1e-3))


FILL = """
INSERT INTO {sessions} (session_id, user_id, auto_summarize, summary_threshold, status, created_at, updated_at)
SELECT 's' || n, 'u' || n, false, 20, 'active', now(), now() FROM generate_series(0, 9) n;
INSERT INTO {messages} (session_id, seq, message_id, role, content, timestamp, token_count)
SELECT 's' || n % 10, n, 'm' || n, 'user', 'text ' || n, now(), 5 FROM generate_series(1, 2000) n;
INSERT INTO {embeddings} (session_id, seq, model, dimension, content_hash, embedding)
SELECT session_id, seq, 'filled', 8, '', ARRAY(SELECT random() - 0.5 + 0 * seq FROM generate_series(1, 8))
FROM {messages};
ANALYZE {sessions}; ANALYZE {messages}; ANALYZE {embeddings};
"""


@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_search_asks_the_index(postgres_url: str, schema: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database("postgres", postgres_url, schema)
    async with database.backend() as backend:
        index = await opened(backend, 8, "filled")
        database.run(FILL.format(**{name: database.quoted(name) for name in ("sessions", "messages", "embeddings")}))
        driver: Any = backend.repository.driver
        asked: list[tuple[str, Sequence[Any]]] = []
        fetch = driver.fetch

        async def heard(operation: str, statement: Any, args: Sequence[Any]) -> Any:
            asked.append((statement.sql, args))
            return await fetch(operation, statement, args)

        monkeypatch.setattr(driver, "fetch", heard)
        await index.nearest([1.0] * 8, EVERYWHERE, 10)
    ((sql, args),) = asked
    lines = await explained(postgres_url, sql, args)
    assert any("Index Scan using embeddings_hnsw_" in line for line in lines), lines


async def explained(url: str, sql: str, args: Sequence[Any]) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *args)]
    finally:
        await connection.close()


async def test_database_without_pgvector_is_told_with_the_way_out(postgres_url: str) -> None:
    with role(postgres_url, "p") as (name, url):  # who may not install it
        postgres.execute(postgres_url, f"CREATE SCHEMA given AUTHORIZATION {name}")
        async with PostgresBackend(url, schema="given") as backend:
            with pytest.raises(MemoryConfigurationError, match="CREATE EXTENSION vector"):
                await opened(backend, 8)


async def test_database_without_pgvector_stores_messages_as_before(postgres_url: str) -> None:
    with role(postgres_url, "p") as (name, url):
        postgres.execute(postgres_url, f"CREATE SCHEMA given AUTHORIZATION {name}")
        async with PostgresBackend(url, schema="given") as backend:
            with pytest.raises(MemoryConfigurationError):
                await opened(backend, 8)
            assert [message.content for message in await say(backend, 2)] == ["s 0", "s 1"]


async def test_role_that_may_not_install_uses_pgvector_that_is_there(postgres_url: str) -> None:
    postgres.execute(postgres_url, "CREATE EXTENSION vector")
    with role(postgres_url, "p") as (name, url):
        postgres.execute(postgres_url, f"CREATE SCHEMA given AUTHORIZATION {name}")
        async with PostgresBackend(url, schema="given") as backend:
            index = await opened(backend, 2)
            await put(index, await say(backend, 1), [[1, 0]])
            assert contents(await index.nearest([1, 0], EVERYWHERE, 1)) == ["s 0"]


# --- SQLite without NumPy ------------------------------------------------------------------------------------------


async def answers(path: Path, *, searches: list[str] | None = None) -> list[list[tuple[str, int, float]]]:
    """Open a file and ask for what is near: everywhere, in a session, of a role, and all there is."""
    async with SQLiteBackend(db_path=str(path)) as backend:
        index: Any = index_of(backend, 3)
        await index.open()
        if searches is not None and index._scoring is not None:
            await index._scoring.run(lambda connection: connection.set_trace_callback(searches.append))
        scopes = [EVERYWHERE, SearchFilter(session_ids=frozenset({"t"})), SearchFilter(roles=frozenset({"assistant"}))]
        found = [await index.nearest([1.0, 0.25, -0.5], scope, limit) for scope in scopes for limit in (3, 100)]
        await index.close()
    return [[(near.session_id, near.message.seq or 0, near.score) for near in hits] for hits in found]


@pytest.fixture
async def filled_file(tmp_path: Path) -> Path:
    """A file with 60 embeddings in two sessions, some of them alike, and one of another model."""
    chance = random.Random(3)
    path = tmp_path / "memory.db"
    async with SQLiteBackend(db_path=str(path)) as backend:
        index = await opened(backend, 3)
        for session_id in ("s", "t"):
            messages = await say(backend, 30, session_id)
            vectors = [[chance.choice([-1.0, 0.5, 2.0]) for _ in range(3)] for _ in messages]
            await put(index, messages, vectors, session_id)
        await put(await opened(backend, 2, "other"), messages[:1], [[1.0, 0.0]], "t")
    return path


async def test_sqlite_vec_answers_as_numpy_does(filled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_numpy = await answers(filled_file)
    assert [len(hits) for hits in by_numpy] == [3, 60, 3, 30, 0, 0]
    searches: list[str] = []
    monkeypatch.setattr(exact, "np", None)
    # A sqlite3 that can load extensions, as not every Python has: another build of the same module.
    monkeypatch.setattr(sqlite, "sqlite3", pytest.importorskip("pysqlite3.dbapi2"))
    by_extension = await answers(filled_file, searches=searches)
    assert any("vec_distance_cosine" in text for text in searches)
    for ours, theirs in zip(by_extension, by_numpy, strict=True):
        assert [hit[2] for hit in ours] == pytest.approx([hit[2] for hit in theirs], abs=1e-6)
        assert {hit[:2] for hit in ours[:1]} <= {hit[:2] for hit in theirs if hit[2] > theirs[0][2] - 1e-6}


async def test_without_either_the_answers_are_the_same(filled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_numpy = await answers(filled_file)
    monkeypatch.setattr(exact, "np", None)
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    for ours, theirs in zip(await answers(filled_file), by_numpy, strict=True):
        assert [hit[2] for hit in ours] == pytest.approx([hit[2] for hit in theirs], abs=1e-6)


async def test_sqlite_vec_sees_what_others_store(filled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "np", None)
    monkeypatch.setattr(sqlite, "sqlite3", pytest.importorskip("pysqlite3.dbapi2"))
    async with SQLiteBackend(db_path=str(filled_file)) as backend, SQLiteBackend(db_path=str(filled_file)) as other:
        index, theirs = await opened(backend, 3), await opened(other, 3)
        question = [0.0, 0.0, -1.0]
        [before] = await index.nearest(question, EVERYWHERE, 1)
        (message,) = await say(other, 1, "u")
        await put(theirs, [message], [[0.0, 0.0, -7.0]], "u")
        [after] = await index.nearest(question, EVERYWHERE, 1)
        assert before.score < 1
        assert (after.session_id, after.score) == ("u", pytest.approx(1))
        await index.close()
        await theirs.close()


async def test_sqlite_vec_that_fails_is_told(filled_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "np", None)
    monkeypatch.setattr(embeddings, "load_extension", lambda connection: True)  # it says so, and has no function
    async with SQLiteBackend(db_path=str(filled_file)) as backend:
        index = await opened(backend, 3)
        with pytest.raises(MemoryBackendError):
            await index.nearest([1.0, 0.0, 0.0], EVERYWHERE, 1)
        await index.close()
