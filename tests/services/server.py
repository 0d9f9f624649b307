"""What all servers of the tests share: a temporary folder, free ports, an orderly end, and an end in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import psutil

from tests.services.host import Account, free_port, temporary_base

START_SECONDS = 120.0  # a Java server on a busy machine
STOP_SECONDS = 30.0
READY_POLL_SECONDS = 0.02
STOPPED_STATES = ("T", "Z")  # of a thread, in /proc: stopped by a signal; ended
PORT_ATTEMPTS = 3
LOG_TAIL_LINES = 30

# Each process notes its own id before it becomes the server, so that no moment is left in which a server
# runs that the watchdog does not know of. What the note holds is the signal that ends it at once.
LAUNCH = 'echo "$2" >"$1/$$" || exit 126; shift 2; exec "$@"'

# Waits until the test run has closed its end of the pipe, which the system does even after `kill -9`. Then it
# ends whatever still runs and removes the folder. Renamed first: a process that is just starting then finds
# no place for its note, and ends by itself. A server is a process group, for some are several processes.
WATCHDOG = """
cat >/dev/null
mv "$1/pids" "$1/ending" || exit
for note in "$1"/ending/*; do
    [ -f "$note" ] || continue
    kill "-$(cat "$note")" "-${note##*/}"
    kill -CONT "-${note##*/}"
done
for note in "$1"/ending/*; do
    [ -f "$note" ] || continue
    n=0
    while kill -0 "-${note##*/}" && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
    kill -KILL "-${note##*/}"
done
rm -rf "$1"
"""

StopMode = Literal["fast", "immediate"]
SignalName = Literal["TERM", "INT", "QUIT", "KILL"]


class ServerError(RuntimeError):
    """A server did not start or stop; the message ends with the last lines of its logs."""


@dataclass(frozen=True, slots=True)
class _Process:
    """A started process, the leader of a group of its own, and the signals that end it."""

    popen: subprocess.Popen[bytes]
    fast: signal.Signals
    immediate: signal.Signals

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(self.popen.pid, number)

    def frozen(self) -> bool:
        """Tell whether every thread of the group has been stopped."""
        for process in (leader := psutil.Process(self.popen.pid), *leader.children(recursive=True)):
            if os.getpgid(process.pid) != self.popen.pid:
                continue
            try:
                for thread in Path(f"/proc/{process.pid}/task").iterdir():
                    if (thread / "stat").read_text().rpartition(")")[2].split()[0] not in STOPPED_STATES:
                        return False
            except FileNotFoundError:
                return False  # it ended while we looked; what is left is looked at again
        return True


def await_condition(holds: Callable[[], bool], complaint: str) -> None:
    """Return once a condition holds.

    Raises:
        ServerError: It does not within START_SECONDS; with the complaint.
    """
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise ServerError(f"{complaint} after {START_SECONDS} s")
        time.sleep(READY_POLL_SECONDS)


class Server(ABC):
    """A server of our own on 127.0.0.1, with its data in a temporary folder.

    It keeps its ports and its data over `stop` and `start`. It ends with `close`, or by itself when this
    process ends, however that happens.

    Args:
        on_disk: Keep the data on a disk. By default it lies in memory if it can.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1
    refuses_root: ClassVar[bool] = False

    def __init__(self, *, on_disk: bool = False) -> None:
        self._account = Account.needed() if self.refuses_root else None
        self._processes: list[_Process] = []
        self._ports: tuple[int, ...] = ()
        self._prepared = False
        base = temporary_base(self._account, on_disk=on_disk)
        self.folder = Path(tempfile.mkdtemp(prefix=f"langswarm-{self.name}-", dir=base))
        (self.folder / "pids").mkdir()
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the test run; the watchdog acts after it
        )
        if self._account is not None:
            self._account.own(self.folder)

    # ---- what each server says of itself

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it; the same after a restart."""

    @property
    @abstractmethod
    def version(self) -> str:
        """The running server's own word on its version."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the processes on `_ports` with `_spawn`, and return once clients are served."""

    def _prepare(self) -> None:  # noqa: B027  # not abstract: most servers make their data themselves
        """Create the data, once, before the first start."""

    # ---- life

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
    def port(self) -> int:
        """The port that clients connect to."""
        if not self._ports:
            raise ServerError(f"{self.name} was never started")
        return self._ports[0]

    @property
    def pids(self) -> list[int]:
        """Process ids of the running server, empty while it is stopped."""
        return [process.popen.pid for process in self._processes]

    def start(self) -> None:
        """Start the server and return once it serves; the first time, create its data before.

        Raises:
            ServerError: It runs already, or it ended, or it was not ready within START_SECONDS.
        """
        if self._processes:
            raise ServerError(f"{self.name} runs already as process {self.pids[0]}")
        if not self._prepared:
            self._prepare()
            self._prepared = True
        if self._ports:
            self._launch_or_kill()
            return
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._ports = tuple(free_port() for _ in range(self.port_count))
            try:
                self._launch_or_kill()
            except ServerError:
                # Somebody else may take a port between the probe and the start, but not each time.
                self._ports = ()
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end; a stopped one stays stopped.

        Args:
            mode: "fast" lets it write everything down. "immediate" kills it, as a crash does.

        Raises:
            ServerError: It did not end within STOP_SECONDS, and was killed.
        """
        processes, self._processes = self._processes, []
        late = False
        for process in reversed(processes):
            process.signal(process.immediate if mode == "immediate" else process.fast)
            process.signal(signal.SIGCONT)  # a paused one would never hear of it
            try:
                process.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                late = True
            process.signal(signal.SIGKILL)  # helpers that outlived their leader
            process.popen.wait()
            (self.folder / "pids" / str(process.popen.pid)).unlink(missing_ok=True)
        if late:
            raise ServerError(f"{self.name} did not end within {STOP_SECONDS} s\n{self._log_tail()}")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start; ports and data stay."""
        self.stop(mode)
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers, as on a machine that hangs."""
        for process in self._processes:
            process.signal(signal.SIGSTOP)
        # One thread takes the signal and stops the others; on a busy machine they answer requests meanwhile.
        await_condition(lambda: all(process.frozen() for process in self._processes), f"{self.name} does not freeze")

    def resume(self) -> None:
        """Let a paused server go on; what was sent to it meanwhile is carried out now."""
        for process in self._processes:
            process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its folder. Idempotent."""
        try:
            self.stop("immediate")  # nothing has to be written down any more
        finally:
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()
            self._watchdog.wait(STOP_SECONDS)

    # ---- for the classes of the servers

    def _spawn(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        fast: SignalName = "TERM",
        immediate: SignalName = "KILL",
        environment: Mapping[str, str] | None = None,
        as_account: bool = True,
    ) -> None:
        """Start one process of the server and wait until it is ready.

        Args:
            command: Program and arguments.
            ready: Tells whether it serves.
            fast: The signal that ends it in good order.
            immediate: The signal that ends it at once.
            environment: What it needs besides the little that all get.
            as_account: Run it under the server's account, not under ours.
        """
        words = [str(word) for word in command]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", LAUNCH, "launch", str(self.folder / "pids"), immediate, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not stop the server before the tests have let go of it
                cwd=self.folder,
                env=self._environment(environment),
                **(self._identity() if as_account else {}),
            )
        self._processes.append(_Process(process, signal.Signals[f"SIG{fast}"], signal.Signals[f"SIG{immediate}"]))

        def ready_or_ended() -> bool:
            return process.poll() is not None or ready()

        try:
            await_condition(ready_or_ended, f"{words[0]} is not ready")
        except ServerError as error:
            raise ServerError(f"{error}\n{self._log_tail()}") from None
        if process.returncode is not None:
            raise ServerError(f"{words[0]} ended with code {process.returncode}\n{self._log_tail()}")

    def _run(self, command: Sequence[str | Path]) -> str:
        """Run a command to its end, as the server's account and in its folder, and return its output."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(word) for word in command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self._environment(None),
            **self._identity(),
        )
        if done.returncode != 0:
            raise ServerError(f"{command[0]} ended with code {done.returncode}\n{done.stdout}\n{self._log_tail()}")
        return done.stdout

    def _launch_or_kill(self) -> None:
        try:
            self._launch()
        except BaseException:
            self.stop("immediate")
            raise

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        # Not the caller's: PGPORT, JAVA_TOOL_OPTIONS and their like would change what is started.
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.folder), **(more or {})}

    def _identity(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}

    def _log_tail(self) -> str:
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]) if log.exists() else ""
