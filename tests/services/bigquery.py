"""A BigQuery emulator on loopback: the REST interface and GoogleSQL, translated for an embedded database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from uuid import uuid4

from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from tests.services.recipes import BIGQUERY
from tests.services.server import Server

ENDPOINT_VARIABLE = "LANGSWARM_TEST_BIGQUERY_ENDPOINT"
PROJECT_VARIABLE = "LANGSWARM_TEST_BIGQUERY_PROJECT"
PROJECT = "langswarm-test"


@dataclass(frozen=True, slots=True)
class BigQueryService:
    """A BigQuery, or what speaks its protocol, that answers at an endpoint, whoever runs it."""

    endpoint: str
    project: str = PROJECT

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for looking into the server from a test."""
        client = Client(
            project=self.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.endpoint},
        )
        try:
            yield client
        finally:
            client.close()  # type: ignore[no-untyped-call]

    @contextmanager
    def fresh_dataset(self) -> Iterator[str]:
        """Yield the name of a dataset that does not exist yet, and delete it."""
        name = f"test_{uuid4().hex}"
        try:
            yield name
        finally:
            self.remove(name)

    def remove(self, dataset: str) -> None:
        """Delete a dataset with its tables, if it is there."""
        with self.client() as client:
            client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)


def service_from_environment() -> BigQueryService | None:
    """Return the server that the environment names, or None."""
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    return BigQueryService(endpoint, os.environ.get(PROJECT_VARIABLE, PROJECT)) if endpoint else None


class BigQueryServer(Server):
    """An emulator of our own, with an empty project."""

    name: ClassVar[str] = "bigquery"
    port_count: ClassVar[int] = 2
    uses: int = 0
    """Tests that it served since it began, as they count them."""

    @property
    def service(self) -> BigQueryService:
        """The server as a service."""
        return BigQueryService(self.url)

    @property
    def url(self) -> str:
        """The endpoint, to be given to the client as `api_endpoint`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """The version that was brought: the emulator does not tell its own."""
        installed = BIGQUERY.installed()
        return installed.version if installed else BIGQUERY.version

    def renew(self) -> None:
        """Begin anew, with an empty project and on the same port."""
        self.uses = 0
        self.stop("immediate")
        shutil.rmtree(self.folder / "data")
        self._prepare()
        self.start()

    def _prepare(self) -> None:
        (self.folder / "data").mkdir()

    def _launch(self) -> None:
        port, grpc_port = self._ports
        self._spawn(
            [
                *(BIGQUERY.folder / "venv/bin/local-bigquery", "serve", "--host", "127.0.0.1", "--port", str(port)),
                *("--grpc-port", str(grpc_port), "--project", PROJECT, "--data-dir", self.folder / "data"),
            ],
            self._answers,
            environment={"HOME": str(BIGQUERY.folder / "home")},  # there lie the extensions of its database
        )

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/bigquery/v2/projects/{PROJECT}/datasets", timeout=5):
                return True
        except HTTPError:
            return True
        except (URLError, OSError):
            return False
