"""The documents that this package fulfils: their code blocks, where the documents stand beside the checkout."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "reference" / "seeds"
SECONDS = 60.0

PROSE = re.compile(r"^- ", re.MULTILINE)  # lists of features inside two blocks: no Python in any version


def blocks(number: int) -> dict[str, list[str]]:
    """Return the Python blocks of a document under the headings they stand below."""
    text = document(number)
    found: dict[str, list[str]] = {}
    heading, code = "", None
    for line in text.splitlines():
        if code is not None:
            if line.startswith("```"):
                found.setdefault(heading, []).append("\n".join(code) + "\n")
                code = None
            else:
                code.append(line)
        elif line.startswith("```python"):
            code = []
        elif line.startswith("#"):
            heading = line.strip("# *")
    return found


def document(number: int) -> str:
    """Return the text of a document; the test is skipped without it."""
    files = sorted(SEEDS.glob(f"{number:03}_*.txt"))
    if not files:
        pytest.skip("the documents do not stand beside the checkout; the examples of our own ran instead")
    return files[0].read_text(encoding="utf-8", errors="replace")


async def execute(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a block that may `await` at its top level, with `names` defined; return what it defined besides."""
    namespace = {"__name__": "__block__", **names}
    tree = ast.parse(PROSE.sub("# - ", code))
    result = eval(compile(tree, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
    if inspect.iscoroutine(result):
        async with asyncio.timeout(SECONDS):
            await result
    return namespace
