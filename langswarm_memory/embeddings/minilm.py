"""The model all-MiniLM-L6-v2 in NumPy: a BERT encoder of six layers, the mean of its tokens, scaled to length one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

DIMENSION = 384
LAYERS = 6
HEADS = 12
LAYER_NORM_EPSILON = np.float32(1e-12)
MAX_TOKENS = 256
"""What the model was made for; a longer text is cut there. The tokenizer's file says 128; the model's own says 256."""
TOKENS_PER_PASS = 4096
"""Bound of one forward pass, padding included: its largest activations take 25 MB."""


class MiniLM:
    """The loaded model. Its methods block, and may be called from several threads.

    Args:
        folder: Where ``model.safetensors`` and ``tokenizer.json`` lie.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._weights = _prepared(load_file(folder / "model.safetensors"))

    def embed(self, texts: Sequence[str]) -> tuple[Floats, int, int]:
        """Return one row per text, how many tokens they took, and how many texts were cut."""
        # One by one: the tokenizer's own batches start threads, after which a fork of the process is unsafe.
        encoded = [self._tokenizer.encode(text) for text in texts]
        ids = [np.asarray(encoding.ids, np.int64) for encoding in encoded]
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for chosen in _passes([len(row) for row in ids]):
            vectors[chosen] = self._forward([ids[index] for index in chosen])
        return vectors, sum(map(len, ids)), sum(bool(encoding.overflowing) for encoding in encoded)

    def _forward(self, rows: list[Ints]) -> Floats:
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), np.float32)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        weights = self._weights
        # Activations are kept in two dimensions: NumPy multiplies stacks of matrices without BLAS's blocking.
        x = (weights["words"][ids] + weights["positions"][:longest]).reshape(-1, DIMENSION)
        x = _normed(x, weights["norm.weight"], weights["norm.bias"])
        hidden = ((1 - mask) * np.float32(-1e9))[:, None, None, :]
        for layer in range(LAYERS):
            x = self._layer(x, hidden, f"{layer}.")
        states = x.reshape(len(rows), longest, DIMENSION) * mask[:, :, None]
        mean = states.sum(axis=1) / mask.sum(axis=1, keepdims=True)
        result: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return result

    def _layer(self, x: Floats, hidden: Floats, name: str) -> Floats:
        w = self._weights
        count, length = hidden.shape[0], hidden.shape[-1]
        mixed = x @ w[name + "qkv.weight"] + w[name + "qkv.bias"]
        # (text, token, query|key|value, head, size) -> (query|key|value, text, head, token, size)
        query, key, value = mixed.reshape(count, length, 3, HEADS, -1).transpose(2, 0, 3, 1, 4)
        scores = query @ key.transpose(0, 1, 3, 2)
        scores += hidden
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        context = (scores @ value).transpose(0, 2, 1, 3).reshape(-1, DIMENSION)
        context = context @ w[name + "out.weight"] + w[name + "out.bias"]
        x = _normed(x + context, w[name + "norm1.weight"], w[name + "norm1.bias"])
        inner = _gelu(x @ w[name + "up.weight"] + w[name + "up.bias"])
        inner = inner @ w[name + "down.weight"] + w[name + "down.bias"]
        return _normed(x + inner, w[name + "norm2.weight"], w[name + "norm2.bias"])


@cache
def load(folder: Path) -> MiniLM:
    """Return the model of a folder; loaded once per process: 90 MB, a tenth of a second."""
    return MiniLM(folder)


def _passes(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of each forward pass: texts of like length together, so that little is padded."""
    chosen: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if chosen and (len(chosen) + 1) * lengths[index] > TOKENS_PER_PASS:
            yield chosen
            chosen = []
        chosen.append(index)
    if chosen:
        yield chosen


def _prepared(raw: dict[str, Any]) -> dict[str, Floats]:
    """Return the weights in the form that the passes multiply by."""
    size = np.float32(1 / math.sqrt(DIMENSION // HEADS))

    def linear(name: str) -> tuple[Floats, Floats]:
        return np.ascontiguousarray(raw[f"{name}.weight"].T), raw[f"{name}.bias"]

    ready: dict[str, Floats] = {
        "words": raw["embeddings.word_embeddings.weight"],
        # There is one sentence per text: its token type is part of every position.
        "positions": raw["embeddings.position_embeddings.weight"] + raw["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": raw["embeddings.LayerNorm.weight"],
        "norm.bias": raw["embeddings.LayerNorm.bias"],
    }
    for layer in range(LAYERS):
        source, name = f"encoder.layer.{layer}.", f"{layer}."
        parts = [linear(f"{source}attention.self.{part}") for part in ("query", "key", "value")]
        parts[0] = (parts[0][0] * size, parts[0][1] * size)  # the scale of the scores, once for all
        ready[name + "qkv.weight"] = np.concatenate([weight for weight, _ in parts], axis=1)
        ready[name + "qkv.bias"] = np.concatenate([bias for _, bias in parts])
        for ours, theirs in (
            ("out", "attention.output.dense"),
            ("up", "intermediate.dense"),
            ("down", "output.dense"),
        ):
            ready[f"{name}{ours}.weight"], ready[f"{name}{ours}.bias"] = linear(source + theirs)
        for ours, theirs in (("norm1", "attention.output.LayerNorm"), ("norm2", "output.LayerNorm")):
            ready[f"{name}{ours}.weight"] = raw[f"{source}{theirs}.weight"]
            ready[f"{name}{ours}.bias"] = raw[f"{source}{theirs}.bias"]
    return ready


def _normed(x: Floats, weight: Floats, bias: Floats) -> Floats:
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(DIMENSION)
    x /= np.sqrt(variance + LAYER_NORM_EPSILON)
    x *= weight
    x += bias
    return x


def _gelu(x: Floats) -> Floats:
    """Return x·Φ(x), with erf by formula 7.1.26 of Abramowitz and Stegun (error below 1.5e-7: NumPy has no erf)."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(coefficient)
        series *= t
    np.multiply(z, -z, out=z)
    np.exp(z, out=z)
    series *= z  # 1 - erf(|x| / sqrt 2)
    result: Floats = np.float32(0.5) * x * (1 + np.copysign(1 - series, x))
    return result
