"""What images cost: the examples of the providers' documentation, and sizes read from real headers."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest

from langswarm_memory import Message
from langswarm_memory.tokens import MessageCounter
from langswarm_memory.tokens.images import ASSUMED_SIZE, anthropic_image, gemini_image, image_size, openai_image


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(width: int, height: int, metadata: int = 0, frame: int = 0xC0) -> bytes:
    """Return the head of a JPEG: metadata with a smaller thumbnail in it, a table, then the frame."""
    thumbnail = b"\xff\xd8" + segment(0xC0, struct.pack(">BHHB", 8, 1, 1, 1))
    start = b"\xff\xd8" + segment(0xE0, b"JFIF\0") + segment(0xE1, thumbnail + b"\0" * metadata)
    return start + segment(0xC4, b"\0" * 20) + b"\xff" + segment(frame, struct.pack(">BHHB", 8, height, width, 3))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "detail", "model", "tokens"),
    [
        (1024, 1024, "high", "gpt-4o", 765),
        (2048, 4096, "high", "gpt-4o", 1105),
        (4096, 8192, "low", "gpt-4o", 85),
        (512, 512, None, "gpt-4o", 255),
        (1024, 1024, "auto", None, 765),
        (1024, 1024, "high", "gpt-4o-mini", 2833 + 4 * 5667),
        (1024, 1024, "high", "o1-2024-12-17", 75 + 4 * 150),
        (1024, 1024, "high", "gpt-5", 70 + 4 * 140),
        (1024, 1024, "high", "gpt-4.1-mini", 1659),  # 1,024 patches, times 1.62
        (1800, 2400, "high", "gpt-4.1-mini", 2353),  # 1,452 patches, times 1.62
        (1, 65_535, "high", "gpt-4.1-mini", 2489),
        (1, 1, "high", "gpt-4o", 255),
    ],
)
def test_openai_formula(width: int, height: int, detail: str | None, model: str | None, tokens: int) -> None:
    assert openai_image(width, height, detail, model) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"), [(200, 200, 54), (1000, 1000, 1334), (1092, 1092, 1590), (8000, 8000, 1600)]
)
def test_anthropic_formula(width: int, height: int, tokens: int) -> None:
    assert anthropic_image(width, height, None, None) == tokens


@pytest.mark.parametrize(("width", "height", "tokens"), [(384, 384, 258), (385, 10, 258), (960, 540, 516)])
def test_gemini_formula(width: int, height: int, tokens: int) -> None:
    assert gemini_image(width, height, None, None) == tokens


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        png(640, 480),
        gif(640, 480),
        jpeg(640, 480),
        jpeg(640, 480, metadata=60_000),
        jpeg(640, 480, frame=0xC2),
    ],
    ids=["PNG", "GIF", "JPEG", "JPEG with much metadata", "progressive JPEG"],
)
def test_size_is_read_from_the_header(data: bytes) -> None:
    assert image_size(encoded(data)) == (640, 480)


def test_size_is_read_from_a_data_url() -> None:
    assert image_size("data:image/png;base64," + encoded(png(640, 480))) == (640, 480)


@pytest.mark.parametrize(
    "data",
    [
        None,
        "",
        "https://example.com/a.png",
        "not base64!",
        "漢字",
        "data:",
        encoded(b"RIFF....WEBP"),
        encoded(png(640, 480)[:20]),
        encoded(png(0, 480)),
        encoded(png(4_000_000_000, 1)),
        encoded(jpeg(640, 480)[:30]),
        encoded(b"\xff\xd8" + b"\xff" * 50),
        encoded(b"\xff\xd8" + b"\0" * 50),
        {"url": "x"},
    ],
    ids=str,
)
def test_unreadable_size_is_assumed(data: Any) -> None:
    assert image_size(data) == ASSUMED_SIZE


# --- blocks --------------------------------------------------------------------------------------------------------

DATA = encoded(png(2048, 4096))
URL = "data:image/png;base64," + DATA


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "input_image", "image_url": URL, "detail": "auto"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        {"inlineData": {"mimeType": "image/png", "data": DATA}},
        {"inline_data": {"mime_type": "image/png", "data": DATA}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"data": DATA}}]},
    ],
    ids=["Chat", "Chat without detail", "Responses", "Anthropic", "Gemini", "Gemini SDK", "in a tool result"],
)
def test_image_is_found_in_every_form(block: dict[str, Any]) -> None:
    assert MessageCounter()(Message("user", [block])) == 4 + 1105


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "input_image", "image_url": URL, "detail": "low"},
    ],
    ids=["Chat", "Responses"],
)
def test_detail_is_heeded(block: dict[str, Any]) -> None:
    assert MessageCounter()(Message("user", [block])) == 4 + 85


@pytest.mark.parametrize(("provider", "overhead", "tokens"), [("anthropic", 4, 1600), ("gemini", 2, 258 * 18)])
def test_image_costs_what_the_provider_says(provider: str, overhead: int, tokens: int) -> None:
    block = {"type": "image_url", "image_url": {"url": URL}}
    counter = MessageCounter("estimate", provider, margin=1)
    assert counter(Message("user", [block])) == overhead + tokens


def test_image_by_reference_is_assumed_to_be_a_megapixel() -> None:
    block = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert MessageCounter()(Message("user", [block])) == 4 + 765
