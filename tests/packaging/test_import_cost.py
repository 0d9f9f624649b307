"""What `import langswarm_memory` loads, that every public name is there, and what works without any extra."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "aiosqlite",
    "alembic",
    "asyncpg",
    "bpe_openai",
    "chromadb",
    "click",
    "dateparser",
    "elasticsearch",
    "google.cloud",
    "motor",
    "nltk",
    "numpy",
    "openai",
    "pgvector",
    "phonenumbers",
    "pinecone",
    "py3langid",
    "pymongo",
    "qdrant_client",
    "redis",
    "rich",
    "rs_bpe",
    "safetensors",
    "snowballstemmer",
    "sqlalchemy",
    "sqlite_vec",
    "stamina",
    "textblob",
    "tokenizers",
)

CORE = ("aiosqlite", "alembic", "snowballstemmer", "sqlalchemy")
"""Those of them that a bare install brings."""


def in_new_interpreter(program: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def loaded_by_import() -> list[str]:
    return list(
        json.loads(in_new_interpreter("import json, sys, langswarm_memory; print(json.dumps(sorted(sys.modules)))"))
    )


@pytest.mark.parametrize("package", HEAVY, ids="package {}".format)  # the bare name of one may be that of a store
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


def test_sqlite_needs_no_extra() -> None:
    program = f"""
import asyncio, sys
for name in {sorted(set(HEAVY) - set(CORE))!r}:
    sys.modules[name] = None
from langswarm_memory import Message, create_memory_manager

async def main():
    async with create_memory_manager("sqlite", db_path=":memory:") as manager:
        session = await manager.create_session("s")
        await session.add_message(Message("user", "Kept."))
        print(*[message.text for message in await manager.search_messages("kept")])

asyncio.run(main())
"""
    assert in_new_interpreter(program).strip() == "Kept."
