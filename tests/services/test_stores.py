"""What a run requires, which store a test belongs to, and what the closing table counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.services import stores


@pytest.fixture
def config(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> pytest.Config:
    """The run's own configuration, as it is at a desk: no option, no CI."""
    monkeypatch.setattr(pytestconfig.option, "require_stores", None)
    monkeypatch.delenv("CI", raising=False)
    return pytestconfig


def item(*, parameters: str | None = None, fixtures: tuple[str, ...] = (), marked: str | None = None) -> Any:
    marker = None if marked is None else pytest.mark.store(marked).mark
    test = SimpleNamespace(fixturenames=fixtures, get_closest_marker=lambda name: marker)
    if parameters is not None:
        test.callspec = SimpleNamespace(id=parameters)
    return test


def reporter(**reports: list[tuple[str, str | None]]) -> Any:
    stats = {
        outcome: [
            SimpleNamespace(nodeid=nodeid, user_properties=[("store", store)] if store else [])
            for nodeid, store in entries
        ]
        for outcome, entries in reports.items()
    }
    return SimpleNamespace(stats=stats)


def test_missing_server_skips_with_its_remedy(config: pytest.Config) -> None:
    with pytest.raises(pytest.skip.Exception, match="run: the command"):
        stores.missing_server(config, "postgres", "run: the command")


def test_missing_server_fails_where_the_option_names_it(config: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.option, "require_stores", "postgres")
    with pytest.raises(pytest.fail.Exception, match="run: the command"):
        stores.missing_server(config, "postgres", "run: the command")


def test_missing_server_fails_in_ci(config: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        stores.missing_server(config, "postgres", "run: the command")


def test_misspelt_required_store_is_refused(config: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.option, "require_stores", "postgre")
    with pytest.raises(pytest.UsageError, match="known are"):
        stores.required_stores(config)


@pytest.mark.parametrize("passed", [0, 1])
def test_required_store_without_a_passed_test_is_untested(
    config: pytest.Config, monkeypatch: pytest.MonkeyPatch, passed: int
) -> None:
    monkeypatch.setattr(config.option, "require_stores", "sqlite")
    counts = {"sqlite": {"passed": passed, "skipped": 4}}
    assert stores.untested(config, counts) == ([] if passed else ["sqlite"])


@pytest.mark.parametrize(
    "parameters",
    ["sqlite-memory", "sqlite-memory-3", "7-sqlite-memory", "a-sqlite-memory-b"],
    ids=["alone", "first", "last", "between"],  # of their own, or these tests would count as SQLite's
)
def test_longest_store_name_in_parameter_ids_counts(parameters: str) -> None:
    assert stores.store_of(item(parameters=parameters)) == "sqlite-memory"


@pytest.mark.parametrize("parameters", ["postgresql", "not_sqlite", "", "3-full"])
def test_part_of_a_word_in_parameter_ids_is_no_store(parameters: str) -> None:
    assert stores.store_of(item(parameters=parameters)) is None


def test_server_fixture_tells_the_store() -> None:
    assert stores.store_of(item(fixtures=("tmp_path", "postgres_url"))) == "postgres"


def test_marker_goes_before_parameter_ids() -> None:
    assert stores.store_of(item(marked="sqlite", parameters="postgres")) == "sqlite"


def test_test_that_fails_in_teardown_is_not_counted_as_passed() -> None:
    counts = stores.outcomes_by_store(reporter(passed=[("t::a", "sqlite")], error=[("t::a", "sqlite")]))
    assert (counts["sqlite"]["passed"], counts["sqlite"]["error"]) == (0, 1)


def test_test_without_a_store_is_left_out_of_the_table() -> None:
    assert stores.outcomes_by_store(reporter(passed=[("t::a", None)])) == {}


@pytest.mark.parametrize("parameters", ["sqlite-vec", "5-sqlite-vec-x"], ids=["alone", "between"])
def test_sqlite_vec_in_parameter_ids_is_not_sqlite(parameters: str) -> None:
    assert stores.store_of(item(parameters=parameters)) == "sqlite-vec"


def test_vectors_in_redis_are_not_counted_as_redis() -> None:
    assert stores.store_of(item(parameters="redis_vectors-3")) == "redis_vectors"


def test_pgvector_runs_on_the_postgres_of_the_run() -> None:
    assert "PostgreSQL 18.4" in stores.vector_servers({"postgres": "PostgreSQL 18.4"})["pgvector"]


def test_server_of_the_environment_takes_the_place_of_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSWARM_TEST_PINECONE_HOST", "index.example.com")
    assert stores.vector_servers({})["pinecone"] == "by LANGSWARM_TEST_PINECONE_HOST"


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("", False), ("0", False)])
def test_ci_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert stores.in_ci() is expected


def test_vector_stores_are_required_in_ci() -> None:
    assert {"pgvector", "redis_vectors", "qdrant", "chroma", "pinecone", "sqlite-vec"} <= stores.REQUIRED_IN_CI


def test_table_names_the_server() -> None:
    counts = {"postgres": dict.fromkeys(stores.WORST_FIRST, 0) | {"passed": 12, "failed": 3, "skipped": 1}}
    assert stores.store_table(counts, {"postgres": "PostgreSQL 18.4"})[1].split() == [
        *("postgres", "PostgreSQL", "18.4", "12", "3", "1")
    ]


def rule(nodeid: str, store: str) -> Any:
    test = item(marked=store)
    test.nodeid = nodeid
    return test


def test_slow_store_is_held_to_each_rule_once() -> None:
    suite = "tests/conformance/test_stores.py"
    rules = [
        rule(f"{suite}::TestRepository::test_a[bigquery-1]", "bigquery"),
        rule(f"{suite}::TestRepository::test_a[bigquery-2]", "bigquery"),
        rule(f"{suite}::TestRepository::test_b[bigquery]", "bigquery"),
        rule(f"{suite}::TestBackend::test_c[bigquery]", "bigquery"),
        rule(f"{suite}::TestBackend::test_c[sqlite]", "sqlite"),
        rule(f"{suite}::TestRepository::test_a[sqlite-2]", "sqlite"),
        rule("tests/stores/bigquery/test_faults.py::test_d[2]", "bigquery"),
        rule("tests/stores/bigquery/test_faults.py::test_d[1]", "bigquery"),
    ]
    assert list(stores.left_out(rules)) == [rules[1], rules[3]]
