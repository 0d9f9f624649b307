"""What `import langswarm_memory` loads, and that every public name is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "dateparser",
    "nltk",
    "phonenumbers",
    "py3langid",
    "textblob",
    "bpe_openai",
    "rs_bpe",
    "aiosqlite",
    "alembic",
    "asyncpg",
    "click",
    "elasticsearch",
    "google.cloud",
    "motor",
    "numpy",
    "pgvector",
    "pymongo",
    "redis",
    "rich",
    "sqlalchemy",
)


def in_new_interpreter(program: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def loaded_by_import() -> list[str]:
    return list(
        json.loads(in_new_interpreter("import json, sys, langswarm_memory; print(json.dumps(sorted(sys.modules)))"))
    )


@pytest.mark.parametrize("package", HEAVY)
def test_import_does_not_load(loaded_by_import: list[str], package: str) -> None:
    assert [name for name in loaded_by_import if name == package or name.startswith(f"{package}.")] == []


def test_import_loads_the_package(loaded_by_import: list[str]) -> None:
    assert "langswarm_memory" in loaded_by_import


def test_every_public_name_resolves() -> None:
    missing = in_new_interpreter(
        "import langswarm_memory as m; print([n for n in m.__all__ if not hasattr(m, n)], len(m.__all__) > 0)"
    )
    assert missing.strip() == "[] True"


def test_every_public_name_is_listed_by_dir() -> None:
    unlisted = in_new_interpreter("import langswarm_memory as m; print(sorted(set(m.__all__) - set(dir(m))))")
    assert unlisted.strip() == "[]"
