"""Which store a test runs on, which stores a run must have, and the closing table of what was tested."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

STORES = (
    "in_memory",
    "sqlite-memory",
    "sqlite-vec",
    "sqlite",
    "postgres",
    "redis-cluster",
    "redis-stack",
    "redis_vectors",
    "redis",
    "mongodb-transactions",
    "mongodb",
    "elasticsearch",
    "bigquery",
    "pgvector",
    "qdrant",
    "chroma",
    "pinecone",
)
"""Names as they stand in parameter ids. No name may come before a longer one that contains it."""

SERVER_STORES = STORES[STORES.index("postgres") :]
"""Stores that are a server: the fixture that brings one up has the store's name as its prefix."""

SLOW = frozenset({"bigquery"})
"""Stores that take a second per call; see ``--every-rule``."""

REQUIRED_IN_CI = frozenset(STORES) - {"in_memory", "sqlite-memory"}

DOCS = Path(__file__).resolve().parents[2] / "docs" / "backends.md"
BEGIN, END = "<!-- tested: begin -->", "<!-- tested: end -->"
"""Where the closing table stands in the documentation."""

SERVERS = pytest.StashKey[dict[str, str]]()
"""Store → server and version, filled by whatever brought the server up."""

WORST_FIRST = ("failed", "error", "xpassed", "passed", "xfailed", "skipped")
"""A test that passes and fails in its teardown is reported twice; the worse report counts."""


def required_stores(config: pytest.Config) -> frozenset[str]:
    """Return the stores whose absence is a failure: those of --require-stores ("all": of CI), else in CI CI's.

    Raises:
        pytest.UsageError: --require-stores names a store that no test runs on.
    """
    given = config.getoption("--require-stores")
    if given is None:
        return REQUIRED_IN_CI if in_ci() else frozenset()
    if given == "all":
        return REQUIRED_IN_CI
    names = frozenset(name.strip() for name in given.split(",") if name.strip())
    if unknown := names.difference(STORES):
        raise pytest.UsageError(
            f"--require-stores: unknown {', '.join(sorted(unknown))}; known are {', '.join(STORES)}"
        )
    return names


def in_ci() -> bool:
    """Return whether this run is one of CI, in which nothing may be skipped for want of a package or a server."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def missing_server(config: pytest.Config, store: str, remedy: str) -> NoReturn:
    """Skip the test for want of a server; fail it where the run requires that store.

    Args:
        config: The run's configuration.
        store: Name of the store, as in STORES.
        remedy: The command that brings the server.
    """
    reason = f"no {store} server; {remedy}"
    if store in required_stores(config):
        pytest.fail(f"{reason} (this run requires {store})", pytrace=False)
    pytest.skip(reason)


def store_of(item: pytest.Item) -> str | None:
    """Return the store that a test runs on: by its marker, its parameter ids, or the server it asks for."""
    marker = item.get_closest_marker("store")
    if marker is not None:
        return str(marker.args[0])
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        # Ids of several parameters are joined by "-", which "sqlite-memory" has inside too: whole words only.
        for store in STORES:
            if f"-{store}-" in f"-{callspec.id}-":
                return store
    for fixture in getattr(item, "fixturenames", ()):
        for store in SERVER_STORES:
            if fixture.startswith(f"{store.replace('-', '_')}_"):
                return store
    return None


def left_out(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield what an ordinary run leaves out of the shared suites on slow stores.

    The rules of sessions and managers are kept by code that all stores share, and other arguments of a rule of the
    store go the same way through the adapter.
    """
    seen: set[str] = set()
    for item in items:
        if store_of(item) not in SLOW or "/test_stores.py::" not in item.nodeid:
            continue
        rule = item.nodeid.partition("[")[0]
        if "TestBackend::" in rule or rule in seen:
            yield item
        seen.add(rule)


def outcomes_by_store(reporter: pytest.TerminalReporter) -> dict[str, dict[str, int]]:
    """Return store → outcome → number of tests; each test counts once, with its worst report."""
    worst: dict[str, tuple[str, str]] = {}
    for outcome in reversed(WORST_FIRST):
        for report in reporter.stats.get(outcome, ()):
            store = dict(getattr(report, "user_properties", ())).get("store")
            if store is not None:
                worst[report.nodeid] = (str(store), outcome)
    counts: dict[str, dict[str, int]] = {}
    for store, outcome in worst.values():
        counts.setdefault(store, dict.fromkeys(WORST_FIRST, 0))[outcome] += 1
    return counts


def untested(config: pytest.Config, counts: dict[str, dict[str, int]]) -> list[str]:
    """Return the stores that --require-stores names and on which no test passed.

    Only for the option: a run of a few chosen tests in CI need not touch every store.
    """
    if config.getoption("--require-stores") is None:
        return []
    return sorted(store for store in required_stores(config) if not counts.get(store, {}).get("passed"))


def vector_servers(servers: Mapping[str, str]) -> dict[str, str]:
    """Return store of vectors → what it runs on, for those that run on another store's server or on packages."""
    known = {
        "sqlite-vec": f"sqlite-vec {_version('sqlite-vec')}",
        "qdrant": f"qdrant-edge-py {_version('qdrant-edge-py')} behind a gateway of ours; the client's local mode",
        "pinecone": "a stand-in of ours",
    }
    known |= {
        store: f"by {variable}"
        for store, variable in (
            ("qdrant", "LANGSWARM_TEST_QDRANT_URL"),
            ("pinecone", "LANGSWARM_TEST_PINECONE_HOST"),
        )
        if os.environ.get(variable)
    }
    if "postgres" in servers:
        known["pgvector"] = f"pgvector in {servers['postgres']}"
    if "redis-stack" in servers:
        known["redis_vectors"] = servers["redis-stack"]
    return known


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def store_rows(counts: dict[str, dict[str, int]], servers: dict[str, str]) -> list[tuple[str, str, str, str, str]]:
    """Return a row for each store, in the order of STORES, other stores after them: name, server, and counts."""
    known = {
        "in_memory": "this process",
        "sqlite": f"SQLite {sqlite3.sqlite_version}",
        "sqlite-memory": f"SQLite {sqlite3.sqlite_version}, :memory:",
        **vector_servers(servers),
        **servers,
    }
    rows = []
    for name in [name for name in STORES if name in counts] + sorted(set(counts).difference(STORES)):
        of = counts[name]
        passed, failed = of["passed"] + of["xfailed"], of["failed"] + of["error"] + of["xpassed"]
        rows.append((name, known.get(name, "not brought up"), str(passed), str(failed), str(of["skipped"])))
    return rows


def store_table(counts: dict[str, dict[str, int]], servers: dict[str, str]) -> list[str]:
    """Return the closing table."""
    rows = [("store", "server", "passed", "failed", "skipped"), *store_rows(counts, servers)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  "
        f"{row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]:>{widths[4]}}"
        for row in rows
    ]


def write_docs(counts: dict[str, dict[str, int]], servers: dict[str, str]) -> None:
    """Write the closing table into the documentation, between its marks."""
    lines = ["| store | server | passed | failed | skipped |", "|---|---|--:|--:|--:|"]
    lines += [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in store_rows(counts, servers)]
    page = DOCS.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{DOCS.name} has no marks {BEGIN} and {END}")
    DOCS.write_text(f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{tail}", encoding="utf-8")
