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

# Lower layers know nothing of higher ones. A module's layer is that of the longest prefix that names it.
LAYERS = {
    "errors": 0,
    "_calls": 0,
    "_lazy": 0,
    "_version": 0,
    "interfaces": 1,
    "tokens": 2,
    "formats": 2,
    "repository": 3,
    "models": 3,
    "settings": 3,
    "windows": 4,
    "incoming": 4,
    "summaries": 4,
    "contexts": 5,
    "session": 5,
    "state": 5,
    "backend": 6,
    "relational": 6,
    "backends": 7,
    "providers": 7,
    "registry": 8,
    "configuration": 9,
    "background": 8,
    "manager": 9,
    "factory": 10,
    "context": 11,
    "base": 12,
}


def layer(module: str) -> int | None:
    return LAYERS.get(module.split(".")[0])


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
