"""`langswarm-memory sessions`, `show`, `stats` and `health`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Ended, Here
from tests.importing.conversations import ORDER, SUPPORT, WEATHER, as_lines, conversations_of, write
from tests.sql.databases import Database

IDS = ["travel-shimanami-2025", "sales-analysis-may-2025", "order-support-tw48213"]  # newest first


def ids(ended: Ended) -> list[str]:
    return [session["session_id"] for session in ended.json]


# --- sessions ------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_newest_first(filled: Here) -> None:
    assert ids(filled("sessions", "--json")) == IDS


def test_session_is_listed_with_its_counts(filled: Here) -> None:
    (first, *_) = filled("sessions", "--json").json
    assert (first["user_id"], first["message_count"], first["tags"][0]) == ("jana.wiedemann", 20, "travel")


def test_table_of_sessions_cuts_nothing_in_a_pipe(filled: Here) -> None:
    (_heading, _rule, *lines) = filled("sessions").out.splitlines()
    assert [line.split()[0] for line in lines] == IDS


def test_sessions_of_a_user(filled: Here) -> None:
    assert ids(filled("sessions", "--user", "tobias.okoro", "--json")) == IDS[1:2]


def test_sessions_of_a_status(filled: Here) -> None:
    assert ids(filled("sessions", "--status", "archived", "--json")) == []


def test_limit_bounds_the_list(filled: Here) -> None:
    assert ids(filled("sessions", "--limit", "2", "--json")) == IDS[:2]


def test_after_goes_on_behind_a_session(filled: Here) -> None:
    assert ids(filled("sessions", "--after", IDS[0], "--limit", "1", "--json")) == IDS[1:2]


def test_bounded_list_says_how_to_go_on(filled: Here) -> None:
    assert filled("sessions", "--limit", "2").err == f"there are more: --after {IDS[1]}\n"


def test_whole_list_says_nothing_of_more(filled: Here) -> None:
    assert filled("sessions", "--limit", "3").err == ""


def test_after_a_session_that_is_missing(filled_file: Here) -> None:
    ended = filled_file.attempt("sessions", "--after", "nobody")
    assert (ended.code, ended.err) == (1, "error: session 'nobody' does not exist\n")


def test_no_sessions_are_said_in_words(filled_file: Here) -> None:
    assert filled_file("sessions", "--user", "nobody").out == "no sessions\n"


# --- show ----------------------------------------------------------------------------------------------------------


def test_transcript_names_role_position_and_text(filled: Here) -> None:
    out = filled("show", IDS[2]).out
    assert "user  #2  " in out
    assert "\n  Hi! My order TW-48213 was supposed to be here a week ago" in out


def test_transcript_shows_calls_as_python_does(filled: Here) -> None:
    assert '→ get_order(order_id="TW-48213")  call_Nk9RSwbMDGNjkTEzRGxRULwy' in filled("show", IDS[2]).out


def test_transcript_names_the_tool_that_answered(filled: Here) -> None:
    assert "tool track_parcel  #5  " in filled("show", IDS[2]).out


def test_limit_shows_the_newest(filled: Here) -> None:
    ended = filled("show", IDS[2], "--limit", "2", "--json")
    assert [message["seq"] for message in ended.json["messages"]] == [23, 24]


def test_bounded_transcript_says_what_is_missing(filled: Here) -> None:
    assert filled("show", IDS[2], "--limit", "2").out.endswith("2 of 24 messages, 80 tokens; --full shows all\n")


def test_tokens_bound_the_context(filled: Here) -> None:
    found = filled("show", IDS[2], "--tokens", "600", "--json").json["messages"]
    assert sum(message["token_count"] for message in found) <= 600
    assert (found[0]["role"], found[-1]["seq"]) == ("system", 24)


def test_window_is_shown_unless_all_is_asked_for(on_file: Here, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": str(n)} for n in range(700)]
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": messages}])))
    assert len(on_file("show", "s", "--openai").json) == 100
    assert on_file("show", "s", "--openai", "--full").json == messages


def test_session_as_json_has_metadata(filled: Here) -> None:
    session = filled("show", IDS[1], "--json").json["session"]
    assert (session["user_id"], session["message_count"]) == ("tobias.okoro", 17)


def test_openai_format_is_what_came_in(filled: Here) -> None:
    given = conversations_of(SUPPORT)[1]
    assert filled("show", given["id"], "--openai").json == given["messages"]


def test_empty_session_as_openai_format(on_file: Here, tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": []}])))
    assert on_file("show", "s", "--openai").json == []


@pytest.mark.parametrize("options", [["--full"], ["--limit", "3"]])
def test_tokens_exclude_other_bounds(filled_file: Here, options: list[str]) -> None:
    assert filled_file.attempt("show", IDS[0], "--tokens", "10", *options).code == 2


def test_missing_session_is_told_in_one_line(filled: Here) -> None:
    ended = filled.attempt("show", "nobody")
    assert (ended.code, ended.out, ended.err) == (1, "", "error: session 'nobody' does not exist\n")


def test_blocks_are_shown_as_text(on_file: Here, tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:" + "A" * 5_000}}
    messages = [{"role": "user", "content": [*WEATHER[0]["content"], image]}]
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": messages}])))
    out = on_file("show", "s").out
    assert "  Wie wird's? ☂\n  [image_url] {" in out
    assert "more characters" in out


BROKEN_CALLS = [
    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{broken"}},
    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "[1, 2]"}},
    {"id": "c", "type": "function", "function": {"name": "f", "arguments": None}},
    {"id": "c", "type": "function", "function": {"name": "f"}},
    {"id": "c", "type": "function", "function": "f"},
    {"type": "custom", "custom": {"name": "f", "input": "x"}},
    {},
]


@pytest.mark.parametrize("call", BROKEN_CALLS)
def test_call_of_any_shape_is_shown(on_file: Here, call: object, tmp_path: Path) -> None:
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": messages}])))
    assert "  → " in on_file("show", "s").out


# --- stats and health ----------------------------------------------------------------------------------------------


def test_stats_count(filled: Here) -> None:
    found = filled("stats", "--json").json
    assert (found["sessions"], found["messages"], found["sessions_by_status"]) == (3, 61, {"active": 3})


def test_stats_name_tokens_and_size(filled: Here) -> None:
    lines = dict(line.split(maxsplit=1) for line in filled("stats").out.splitlines())
    assert lines["tokens"] == f"{sum(session['token_count'] for session in filled('sessions', '--json').json):,}"
    assert lines["size"].split()[1] in ("kB", "MB")


def test_health_of_a_database_that_answers(filled: Here) -> None:
    ended = filled("health", "--json")
    assert (ended.json["status"], ended.json["message_count"]) == ("healthy", 61)


def test_health_of_a_database_without_schema(command: Here) -> None:
    ended = command.attempt("health", "--json")
    assert (ended.code, ended.json["status"]) == (1, "unhealthy")


def test_health_of_a_server_that_is_down(on_file: Here) -> None:
    ended = on_file.attempt("health", "--url", "postgresql://u:se-cret@127.0.0.1:1/x")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: postgresql://u@127.0.0.1:1/x is unhealthy: ")


@pytest.mark.parametrize("arguments", [["sessions"], ["show", "x"], ["stats"], ["query", "SELECT 1"], ["health"]])
def test_reading_makes_no_database(on_file: Here, arguments: list[str], tmp_path: Path) -> None:
    ended = on_file.attempt(*arguments)
    assert (ended.code, "there is no database" in ended.err) == (1, True)
    assert not (tmp_path / "memory.db").exists()


@pytest.mark.parametrize("arguments", [["sessions"], ["show", "x"], ["stats"], ["query", "SELECT 1"], ["health"]])
def test_reading_makes_no_tables(arguments: list[str], postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = Here(capsys, ("--url", postgres_url)).attempt(*arguments)
    assert (ended.code, "langswarm-memory db upgrade" in ended.err) == (1, True)
    assert Database("postgres", postgres_url).tables() == set()


def test_order_of_messages_is_that_of_the_file(on_file: Here, tmp_path: Path) -> None:
    on_file("import", write(tmp_path, as_lines([{"id": "s", "messages": ORDER}])))
    found = on_file("show", "s", "--json").json["messages"]
    assert [message["role"] for message in found] == [message["role"] for message in ORDER]
