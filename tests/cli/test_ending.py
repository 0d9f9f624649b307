"""How the command ends: usage, errors, what is missing, where the database is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from langswarm_memory import __version__
from tests.cli.commands import Apart, Here
from tests.importing.conversations import SUPPORT

COMMANDS = [
    ["import"],
    ["backup"],
    ["restore"],
    ["migrate"],
    ["reindex"],
    ["sessions"],
    ["show"],
    ["stats"],
    ["query"],
    ["health"],
    ["db"],
    ["db", "upgrade"],
    ["db", "downgrade"],
    ["db", "current"],
    ["db", "history"],
    ["db", "check"],
]


@pytest.mark.parametrize("arguments", [[], *COMMANDS], ids=" ".join)
def test_every_command_has_help(on_file: Here, arguments: list[str]) -> None:
    out = on_file(*arguments, "--help").out
    assert out.startswith("Usage: langswarm-memory ")
    assert "--help" in out


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_takes_the_url_behind_its_name(on_file: Here, arguments: list[str]) -> None:
    assert "--url URL" in on_file(*arguments, "--help").out


def test_version(on_file: Here) -> None:
    assert on_file("--version").out == f"langswarm-memory, version {__version__}\n"


def test_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "langswarm_memory", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"langswarm-memory, version {__version__}\n")


WRONG_USAGE = [
    ["nonsense"],
    ["show"],
    ["import"],
    ["backup"],
    ["restore"],
    ["migrate", "sqlite:///from.db"],
    ["reindex", "--model", "local", "--drop", "local"],
    ["sessions", "--limit", "0"],
    ["sessions", "--limit", "many"],
    ["sessions", "--status", "nonsense"],
    ["show", "x", "--nonsense"],
    ["show", "x", "--limit", "-1"],
    ["db", "nonsense"],
    ["--url", "memory.db", "stats"],
    ["stats", "--url", ""],
    ["stats", "--schema", "x"],
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_ends_with_two(on_file: Here, arguments: list[str]) -> None:
    ended = on_file.attempt(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: " in ended.err


UNREACHABLE = {
    "no backend for URLs that begin with mysql://": "mysql://u:se-cret@127.0.0.1:1/0",
    "redis: ping failed": "redis://u:se-cret@127.0.0.1:1/0",
    "check that the server runs": "postgresql://u:se-cret@127.0.0.1:1/x",
    "url is not a database URL": "postgresql://u:se-cret@127.0.0.1:se-cret/x",
    "three slashes": "sqlite://se-cret.db",
    "is not supported": "postgresql://u:se-cret@127.0.0.1:1/x?sslcert=x",
}


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize(
    "arguments", [["stats"], ["import", str(SUPPORT)], ["db", "upgrade"], ["db", "check"]], ids=" ".join
)
@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE)
def test_password_is_never_printed(on_file: Here, url: str, arguments: list[str], debug: list[str]) -> None:
    ended = on_file.attempt(*arguments, "--url", url, *debug)
    assert ended.code == 1
    assert "se-cret" not in ended.out + ended.err


@pytest.mark.parametrize(("message", "url"), UNREACHABLE.items(), ids=UNREACHABLE)
def test_database_that_cannot_be_reached_is_told_in_one_line(on_file: Here, message: str, url: str) -> None:
    ended = on_file.attempt("stats", "--url", url)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert message in ended.err


def test_file_that_is_no_database_is_told_in_one_line(on_file: Here, tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_text("hello" * 1_000)
    ended = on_file.attempt("stats")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


def test_debug_shows_where_an_error_comes_from(on_file: Here) -> None:
    ended = on_file.attempt("stats", "--url", "postgresql://u@127.0.0.1:1/x", "--debug")
    assert ended.err.startswith("Traceback ")


def test_url_comes_from_the_environment(on_file: Here, file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_file("import", SUPPORT)
    monkeypatch.setenv("LANGSWARM_MEMORY_URL", file_url)
    assert Here(on_file.capture)("stats", "--json").json["sessions"] == 3


def test_option_wins_over_the_environment(on_file: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSWARM_MEMORY_URL", "postgresql://u@127.0.0.1:1/x")
    on_file("import", SUPPORT)
    assert on_file("stats", "--json").json["sessions"] == 3


def test_option_behind_the_name_wins_over_the_one_in_front(on_file: Here, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    on_file("import", SUPPORT, "--url", other)
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "memory.db").exists()


def test_environment_that_is_no_url_is_wrong_usage(on_file: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSWARM_MEMORY_URL", "production")
    assert Here(on_file.capture).attempt("stats").code == 2


def test_default_is_a_file_in_the_folder(apart: Apart) -> None:
    assert apart("import", SUPPORT).code == 0
    assert (apart.folder / "langswarm_memory.db").exists()


# --- what is missing -----------------------------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules[{package!r}] = None
from langswarm_memory.cli import main
sys.exit(main({arguments!r}))
"""


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(package=package, arguments=list(arguments))
    return subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["click", "rich"])
def test_missing_package_of_the_command_is_told(package: str) -> None:
    done = without(package, "stats")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: the command line needs the {package!r} package; run: pip install 'langswarm-memory[cli]'\n"
    )


@pytest.mark.parametrize("arguments", [["stats"], ["db", "upgrade"]], ids=" ".join)
def test_missing_driver_is_told(arguments: list[str]) -> None:
    done = without("asyncpg", *arguments, "--url", "postgresql://u@127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr == (
        "error: the 'asyncpg' package is not installed; run: pip install 'langswarm-memory[postgres]'\n"
    )


UNFORESEEN = """
import sys
from langswarm_memory.cli import main, reading

def fail(*_args):
    raise RuntimeError("text of a conversation")

reading.shown_url = fail
sys.argv[1:] = {arguments!r}
sys.exit(main())
"""


def unforeseen(*options: str) -> subprocess.CompletedProcess[str]:
    program = UNFORESEEN.format(arguments=["stats", "--url", "memory://", *options])
    return subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)


def test_unforeseen_error_is_told_in_one_line() -> None:
    done = unforeseen()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: unforeseen RuntimeError; --debug shows where, please report it\n"


def test_unforeseen_error_has_a_traceback_with_debug() -> None:
    assert "Traceback " in unforeseen("--debug").stderr
