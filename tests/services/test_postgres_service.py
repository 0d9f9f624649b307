"""The PostgreSQL that the tests bring up: it answers, survives a restart, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from tests.services import postgres, stores

GONE_SECONDS = 20


def gone(processes: list[psutil.Process]) -> bool:
    """Wait for the end of processes; one that nobody has collected yet counts as ended."""
    deadline = time.monotonic() + GONE_SECONDS
    alive = processes
    while alive and time.monotonic() < deadline:
        _, alive = psutil.wait_procs(alive, timeout=0.05)
        alive = [process for process in alive if not uncollected(process)]
    return not alive


def uncollected(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def family(server: postgres.PostgresServer) -> list[psutil.Process]:
    assert server.pid is not None
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]


@pytest.fixture
def idle_server(pytestconfig: pytest.Config) -> Iterator[postgres.PostgresServer]:
    binaries = postgres.find_binaries()
    if binaries is None:
        stores.missing_server(pytestconfig, "postgres", postgres.REMEDY)
    server = postgres.PostgresServer(binaries)
    yield server
    server.close()


pytestmark = pytest.mark.store("postgres")


def test_shared_server_answers(postgres_server: postgres.PostgresService) -> None:
    assert int(postgres_server.version().split(".")[0]) >= 14


def test_test_database_is_empty(postgres_url: str) -> None:
    assert postgres.execute(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_test_database_is_dropped_afterwards(postgres_server: postgres.PostgresService) -> None:
    with postgres_server.fresh_database() as url:
        name = postgres.execute(url, "SELECT current_database()")
    left = postgres.execute(postgres_server.url, f"SELECT count(*) FROM pg_database WHERE datname = '{name}'")
    assert left == 0


async def test_database_can_be_made_in_a_running_event_loop(
    postgres_server: postgres.PostgresService,
) -> None:
    with postgres_server.fresh_database() as url:
        assert postgres.execute(url, "SELECT 1") == 1


def test_own_server_has_pgvector(postgres_to_break: postgres.PostgresServer) -> None:
    with postgres_to_break.service.fresh_database() as url:
        postgres.execute(url, "CREATE EXTENSION vector")
        assert postgres.execute(url, "SELECT '[1,0]'::vector <=> '[0,1]'::vector") == 1.0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_url_and_data(postgres_to_break: postgres.PostgresServer, mode: postgres.StopMode) -> None:
    url = postgres_to_break.url
    postgres.execute(url, f"CREATE TABLE kept_{mode} AS SELECT 7 AS n")
    postgres_to_break.restart(mode)
    assert postgres.execute(url, f"SELECT n FROM kept_{mode}") == 7


def test_stopped_server_refuses_connections(idle_server: postgres.PostgresServer) -> None:
    idle_server.start()
    idle_server.stop()
    with pytest.raises(ConnectionRefusedError):
        postgres.execute(idle_server.url, "SELECT 1")


def test_stop_leaves_no_process(idle_server: postgres.PostgresServer) -> None:
    idle_server.start()
    processes = family(idle_server)
    idle_server.stop()
    assert gone(processes)


def test_close_removes_the_folder(idle_server: postgres.PostgresServer) -> None:
    idle_server.start()
    idle_server.close()
    assert not idle_server.folder.exists()


def test_start_failure_shows_the_log(pytestconfig: pytest.Config) -> None:
    binaries = postgres.find_binaries()
    if binaries is None:
        stores.missing_server(pytestconfig, "postgres", postgres.REMEDY)
    with (
        pytest.raises(postgres.PostgresServerError, match="no_such_setting"),
        postgres.PostgresServer(binaries, {"no_such_setting": "1"}),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the account")
def test_root_runs_binaries_out_of_a_private_folder(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    binaries = postgres.find_binaries()
    if binaries is None:
        stores.missing_server(pytestconfig, "postgres", postgres.REMEDY)
    package = binaries.parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (private / folder.name).symlink_to(folder)
    with postgres.PostgresServer(private / binaries.relative_to(package.parent)) as server:
        assert postgres.execute(server.url, "SELECT 1") == 1


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_killed_test_run_leaves_no_server(blow: signal.Signals, pytestconfig: pytest.Config) -> None:
    if postgres.find_binaries() is None:
        stores.missing_server(pytestconfig, "postgres", postgres.REMEDY)
    script = dedent("""
        import signal
        from tests.services import postgres
        with postgres.PostgresServer(postgres.find_binaries()) as server:
            print(server.pid, server.folder, flush=True)
            signal.pause()
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        started = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(blow)
    assert int(pid) in {process.pid for process in started}
    assert gone(started)
    assert not Path(folder).exists()
