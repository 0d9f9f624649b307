"""The documentation is true: its blocks run, its lists are complete, its links lead somewhere, and it builds."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import langswarm_memory
from langswarm_memory import MemoryConfiguration
from langswarm_memory.cli.app import root
from langswarm_memory.repository.protocol import StoreFeatures
from langswarm_memory.settings import (
    BackendSettings,
    BigQuerySettings,
    ElasticsearchSettings,
    InMemorySettings,
    MongoDBSettings,
    PostgresSettings,
    RedisSettings,
    SQLiteSettings,
)
from tests.docs import pages as documentation
from tests.docs.pages import CHECKOUT, OWN_TESTS, BlockError, Round

PAGES = documentation.pages()
RUN_HERE = [page for page in PAGES if page not in OWN_TESTS]
ON_SERVERS = sorted(
    {(block.store, page) for page in RUN_HERE for block in documentation.blocks(page)}
    - {("sqlite", page) for page in RUN_HERE}
)
MKDOCS = "mkdocs is not installed; run: pip install 'langswarm-memory[docs]'"


# --- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("page", RUN_HERE)
async def test_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANGSWARM_MEMORY_URL", raising=False)
    wanted = [b for b in documentation.blocks(page) if b.language in documentation.EXECUTED and b.store == "sqlite"]
    assert await Round(tmp_path).run(page) == len(wanted)


@pytest.mark.parametrize(("store", "page"), ON_SERVERS)
async def test_blocks_run_on_servers(
    store: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANGSWARM_MEMORY_URL", raising=False)
    assert await Round(tmp_path, store, request.getfixturevalue(f"{store}_address")).run(page) > 0


def page_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "page.md").write_text(text)
    monkeypatch.setattr(documentation, "CHECKOUT", folder)
    return "page.md"


@pytest.mark.parametrize(
    "text",
    [
        "```python\nraise ValueError\n```\n",
        "```python\nawait nothing()\n```\n",
        "```bash\nfalse\n```\n",
        "```bash\nmake nonsense\n```\n",
        "```bash\npip install 'langswarm-memory[nonsense]'\n```\n",
        "```json\n{]\n```\n",
        "```python\nprint(1)\n```\n```output\n2\n```\n",
        "```output\n2\n```\n",
    ],
)
async def test_a_wrong_block_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("test:\n")
    (tmp_path / "pyproject.toml").write_text("[project.optional-dependencies]\ncli = []\n")
    page = page_of(text, tmp_path, monkeypatch)
    with pytest.raises((BlockError, ValueError, NameError)):
        await Round(tmp_path).run(page)


@pytest.mark.parametrize(
    "text", ["```perl\n1\n```\n", "```\n1\n```\n", "~~~python title=x\n1\n~~~\n", "```python\n1\n"]
)
def test_a_block_that_no_rule_covers_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(text, tmp_path, monkeypatch)
    with pytest.raises(BlockError):
        documentation.blocks(page)


# --- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in langswarm_memory.__all__ if not name.startswith("__")])
def test_public_name_is_in_the_reference(name: str) -> None:
    assert f"::: langswarm_memory.{name}\n" in documentation.read("docs/reference.md")


def test_reference_names_nothing_that_is_not_public() -> None:
    named = re.findall(r"^::: langswarm_memory\.(\w+)$", documentation.read("docs/reference.md"), re.MULTILINE)
    assert set(named) - set(langswarm_memory.__all__) == set()


def options_table(page: str, heading: str) -> dict[str, tuple[str, set[str]]]:
    """Return option → (default, other names) of the table under a heading of a page."""
    section = documentation.read(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|", section, re.MULTILINE)
    return {name: (default.strip(" `"), set(re.findall(r"`(\w+)`", others))) for name, default, others in rows}


def options_of(cls: type[Any], base: type[Any] | None = None) -> dict[str, tuple[str, set[str]]]:
    inherited = {(field.name, default_of(field)) for field in dataclasses.fields(base)} if base else set()
    aliases: dict[str, str] = getattr(cls, "aliases", {})
    return {
        field.name: (default_of(field), {alias for alias, name in aliases.items() if name == field.name})
        for field in dataclasses.fields(cls)
        if (field.name, default_of(field)) not in inherited
    }


def default_of(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return repr(field.default).replace("'", '"')


@pytest.mark.parametrize(
    ("page", "heading", "cls", "base"),
    [
        ("docs/configuration.md", "Every backend", BackendSettings, None),
        ("docs/configuration.md", "In memory", InMemorySettings, BackendSettings),
        ("docs/configuration.md", "SQLite", SQLiteSettings, BackendSettings),
        ("docs/configuration.md", "PostgreSQL", PostgresSettings, BackendSettings),
        ("docs/redis.md", "Options", RedisSettings, BackendSettings),
        ("docs/mongodb.md", "Options", MongoDBSettings, BackendSettings),
        ("docs/elasticsearch.md", "Options", ElasticsearchSettings, BackendSettings),
        ("docs/bigquery.md", "Options", BigQuerySettings, BackendSettings),
        ("docs/configuration.md", "The configuration object", MemoryConfiguration, None),
    ],
)
def test_options_are_documented_with_their_defaults(
    page: str, heading: str, cls: type[Any], base: type[Any] | None
) -> None:
    assert options_table(page, heading) == options_of(cls, base)


def test_features_are_documented_as_the_stores_declare_them() -> None:
    stores = [
        langswarm_memory.InMemoryBackend(),
        langswarm_memory.SQLiteBackend(db_path="memory.db"),
        langswarm_memory.SQLiteBackend(db_path=":memory:"),
        langswarm_memory.PostgresBackend(),
        langswarm_memory.RedisBackend(),
        langswarm_memory.MongoDBBackend(),
        langswarm_memory.ElasticsearchBackend(),
        langswarm_memory.BigQueryBackend(project_id="project"),
    ]
    declared = {
        field.name: ["yes" if getattr(store.features, field.name) else "no" for store in stores]
        for field in dataclasses.fields(StoreFeatures)
    }
    rows = re.findall(r"^\| `(\w+)` \|((?: (?:yes|no) \|){8})", documentation.read("docs/backends.md"), re.MULTILINE)
    assert {name: re.findall("yes|no", cells) for name, cells in rows} == declared


def test_missing_driver_is_told_as_the_configuration_page_says() -> None:
    program = """
import sys
sys.modules["asyncpg"] = None
from langswarm_memory import MissingDependencyError, create_memory_manager
try:
    create_memory_manager("postgresql://host/database")
except MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'langswarm-memory[postgres]'" in done.stdout


def commands(group: click.Group, name: str = "") -> dict[str, click.Command]:
    """Return the commands below a group, by the words that call them."""
    found: dict[str, click.Command] = {}
    for word, command in group.commands.items():
        words = f"{name} {word}".strip()
        found |= commands(command, words) if isinstance(command, click.Group) else {words: command}
    return found


def test_every_command_has_its_options_documented() -> None:
    page = documentation.read("docs/cli.md")
    common = page.partition("\n## Which database\n")[2].partition("\n## ")[0]
    missing = []
    for words, command in commands(root).items():
        section = page.partition(f"\n## `{words.split()[0]}`\n")[2].partition("\n## ")[0]
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        missing += [(words, option) for option in options if f"`{option}`" not in section + common]
        missing += [(words, "itself")] * (words not in section)
    assert missing == []


def test_every_extra_is_documented() -> None:
    section = documentation.read("docs/getting-started.md").partition("\n## Extras\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)) == documentation.extras()


# --- site ----------------------------------------------------------------------------------------------------------


def mkdocs_settings() -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text())
    return settings


def nav_pages(entries: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += nav_pages(value) if isinstance(value, list) else [value]
    return found


def test_navigation_lists_every_page_once() -> None:
    on_disk = sorted(page.removeprefix("docs/") for page in PAGES if page.startswith("docs/"))
    assert sorted(nav_pages(mkdocs_settings()["nav"])) == on_disk


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    folder = (CHECKOUT / page).parent
    targets = [target.partition("#")[0] for target in documentation.links(page)]
    assert [target for target in targets if target and not (folder / target).exists()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip(MKDOCS)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_site_builds_without_warnings(site: Path) -> None:
    assert (site / "index.html").is_file()


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link[^>]*\srel=\"?stylesheet[^>]*https?:")
    assert [page.name for page in site.rglob("*.html") if loaded.search(page.read_text())] == []


def test_site_describes_every_public_name(site: Path) -> None:
    html = (site / "reference" / "index.html").read_text()
    names = [name for name in langswarm_memory.__all__ if not name.startswith("__")]
    assert [name for name in names if f'id="langswarm_memory.{name}"' not in html] == []
