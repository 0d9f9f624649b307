"""`langswarm-memory import`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import SECONDS, Apart, Here
from tests.importing.conversations import AIRLINE, COLLECTED, ORDER, SUPPORT, as_lines, conversations_of, exact, write


def stored(command: Here, session_id: str) -> Any:
    return command("show", session_id, "--full", "--openai").json


@pytest.mark.parametrize("file", [SUPPORT, AIRLINE], ids=["support", "airline"])
def test_what_is_shown_is_exactly_what_was_imported(command: Here, file: Path) -> None:
    given = conversations_of(file)
    command("import", file)
    for conversation in given[::10] if len(given) > 10 else given:
        assert exact(stored(command, conversation["id"])) == exact(conversation["messages"])


def test_import_says_what_it_stored(command: Here) -> None:
    assert command("import", SUPPORT).out == "imported 3 conversations; 61 messages stored\n"


def test_second_import_says_that_there_was_nothing(filled: Here) -> None:
    assert filled("import", SUPPORT).out == "nothing to import: 3 conversations stored already\n"


def test_report_as_json(on_file: Here) -> None:
    assert on_file("import", SUPPORT, "--json").json == {
        "path": str(SUPPORT),
        "conversations": 3,
        "imported": 3,
        "continued": 0,
        "unchanged": 0,
        "messages": 61,
        "failures": [],
    }


def test_file_without_conversations_is_no_error(on_file: Here, tmp_path: Path) -> None:
    assert on_file("import", write(tmp_path, "[]")).out == "nothing to import: the file holds no conversations\n"


@pytest.fixture
def changed(on_file: Here, tmp_path: Path) -> Path:
    """A file of which one conversation was imported, and was changed since."""
    on_file("import", write(tmp_path, as_lines(COLLECTED[:1])))
    return write(tmp_path, as_lines([{"id": "order", "messages": [*ORDER[:-1], {"role": "user"}]}, COLLECTED[1]]))


def test_conflict_makes_the_exit_code_one(on_file: Here, changed: Path) -> None:
    assert on_file.attempt("import", changed).code == 1


def test_conflict_is_told_in_one_line(on_file: Here, changed: Path) -> None:
    err = on_file.attempt("import", changed).err
    assert err.startswith(f"error: {changed}: conversation 1 (line 1, session 'order'): message 5 ")
    assert err.count("\n") == 1


def test_others_are_imported_despite_a_conflict(on_file: Here, changed: Path) -> None:
    assert on_file.attempt("import", changed).out == "imported 1 conversation, 1 failed; 2 messages stored\n"


def test_conflict_as_json(on_file: Here, changed: Path) -> None:
    (failure,) = on_file.attempt("import", changed, "--json").json["failures"]
    assert (failure["number"], failure["line"], failure["session_id"]) == (1, 1, "order")
    assert "message 5" in failure["error"]


def test_many_failures_are_not_all_printed(on_file: Here, tmp_path: Path) -> None:
    ended = on_file.attempt("import", write(tmp_path, as_lines([*COLLECTED, *[{"id": "x"}] * 50])))
    assert ended.err.count("\n") == 21
    assert "and 30 more" in ended.err


def test_user_owns_conversations_without_one(on_file: Here, tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines(COLLECTED)), "--user", "eve")
    owners = {session["session_id"]: session["user_id"] for session in on_file("sessions", "--json").json}
    assert owners == {"order": "ada", "weather": "eve"}


WRONG = {
    "missing": (None, "No such file"),
    "empty": ("", "is empty"),
    "text": ("hello", "is not JSON"),
    "cut": (json.dumps(COLLECTED)[:-20], "it ends in the middle of a value"),
    "of another shape": ('{"text": 1}', "holds no conversations"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_wrong_file_is_told_in_one_line(on_file: Here, content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json" if content is None else write(tmp_path, content)
    ended = on_file.attempt("import", path)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert message in ended.err


def test_folder_is_told_in_one_line(on_file: Here, tmp_path: Path) -> None:
    assert on_file.attempt("import", tmp_path).err == f"error: cannot read {tmp_path}: Is a directory\n"


def test_wrong_file_makes_no_database(on_file: Here, tmp_path: Path) -> None:
    on_file.attempt("import", write(tmp_path, "hello"))
    assert not (tmp_path / "memory.db").exists()


# --- in a terminal -------------------------------------------------------------------------------------------------


def read_all(terminal: int) -> str:
    """Return what was written to a terminal, until its other end is closed."""
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # Linux ends a terminal with an error
            piece = b""
        if not piece:
            return b"".join(pieces).decode()
        pieces.append(piece)


def test_progress_is_shown_on_a_terminal(apart: Apart, file_url: str) -> None:
    ours, theirs = os.openpty()
    with apart.start("import", SUPPORT, "--url", file_url, stderr=theirs) as process:
        os.close(theirs)
        shown = read_all(ours)
    os.close(ours)
    assert process.returncode == 0
    assert "61/61" in shown


def test_progress_is_not_shown_with_json(apart: Apart, file_url: str) -> None:
    ours, theirs = os.openpty()
    with apart.start("import", SUPPORT, "--json", "--url", file_url, stderr=theirs) as process:
        os.close(theirs)
        shown = read_all(ours)
    os.close(ours)
    assert (process.returncode, shown) == (0, "")


def test_progress_is_not_shown_in_a_pipe(apart: Apart, file_url: str) -> None:
    assert apart("import", SUPPORT, "--url", file_url).err == ""


@pytest.mark.usefixtures("interruptible")
def test_interrupted_import_is_completed_by_the_same_command(apart: Apart, database: Any, tmp_path: Path) -> None:
    values = [{"id": f"s{n}", "messages": ORDER} for n in range(200)]
    arguments = ("import", write(tmp_path, as_lines(values)), "--url", database.url)
    ours, theirs = os.openpty()
    with apart.start(*arguments, stderr=theirs) as process:
        os.close(theirs)
        shown = ""
        while "messages" not in shown:  # the bar, drawn once something was stored
            shown += os.read(ours, 4_096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        shown += read_all(ours)
        process.wait(SECONDS)
    os.close(ours)
    assert process.returncode == 130
    assert "interrupted; the same command goes on where it stopped" in shown
    assert "Traceback" not in shown
    assert apart(*arguments).code == 0
    assert database.rows("SELECT count(*), count(DISTINCT session_id) FROM messages") == [(1_000, 200)]
