"""docs/queries.md: every recipe as it is printed, on both databases, against the same question asked of Python."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.backends.postgres import PostgresBackend
from langswarm_memory.backends.sqlite import SQLiteBackend
from langswarm_memory.relational import RelationalBackend
from tests.docs import pages
from tests.docs.conversations import SOURCES, Conversation, load, store
from tests.docs.recipes import ANSWERS, SQL_ANSWERS
from tests.services.postgres import PostgresService

PAGE = "docs/queries.md"
SCHEMA = "My Schema-1"


def section_of(line: int) -> str:
    """Return the heading above a line of the page."""
    above = pages.read(PAGE).splitlines()[: line - 1]
    return next(text.lstrip("# ") for text in reversed(above) if re.match(r"#{1,3} ", text))


def sections() -> dict[str, list[pages.Block]]:
    found: dict[str, list[pages.Block]] = {}
    for block in pages.blocks(PAGE):
        found.setdefault(section_of(block.line), []).append(block)
    return found


SECTIONS = sections()
BEGINNING_TITLE = "Relational queries"
BEGINNING = SECTIONS[BEGINNING_TITLE]
RECIPES = {title: found for title, found in SECTIONS.items() if "await " not in found[0].text and found != BEGINNING}


@dataclass(frozen=True)
class Store:
    """A database that holds the conversations of a source."""

    kind: str
    url: str
    conversations: list[Conversation]

    def backend(self) -> RelationalBackend:
        if self.kind == "sqlite":
            return SQLiteBackend(db_path=self.url)
        return PostgresBackend(url=self.url, schema=SCHEMA, max_size=3)

    async def fill(self) -> None:
        async with self.backend() as backend:
            await store(backend, self.conversations)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SOURCES)
def filled(request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that the tests of the module share: they only read it."""
    path = SOURCES[request.param]
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    with ExitStack() as stack:
        if kind == "sqlite":
            url = str(tmp_path_factory.mktemp("queries") / "memory.db")
        else:
            server: PostgresService = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.fresh_database())
        made = Store(kind, url, load(path))
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, made.fill()).result()
        yield made


@pytest.fixture
def conversations(filled: Store) -> list[Conversation]:
    return filled.conversations


@pytest.fixture
async def backend(filled: Store) -> AsyncIterator[RelationalBackend]:
    """A backend over the shared store."""
    async with filled.backend() as backend:
        yield backend


async def execute(block: pages.Block, namespace: dict[str, Any]) -> None:
    if block.language == "sql":
        await create(block.text, namespace["backend"])
        return
    tree = ast.increment_lineno(ast.parse(block.text, filename=block.place), block.line)
    result = eval(compile(tree, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
    if inspect.iscoroutine(result):
        await result


async def create(sql: str, backend: RelationalBackend) -> None:
    """Run SQL as somebody does who sits at the database."""
    async with backend.orm(write=True) as db:
        connection = await db.connection()
        await connection.exec_driver_sql(f'SET LOCAL search_path TO "{SCHEMA}"')
        await connection.exec_driver_sql(sql)


async def read(
    title: str, backend: RelationalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Execute the beginning of the page, then the blocks of a section, and return their names."""
    monkeypatch.chdir(tmp_path)  # the beginning names a file, which is made only when it is used
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in BEGINNING:
        await execute(block, namespace)
    namespace["backend"] = backend
    for block in SECTIONS[title]:
        await execute(block, namespace)
    return namespace


def told(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return rows in a form that can be compared: numbers rounded, in the order of their own text."""
    rounded = [tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row) for row in rows]
    return sorted(rounded, key=repr)


def order_of(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return what the rows are ordered by, without text: where it ties, a locale decides."""
    return [tuple(round(cell, 6) for cell in row if isinstance(cell, int | float)) for row in rows]


@pytest.mark.parametrize("title", RECIPES)
async def test_recipe_gives_what_the_data_says(
    title: str,
    backend: RelationalBackend,
    conversations: list[Conversation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = await read(title, backend, tmp_path, monkeypatch)
    rows, expected = await names["answer"](names["statement"]), ANSWERS[title](conversations)
    assert told(rows) == told(expected)
    assert order_of(rows) == order_of(expected)


@pytest.mark.parametrize("title", RECIPES)
async def test_recipe_gives_the_types_that_the_page_promises(
    title: str, backend: RelationalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await read(title, backend, tmp_path, monkeypatch)
    kinds = {type(cell).__name__ for row in await names["answer"](names["statement"]) for cell in row}
    assert kinds <= {"str", "int", "float", "date", "Timestamp", "NoneType"}


EMPTY_ON_THE_SAMPLE = {"Unanswered questions", "The same call again"}


@pytest.mark.parametrize("title", sorted(ANSWERS))
def test_recipe_has_something_to_find(title: str) -> None:
    found = ANSWERS[title](load(SOURCES["sample"]))
    assert bool(found) == (title not in EMPTY_ON_THE_SAMPLE)


def test_every_recipe_is_checked() -> None:
    assert set(RECIPES) == set(ANSWERS)


def test_page_has_at_least_ten_recipes() -> None:
    assert len(RECIPES) >= 10


async def test_objects_come_with_their_messages(
    backend: RelationalBackend, conversations: list[Conversation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await read("Objects instead of rows", backend, tmp_path, monkeypatch)
    longest = max(sorted(conversations, key=lambda found: found.id), key=lambda found: len(found.messages))
    assert names["longest"].session_id == longest.id
    assert names["roles"] == [message["role"] for message in longest.messages]


@pytest.fixture
async def sample(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of the bundled conversations for one test."""
    url = str(tmp_path / "own.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    own = Store(kind, url, load(SOURCES["sample"]))
    await own.fill()
    return own


async def test_writing_is_kept(sample: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sample.backend() as backend:
        await read("Writing", backend, tmp_path, monkeypatch)
        rows = await backend.query("SELECT session_id, user_id, revision FROM sessions")
    forgotten = {found.id for found in sample.conversations if found.user == "jana.wiedemann"}
    users = {found.id: None if found.id in forgotten else found.user for found in sample.conversations}
    assert {row["session_id"]: row["user_id"] for row in rows} == users
    assert {row["session_id"] for row in rows if row["revision"] == 2} == forgotten


ASKED_ON = {"sqlite": "On SQLite", "postgres": "On PostgreSQL"}


async def test_sql_of_one_database_gives_what_the_data_says(
    sample: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[tuple[Any, ...]]] = []
    async with sample.backend() as backend:
        names = {**await read(BEGINNING_TITLE, backend, tmp_path, monkeypatch), "backend": backend}
        for block in SECTIONS[ASKED_ON[sample.kind]]:
            await execute(block, names)
            if block.language == "python":
                found.append([tuple(row.values()) for row in names["rows"]])
    answers = SQL_ANSWERS[sample.kind]
    assert [told(rows) for rows in found] == [told(answer(sample.conversations)) for answer in answers]


async def test_what_the_page_calls_refused_is_refused(
    backend: RelationalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read("What is refused", backend, tmp_path, monkeypatch)


def test_every_block_is_executed() -> None:
    others = {BEGINNING_TITLE, "Objects instead of rows", "Writing", "What is refused", *ASKED_ON.values()}
    assert set(SECTIONS) - others == set(RECIPES)


def test_recipes_are_python() -> None:
    assert {block.language for found in RECIPES.values() for block in found} == {"python"}
