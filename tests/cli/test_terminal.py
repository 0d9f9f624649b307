"""Nothing that was stored can drive the terminal that shows it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.cli.output import json_text, safe, shown_url, without_password
from tests.cli.commands import Apart, Here
from tests.cli.test_import import read_all
from tests.importing.conversations import as_lines, write

# What a stored text could do to a terminal, and how it is shown instead.
HOSTILE = {
    "clear the screen": ("\x1b[2J", "\\x1b[2J"),
    "set the title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "a control of eight bits": ("\x9b31m", "\\x9b31m"),
    "go back over the line": ("good\rbad", "good\\rbad"),
    "delete characters": ("good\x08\x08", "good\\x08\\x08"),
    "delete": ("a\x7f", "a\\x7f"),
    "NUL": ("a\x00b", "a\\x00b"),
    "reorder": ("\u202egnp.exe", "\\u202egnp.exe"),
    "isolate": ("\u2066x\u2069", "\\u2066x\\u2069"),
    "break lines unseen": ("a\u2028b", "a\\u2028b"),
    "half a character": ("\ud83d!", "\\ud83d!"),
    "hide text": ("\U000e0041", "\\U000e0041"),
    "markup": ("[bold red]x[/] :smile: [link=x]", "[bold red]x[/] :smile: [link=x]"),
}
DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


def everywhere(text: str) -> dict[str, Any]:
    """Return a conversation that holds a text wherever text may stand; ids hold it as far as ids may."""
    name = text.replace("\x00", "").replace("\ud83d", "")
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": json.dumps({text: text})}}
    function = {"name": text, "arguments": text}
    return {
        "id": f"s{name}",
        "user_id": f"u{name}",
        "agent_id": f"a{name}",
        "tags": [text],
        text: text,
        "messages": [
            {"role": f"r{name}", "content": text, "name": text},
            {"role": "assistant", "content": [{"type": text, "x": text}, {"type": "text", "text": text}, text]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [call, {"function": function}],
            },
            {"role": "tool", "content": text, "name": text, "tool_call_id": text},
        ],
    }


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A hostile text and how it is shown."""
    given: tuple[str, str] = request.param
    return given


COMMANDS = [
    ["show", "ID"],
    ["show", "ID", "--json"],
    ["show", "ID", "--openai"],
    ["sessions"],
    ["sessions", "--json"],
    ["sessions", "--limit", "1"],
    ["query", "SELECT * FROM messages"],
    ["query", "SELECT * FROM sessions"],
    ["query", "SELECT * FROM messages", "--json"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_prints_what_drives_a_terminal(on_file: Here, arguments: list[str], tmp_path: Path) -> None:
    conversation = everywhere(" ".join(text for text, _shown in HOSTILE.values()))
    on_file("import", write(tmp_path, as_lines([conversation, {"id": "z", "messages": []}])))
    ended = on_file(*(conversation["id"] if argument == "ID" else argument for argument in arguments))
    assert DRIVING.findall(ended.out + ended.err) == []


def test_hostile_text_is_shown_as_escapes(on_file: Here, hostile: tuple[str, str], tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": [{"role": "user", "content": hostile[0]}]}])))
    assert f"  {hostile[1]}\n" in on_file("show", "s").out


def test_hostile_text_in_json_is_the_text(on_file: Here, hostile: tuple[str, str], tmp_path: Path) -> None:
    messages = [{"role": "user", "content": hostile[0]}]
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": messages}])))
    assert on_file("show", "s", "--openai").json == messages


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "[red]", "\n"])
def test_errors_print_nothing_that_drives_a_terminal(on_file: Here, text: str, tmp_path: Path) -> None:
    name = f"s{text}"
    path = write(tmp_path, as_lines([{"id": name, "messages": [{"role": "user"}]}]))
    on_file("import", path)
    ended = on_file.attempt("import", write(tmp_path, as_lines([{"id": name, "messages": [{"role": "tool"}]}])))
    assert (ended.code, ended.err.count("\n"), DRIVING.findall(ended.err)) == (1, 1, [])


def test_line_breaks_of_a_message_are_kept(on_file: Here, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "one\n\n  two"}]
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": messages}])))
    assert "\n  one\n  \n    two\n" in on_file("show", "s").out


def test_text_of_every_alphabet_is_kept(on_file: Here, tmp_path: Path) -> None:
    text = "Zoë 日本 हिन्दी עברית مرحبا 👩‍👩‍👧"
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": [{"role": "user", "content": text}]}])))
    assert f"  {text}\n" in on_file("show", "s").out


def on_terminal(apart: Apart, *arguments: str | Path) -> str:
    """Return what the command shows on a terminal of 60 columns."""
    ours, theirs = os.openpty()
    wide = Apart(apart.folder, {"COLUMNS": "60"})
    with wide.start(*arguments, stdout=theirs) as process:
        os.close(theirs)
        shown = read_all(ours)
    os.close(ours)
    assert process.returncode == 0
    return shown.replace("\r\n", "\n")


COLOURS = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def shown(apart: Apart, on_file: Here, file_url: str, tmp_path: Path) -> str:
    """A hostile conversation with a long text, shown on a terminal."""
    conversation = everywhere("\x1b[2J\x9b\u202e")
    conversation["messages"].append({"role": "user", "content": "word " * 100})
    on_file("import", write(tmp_path, as_lines([conversation])))
    return on_terminal(apart, "show", conversation["id"], "--url", file_url)


def test_terminal_gets_colours_and_no_other_control(shown: str) -> None:
    assert "\x1b[1;32muser" in shown
    assert DRIVING.findall(COLOURS.sub("", shown)) == []


def test_long_text_is_wrapped_with_its_margin_on_a_terminal(shown: str) -> None:
    lines = [line for line in COLOURS.sub("", shown).splitlines() if "word word" in line]
    assert len(lines) > 5
    assert all(line.startswith("  word") and len(line) <= 60 for line in lines)


def test_csv_on_a_terminal_is_escaped(apart: Apart, on_file: Here, file_url: str, tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines([[{"role": "user", "content": "\x1b[2J"}]])))
    shown = on_terminal(apart, "query", "SELECT content FROM messages", "--csv", "--url", file_url)
    assert shown == "content\n\\x1b[2J\n"


def test_terminal_of_another_encoding_gets_escapes(apart: Apart, on_file: Here, file_url: str, tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": [{"role": "user", "content": "日"}]}])))
    plain = Apart(apart.folder, {"PYTHONIOENCODING": "ascii"})
    ended = plain("show", "s", "--url", file_url)
    assert (ended.code, "\\u65e5" in ended.out) == (0, True)


def test_reader_that_goes_away_gets_no_traceback(apart: Apart, on_file: Here, file_url: str, tmp_path: Path) -> None:
    values = [{"id": "s", "messages": [{"role": "user", "content": "x" * 1_000_000}] * 5}]
    on_file("import", write(tmp_path, as_lines(values)))
    with apart.start("show", "s", "--url", file_url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""


# --- the functions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)])
def test_line_holds_no_control(code: int) -> None:
    assert safe(chr(code), line=True).isprintable()


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xD800, 0xDFFF, 0xE0041])
def test_json_text_is_the_value(code: int) -> None:
    value = {chr(code): [chr(code)]}
    assert json.loads(json_text(value)) == value


PASSWORDS = ["se-cret", "se@cret", "se/cret", "se?cret", "se:cret", "se%40cret", "se#cret", "@", "p@@//cret"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_shown_url_has_no_password(password: str) -> None:
    assert shown_url(f"postgresql://ada:{password}@host:5432/memory?sslmode=require") == (
        "postgresql://ada@host:5432/memory"
    )


def test_shown_url_has_no_query() -> None:
    assert shown_url("postgresql:///memory?user=u&password=se-cret") == "postgresql:///memory"


@pytest.mark.parametrize("url", ["sqlite:///a@b.db", "memory://"])
def test_url_without_password_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


@pytest.mark.parametrize("text", ["se-cret", "x se-cret y", "se%2Dcret"])
def test_password_is_taken_out_of_a_text(text: str) -> None:
    found = without_password(text, "postgresql://u:se%2Dcret@host/db")
    assert ("cret" in found, "***" in found) == (False, True)


def test_password_of_the_query_is_taken_out_of_a_text() -> None:
    assert without_password("x se-cret", "postgresql:///db?user=u&password=se-cret&a=b") == "x ***"


def test_text_is_kept_where_there_is_no_password() -> None:
    assert without_password("text", "postgresql://u@host/db") == "text"
