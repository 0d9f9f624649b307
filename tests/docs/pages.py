"""The documentation as the tests see it: pages, their fenced blocks, and how a block is executed.

One rule per language; a block in any other language is an error. The blocks of a page run in its order, in one
namespace and one folder, in a round per store: each on the store whose address it names, the others on SQLite.

    python   executed; `await` may stand at the top level. One that calls asyncio.run() is a program: a new interpreter
    bash     executed, except `make` and `pip install`, whose targets and extras are looked up
    sql      executed on PostgreSQL, over the page's schema
    output   compared with what the block before it printed
    json toml ini yaml   parsed
    text     drawings
"""

from __future__ import annotations

import ast
import asyncio
import configparser
import contextlib
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
OWN_TESTS = {"docs/queries.md"}  # its recipes run over real data on both databases, in a test of their own
SECONDS = 120.0

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
ADDRESSES = {
    "postgres": re.compile(r"(?P<scheme>postgres(?:ql)?(?:\+asyncpg)?://)[^\s\"'`<>?]+"),
    "redis": re.compile(r"(?P<scheme>redis://)localhost:6379(?:/\d+)?"),
    "mongodb": re.compile(r"(?P<scheme>mongodb://)localhost:27017(?:/\w+)?"),
    "elasticsearch": re.compile(r"(?P<scheme>http://)localhost:9200"),
    "bigquery": re.compile(r"(?P<scheme>http://)localhost:9050"),
}
"""The addresses by which pages name a server; the tests put that of a server of their own in their place."""
PARSERS = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "ini": lambda text: configparser.ConfigParser().read_string(text),
}
EXECUTED = frozenset({"python", "bash", "sql"})
LANGUAGES = EXECUTED | frozenset(PARSERS) | {"output", "text"}


class BlockError(AssertionError):
    """A block does not do what the page says; the message names the page and the line."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def store(self) -> str:
        """The store that the block runs on."""
        if self.language == "sql":
            return "postgres"
        found = [store for store, address in ADDRESSES.items() if address.search(self.text)]
        if self.language not in EXECUTED or not found:
            return "sqlite"
        if len(found) > 1:
            raise BlockError(f"{self.place}: a block runs on one store, this one names {' and '.join(found)}")
        return found[0]


def pages() -> list[str]:
    """Return every page, relative to the checkout."""
    found = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    return [path.relative_to(CHECKOUT).as_posix() for path in found if path.is_file()]


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order.

    Raises:
        BlockError: A fence is never closed, or names no language.
    """
    found: list[Block] = []
    opened: tuple[int, str, str, str] | None = None
    body: list[str] = []
    for number, line in enumerate(read(page).splitlines(), 1):
        match = FENCE.match(line)
        if opened is None:
            if match is not None:
                language = match["info"].strip()
                opened, body = (number, match["indent"], match["fence"], language), []
                if language not in LANGUAGES:
                    raise BlockError(
                        f"{page}:{number}: a block of language {language!r}; known are {sorted(LANGUAGES)}"
                    )
        elif match is not None and match["fence"].startswith(opened[2]) and not match["info"].strip():
            found.append(Block(page, opened[0], opened[3], "\n".join(body) + "\n"))
            opened = None
        else:
            body.append(line.removeprefix(opened[1]))
    if opened is not None:
        raise BlockError(f"{page}:{opened[0]}: this block is never closed")
    return found


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def extras() -> set[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


@dataclass
class Round:
    """One run over a page's blocks.

    Args:
        folder: Where the blocks run.
        store: The store of this round.
        url: What takes the place of the store's addresses in the blocks; None on SQLite.
    """

    folder: Path
    store: str = "sqlite"
    url: str | None = None
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})
    printed: str | None = None
    schema_made: bool = False

    async def run(self, page: str) -> int:
        """Run the blocks of this round and return how many were executed."""
        self._furnish()
        executed, before = 0, None
        for block in blocks(page):
            if block.language in PARSERS:
                self._parse(block)
            elif block.language == "output":
                if before is None:
                    raise BlockError(f"{block.place}: output of no block")
                if before.store == self.store:
                    self._compare(block)
            elif block.language in EXECUTED:
                before = block
                if block.store == self.store:
                    await self._execute(block)
                    executed += 1
        return executed

    def _furnish(self) -> None:
        # What a reader has who stands in the checkout; what blocks write stays in the folder.
        for name in ("alembic.ini", "alembic", "examples"):
            with contextlib.suppress(FileExistsError):
                (self.folder / name).symlink_to(CHECKOUT / name)

    def _text(self, block: Block) -> str:
        if self.url is None:
            return block.text
        place = self.url.partition("://")[2]
        return ADDRESSES[self.store].sub(lambda match: f"{match['scheme']}{place}", block.text)

    def _parse(self, block: Block) -> None:
        try:
            PARSERS[block.language](block.text)
        except (ValueError, yaml.YAMLError, configparser.Error) as exc:
            raise BlockError(f"{block.place}: not {block.language}: {exc}") from exc

    def _compare(self, block: Block) -> None:
        if self.printed != block.text:
            raise BlockError(f"{block.place}: the block before it printed\n{self.printed}\nthe page says\n{block.text}")

    async def _execute(self, block: Block) -> None:
        if block.language == "sql":
            await self._sql(block)
        elif block.language == "bash":
            self.printed = self._bash(block)
        elif "asyncio.run(" in block.text:
            self.printed = self._command([sys.executable, "-W", "error", "-c", self._text(block)], block)
        else:
            await self._python(block)

    async def _python(self, block: Block) -> None:
        tree = ast.parse(self._text(block), filename=block.place)
        ast.increment_lineno(tree, block.line)
        code = compile(tree, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(code, self.namespace)
            if inspect.iscoroutine(result):
                async with asyncio.timeout(SECONDS):
                    await result
        self.printed = printed.getvalue()

    async def _sql(self, block: Block) -> None:
        assert self.url is not None
        if not self.schema_made:
            from langswarm_memory import create_memory_backend

            async with create_memory_backend("postgres", url=self.url):
                self.schema_made = True
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(block.text)
        except asyncpg.PostgresError as exc:
            raise BlockError(f"{block.place}: {exc}") from exc
        finally:
            await connection.close()

    def _bash(self, block: Block) -> str:
        script = []
        for line in self._text(block).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"]:
                check_make(words[1:], block)
            elif words[:2] == ["pip", "install"]:
                check_pip(words[2:], block)
            else:
                script.append(line)
        return self._command(["bash", "-euo", "pipefail", "-c", "\n".join(script)], block)

    def _command(self, command: list[str], block: Block) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode != 0:
            raise BlockError(f"{block.place}: ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def environment() -> Mapping[str, str]:
    """Return the environment of a command: commands of this environment first, and nothing that configures us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGSWARM_", "COVERAGE_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


def check_make(words: list[str], block: Block) -> None:
    """Refuse a `make` of no target, or of one that the Makefile does not have."""
    targets = [word for word in words if "=" not in word]
    unknown = set(targets) - makefile_targets()
    if not targets or unknown:
        raise BlockError(f"{block.place}: the Makefile has no target {', '.join(unknown) or 'here'}")


def check_pip(words: list[str], block: Block) -> None:
    """Refuse a `pip install` of something else than this package with extras that it has."""
    for word in words:
        match = re.fullmatch(r"(?:langswarm-memory|\.)(?:\[([\w,-]+)\])?", word)
        if word == "-e":
            continue
        if match is None:
            raise BlockError(f"{block.place}: pip install {word}")
        unknown = set(filter(None, (match[1] or "").split(","))) - extras()
        if unknown:
            raise BlockError(f"{block.place}: there is no extra {', '.join(unknown)}")


def links(page: str) -> list[str]:
    """Return the targets of a page's links to files, outside its blocks."""
    text = re.sub(r"^([ \t]*)(`{3,}|~{3,}).*?^\1\2", "", read(page), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    return [target for target in targets if not urlsplit(target).scheme]
