"""What a server of the tests needs of this machine: an account, a temporary folder, a port."""

from __future__ import annotations

import os
import pwd
import random
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

MEMORY_FOLDER = "/dev/shm"
MEMORY_FREE_BYTES = 2**30  # containers often have 64 MB there, too little for a database server

# Below the ephemeral range of Linux (32768) and macOS (49152). Inside that range a client that keeps trying
# the port of a stopped server can be given this very port as its own; it then talks to itself, and the
# restart finds the port taken.
PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a server runs under when the tests run as root, which PostgreSQL for one refuses."""

    uid: int
    gid: int

    @classmethod
    def needed(cls) -> Account | None:
        """Return an account without rights when we are root, None otherwise."""
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_uid, entry.pw_gid)

    def own(self, folder: Path) -> None:
        """Give a folder and everything in it to this account."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def temporary_base(account: Account | None, *, on_disk: bool) -> str:
    """Return the folder for temporary folders: memory where that is wanted and possible, else the system's.

    With an account, only a folder that the account can reach.
    """
    candidates = [tempfile.gettempdir()]
    if not on_disk and _fit_for_a_server(MEMORY_FOLDER):
        candidates.insert(0, MEMORY_FOLDER)
    if account is None:
        return candidates[0]
    for candidate in (*candidates, "/tmp", "/var/tmp"):
        path = Path(candidate).resolve()
        if path.is_dir() and all(part.stat().st_mode & 0o001 for part in (path, *path.parents)):
            return candidate
    raise RuntimeError(f"no temporary folder that uid {account.uid} can reach; set TMPDIR to one")


def _fit_for_a_server(folder: str) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    status = os.statvfs(folder)
    executable = not status.f_flag & getattr(os, "ST_NOEXEC", 0)  # copied binaries lie there too
    return executable and status.f_bavail * status.f_frsize >= MEMORY_FREE_BYTES


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens just now."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port among 100 of {PORTS.start} to {PORTS.stop - 1}")
