"""The demo and the examples run as they are, without keys, servers or questions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.importing.conversations import AIRLINE, CHECKOUT, COLLECTED, ORDER, as_lines, conversations_of, write

EXAMPLES = sorted(path.name for path in (CHECKOUT / "examples").glob("*.py") if path.name != "demo.py")


def run(
    program: Path, *arguments: str | Path, folder: Path, url: str | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGSWARM_", "DATA"))}
    if url is not None:
        kept["LANGSWARM_MEMORY_URL"] = url
    return subprocess.run(
        [sys.executable, "-W", "error", program, *arguments],
        cwd=folder,
        env={**kept, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the examples, so that the demo's database is not the developer's."""
    folder = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def demo(checkout: Path, *arguments: str | Path) -> str:
    done = run(checkout / "examples" / "demo.py", *arguments, folder=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_demo_finds_what_it_imported(checkout: Path) -> None:
    assert "61 messages in OpenAI's format are exactly those of the file" in demo(checkout)


def test_demo_cuts_a_context(checkout: Path) -> None:
    assert "11 of 24" in demo(checkout)


def test_demo_answers_in_sql(checkout: Path) -> None:
    lines = [line.split() for line in demo(checkout).splitlines()]
    assert ["run_sql", "4", "1", "25.0"] in lines
    assert ["jana.wiedemann", "2", "44", "4,430"] in lines


def test_demo_names_commands_that_work(checkout: Path) -> None:
    commands = [line.strip() for line in demo(checkout).splitlines() if line.startswith("  ")]
    commands = [line for line in commands if "langswarm-memory " in line and "your-" not in line]
    assert len(commands) == 3
    environment = {**os.environ, "LANGSWARM_MEMORY_URL": "sqlite:///.demo/memory.db"}
    for line in commands:
        subprocess.run(["sh", "-c", line], cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)


def test_demo_begins_anew_each_time(checkout: Path) -> None:
    demo(checkout)
    assert "3 conversations, 61 messages" in demo(checkout)


def test_demo_takes_another_file(checkout: Path) -> None:
    if not AIRLINE.exists():
        pytest.skip(f"{AIRLINE.name} is not there")
    count = sum(len(conversation["messages"]) for conversation in conversations_of(AIRLINE))
    assert f"{count:,} messages in OpenAI's format are exactly those of the file" in demo(checkout, AIRLINE)


@pytest.mark.parametrize(
    "text",
    [as_lines(COLLECTED), json.dumps(ORDER), '[{"messages": [{"role": "user", "content": null}]}]'],
    ids=["lines", "one conversation", "no tools"],
)
def test_demo_takes_every_form(checkout: Path, text: str, tmp_path: Path) -> None:
    assert "are exactly those of the file" in demo(checkout, write(tmp_path, text))


def test_demo_of_a_wrong_file_ends_in_one_line(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout / "examples" / "demo.py", write(tmp_path, "hello"), folder=checkout)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is not JSON" in done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_on_sqlite(name: str, tmp_path: Path) -> None:
    arguments = ["2 + 3", "hello"] if name == "chat_loop.py" else []
    done = run(CHECKOUT / "examples" / name, *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_example_of_a_shared_database_runs_on_postgres(postgres_url: str, tmp_path: Path) -> None:
    done = run(CHECKOUT / "examples" / "shared_database.py", folder=tmp_path, url=postgres_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "numbered without gaps: True" in done.stdout


def test_chat_goes_on_where_it_was(tmp_path: Path) -> None:
    program = CHECKOUT / "examples" / "chat_loop.py"
    run(program, "2 + 3", folder=tmp_path)
    again = run(program, "hello", folder=tmp_path).stdout
    assert (
        again
        == "you: hello\nagent: I was given 6 messages. Ask me a sum, such as 2 + 3.\n7 messages are stored in sqlite:///chat.db\n"
    )
