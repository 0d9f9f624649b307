"""The shape of the package: imports follow the arrow, names agree, thin layers stay thin."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import langswarm_memory
from langswarm_memory.backends.in_memory import InMemorySession
from langswarm_memory.backends.postgres import PostgresSession
from langswarm_memory.backends.sqlite import SQLiteSession
from langswarm_memory.session import BaseMemorySession

PACKAGE = Path(langswarm_memory.__file__).parent

# Lower layers know nothing of higher ones. A module's layer is that of the longest prefix that names it: a few modules
# lie elsewhere than their folder, because they are what two folders have in common.
LAYERS = {
    "_calls": 0,
    "_lazy": 0,
    "_names": 0,
    "_version": 0,
    "conversation_files": 1,
    "errors": 0,
    "exceptions": 1,
    "interfaces": 1,
    "formats": 2,
    "repository.text_search": 2,  # what is asked for: of it, search makes and stores read
    "search": 2,
    "settings": 2,
    "tokens": 2,
    "embeddings": 3,
    "models": 3,
    "repository": 3,
    "incoming": 4,
    "state": 4,
    "summaries": 4,
    "vector_stores": 4,
    "windows": 4,
    "contexts": 5,
    "conversations": 5,
    "editing": 5,
    "recall.embedded": 5,  # the seam that an index of embeddings implements
    "repository.sql.embeddings": 5,  # one that does; the drivers import it when they are asked for it
    "searching": 5,
    "streaming": 6,
    "recall": 7,
    "session": 7,
    "backend": 8,
    "providers": 8,
    "plain": 8,
    "background": 9,
    "reflexive": 9,
    "relational": 9,
    "backends": 10,
    "manager": 10,
    "importing": 11,
    "registry": 11,
    "testing": 11,
    "backends.vector": 12,  # a backend over another one, whichever the registry names
    "configuration": 12,
    "factory": 13,
    "vector_backend": 13,
    "context": 14,
    "migration": 14,
    "base": 15,
    "cli": 15,
    "compat": 16,
}
ENTRANCES = ("__init__", "__main__")  # made of all the others


def layer(module: str) -> int | None:
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((LAYERS[prefix] for prefix in prefixes if prefix in LAYERS), None)


def imports(path: Path) -> set[str]:
    """Return the modules of ours that a file imports while it is imported itself, below the package's name."""
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    package = inside[:-1]
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    late = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in late:
            base = package[: len(package) - node.level + 1]
            name = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found |= {name} if node.module else {".".join([*base, alias.name]) for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_a_higher_layer(path: Path) -> None:
    own = layer(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    if own is not None:
        assert [name for name in imports(path) if (layer(name) or 0) > own] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.iterdir()), ids=lambda path: path.name)
def test_everything_at_the_top_has_a_layer(path: Path) -> None:
    if path.suffix == ".py" or (path / "__init__.py").is_file():
        assert path.stem in LAYERS or path.stem in ENTRANCES


@pytest.mark.parametrize(
    ("module", "other"),
    [("repository.sql.embeddings", "repository.sql.driver"), ("recall.index", "recall.embedded")],
)
def test_longest_prefix_counts(module: str, other: str) -> None:
    assert layer(module) != layer(other)


def test_import_walk_sees_an_upward_edge() -> None:
    assert "errors" in imports(PACKAGE / "session.py")
    assert "repository.protocol" in imports(PACKAGE / "backend.py")


@pytest.mark.parametrize("session", [InMemorySession, SQLiteSession, PostgresSession])
def test_session_classes_add_nothing(session: type[BaseMemorySession]) -> None:
    own = {name for name in vars(session) if name not in ("__module__", "__doc__", "__slots__", "__qualname__")}
    assert {name for name in own if not name.startswith(("__abstractmethods__", "_abc_", "__firstlineno__"))} <= {
        "__static_attributes__",
        "__parameters__",
    }


@pytest.mark.parametrize("path", sorted((PACKAGE / "backends").glob("*.py")), ids=lambda path: path.name)
def test_backends_stay_thin(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100


def test_dialect_is_asked_for_in_few_places() -> None:
    asking = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "dialect.name" in path.read_text() or "dialect_name" in path.read_text()
    }
    assert asking <= {"repository/sql/types.py", "repository/sql/migrate.py"}


def test_no_pickle_no_eval() -> None:
    words = ("import pickle", "eval(", "exec(")
    guilty = [path.name for path in PACKAGE.rglob("*.py") for word in words if f" {word}" in path.read_text()]
    assert guilty == []
