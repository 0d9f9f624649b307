"""The tables: what they hold, how they are laid out, and how they come into being."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.bigquery import Dataset, SchemaField, Table, TimePartitioning

from ...errors import MemoryBackendError, SchemaVersionError
from ...settings import BigQuerySettings
from .client import Gateway

VERSION = 2
"""Of the layout. 1 had no columns of ADDED."""
LABEL = "langswarm_memory_schema"
"""Label of every table; its value is the version of the layout."""

DAY_MS = 24 * 60 * 60 * 1_000
LOCKS = "locks"
"""A table of one row: see ``statements.py``."""

SESSIONS = {
    "session_id": "STRING",
    "user_id": "STRING",
    "agent_id": "STRING",
    "workflow_id": "STRING",
    "status": "STRING",
    "created_at": "TIMESTAMP",
    "updated_at": "TIMESTAMP",
    "expires_at": "TIMESTAMP",
    "tags": "STRING",
    "properties": "STRING",
    "revision": "INT64",
    "message_count": "INT64",
    "token_count": "INT64",
    "last_seq": "INT64",
    "summary_count": "INT64",
    "document": "BYTES",
}
ADDED = {"edits": "INT64", "indexed": "ARRAY<STRUCT<name STRING, last_seq INT64, edits INT64>>"}
"""Columns of sessions that came with version 2. Rows from before have none: NULL, and an empty array."""

_ADDED = [
    SchemaField("edits", "INT64", "NULLABLE"),
    SchemaField(
        "indexed",
        "RECORD",
        "REPEATED",
        fields=(SchemaField("name", "STRING"), SchemaField("last_seq", "INT64"), SchemaField("edits", "INT64")),
    ),
]
MESSAGES = {
    "session_id": "STRING",
    "seq": "INT64",
    "message_id": "STRING",
    "role": "STRING",
    "content": "STRING",
    "timestamp": "TIMESTAMP",
    "token_count": "INT64",
    "tool_call_id": "STRING",
    "name": "STRING",
    "content_blocks": "STRING",
    "tool_calls": "STRING",
    "function_call": "STRING",
    "metadata": "STRING",
    "stored_at": "TIMESTAMP",
    "batch": "STRING",
    "digest": "STRING",
    "document": "BYTES",
}
SUMMARIES = {
    "session_id": "STRING",
    "summary_id": "STRING",
    "summary": "STRING",
    "message_count": "INT64",
    "token_count": "INT64",
    "start_time": "TIMESTAMP",
    "end_time": "TIMESTAMP",
    "first_seq": "INT64",
    "last_seq": "INT64",
    "key_topics": "STRING",
    "summary_type": "STRING",
    "created_at": "TIMESTAMP",
    "document": "BYTES",
}


class _Shape(NamedTuple):
    columns: dict[str, str]
    optional: frozenset[str]
    """Columns that may be NULL."""
    clustering: list[str]
    description: str


SHAPES = {
    "sessions": _Shape(
        SESSIONS,
        frozenset({"user_id", "agent_id", "workflow_id", "expires_at", "tags", "properties"}),
        ["session_id", "user_id"],
        "One row per conversation",
    ),
    "messages": _Shape(
        MESSAGES,
        frozenset({"content", "tool_call_id", "name", "content_blocks", "tool_calls", "function_call", "metadata"}),
        ["session_id", "seq"],
        "One row per message; structures are JSON text",
    ),
    "summaries": _Shape(
        SUMMARIES, frozenset({"first_seq", "last_seq", "key_topics"}), ["session_id"], "One row per summary"
    ),
}


def prepare(gateway: Gateway, settings: BigQuerySettings) -> None:
    """Make what is missing, and check and set what is there. Blocks.

    Raises:
        SchemaVersionError: The tables were made by a newer version of this package.
        MemoryBackendError: A table of that name is not ours.
    """
    with gateway.io("open"):
        _prepare(gateway, settings)


def _prepare(gateway: Gateway, settings: BigQuerySettings) -> None:
    client = gateway.client
    how: dict[str, Any] = {"retry": gateway.retry, "timeout": settings.timeout}
    dataset_id = f"{settings.project_id}.{settings.dataset_id}"
    try:
        dataset = client.get_dataset(dataset_id, **how)
        present = {item.table_id: item.labels for item in client.list_tables(dataset_id, **how)}
    except NotFound:
        new = Dataset(dataset_id)
        new.location = settings.location
        dataset, present = client.create_dataset(new, exists_ok=True, **how), {}
    # A dataset that was there already may lie elsewhere than the settings say, and only there its jobs can run.
    gateway.location = dataset.location or settings.location
    for name, labels in present.items():
        if name in SHAPES or name == LOCKS:
            _check(name, labels.get(LABEL))
    for name, shape in SHAPES.items():
        if name not in present:
            client.create_table(_table(f"{dataset_id}.{name}", shape, settings), exists_ok=True, **how)
    if LOCKS not in present:
        # Made with its row in one statement: without the row there would be nothing that two inserts exclude by.
        gateway.query(
            f"CREATE TABLE IF NOT EXISTS `{dataset_id}.{LOCKS}` "
            f"OPTIONS (labels = [('{LABEL}', '{VERSION}')]) AS SELECT 'insert_session' AS name, 0 AS taken"
        )
    older = [name for name in (*SHAPES, LOCKS) if name in present and int(present[name][LABEL]) < VERSION]
    _upgrade(gateway, settings, older)
    if "messages" in present:
        _set_retention(gateway, settings, f"{dataset_id}.messages")


def _check(name: str, found: str | None) -> None:
    if found is None or not found.isdecimal():
        raise MemoryBackendError(
            "bigquery",
            "open",
            suggestion=f"the dataset has a table {name!r} that this package did not make; choose another dataset_id",
        )
    if int(found) > VERSION:
        raise SchemaVersionError(
            "bigquery", found=found, expected=str(VERSION), suggestion="upgrade langswarm-memory to read this dataset"
        )


def _table(table_id: str, shape: _Shape, settings: BigQuerySettings) -> Table:
    fields = [
        SchemaField(name, kind, "NULLABLE" if name in shape.optional else "REQUIRED")
        for name, kind in shape.columns.items()
    ]
    if shape.columns is SESSIONS:
        fields += _ADDED
    table = Table(table_id, schema=fields)
    table.labels = {LABEL: str(VERSION)}
    table.description = shape.description
    if shape.clustering:
        table.clustering_fields = shape.clustering
    if shape.columns is MESSAGES:
        table.time_partitioning = _partitioning(settings)
    return table


def _partitioning(settings: BigQuerySettings) -> TimePartitioning:
    return TimePartitioning(field="stored_at", expiration_ms=settings.retention_days * DAY_MS or None)


def _upgrade(gateway: Gateway, settings: BigQuerySettings, older: list[str]) -> None:
    """Add what tables of an older layout lack. Can be repeated at any point: the labels come last."""
    dataset_id = f"{settings.project_id}.{settings.dataset_id}"
    if "sessions" in older:
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in ADDED.items())
        gateway.query(f"ALTER TABLE `{dataset_id}.sessions` {added}")
    for name in older:
        table = gateway.client.get_table(f"{dataset_id}.{name}", retry=gateway.retry, timeout=settings.timeout)
        table.labels = {**table.labels, LABEL: str(VERSION)}
        with suppress(PreconditionFailed):  # another process is setting it at this very moment
            gateway.client.update_table(table, ["labels"], retry=gateway.retry, timeout=settings.timeout)


def _set_retention(gateway: Gateway, settings: BigQuerySettings, table_id: str) -> None:
    # The setting counts, not the value of the day on which the table was made.
    table = gateway.client.get_table(table_id, retry=gateway.retry, timeout=settings.timeout)
    wanted, partitioning = _partitioning(settings).expiration_ms, table.time_partitioning
    if partitioning is not None and partitioning.expiration_ms != wanted:
        # On the object that was read: None is then sent as null. A new one leaves it out, and nothing changes.
        partitioning.expiration_ms = wanted
        table.time_partitioning = partitioning
        with suppress(PreconditionFailed):  # another process is setting it at this very moment
            gateway.client.update_table(table, ["time_partitioning"], retry=gateway.retry, timeout=settings.timeout)
