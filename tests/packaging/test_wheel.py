"""The wheel, built as a release is built and used outside the checkout: what it holds, and that it works."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a command as a user would, with nothing of the checkout or of this run in its environment."""
    foreign = ("PYTHON", "VIRTUAL_ENV", "LANGSWARM_", "COVERAGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Distributions:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist of the checkout, and the wheel built from it: what one lacks the other lacks too."""
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation: the build backend is installed already, and no network is needed.
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT], cwd=folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@pytest.fixture(scope="module")
def wheel_names(distributions: Distributions) -> set[str]:
    with zipfile.ZipFile(distributions.wheel) as archive:
        return set(archive.namelist())


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel in it, and an empty folder to work in."""

    python: Path
    folder: Path

    def command(self, *arguments: str) -> str:
        """Run the installed `langswarm-memory`."""
        return run([self.python.with_name("langswarm-memory"), *arguments], cwd=self.folder)


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel in an environment of its own; only the dependencies come from that of the tests."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "venv", with_pip=False, symlinks=os.name != "nt")
    scheme = sysconfig.get_preferred_scheme("prefix")
    prefix = {"base": str(home / "venv"), "platbase": str(home / "venv")}
    python = Path(sysconfig.get_path("scripts", scheme, prefix)) / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet"]
    run([*pip, "install", "--no-deps", "--no-index", distributions.wheel], cwd=home)
    # A path file is not read in a folder that another path file names: the editable install of the checkout,
    # which is one, stays outside.
    packages = Path(sysconfig.get_path("purelib", scheme, prefix))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    folder = home / "elsewhere"
    folder.mkdir()
    return Installation(python, folder)


@pytest.mark.parametrize("name", ["env.py", "script.py.mako"])
def test_wheel_holds_the_migration_environment(wheel_names: set[str], name: str) -> None:
    assert f"langswarm_memory/_alembic/{name}" in wheel_names


def test_wheel_holds_every_revision(wheel_names: set[str]) -> None:
    revisions = {path.name for path in (CHECKOUT / "alembic" / "versions").glob("*.py")}
    folder = "langswarm_memory/_alembic/versions/"
    held = {name.removeprefix(folder) for name in wheel_names if name.startswith(folder)}
    assert revisions
    assert held == revisions


def test_wheel_holds_the_scripts_for_redis(wheel_names: set[str]) -> None:
    folder = CHECKOUT / "langswarm_memory/repository/redis/lua"
    scripts = {f"langswarm_memory/repository/redis/lua/{path.name}" for path in folder.glob("*.lua")}
    assert scripts
    assert scripts <= wheel_names


def test_wheel_is_marked_as_typed(wheel_names: set[str]) -> None:
    assert "langswarm_memory/py.typed" in wheel_names


def test_wheel_holds_nothing_beside_the_package(wheel_names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"langswarm_memory"}


@pytest.mark.parametrize("name", ["alembic.ini", "alembic/env.py", "tests/conftest.py", "LICENSE", "README.md"])
def test_sdist_holds(distributions: Distributions, name: str) -> None:
    with tarfile.open(distributions.sdist) as archive:
        assert any(member.partition("/")[2] == name for member in archive.getnames())


def test_installed_package_is_not_the_checkout(installed: Installation) -> None:
    file = run([installed.python, "-c", "import langswarm_memory as m; print(m.__file__)"], cwd=installed.folder)
    assert Path(file.strip()).is_relative_to(installed.python.parents[1])


def test_installed_version_is_that_of_the_package(installed: Installation) -> None:
    program = """
import importlib.metadata
import langswarm_memory
print(importlib.metadata.version("langswarm-memory") == langswarm_memory.__version__)
"""
    assert run([installed.python, "-c", program], cwd=installed.folder).strip() == "True"


def test_installed_command_creates_the_schema(installed: Installation) -> None:
    installed.command("db", "upgrade", "--url", "sqlite:///created.db")
    with closing(sqlite3.connect(installed.folder / "created.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= {"sessions", "messages", "summaries"}


def test_installed_command_finds_the_schema_up_to_date(installed: Installation) -> None:
    url = "sqlite:///checked.db"
    installed.command("db", "upgrade", "--url", url)
    installed.command("db", "check", "--url", url)


def test_installed_package_keeps_a_conversation(installed: Installation) -> None:
    program = """
import asyncio
from langswarm_memory import Message, create_memory_manager

async def main():
    for text in ("first", "second"):
        async with create_memory_manager("sqlite", db_path="kept.db") as manager:
            session = await manager.get_or_create_session(session_id="s", user_id="u")
            await session.add_message(Message(role="user", content=text))
            print(*[message.content for message in await session.get_messages()])

asyncio.run(main())
"""
    lines = run([installed.python, "-W", "error", "-c", program], cwd=installed.folder).splitlines()
    assert lines == ["first", "first second"]
