"""``python -m benchmarks.recall``: how much recall finds, and how fast, against the same index asked directly.

``found FILE`` measures recall@10 on dialogues with questions and the turns that answer them. FILE is JSON as that of
the LoCoMo evaluation, which is not part of the project: a list of ``{"dialogue", "sessions": [{"turns": [{"id",
"speaker", "text"}]}], "questions": [{"question", "evidence": [id], "category"}]}``. Questions without evidence, and
those of category 5, which have no answer, are left out.

``latency`` measures text search over many messages, and the nearest vectors on PostgreSQL, each by turns with SQL of
the same answer on the same index.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg

from langswarm_memory import InMemoryBackend, Message, PostgresBackend, SessionMetadata, SQLiteBackend
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.embeddings import IEmbeddingProvider, get_embedding_provider
from langswarm_memory.recall import Fusion
from langswarm_memory.recall.reindexing import recall_of
from langswarm_memory.recall.worker import EmbeddingWorker
from langswarm_memory.repository.sql.text_index import vector_sql
from tests.services import postgres

NEAREST = 10
MODES: dict[str, tuple[Any, Fusion | None]] = {
    "text": ("text", None),
    "vector": ("vector", None),
    "hybrid": ("hybrid", None),
    "hybrid, rrf": ("hybrid", Fusion(method="rrf", text=1.5, vector=1.0)),
    "hybrid, no spread": ("hybrid", Fusion(spread=False)),
    "text and neighbours": ("hybrid", Fusion(text=1.0, vector=0.0)),
}
PER_SESSION = 200
DIMENSION = 384
WORDS = [f"word{number}" for number in range(20_000)]
FREQUENCIES = [1 / (number + 5) for number in range(len(WORDS))]  # about as in a language
QUERIES = {
    "1 rare word": "word5000",
    "1 frequent word": "word20",
    "3 words": "word40 word300 word2000",
    "5 words": "word10 word40 word80 word300 word2000",
}


class Noise(IEmbeddingProvider):
    """Vectors around a hundred centres: as unlike each other as texts are, and as quick as can be."""

    model = "noise"

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._centres = [[self._random.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(100)]

    async def embed_text(self, text: str) -> list[float]:
        return [value + self._random.gauss(0, 1) for value in self._random.choice(self._centres)]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return [await self.embed_text(text) for text in texts]

    def get_dimension(self) -> int:
        return DIMENSION


# --- how much is found -------------------------------------------------------------------------------------------


async def _found(backend: BaseMemoryBackend, dialogues: list[dict[str, Any]]) -> dict[str, list[float]]:
    shares: dict[str, list[float]] = {name: [] for name in MODES}
    async with backend:
        for number, dialogue in enumerate(dialogues):
            session = await backend.create_session(SessionMetadata(f"dialogue-{number}", max_messages=None))
            turns = [turn for part in dialogue["sessions"] for turn in part["turns"]]
            await session.add_messages(
                [Message("user", t["text"], name=t["speaker"], message_id=t["id"]) for t in turns]
            )
        await EmbeddingWorker(backend.semantic_index).flush()
        for number, dialogue in enumerate(dialogues):
            for asked in dialogue["questions"]:
                if asked["category"] == 5 or not asked["evidence"]:
                    continue
                for name, (mode, fusion) in MODES.items():
                    hits = await backend.recall(
                        asked["question"],
                        mode=mode,
                        fusion=fusion,
                        session_ids=[f"dialogue-{number}"],
                        limit=NEAREST,
                    )
                    right = {hit.message.message_id for hit in hits} & set(asked["evidence"])
                    shares[name].append(len(right) / len(set(asked["evidence"])))
    return shares


async def found(dialogues: list[dict[str, Any]], model: str, url: str) -> None:
    provider = get_embedding_provider({"provider": model, "cache": True})  # shared: each text is embedded once
    print("| store |", " | ".join(MODES), "|")
    print("|---|" + "---|" * len(MODES))
    made: dict[str, Callable[[], BaseMemoryBackend]] = {
        "SQLite": lambda: SQLiteBackend(db_path=":memory:", embedding=provider),
        "PostgreSQL": lambda: PostgresBackend(url=url, embedding=provider),
        "in memory": lambda: InMemoryBackend(embedding=provider),
    }
    for name, make in made.items():
        shares = await _found(make(), dialogues)
        print(f"| {name} |", " | ".join(f"{statistics.fmean(values):.3f}" for values in shares.values()), "|")


# --- how fast ----------------------------------------------------------------------------------------------------


async def _fill(backend: BaseMemoryBackend, messages: int) -> None:
    choose = random.Random(1)
    for number in range(messages // PER_SESSION):
        session = await backend.create_session(SessionMetadata(f"session-{number:06}", f"user-{number % 1_000}"))
        texts = [" ".join(choose.choices(WORDS, FREQUENCIES, k=10)) for _ in range(PER_SESSION)]
        await session.add_messages([Message("user", text) for text in texts])


async def _turns(rounds: int, *sides: Callable[[], Awaitable[Any]]) -> list[float]:
    """Run sides by turns and return the median of each, in milliseconds."""
    spent: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 2):
        for place, side in enumerate(sides):
            start = time.perf_counter()
            await side()
            if turn > 1:
                spent[place].append((time.perf_counter() - start) * 1_000)
    return [statistics.median(values) for values in spent]


def _line(what: str, ours: float, raw: float) -> None:
    print(f"| {what} | {ours:.2f} ms | {raw:.2f} ms | {ours / raw:.2f} |", flush=True)


async def _text_sqlite(folder: Path, messages: int, rounds: int) -> None:
    path = folder / "text.db"
    async with SQLiteBackend(db_path=str(path)) as backend:
        await _fill(backend, messages)
        raw = sqlite3.connect(path)
        for what, query in QUERIES.items():
            match = " OR ".join(f'"{word}"' for word in query.split())
            sql = (
                "SELECT m.* FROM messages_text t JOIN messages m ON m.rowid = t.rowid "
                "WHERE messages_text MATCH ? ORDER BY rank LIMIT 10"
            )

            async def direct(match: str = match, sql: str = sql) -> Any:
                return raw.execute(sql, [match]).fetchall()

            async def ours(query: str = query) -> Any:
                return await backend.recall(query, mode="text")

            _line(f"SQLite, {what}", *await _turns(rounds, ours, direct))
        raw.close()


async def _text_postgres(url: str, messages: int, rounds: int) -> None:
    async with PostgresBackend(url=url) as backend:
        await _fill(backend, messages)
        raw = await asyncpg.connect(url)
        await raw.execute("VACUUM ANALYZE messages")
        vector = vector_sql("english")
        for what, query in QUERIES.items():
            words = " | ".join(query.split())
            sql = (
                f"SELECT m.* FROM messages m, to_tsquery('english', $1) q WHERE {vector} @@ q "
                f"ORDER BY ts_rank({vector}, q) DESC LIMIT 10"
            )

            async def direct(words: str = words, sql: str = sql) -> Any:
                return await raw.fetch(sql, words)

            async def ours(query: str = query) -> Any:
                return await backend.recall(query, mode="text")

            _line(f"PostgreSQL, {what}", *await _turns(rounds, ours, direct))
        await raw.close()


async def _vectors(url: str, vectors: int, rounds: int) -> None:
    provider = Noise()
    async with PostgresBackend(url=url, embedding=provider) as backend:
        await _fill(backend, vectors)
        await EmbeddingWorker(backend.semantic_index).flush()
        raw = await asyncpg.connect(url)
        await raw.execute("VACUUM ANALYZE embeddings")
        await raw.execute("SET hnsw.ef_search = 100; SET hnsw.iterative_scan = strict_order")
        kind = f"vector({DIMENSION})"
        sql = (
            "SELECT m.* FROM embeddings e JOIN messages m ON m.session_id = e.session_id AND m.seq = e.seq "
            f"WHERE e.model = 'noise' ORDER BY e.embedding::{kind} <=> $1::text::{kind} LIMIT 10"
        )

        async def direct() -> Any:
            return await raw.fetch(sql, str(await provider.embed_text("")))

        async def ours() -> Any:
            return await backend.recall("word20", mode="vector")

        async def of_one_user() -> Any:
            hits = await backend.recall("word20", mode="vector", user_id="user-3")
            assert len(hits) == NEAREST

        _line(f"PostgreSQL, nearest of {vectors:,}", *await _turns(rounds, ours, direct))
        sampled, share = await recall_of(backend.semantic_index.embedded, 100)
        print(f"| recall@10 of the index, {sampled} questions | {share} | | |")
        _line("of one user of a hundred, against all", *await _turns(rounds, of_one_user, direct))
        await raw.close()


async def latency(url: str, other_url: str, messages: int, vectors: int, rounds: int) -> None:
    print("| what | recall | SQL | ratio |\n|---|---|---|---|")
    if vectors:
        await _vectors(url, vectors, rounds)
    if not messages:
        return
    with tempfile.TemporaryDirectory() as folder:
        await _text_sqlite(Path(folder), messages, rounds)
    await _text_postgres(other_url, messages, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("found", "latency"))
    parser.add_argument("file", nargs="?", type=Path, help="the dialogues")
    parser.add_argument("--model", default="local", help="what embeds: local, openai, …")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=31)
    given = parser.parse_args()
    with ExitStack() as stack:
        service = postgres.service_from_environment()
        if service is None:
            binaries = postgres.find_binaries()
            if binaries is None:
                parser.error("there is no PostgreSQL; see tests/services/README.md")
            service = stack.enter_context(postgres.PostgresServer(binaries)).service
        url, other = (stack.enter_context(service.fresh_database()) for _ in range(2))
        if given.what == "latency":
            asyncio.run(latency(url, other, given.messages, given.vectors, given.rounds))
        elif given.file is None:
            parser.error("found needs a file of dialogues")
        else:
            asyncio.run(found(json.loads(given.file.read_text()), given.model, url))


if __name__ == "__main__":
    main()
