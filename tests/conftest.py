"""Options, servers and the closing table of the whole test-suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services import postgres, stores


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-stores",
        metavar="NAME,NAME",
        help="stores that must be tested, or all: a missing server fails instead of skipping, and so does a run in "
        "which no test passed on one of them. Default: none; when CI is set, a missing server of "
        f"{', '.join(sorted(stores.REQUIRED_IN_CI))} fails.",
    )

    parser.addoption(
        "--write-docs",
        action="store_true",
        help="write the closing table, of what each store was tested against, into docs/backends.md",
    )

    parser.addoption(
        "--every-rule",
        action="store_true",
        help="hold slow stores to the rules of sessions and managers too, and to every rule with all its arguments. "
        "An ordinary run holds an emulator that takes a second per call to each rule of the store once.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-rule"):
        return
    left_out = set(stores.left_out(items))
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    stores.required_stores(config)  # a misspelt name ends the run now, not in the first test that needs it
    config.stash[stores.SERVERS] = {}
    config.pluginmanager.import_plugin("tests.services.fixtures_servers")


def pytest_itemcollected(item: pytest.Item) -> None:
    store = stores.store_of(item)
    if store is not None:
        item.user_properties.append(("store", store))


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's: absent where the tests run in one process
def pytest_testnodedown(node: Any, error: object) -> None:
    servers = node.config.stash[stores.SERVERS]
    servers.update(getattr(node, "workeroutput", {}).get("servers", {}))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a process of several: the table is made where they come together
        servers = session.config.stash[stores.SERVERS]
        session.config.workeroutput["servers"] = dict(servers)
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus != pytest.ExitCode.OK or session.config.option.collectonly or reporter is None:
        return
    if stores.untested(session.config, stores.outcomes_by_store(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = stores.outcomes_by_store(terminalreporter)
    if counts:
        terminalreporter.section("stores")
        for line in stores.store_table(counts, config.stash[stores.SERVERS]):
            terminalreporter.write_line(line)
        if config.getoption("--write-docs"):
            stores.write_docs(counts, config.stash[stores.SERVERS])
    if not config.option.collectonly:
        for store in stores.untested(config, counts):
            terminalreporter.write_line(f"no test passed on {store}, which this run requires", red=True)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[postgres.PostgresService]:
    """The PostgreSQL that all tests share: that of the environment, or one of our own for this run."""
    servers = pytestconfig.stash[stores.SERVERS]
    given = postgres.service_from_environment()
    if given is not None:
        servers["postgres"] = f"PostgreSQL {given.version()}, by {postgres.URL_VARIABLE}"
        yield given
        return
    with own_postgres(pytestconfig) as server:
        servers["postgres"] = f"PostgreSQL {server.service.version()}, our own"
        yield server.service


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresService) -> Iterator[str]:
    """URL of an empty database, dropped after the test."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_to_break(pytestconfig: pytest.Config) -> Iterator[postgres.PostgresServer]:
    """A server for one module's tests alone, which they stop and start. Leave it running."""
    with own_postgres(pytestconfig) as server:
        yield server


def own_postgres(config: pytest.Config) -> postgres.PostgresServer:
    """Return a server of our own, not started; without its binaries the test is skipped, or fails."""
    binaries = postgres.find_binaries()
    if binaries is None:
        stores.missing_server(config, "postgres", postgres.REMEDY)
    return postgres.PostgresServer(binaries)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children be interrupted, also where the tests run in the background of a shell, which ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
