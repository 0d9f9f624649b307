"""Texts to count: one notice in many languages, awkward texts, and made-up ones by rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

LANGUAGES: dict[str, str] = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))
"""The same notice of a delayed parcel, written for this test."""

AWKWARD = {
    "empty": "",
    "space": " ",
    "special token": "a<|endoftext|>b",
    "special tokens": "<|im_start|>system<|im_sep|><|endofprompt|><|fim_prefix|>",
    "lone high surrogate": "a\ud800b",
    "lone low surrogate": "\udfff",
    "surrogate pair": "\ud83d\ude00",
    "reversed surrogates": "\ude00\ud83d",
    "NUL": "a\0b\0\0",
    "line ends": "a\r\nb\n\n\nc\r\r\td  \n  e \n",
    "spaces": "x" + " " * 1000 + "y",
    "trailing spaces": "word   ",
    "ideographic space": "漢 字",
    "unusual white space": "a\x85b\u2028c\xa0d",
    "contractions": "don't DON'T we'll WE'LL it's IT'S I'm you've ſ's",
    "digits": "1234567890123 3.14159 1,000,000 ٣٤٥ ४५६",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷 ☂️",
    "combining marks": "e\u0301 n\u0303 Z\u0351\u036b\u0343a\u0321\u034el",
    "private use": "\ue000\uf8ff\U00100000",
    "not characters": "\ufffe\uffff\U0010ffff",
    "one letter": "a" * 10_000,
    "one mark": "=" * 10_000,
    "Python": "def f(x: int) -> int:\n    return x**2  # squared\n\n\tprint(f'{f(3)=}')\n",
    "JSON": '{"id": "HAT001", "price": 182.0, "seats": {"economy": 17, "business": null}, "ok": [true, false]}',
    "base64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "URL": "https://example.com/a/b?c=d&e=%20f#g",
    "capitals": "THIS IS LOUD AND camelCaseIsNot snake_case_neither",
}

BLOCKS = (
    (0x20, 0x7E),
    (0x80, 0x24F),
    (0x370, 0x4FF),
    (0x590, 0x6FF),
    (0x900, 0xE7F),
    (0x1100, 0x11FF),
    (0x2000, 0x2BFF),
)
BLOCKS += ((0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x1F000, 0x1FAFF))
PIECES = (
    " ",
    "  ",
    "\n",
    "\r\n",
    " \n\n ",
    "\t",
    "'s",
    "'LL",
    "1234567",
    "<|endoftext|>",
    "\0",
    "/",
    "İ",
    "ſ",
    "\u3000",
    "\x85",
)


def made_up(count: int) -> list[str]:
    """Return texts of random characters: the same ones on every Python, which `random` does not promise."""
    found = []
    for number in range(count):
        digest = hashlib.sha512(str(number).encode()).digest()
        text = ""
        for at in range(0, 2 + digest[63] % 48, 3):
            kind, high, low = digest[at : at + 3]
            first, last = BLOCKS[kind % len(BLOCKS)]
            text += PIECES[high % len(PIECES)] if kind > 180 else chr(first + (high * 256 + low) % (last - first + 1))
        found.append(text)
    return found


def fingerprint(counts: list[int]) -> dict[str, Any]:
    """Return what is pinned of a long list of counts: how many, their sum, and a digest of every single one."""
    digest = hashlib.sha256(",".join(map(str, counts)).encode()).hexdigest()
    return {"texts": len(counts), "tokens": sum(counts), "sha256": digest}


def corpus() -> dict[str, list[str]]:
    """Return the texts of the conversations beside the checkout, by kind."""
    found: dict[str, list[str]] = {}
    for conversation in json.loads((DATA / "airline-openai.json").read_text(encoding="utf-8")):
        for message in conversation["messages"]:
            found.setdefault(message["role"], []).append(message["content"] or "")
            for call in message.get("tool_calls") or ():
                found.setdefault("arguments", []).append(call["function"]["arguments"])
    for dialogue in json.loads((DATA / "locomo-dev.json").read_text(encoding="utf-8")):
        found.setdefault("dialogue", []).extend(t["text"] for session in dialogue["sessions"] for t in session["turns"])
    return found


def samples() -> Iterator[tuple[str, str]]:
    """Return every named text."""
    yield from LANGUAGES.items()
    yield from AWKWARD.items()
