"""What every server of the tests does: it survives a restart, and leaves nothing behind, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from tests.services import echo_server
from tests.services.echo_server import EchoServer, FailingServer, HesitantServer
from tests.services.server import ServerError, StopMode

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


def family(server: EchoServer) -> list[psutil.Process]:
    leader = psutil.Process(server.pids[0])
    return [leader, *leader.children(recursive=True)]


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


def test_started_server_answers(server: EchoServer) -> None:
    assert server.echo(b"hello") == b"hello"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_the_url(server: EchoServer, mode: StopMode) -> None:
    before = server.url
    server.restart(mode)
    assert (server.url, server.echo(b"hello")) == (before, b"hello")


def test_restart_keeps_the_folder(server: EchoServer) -> None:
    server.restart()
    assert (server.folder / "starts").read_text() == "xx"


def test_second_start_is_refused(server: EchoServer) -> None:
    with pytest.raises(ServerError, match="runs already"):
        server.start()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_stop_ends_helpers_too(server: EchoServer, mode: StopMode) -> None:
    processes = family(server)
    assert len(processes) == 2
    server.stop(mode)
    assert gone(processes)


def test_stopped_server_refuses_connections(server: EchoServer) -> None:
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        server.echo(b"hello")


def test_second_stop_does_nothing(server: EchoServer) -> None:
    server.stop()
    server.stop()
    assert server.pids == []


def test_paused_server_does_not_answer(server: EchoServer) -> None:
    server.pause()
    with pytest.raises(TimeoutError):
        server.echo(b"hello", seconds=0.1)


def test_resumed_server_answers(server: EchoServer) -> None:
    server.pause()
    server.resume()
    assert server.echo(b"hello") == b"hello"


def test_paused_server_can_be_stopped(server: EchoServer) -> None:
    processes = family(server)
    server.pause()
    server.stop()
    assert gone(processes)


def test_close_removes_the_folder(server: EchoServer) -> None:
    server.close()
    assert not server.folder.exists()


def test_failed_start_shows_the_log() -> None:
    with pytest.raises(ServerError, match="ended with code 3\nno such setting"), FailingServer():
        pass


def test_failed_start_leaves_no_folder() -> None:
    server = FailingServer()
    with pytest.raises(ServerError), server:
        pass
    assert not server.folder.exists()


def test_first_start_that_fails_is_tried_on_another_port() -> None:
    with HesitantServer() as server:
        assert (len(set(server.tried)), server.echo(b"hello")) == (2, b"hello")


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("state", ["running", "paused"])
def test_killed_test_run_leaves_no_server(blow: signal.Signals, state: str) -> None:
    script = dedent(f"""
        import signal
        from {echo_server.__name__} import EchoServer
        with EchoServer() as server:
            if {state!r} == "paused":
                server.pause()
            print(server.pids[0], server.folder, flush=True)
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
