"""`langswarm-memory reindex`: another model's index beside the old one, resumable, checked; and dropping the old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.errors import EmbeddingError, UnsupportedOperationError
from langswarm_memory.recall import reindexing
from langswarm_memory.recall.reindexing import ModelIndex, drop_index, indexes, reindex
from langswarm_memory.vector_stores.memory import InMemoryVectorStore
from tests.cli.commands import Here
from tests.recall.memories import Memory, found, memory_of, session_of
from tests.recall.words import Words
from tests.sql.databases import Database

SPEC = "tests.recall.words:Words"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    return memory_of(request.param, request, tmp_path)


@pytest.fixture
async def backend(place: Memory) -> AsyncIterator[Any]:
    """A backend with thirty messages of three sessions, embedded by the model in use."""
    async with place.backend() as made:
        for name in ("a", "b", "c"):
            await session_of(made, name, *(f"{name} text {number}" for number in range(10)))
            await made.semantic_index.bring_up_to_date(name)
        yield made


def new() -> Words:
    return Words("new", dimension=32)


async def test_new_index_stands_beside_the_old_one(backend: Any) -> None:
    report = await reindex(backend, new())
    assert (report.sessions, report.embedded, report.embeddings, report.complete) == (3, 30, 30, True)
    assert await indexes(backend) == [ModelIndex("new", 32, 30), ModelIndex("words", 64, 30)]


async def test_old_model_is_asked_as_before(backend: Any) -> None:
    await reindex(backend, new())
    assert await found(backend, "b text 3", limit=1) == ["b text 3"]


async def test_application_with_the_new_model_finds_everything(backend: Any, place: Memory) -> None:
    await reindex(backend, new())
    provider = new()
    async with place.backend(provider) as other:
        assert await found(other, "b text 3", limit=1) == ["b text 3"]
    assert provider.embedded == []


async def test_second_run_embeds_nothing(backend: Any) -> None:
    await reindex(backend, new())
    report = await reindex(backend, provider := new())
    assert (report.sessions, report.complete, provider.embedded) == (0, True, [])


async def test_interrupted_run_goes_on_where_it_stopped(backend: Any) -> None:
    provider = new()

    def interrupt(done: int, _total: int, _session_id: str) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await reindex(backend, provider, progress=interrupt)
    await reindex(backend, provider)
    assert len(provider.embedded) == len(set(provider.embedded)) == 30


async def test_what_is_appended_meanwhile_is_embedded_as_well(backend: Any) -> None:
    session = await backend.get_session("a")

    class Appending(Words):
        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            if not self.embedded:
                await session.add_message(session_message)
            return await super().embed_batch(texts)

    from tests.recall.memories import message

    session_message = message("the last word", 99)
    report = await reindex(backend, Appending("new"))
    assert report.embeddings == 31


async def test_progress_counts_messages(backend: Any) -> None:
    told: list[tuple[int, int]] = []
    await reindex(backend, new(), progress=lambda done, total, _: told.append((done, total)))
    assert told == [(10, 30), (20, 30), (30, 30)]


async def test_dry_run_embeds_nothing(backend: Any) -> None:
    report = await reindex(backend, provider := new(), dry_run=True)
    assert (report.sessions, report.messages, provider.calls) == (3, 30, 0)
    assert [index.model for index in await indexes(backend)] == ["words"]


async def test_index_is_held_against_exact_search(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds half of the nearest is not complete."""
    whole = await reindex(backend, new())
    kind = type(backend.semantic_index.embedded)
    nearest = kind.nearest

    async def half(self: Any, vector: Any, where: Any, limit: int) -> Any:
        return await nearest(self, vector, where, limit // 2)

    exact = kind.nearest_exactly
    if kind.__name__ == "SQLiteEmbeddings":  # whose two ways are one

        async def all_of(self: Any, vector: Any, where: Any, limit: int) -> Any:
            return await nearest(self, vector, where, limit)

        exact = all_of
    monkeypatch.setattr(kind, "nearest", half)
    monkeypatch.setattr(kind, "nearest_exactly", exact)
    report = await reindex(backend, new())
    assert (whole.recall, report.recall, report.sampled, report.complete) == (1.0, 0.5, 30, False)


async def test_text_that_cannot_be_embedded_is_named_and_the_rest_is_embedded(backend: Any) -> None:
    provider = new()
    provider.poison = "b text 4"
    report = await reindex(backend, provider)
    assert (report.failures, report.embeddings, report.complete) == ({"b": "ValueError"}, 20, False)


async def test_provider_that_fails_always_ends_the_run(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "GIVEN_UP", 2)
    provider = new()
    provider.error = EmbeddingError("embed", "new")
    with pytest.raises(EmbeddingError):
        await reindex(backend, provider)
    assert provider.calls == 2


async def test_dropped_index_leaves_nothing(backend: Any) -> None:
    await reindex(backend, new())
    assert await drop_index(backend, "words") == 30
    assert await indexes(backend) == [ModelIndex("new", 32, 30)]
    assert len(await backend.semantic_index.stale(10)) == 3


async def test_dropped_index_of_the_database_is_gone_too(backend: Any) -> None:
    if backend.kind.value != "postgres":
        pytest.skip("SQLite searches without one")
    await reindex(backend, new())
    await drop_index(backend, "words")
    rows = await backend.query("SELECT count(*) AS n FROM pg_indexes WHERE indexname LIKE 'embeddings_hnsw_%'")
    assert rows == [{"n": 1}]


async def test_store_with_vectors_elsewhere_refuses(sqlite: Memory) -> None:
    sqlite.vectors = lambda dimension: InMemoryVectorStore(dimension=dimension)
    async with sqlite.backend() as backend:
        with pytest.raises(UnsupportedOperationError, match="collection"):
            await reindex(backend, new())


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database of each kind, with two messages."""
    if request.param == "sqlite":
        made = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    else:
        made = Database("postgres", request.getfixturevalue("postgres_url"))

    async def fill() -> None:
        async with made.backend() as backend:
            await session_of(backend, "s", "one", "two")

    asyncio.run(fill())
    return made


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], database: Database) -> Here:
    return Here(capsys, ("--url", database.url))


def test_command_makes_lists_and_drops(command: Here) -> None:
    made = command.attempt("reindex", "--model", SPEC)
    assert (made.code, "embedded 2 messages, 2 in the index" in made.out) == (0, True)
    assert command.attempt("reindex").out == "words: 2 embeddings of 64 numbers\n"
    assert command.attempt("reindex", "--drop", "words").out == "deleted 2 embeddings of words\n"
    assert command.attempt("reindex").out == ""


def test_command_tells_in_json(command: Here) -> None:
    told = command.attempt("reindex", "--model", SPEC, "--json").json
    assert told == {
        "model": "words",
        "dimension": 64,
        "sessions": 1,
        "messages": 2,
        "embedded": 2,
        "embeddings": 2,
        "sampled": 2,
        "recall": 1.0,
        "failures": {},
        "complete": True,
        "dry_run": False,
    }


def test_dry_runs_change_nothing(command: Here) -> None:
    assert command.attempt("reindex", "--model", SPEC, "--dry-run").out == (
        "words: would look at 2 messages of 1 sessions\n"
    )
    command.attempt("reindex", "--model", SPEC)
    assert command.attempt("reindex", "--drop", "words", "--dry-run").out == "would delete 2 embeddings of words\n"
    assert command.attempt("reindex", "--json").json == [{"model": "words", "dimension": 64, "embeddings": 2}]


def test_interrupted_command_says_how_it_goes_on(command: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tests.recall.words.vector", interrupt)
        ended = command.attempt("reindex", "--model", SPEC)
    assert (ended.code, "goes on where it stopped" in ended.err) == (130, True)
    assert command.attempt("reindex", "--model", SPEC).code == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--drop", "typo"), 1, "there is no index of 'typo'"),
        (("--model", "nowhere.at.all:thing"), 2, "nowhere.at.all"),
        (("--model", "lcoal"), 1, "lcoal"),
        (("--model", "local", "--drop", "words"), 2, "two steps"),
    ],
    ids=["index", "module", "name", "both"],
)
def test_wrong_names_are_told(command: Here, options: tuple[str, ...], code: int, told: str) -> None:
    ended = command.attempt("reindex", *options)
    assert (ended.code, told in ended.err) == (code, True)
