"""`langswarm-memory query`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.commands import Here
from tests.importing.conversations import as_lines, write

ROLES = "SELECT role, count(*) AS messages, sum(token_count) AS tokens FROM messages GROUP BY role ORDER BY role"


def test_rows_as_json(filled: Here) -> None:
    rows = {row["role"]: row["messages"] for row in filled("query", ROLES, "--json").json}
    assert rows == {"assistant": 27, "system": 3, "tool": 18, "user": 13}


def test_sums_are_numbers_in_json(filled: Here) -> None:
    assert all(type(row["tokens"]) is int for row in filled("query", ROLES, "--json").json)


def test_rows_as_csv(filled: Here) -> None:
    rows = list(csv.reader(io.StringIO(filled("query", ROLES, "--csv").out)))
    assert (rows[0], rows[2][:2]) == (["role", "messages", "tokens"], ["system", "3"])


def test_csv_holds_text_exactly(on_file: Here, tmp_path: Path) -> None:
    text = 'a,"b"\nc\x1b[31m;=1+1'
    on_file("import", write(tmp_path, as_lines([[{"role": "user", "content": text}]])))
    rows = list(csv.reader(io.StringIO(on_file("query", "SELECT content FROM messages", "--csv").out)))
    assert rows == [["content"], [text]]


def test_rows_as_a_table(filled: Here) -> None:
    lines = filled("query", ROLES).out.splitlines()
    assert (lines[0].split(), lines[3].split()[:2], lines[-1]) == (
        ["role", "messages", "tokens"],
        ["system", "3"],
        "4 rows",
    )


def test_no_rows_are_said_in_words(filled_file: Here) -> None:
    assert filled_file("query", "SELECT 1 WHERE 1 = 0").out == "no rows\n"


@pytest.mark.parametrize(
    ("given", "value"),
    [("ada", "ada"), ("a=b", "a=b"), ("", ""), ("007", "007"), ('"42"', "42"), ("[1]", "[1]"), ("{}", "{}")],
)
def test_text_is_bound(filled: Here, given: str, value: str) -> None:
    sql = "SELECT CAST(:value AS varchar(100)) AS value"
    assert filled("query", sql, "--param", f"value={given}", "--json").json == [{"value": value}]


@pytest.mark.parametrize(("given", "value"), [("42", 42), ("-1.5", -1.5), ("null", None)])
def test_json_scalars_are_bound_as_such(filled_file: Here, given: str, value: object) -> None:
    assert filled_file("query", "SELECT :value AS value", "--param", f"value={given}", "--json").json == [
        {"value": value}
    ]


def test_number_bounds_a_query(filled: Here) -> None:
    sql = "SELECT seq FROM messages WHERE session_id = :id ORDER BY seq LIMIT :count"
    ended = filled("query", sql, "--param", "id=order-support-tw48213", "--param", "count=2", "--json")
    assert ended.json == [{"seq": 1}, {"seq": 2}]


def test_times_are_iso_text(filled: Here) -> None:
    (row,) = filled("query", "SELECT max(timestamp) AS at FROM messages", "--json").json
    assert row["at"][4:5] + row["at"][13:14] == "-:"


def test_bytes_are_written_as_hex(filled: Here) -> None:
    blob = "'\\x00ff'::bytea" if "postgres" in filled.options[1] else "x'00ff'"
    assert filled("query", f"SELECT {blob} AS b", "--json").json == [{"b": "\\x00ff"}]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM messages",
        "WITH a AS (SELECT 1) DELETE FROM messages",
        "DROP TABLE messages",
        "",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_does_not_read_is_refused(filled: Here, sql: str) -> None:
    ended = filled.attempt("query", sql)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert filled("stats", "--json").json["messages"] == 61


def test_database_says_in_its_own_words_what_is_wrong(filled: Here) -> None:
    ended = filled.attempt("query", "SELECT nonsense FROM messages")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "nonsense" in ended.err


def test_missing_parameter_is_told_in_one_line(filled: Here) -> None:
    ended = filled.attempt("query", "SELECT :a AS a", "--param", "b=1")
    assert (ended.code, ended.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("param", ["a", "=1", ""])
def test_parameter_of_another_form_is_wrong_usage(filled_file: Here, param: str) -> None:
    assert filled_file.attempt("query", "SELECT 1", "--param", param).code == 2


def test_json_and_csv_exclude_each_other(filled_file: Here) -> None:
    assert filled_file.attempt("query", "SELECT 1", "--json", "--csv").code == 2


def test_store_without_sql_says_so(on_file: Here) -> None:
    ended = on_file.attempt("query", "SELECT 1", "--url", "memory://")
    assert ended.err == "error: in_memory does not support SQL\n"


def test_json_of_a_query_is_one_document(filled_file: Here) -> None:
    assert json.loads(filled_file("query", "SELECT 1 AS a WHERE 1 = 0", "--json").out) == []
