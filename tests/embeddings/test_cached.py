"""The cache: what is made once, what is kept, what is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from langswarm_memory.embeddings import CachedEmbeddingProvider
from langswarm_memory.errors import EmbeddingError, MemoryConfigurationError
from tests.embeddings.counting import Asking, Counting

NEARLY_A_TENTH = 0.10000000149011612  # 0.1 as float32


async def test_a_text_is_made_once() -> None:
    inner = Counting()
    cached = CachedEmbeddingProvider(inner)
    assert await cached.embed_text("abc") == await cached.embed_text("abc") == [3.0, NEARLY_A_TENTH]
    assert inner.asked == [["abc"]]


async def test_only_new_texts_of_a_batch_are_made_and_each_once() -> None:
    inner = Counting()
    cached = CachedEmbeddingProvider(inner)
    await cached.embed_text("a")
    vectors = await cached.embed_batch(["bb", "a", "ccc", "bb"])
    assert [vector[0] for vector in vectors] == [2, 1, 3, 2]
    assert inner.asked == [["a"], ["bb", "ccc"]]


async def test_usage_tells_hits_from_work() -> None:
    cached = CachedEmbeddingProvider(Counting())
    await cached.embed_batch(["a", "b", "a"])
    await cached.embed_text("a")
    usage = cached.usage
    assert (usage.texts, usage.cache_hits, usage.tokens, usage.requests) == (4, 2, 2, 1)


async def test_what_is_under_way_is_not_begun_again() -> None:
    inner = Counting()
    inner.gate = asyncio.Event()
    cached = CachedEmbeddingProvider(inner)
    callers = [asyncio.create_task(cached.embed_text("abc")) for _ in range(5)]
    await inner.begun.wait()
    inner.gate.set()
    assert await asyncio.gather(*callers) == [[3.0, NEARLY_A_TENTH]] * 5
    assert inner.asked == [["abc"]]


async def test_a_caller_who_gives_up_does_not_fail_the_others() -> None:
    inner = Counting()
    inner.gate = asyncio.Event()
    cached = CachedEmbeddingProvider(inner)
    first = asyncio.create_task(cached.embed_text("abc"))
    await inner.begun.wait()
    second = asyncio.create_task(cached.embed_text("abc"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    inner.gate.set()
    assert await second == [3.0, NEARLY_A_TENTH]
    assert inner.asked == [["abc"]]


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    inner = Counting()
    inner.gate, inner.error = asyncio.Event(), EmbeddingError("embed", "counting")
    cached = CachedEmbeddingProvider(inner)
    callers = [asyncio.create_task(cached.embed_text("abc")) for _ in range(2)]
    await inner.begun.wait()
    inner.gate.set()
    assert await asyncio.gather(*callers, return_exceptions=True) == [inner.error] * 2
    inner.error = None
    assert await cached.embed_text("abc") == [3.0, NEARLY_A_TENTH]


def test_what_another_loop_has_begun_is_not_waited_for() -> None:
    inner = Counting()
    cached = CachedEmbeddingProvider(inner)
    gate = inner.gate = asyncio.Event()

    async def give_up() -> None:
        caller = asyncio.create_task(cached.embed_text("abc"))
        await inner.begun.wait()
        caller.cancel()

    async def finish() -> None:
        gate.set()
        await cached.aclose()

    with closing(asyncio.new_event_loop()) as stopped:
        stopped.run_until_complete(give_up())
        inner.gate = None
        assert asyncio.run(cached.embed_text("abc")) == [3.0, NEARLY_A_TENTH]
        stopped.run_until_complete(finish())


async def test_the_text_that_was_unused_for_longest_is_forgotten() -> None:
    inner = Counting()
    cached = CachedEmbeddingProvider(inner, max_entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await cached.embed_text(text)
    assert inner.asked == [["a"], ["b"], ["c"], ["b"]]


async def test_a_file_outlives_the_provider(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    await CachedEmbeddingProvider(Counting(), path).embed_batch(["a", "bb"])
    inner = Counting()
    cached = CachedEmbeddingProvider(inner, path)
    assert [vector[0] for vector in await cached.embed_batch(["bb", "a"])] == [2, 1]
    assert inner.asked == []
    assert cached.usage.cache_hits == 2


async def test_a_file_holds_no_text(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    await CachedEmbeddingProvider(Counting(), path).embed_text("SECRET")
    assert path.stat().st_size > 0
    assert b"SECRET" not in path.read_bytes()


async def test_vectors_of_another_model_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    await CachedEmbeddingProvider(Counting(), path).embed_text("a")
    other = Counting()
    other.model = "other"
    await CachedEmbeddingProvider(other, path).embed_text("a")
    assert other.asked == [["a"]]


async def test_a_file_keeps_the_texts_last_used(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"

    async def asked_for(text: str) -> bool:
        inner = Counting()
        await CachedEmbeddingProvider(inner, path, max_file_entries=2).embed_text(text)
        return bool(inner.asked)

    assert [await asked_for(text) for text in ("a", "b", "a", "c", "a", "b")] == [True, True, False, True, False, True]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (2,)


async def test_a_large_batch_is_found_in_the_file(tmp_path: Path) -> None:
    path, texts = tmp_path / "cache.db", [str(number) for number in range(1200)]
    made = await CachedEmbeddingProvider(Counting(), path).embed_batch(texts)
    inner = Counting()
    assert await CachedEmbeddingProvider(inner, path).embed_batch(texts) == made
    assert inner.asked == []


async def test_a_file_that_is_no_database_is_an_error_that_repetition_does_not_mend(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(EmbeddingError, match="SQLITE_NOTADB") as caught:
        await CachedEmbeddingProvider(Counting(), path).embed_text("a")
    assert not caught.value.retryable


async def test_questions_are_kept_apart_where_the_model_tells_them_apart() -> None:
    inner = Asking()
    cached = CachedEmbeddingProvider(inner)
    assert (await cached.embed_text("a"))[0] == 1
    assert (await cached.embed_query("a"))[0] == (await cached.embed_query("a"))[0] == -1
    assert inner.asked == [["a"], ["query: a"]]


async def test_questions_share_the_vectors_of_texts_elsewhere() -> None:
    inner = Counting()
    cached = CachedEmbeddingProvider(inner)
    assert await cached.embed_text("a") == await cached.embed_query("a")
    assert inner.asked == [["a"]]


async def test_too_few_vectors_are_an_error() -> None:
    class Short(Counting):
        async def embed_batch(self, texts: list[str]) -> list[list[float]]:
            return (await super().embed_batch(texts))[1:]

    with pytest.raises(EmbeddingError, match="1 vectors for 2 texts"):
        await CachedEmbeddingProvider(Short()).embed_batch(["a", "b"])


async def test_model_and_dimension_are_the_inner_providers_and_it_is_closed() -> None:
    inner = Counting(7)
    cached = CachedEmbeddingProvider(inner)
    assert (cached.model, cached.get_dimension(), await cached.measure_dimension()) == ("counting", 7, 7)
    await cached.aclose()
    assert inner.closed == 1


@pytest.mark.parametrize("options", [{"max_entries": -1}, {"max_file_entries": 0}])
def test_bounds_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(MemoryConfigurationError):
        CachedEmbeddingProvider(Counting(), **options)  # type: ignore[arg-type]
