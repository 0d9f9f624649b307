"""Brings the servers of the tests onto this machine: pinned, in one ignored folder, several at a time.

Nothing is installed into the system. What package managers keep in caches of their own is used and left there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

FOLDER_VARIABLE = "LANGSWARM_TEST_SERVERS_DIR"
COMMAND = "python -m tests.services up"
WORKERS = 4  # most of the time goes into waiting for downloads
LOG_TAIL_LINES = 12


def servers_folder() -> Path:
    """Return the folder that holds everything that was brought."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).resolve() if given else Path(__file__).resolve().parents[2] / ".servers"


class InstallError(RuntimeError):
    """A piece could not be brought; the message says why in one line, or ends with the log's last lines."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to bring: its pinned version, where it comes from, and how.

    `bring` fills an empty folder and returns the version that it found there. `recipe` counts up when what
    `bring` does changes while the version stays.
    """

    name: str
    version: str
    source: str
    programs: tuple[str, ...]
    bring: Callable[[Workshop], str]
    recipe: int = 1

    @property
    def folder(self) -> Path:
        return servers_folder() / self.name

    def installed(self) -> Installed | None:
        """Return what is in place, None when it is missing or of another pin."""
        try:
            stamp = json.loads((self.folder / "stamp.json").read_text())
        except FileNotFoundError:
            return None
        if (stamp["pin"], stamp["recipe"]) != (self.version, self.recipe):
            return None
        return Installed(self, stamp["version"], stamp["seconds"])


@dataclass(frozen=True, slots=True)
class Installed:
    """A piece in its place."""

    piece: Piece
    version: str
    seconds: float

    @property
    def note(self) -> str:
        """Where it came from, and whether it is what was pinned: an archive may have moved on."""
        other = "" if self.version.startswith(self.piece.version) else f", pinned is {self.piece.version}"
        return f"{self.piece.source}{other}"


@dataclass(slots=True)
class Workshop:
    """What `bring` works with: an empty folder, a log, and somebody to tell."""

    folder: Path
    log: Path
    say: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: Sequence[str | Path], **environment: str) -> str:
        """Run a command in the folder; its output goes to the log and is returned.

        Raises:
            InstallError: It ended with another code than 0.
        """
        words = [str(word) for word in command]
        done = subprocess.run(
            words,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
        )
        with self.log.open("a") as log:
            log.write(f"$ {shlex.join(words)}\n{done.stdout}")
        if done.returncode != 0:
            tail = "\n".join(done.stdout.splitlines()[-LOG_TAIL_LINES:])
            raise InstallError(f"{Path(words[0]).name} ended with code {done.returncode}\n{tail}")
        return done.stdout


class Progress:
    """Lines with the time since the start, from several threads."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._start = time.monotonic()
        self._lock = Lock()

    def say(self, name: str, text: str) -> None:
        """Write one line about a piece."""
        with self._lock:
            self._write(f"[{time.monotonic() - self._start:4.0f} s] {name}: {text}")


def bring_all(pieces: Sequence[Piece], progress: Progress) -> dict[str, Installed | InstallError]:
    """Bring what is missing, several pieces at a time, and return what became of each.

    One that fails does not stop the others. A second run at the same time waits for the first.
    """
    root = servers_folder()
    root.mkdir(parents=True, exist_ok=True)
    (root / "logs").mkdir(exist_ok=True)
    with _alone(root), ThreadPoolExecutor(WORKERS, thread_name_prefix="bring") as pool:
        tasks = {piece.name: pool.submit(_bring, piece, progress) for piece in pieces}
        return {name: task.result() for name, task in tasks.items()}


def _bring(piece: Piece, progress: Progress) -> Installed | InstallError:
    there = piece.installed()
    if there is not None:
        progress.say(piece.name, f"{there.version} is there")
        return there
    for program in piece.programs:
        if shutil.which(program) is None:
            error = InstallError(f"needs {program}")
            progress.say(piece.name, str(error))
            return error
    log = servers_folder() / "logs" / f"{piece.name}.log"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    shutil.rmtree(piece.folder, ignore_errors=True)  # rests of an interrupted run, or another version
    piece.folder.mkdir()
    workshop = Workshop(piece.folder, log, lambda text: progress.say(piece.name, text))
    try:
        version = piece.bring(workshop)
    except (InstallError, OSError) as error:
        shutil.rmtree(piece.folder, ignore_errors=True)
        progress.say(piece.name, f"failed: {error}")
        return error if isinstance(error, InstallError) else InstallError(str(error))
    seconds = round(time.monotonic() - start, 1)
    stamp = {"pin": piece.version, "recipe": piece.recipe, "version": version, "seconds": seconds}
    (piece.folder / "stamp.json").write_text(json.dumps(stamp))  # last: without it the piece is not there
    progress.say(piece.name, f"{version}, {seconds:.0f} s")
    return Installed(piece, version, seconds)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
