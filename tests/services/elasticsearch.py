"""A real Elasticsearch node on loopback: the core of the server, without most of its modules."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from tests.services.recipes import ELASTICSEARCH, java_home
from tests.services.server import Server

URL_VARIABLE = "LANGSWARM_TEST_ELASTICSEARCH_URL"
USER = "elastic-test"
REQUEST_SECONDS = 30

# For a node that lives for minutes: no second compiler, no verification of the vendor's classes, the serial
# collector; 9 instead of 15 s of processor time until it serves. The temporary folder must be one of its own,
# because the node refuses to start where a module may read the server's libraries by way of it.
JVM_OPTIONS = """-Djava.io.tmpdir=${ES_TMPDIR}
-Xms128m
-Xmx512m
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-XX:+UnlockDiagnosticVMOptions
-XX:-BytecodeVerificationRemote
-XX:-HeapDumpOnOutOfMemoryError
-XX:+ExitOnOutOfMemoryError
"""


@dataclass(frozen=True, slots=True)
class ElasticsearchService:
    """An Elasticsearch that answers at a URL, whoever runs it; the URL carries user and password if needed."""

    url: str

    def ask(self, method: str, path: str) -> Any:
        """Send a request without a body and return the decoded answer."""
        parts = urlsplit(self.url)
        request = Request(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}", method=method)
        if parts.username:
            pair = f"{parts.username}:{parts.password}".encode()
            request.add_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
        with urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return json.load(answer)

    def version(self) -> str:
        """Ask the server for its version."""
        # Not by GET /, which takes a module that a bare node does not have.
        nodes = self.ask("GET", "/_nodes/_local?filter_path=nodes.*.version")["nodes"]
        return str(next(iter(nodes.values()))["version"])

    @contextmanager
    def fresh_prefix(self) -> Iterator[str]:
        """Yield a prefix for indexes that nobody else uses; delete what begins with it, templates as well."""
        prefix = f"test_{uuid4().hex}"
        try:
            yield prefix
        finally:
            self.remove(prefix)

    def remove(self, prefix: str) -> None:
        """Delete the indexes and templates whose names begin with a prefix."""
        for name in self.ask("GET", f"/{prefix}*/_settings/index.uuid?expand_wildcards=all"):
            self.ask("DELETE", f"/{name}")
        for kind in ("index_template", "component_template"):
            names = [entry["name"] for entry in self.ask("GET", f"/_{kind}")[f"{kind}s"]]
            for name in names:  # all are asked for: a pattern that nothing matches would be a 404
                if name.startswith(prefix):
                    self.ask("DELETE", f"/_{kind}/{name}")


def service_from_environment() -> ElasticsearchService | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get(URL_VARIABLE)
    return ElasticsearchService(url.rstrip("/")) if url else None


class ElasticsearchServer(Server):
    """A single node of our own.

    Args:
        password: Refuse clients that do not name USER and this password. Without it, everybody is let in.
        on_disk: As for every server.
    """

    name: ClassVar[str] = "elasticsearch"
    port_count: ClassVar[int] = 2
    refuses_root: ClassVar[bool] = True

    def __init__(self, *, password: str | None = None, on_disk: bool = False) -> None:
        super().__init__(on_disk=on_disk)
        self._password = password

    @property
    def service(self) -> ElasticsearchService:
        """The server as a service."""
        return ElasticsearchService(self.url)

    @property
    def url(self) -> str:
        """URL, with user and password if there are."""
        return f"http://{f'{USER}:{self._password}@' if self._password else ''}127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """The server's own word on its version."""
        return self.service.version()

    @property
    def _configuration(self) -> Path:
        return self.folder / "config"

    def _prepare(self) -> None:
        home = ELASTICSEARCH.folder / "home"
        (self._configuration / "jvm.options.d").mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        for name in ("log4j2.properties", "roles.yml", "role_mapping.yml"):
            shutil.copy(home / "config" / name, self._configuration)
        (self._configuration / "jvm.options").write_text(JVM_OPTIONS)
        users, roles = "", ""
        if self._password is not None:
            users, roles = f"{USER}:{_hashed(self._password)}\n", f"superuser:{USER}\n"
        (self._configuration / "users").write_text(users)
        (self._configuration / "users_roles").write_text(roles)
        if self._account is not None:
            self._account.own(self.folder)

    def _launch(self) -> None:
        port, transport_port = self._ports
        settings = {
            "cluster.name": "langswarm-test",
            "node.name": "test",
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": port,
            "transport.port": transport_port,
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            "xpack.security.enabled": self._password is not None,
            "xpack.security.autoconfiguration.enabled": False,
            "cluster.routing.allocation.disk.threshold_enabled": False,  # a full disk makes all indexes read-only
        }
        configured = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
        (self._configuration / "elasticsearch.yml").write_text(configured)
        self._spawn(
            [ELASTICSEARCH.folder / "home/bin/elasticsearch"],
            self._answers,
            environment={
                "ES_JAVA_HOME": str(java_home()),
                "ES_PATH_CONF": str(self._configuration),
                "ES_TMPDIR": str(self.folder / "tmp"),
                "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            },
        )

    def _answers(self) -> bool:
        try:
            state = self.service.ask("GET", "/_cluster/health?filter_path=status")
        except (URLError, OSError, ValueError):
            return False
        return state.get("status") in ("green", "yellow")


def _hashed(password: str) -> str:
    # The form that the file realm reads for PBKDF2: iterations, salt and hash.
    salt = os.urandom(32)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1000, 32)
    return f"{{PBKDF2}}1000${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
