"""The BigQuery emulator that the tests bring up, by what the adapter needs of it, and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, Client, QueryJobConfig, ScalarQueryParameter, SchemaField
from google.cloud.bigquery import StructQueryParameter as Struct
from requests.exceptions import ConnectionError, ReadTimeout

from tests.services.bigquery import ENDPOINT_VARIABLE, BigQueryServer, BigQueryService, service_from_environment

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SCHEMA = [
    SchemaField("session_id", "STRING", "REQUIRED"),
    SchemaField("seq", "INT64", "REQUIRED"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("body", "STRING"),
    SchemaField("meta", "JSON"),
    SchemaField("tags", "STRING", "REPEATED"),
]

NEVER = Retry(predicate=lambda error: False)

emulator_only = pytest.mark.skipif(
    service_from_environment() is not None, reason=f"says what the emulator lacks; the server is {ENDPOINT_VARIABLE}"
)


@pytest.fixture
def client(bigquery_server: BigQueryService) -> Iterator[Client]:
    with bigquery_server.client() as client:
        yield client


@pytest.fixture
def dataset(client: Client, bigquery_dataset: str) -> str:
    client.create_dataset(bigquery_dataset)
    return bigquery_dataset


@pytest.fixture
def table(client: Client, dataset: str) -> str:
    """A table by day, clustered by session, with five rows of session "a"."""
    made = bigquery.Table(f"{client.project}.{dataset}.messages", schema=SCHEMA)
    made.time_partitioning = bigquery.TimePartitioning(field="at")
    made.clustering_fields = ["session_id", "seq"]
    made.labels = {"schema": "3"}
    client.create_table(made)
    rows = [row(seq) for seq in range(5)]
    assert client.insert_rows_json(made, rows, row_ids=[f"a:{seq}" for seq in range(5)]) == []
    return f"{dataset}.messages"


def row(seq: int) -> dict[str, Any]:
    return {
        "session_id": "a",
        "seq": seq,
        "at": AT.isoformat(),
        "body": "x\0é",
        "meta": json.dumps({"n": 1.0, "l": [1, None]}),
        "tags": ["t"],
    }


def text(name: str, value: str | None) -> ScalarQueryParameter:
    return ScalarQueryParameter(name, "STRING", value)


def number(name: str, value: int) -> ScalarQueryParameter:
    return ScalarQueryParameter(name, "INT64", value)


def run(client: Client, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    job = client.query(sql, job_config=QueryJobConfig(query_parameters=list(parameters)))
    return [dict(found) for found in job.result()]


def affected(client: Client, sql: str, *parameters: Any) -> int | None:
    job = client.query(sql, job_config=QueryJobConfig(query_parameters=list(parameters)))
    job.result()
    return job.num_dml_affected_rows


def test_fresh_dataset_is_deleted_afterwards(bigquery_server: BigQueryService, client: Client) -> None:
    with bigquery_server.fresh_dataset() as name:
        client.create_dataset(name)
    with pytest.raises(NotFound):
        client.get_dataset(name)


def test_second_table_of_a_name_conflicts(client: Client, table: str) -> None:
    with pytest.raises(Conflict):
        client.create_table(bigquery.Table(f"{client.project}.{table}", schema=SCHEMA))


def test_table_tells_partition_cluster_label(client: Client, table: str) -> None:
    made = client.get_table(f"{client.project}.{table}")
    assert (made.time_partitioning.field, made.clustering_fields, made.labels) == (
        "at",
        ["session_id", "seq"],
        {"schema": "3"},
    )


def test_missing_table_is_told(client: Client, dataset: str) -> None:
    with pytest.raises(NotFound):
        run(client, f"SELECT 1 FROM {dataset}.none")


def test_row_is_read_back_as_it_was(client: Client, table: str) -> None:
    (found,) = run(client, f"SELECT * FROM {table} WHERE session_id = @s AND seq = @n", text("s", "a"), number("n", 3))
    assert found == {
        "session_id": "a",
        "seq": 3,
        "at": AT,
        "body": "x\0é",
        "meta": {"n": 1.0, "l": [1, None]},
        "tags": ["t"],
    }


def test_repeated_insert_id_is_stored_once(client: Client, table: str) -> None:
    client.insert_rows_json(f"{client.project}.{table}", [row(0)], row_ids=["a:0"])
    assert run(client, f"SELECT count(*) AS n FROM {table}") == [{"n": 5}]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"seq": "no number"}, "Cannot convert value"), ({"none": 1}, "no such field"), ({"seq": None}, "Missing")],
    ids=["type", "unknown-column", "null"],
)
def test_insert_tells_which_row_is_wrong(client: Client, table: str, bad: dict[str, Any], reason: str) -> None:
    errors = client.insert_rows_json(f"{client.project}.{table}", [row(10), row(11) | bad])
    told = {error["index"]: error["errors"][0]["message"] for error in errors}
    assert reason in told[1]


def test_insert_with_a_wrong_row_stores_none(client: Client, table: str) -> None:
    client.insert_rows_json(f"{client.project}.{table}", [row(10), row(11) | {"seq": "no number"}])
    assert run(client, f"SELECT count(*) AS n FROM {table}") == [{"n": 5}]


def test_array_parameter_is_unnested(client: Client, table: str) -> None:
    sql = f"SELECT seq FROM {table} WHERE seq IN UNNEST(@x) ORDER BY seq DESC"
    assert run(client, sql, ArrayQueryParameter("x", "INT64", [1, 2])) == [{"seq": 2}, {"seq": 1}]


def test_timestamp_parameter_keeps_microseconds(client: Client, table: str) -> None:
    sql = f"SELECT count(*) AS n FROM {table} WHERE at = @t"
    assert run(client, sql, ScalarQueryParameter("t", "TIMESTAMP", AT)) == [{"n": 5}]


def test_null_parameter_is_null(client: Client) -> None:
    assert run(client, "SELECT @s IS NULL AS n", text("s", None)) == [{"n": True}]


@pytest.mark.parametrize("value", ["a\0b", "é\u2028😀", "", "x" * 1_000_000], ids=["nul", "unicode", "empty", "1MB"])
def test_text_parameter_comes_back_as_it_was(client: Client, value: str) -> None:
    assert run(client, "SELECT @s AS s", text("s", value)) == [{"s": value}]


def test_lone_surrogate_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest):
        run(client, "SELECT @s AS s", text("s", "\ud800"))


def test_json_is_queried(client: Client, table: str) -> None:
    sql = f"SELECT JSON_VALUE(meta, '$.n') AS n, TO_JSON_STRING(meta) AS t FROM {table} WHERE seq = 1"
    assert run(client, sql) == [{"n": "1.0", "t": '{"n":1.0,"l":[1,null]}'}]


def test_json_is_written_from_a_text_parameter(client: Client, table: str) -> None:
    run(client, f"UPDATE {table} SET meta = PARSE_JSON(@j) WHERE seq = 1", text("j", '{"k": "v"}'))
    assert run(client, f"SELECT meta FROM {table} WHERE seq = 1") == [{"meta": {"k": "v"}}]


def test_merge_updates_what_matches_and_inserts_the_rest(client: Client, table: str) -> None:
    rows = [Struct(None, text("session_id", "a"), number("seq", seq), text("body", "new")) for seq in (4, 5)]
    sql = f"""
        MERGE {table} t USING (SELECT r.* FROM UNNEST(@rows) AS r) s ON t.session_id = s.session_id AND t.seq = s.seq
        WHEN MATCHED THEN UPDATE SET body = s.body
        WHEN NOT MATCHED THEN INSERT (session_id, seq, body) VALUES (s.session_id, s.seq, s.body)
    """
    count = affected(client, sql, ArrayQueryParameter("rows", "STRUCT", rows))
    new = run(client, f"SELECT seq FROM {table} WHERE body = 'new' ORDER BY seq")
    assert (count, new) == (2, [{"seq": 4}, {"seq": 5}])


def test_update_tells_how_many_rows_it_changed(client: Client, table: str) -> None:
    assert affected(client, f"UPDATE {table} SET body = 'u' WHERE seq < @n", number("n", 2)) == 2


def test_delete_tells_how_many_rows_it_removed(client: Client, table: str) -> None:
    assert affected(client, f"DELETE FROM {table} WHERE session_id = @s", text("s", "a")) == 5


def test_next_number_is_given_inside_the_insert(client: Client, table: str) -> None:
    sql = f"""
        INSERT INTO {table} (session_id, seq, body)
        SELECT 'a', (SELECT MAX(seq) FROM {table} WHERE session_id = 'a') + 1 + place, b
        FROM UNNEST(@x) AS b WITH OFFSET AS place
    """
    affected(client, sql, ArrayQueryParameter("x", "STRING", ["p", "q"]))
    assert run(client, f"SELECT seq FROM {table} WHERE body IN ('p', 'q') ORDER BY seq") == [{"seq": 5}, {"seq": 6}]


def test_rolled_back_script_leaves_nothing(client: Client, table: str) -> None:
    run(client, f"BEGIN TRANSACTION; DELETE FROM {table} WHERE TRUE; ROLLBACK TRANSACTION; SELECT 1")
    assert run(client, f"SELECT count(*) AS n FROM {table}") == [{"n": 5}]


def test_newest_row_of_each_session_is_chosen(client: Client, table: str) -> None:
    sql = f"SELECT seq FROM {table} QUALIFY ROW_NUMBER() OVER (PARTITION BY session_id ORDER BY seq DESC) = 1"
    assert run(client, sql) == [{"seq": 4}]


def test_result_is_read_in_pages(client: Client, table: str) -> None:
    pages = client.query(f"SELECT seq FROM {table}").result(page_size=2).pages
    assert [len(list(page)) for page in pages] == [2, 2, 1]


def test_column_can_be_added(client: Client, table: str) -> None:
    run(client, f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS extra STRING")
    assert "extra" in {field.name for field in client.get_table(f"{client.project}.{table}").schema}


def test_rows_are_loaded_by_a_job(client: Client, table: str) -> None:
    config = bigquery.LoadJobConfig(schema=SCHEMA, write_disposition="WRITE_APPEND")
    job = client.load_table_from_json([row(7)], f"{client.project}.{table}", job_config=config)
    job.result()
    assert job.output_rows == 1


def test_second_job_of_an_id_conflicts(client: Client, dataset: str) -> None:
    client.query("SELECT 1", job_id=dataset, job_retry=None).result()
    with pytest.raises(Conflict):
        client.query("SELECT 1", job_id=dataset, job_retry=None)


def test_job_tells_its_location(client: Client) -> None:
    job = client.query("SELECT 1")
    job.result()
    assert job.location == "US"


def test_unknown_column_is_told(client: Client, table: str) -> None:
    with pytest.raises(BadRequest, match="Unrecognized name: none"):
        run(client, f"SELECT none FROM {table}")


def test_concurrent_inserts_are_all_stored(bigquery_server: BigQueryService, client: Client, table: str) -> None:
    def insert(seq: int) -> int | None:
        with bigquery_server.client() as own:
            return affected(own, f"INSERT INTO {table} (session_id, seq) VALUES ('b', @n)", number("n", seq))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(insert, range(8))) == [1] * 8


# ---- what it lacks -------------------------------------------------------------------------------------------


@emulator_only
def test_nearest_vectors_are_not_searched(client: Client, table: str) -> None:
    with pytest.raises(BadRequest, match="Unexpected TABLE"):
        run(client, f"SELECT * FROM VECTOR_SEARCH(TABLE {table}, 'v', (SELECT [1.0] AS v), top_k => 1)")


@emulator_only
def test_cost_of_a_query_is_not_told(client: Client, table: str) -> None:
    job = client.query(f"SELECT * FROM {table}", job_config=QueryJobConfig(dry_run=True))
    assert job.total_bytes_processed == 0


@emulator_only
def test_star_over_an_array_of_structs_has_no_columns(client: Client) -> None:
    rows = ArrayQueryParameter("rows", "STRUCT", [Struct(None, number("seq", 1))])
    with pytest.raises(BadRequest):
        run(client, "SELECT s.seq FROM (SELECT * FROM UNNEST(@rows)) s", rows)


@emulator_only
def test_fields_of_an_aggregated_struct_lose_their_names(client: Client, table: str) -> None:
    (found,) = run(client, f"SELECT ARRAY_AGG(STRUCT(seq, body) ORDER BY seq LIMIT 1) AS a FROM {table}")
    assert found["a"] == [{"_field_1": 0, "_field_2": "x\0é"}]


# ---- faults --------------------------------------------------------------------------------------------------


def test_restart_keeps_the_rows(bigquery_to_break: BigQueryServer) -> None:
    with bigquery_to_break.service.client() as client:
        client.create_dataset("kept")
        run(client, "CREATE TABLE kept.t AS SELECT 7 AS n")
        bigquery_to_break.restart()
        assert run(client, "SELECT n FROM kept.t") == [{"n": 7}]


def test_renewed_server_is_empty_and_where_it_was(bigquery_to_break: BigQueryServer) -> None:
    with bigquery_to_break.service.client() as client:
        client.create_dataset("gone")
        bigquery_to_break.renew()
        assert run(client, "SELECT 7 AS n") == [{"n": 7}]
        with pytest.raises(NotFound):
            client.get_dataset("gone")


def test_paused_server_times_out(bigquery_to_break: BigQueryServer) -> None:
    with bigquery_to_break.service.client() as client:
        bigquery_to_break.pause()
        try:
            with pytest.raises(ReadTimeout):
                client.get_dataset("none", retry=NEVER, timeout=0.2)
        finally:
            bigquery_to_break.resume()


def test_stopped_server_refuses_connections(bigquery_to_break: BigQueryServer) -> None:
    bigquery_to_break.stop()
    try:
        with bigquery_to_break.service.client() as client, pytest.raises(ConnectionError):
            client.get_dataset("none", retry=NEVER)
    finally:
        bigquery_to_break.start()
