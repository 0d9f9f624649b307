"""A MongoDB-compatible server on loopback: FerretDB in front of a PostgreSQL with the DocumentDB extension."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from pymongo import MongoClient

from tests.services.recipes import DOCUMENTDB, FERRETDB
from tests.services.server import Server

URL_VARIABLE = "LANGSWARM_TEST_MONGODB_URL"

CHECKOUT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",  # nothing here has to survive the machine
    "full_page_writes": "off",
    "shared_preload_libraries": "pg_cron,pg_documentdb_core,pg_documentdb",
    "cron.database_name": "postgres",
    "cron.host": "127.0.0.1",  # builds indexes and sweeps expired documents
}


@dataclass(frozen=True, slots=True)
class MongoService:
    """A MongoDB, or what speaks its protocol, that answers at a URL, whoever runs it."""

    url: str

    def url_for(self, database: str) -> str:
        """Return the URL with another database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def version(self) -> str:
        """Ask the server for its version, and what it is if it is not MongoDB itself."""
        with _client(self.url) as client:
            built = client.server_info()
        if "ferretdb" in built:
            return f"FerretDB {built['ferretdb']['version']}"
        return "DocumentDB" if built["gitVersion"] == "documentdb" else f"MongoDB {built['version']}"

    def has_transactions(self) -> bool:
        """Tell whether it is part of a replica set or of a sharded cluster, as transactions demand."""
        with _client(self.url) as client:
            hello = client.admin.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Yield the URL of a database that does not exist yet, and drop it."""
        name = f"test_{uuid4().hex}"
        try:
            yield self.url_for(name)
        finally:
            with _client(self.url) as client:
                client.drop_database(name)


def _client(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(url, serverSelectionTimeoutMS=10_000)


def service_from_environment() -> MongoService | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get(URL_VARIABLE)
    return MongoService(url) if url else None


class MongoServer(Server):
    """FerretDB and its PostgreSQL, as one server: started, stopped and paused together.

    FerretDB knows no transactions; tests/services/README.md lists what else differs.

    Args:
        transactions: Take a gateway of our own in FerretDB's place, which has them.
        on_disk: As for every server.
    """

    name: ClassVar[str] = "mongodb"
    port_count: ClassVar[int] = 2
    refuses_root: ClassVar[bool] = True

    def __init__(self, *, transactions: bool = False, on_disk: bool = False) -> None:
        super().__init__(on_disk=on_disk)
        self._transactions = transactions

    @property
    def service(self) -> MongoService:
        """The server as a service."""
        return MongoService(self.url)

    @property
    def url(self) -> str:
        """URL without a database."""
        direct = "?directConnection=true" if self._transactions else ""
        return f"mongodb://127.0.0.1:{self.port}/{direct}"

    @property
    def version(self) -> str:
        """The server's own word on its version."""
        return self.service.version()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        self._run(
            [
                *(_postgres("initdb"), f"--pgdata={self._data}", "--username=postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ]
        )

    def _launch(self) -> None:
        port, postgres_port = self._ports
        command: list[str | Path] = [_postgres("postgres"), "-D", self._data, "-p", str(postgres_port)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        # Killed, PostgreSQL would leave shared memory behind; at QUIT it ends at once and does not.
        self._spawn(command, self._postgres_ready, fast="INT", immediate="QUIT")
        self._run(
            [
                *(_postgres("psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(postgres_port), "-U", "postgres"),
                *("-v", "ON_ERROR_STOP=1", "-c", "CREATE EXTENSION IF NOT EXISTS documentdb CASCADE"),
            ]
        )
        if self._transactions:
            # Under our own account: the interpreter may lie where the server's cannot go.
            self._spawn(
                [
                    *(sys.executable, "-m", "tests.services.documentdb_gateway", str(port)),
                    f"postgresql://postgres@127.0.0.1:{postgres_port}/postgres",
                ],
                lambda: _listens(port),
                environment={"PYTHONPATH": str(CHECKOUT)},
                as_account=False,
            )
            return
        self._spawn(
            [
                FERRETDB.folder / "ferretdb",
                f"--postgresql-url=postgres://postgres@127.0.0.1:{postgres_port}/postgres?sslmode=disable",
                *(f"--listen-addr=127.0.0.1:{port}", "--debug-addr=-", "--no-auth", "--telemetry=disable"),
                *(f"--state-dir={self.folder}", "--log-level=WARN"),
            ],
            lambda: _listens(port),
        )

    def _postgres_ready(self) -> bool:
        # The eighth line of the file is the server's own word on its readiness.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _postgres(program: str) -> Path:
    return DOCUMENTDB.folder / "tree/usr/lib/postgresql/18/bin" / program


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
