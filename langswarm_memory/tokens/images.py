"""What an image costs, by the formulas that providers publish, and its size, read from its first bytes."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

from .vocabulary import family

ASSUMED_SIZE = (1024, 1024)
"""Width and height of an image whose size cannot be read: one behind a URL or a file id, or of another format."""

LONGEST_SIDE = 65_535
"""Pixels. No provider takes more than 8,000; a header that says more is damaged, or written to make counts overflow."""

HEAD = 262_144
"""Characters of base64 that are looked into. A JPEG's size comes after its metadata: thumbnails, colour profiles."""

ImageRule = Callable[[int, int, str | None, str | None], int]
"""From width, height, detail and model to tokens."""

TILES = {
    "gpt-5": (70, 140),
    "gpt-4o-mini": (2833, 5667),
    "o1": (75, 150),
    "o3": (75, 150),
}
"""Tokens per image and per tile of 512 × 512 pixels, by family of models; others: `USUAL_TILES`."""

USUAL_TILES = (85, 170)

PATCHES = {
    "gpt-5-mini": 1.62,
    "gpt-5-nano": 2.46,
    "gpt-4.1-mini": 1.62,
    "gpt-4.1-nano": 2.46,
    "o4-mini": 1.72,
}
"""Tokens per patch of 32 × 32 pixels, for the families that are counted in patches, at most `MOST_PATCHES`."""

MOST_PATCHES = 1536


def openai_image(width: int, height: int, detail: str | None, model: str | None) -> int:
    """Return the tokens of an image by OpenAI's rule ("Images and vision", "Calculating costs").

    Detail ``low`` is the base alone. Else the image is fitted into 2048 × 2048, then its shorter side into 768, and
    every tile of 512 × 512 is paid. Small models count patches of 32 × 32 instead.
    """
    per_patch = family(model, PATCHES) if model else None
    if per_patch is not None:
        return math.ceil(_patches(width, height) * PATCHES[per_patch])
    found = family(model, TILES) if model else None
    base, tile = USUAL_TILES if found is None else TILES[found]
    if detail == "low":
        return base
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return base + tile * math.ceil(_whole(width * scale) / 512) * math.ceil(_whole(height * scale) / 512)


def anthropic_image(width: int, height: int, detail: str | None, model: str | None) -> int:
    """Return the tokens of an image by Anthropic's rule ("Vision"): width × height / 750.

    Larger images are shrunk first, to 1568 pixels on the long edge and about 1,600 tokens.
    """
    scale = min(1.0, 1568 / max(width, height))
    return min(1600, math.ceil(width * scale * height * scale / 750))


def gemini_image(width: int, height: int, detail: str | None, model: str | None) -> int:
    """Return the tokens of an image by Gemini's rule ("Understand and count tokens"): 258 per tile of 768 × 768.

    An image of up to 384 pixels on both sides is one tile.
    """
    if max(width, height) <= 384:
        return 258
    return 258 * math.ceil(width / 768) * math.ceil(height / 768)


def _whole(length: float) -> int:
    return max(1, round(length))


def _patches(width: int, height: int) -> int:
    patches = math.ceil(width / 32) * math.ceil(height / 32)
    if patches <= MOST_PATCHES:
        return patches
    shrink = math.sqrt(MOST_PATCHES * 32**2 / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    # Shrunk further, until whole patches cover one side; an image longer than 1536 patches has a side below one.
    shrink = min(math.floor(across) / across or 1.0, math.floor(down) / down or 1.0)
    return min(MOST_PATCHES, math.ceil(across * shrink) * math.ceil(down * shrink))


def image_size(data: object) -> tuple[int, int]:
    """Return width and height of an image given as base64 or as a ``data:`` URL; `ASSUMED_SIZE` when unreadable."""
    if not isinstance(data, str):
        return ASSUMED_SIZE
    if data.startswith("data:"):
        data = data.partition(",")[2]
    elif "://" in data[:16]:
        return ASSUMED_SIZE
    try:
        head = base64.b64decode(data[:HEAD][: len(data[:HEAD]) // 4 * 4])
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return ASSUMED_SIZE
    width, height = _png(head) or _gif(head) or _jpeg(head) or ASSUMED_SIZE
    return (width, height) if 0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE else ASSUMED_SIZE


def _png(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(head: bytes) -> tuple[int, int] | None:
    if head[:6] not in (b"GIF87a", b"GIF89a") or len(head) < 10:
        return None
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """Walk the segments of a JPEG up to the frame header (ITU T.81, B.2.2), which holds height and width."""
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # those three are tables and a reserved one
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big") if marker != 0xFF else 1  # 0xFF: a fill byte
    return None


def image_of(block: dict[str, Any]) -> tuple[object, str | None] | None:
    """Return the data and the detail of a block that is an image, in any provider's form; None for another block.

    The forms: ``image_url`` of Chat Completions, ``input_image`` of Responses, ``image`` of Anthropic, ``inlineData``
    and ``fileData`` of Gemini.
    """
    kind = block.get("type")
    if kind in ("image_url", "input_image"):
        given = block.get("image_url")
        inner = given if isinstance(given, dict) else {"url": given, "detail": block.get("detail")}
        detail = inner.get("detail")
        return inner.get("url"), detail if isinstance(detail, str) else None
    if kind == "image":
        source = block.get("source")
        return source.get("data") if isinstance(source, dict) else None, None
    for key in ("inlineData", "inline_data", "fileData", "file_data"):
        part = block.get(key)
        if isinstance(part, dict):
            media = part.get("mimeType", part.get("mime_type"))
            if isinstance(media, str) and media.startswith("image/"):
                return part.get("data"), None
    return None
