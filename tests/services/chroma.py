"""A real Chroma on loopback: the server that comes with the client, data in a temporary folder."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from tests.services.server import Server

URL_VARIABLE = "LANGSWARM_TEST_CHROMA_URL"
PACKAGE = "chromadb"
REMEDY = f"install it: pip install {PACKAGE}"
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ChromaService:
    """A Chroma that answers at a URL, whoever runs it."""

    url: str

    @property
    def host(self) -> str:
        """Its host."""
        return urlsplit(self.url).hostname or "localhost"

    @property
    def port(self) -> int:
        """Its port."""
        return urlsplit(self.url).port or 8000

    def version(self) -> str:
        """Ask the server for its version."""
        with urlopen(f"{self.url}/api/v2/version", timeout=SECONDS) as reply:
            return str(json.load(reply))

    @contextmanager
    def fresh_collection(self) -> Iterator[str]:
        """Yield the name of a collection that does not exist yet, and delete it if it has come to exist."""
        name = f"test_{uuid4().hex}"
        try:
            yield name
        finally:
            place = f"{self.url}/api/v2/tenants/default_tenant/databases/default_database/collections/{name}"
            with suppress(HTTPError), urlopen(Request(place, method="DELETE"), timeout=SECONDS):
                pass  # refused where the test made none


class ChromaServer(Server):
    """`chroma run` of the installed package."""

    name = "chroma"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        return self.service.version()

    @property
    def service(self) -> ChromaService:
        """The running server."""
        return ChromaService(self.url)

    def _launch(self) -> None:
        command: list[str | Path] = [program(), "run", "--host", "127.0.0.1", "--port", str(self.port), "--path"]
        self._spawn([*command, self.folder / "data"], self._answers, environment={"ANONYMIZED_TELEMETRY": "False"})

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/api/v2/heartbeat", timeout=SECONDS) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


def program() -> Path:
    """Return the program, which may be missing."""
    return Path(sysconfig.get_path("scripts"), "chroma.exe" if sys.platform == "win32" else "chroma")


def service_from_environment() -> ChromaService | None:
    """Return the server that the environment names."""
    url = os.environ.get(URL_VARIABLE)
    return ChromaService(url.rstrip("/")) if url else None
