"""TLS: the server's certificate is checked, unless that is switched off."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import Message, SessionMetadata, StorageUnavailableError
from langswarm_memory.backends.redis import RedisBackend
from tests.services.fixtures_servers import require
from tests.services.redis import RedisServer

pytestmark = pytest.mark.store("redis")


class TLSServer(RedisServer):
    """A server that speaks TLS alone.

    Args:
        folder: Where its key and certificate are.
    """

    port_count = 2

    def __init__(self, folder: Path) -> None:
        super().__init__(
            {
                "tls-cert-file": str(folder / "cert.pem"),
                "tls-key-file": str(folder / "key.pem"),
                "tls-ca-cert-file": str(folder / "cert.pem"),
                "tls-auth-clients": "no",
            }
        )

    def _launch(self) -> None:
        self._settings["tls-port"] = str(self._ports[1])
        super()._launch()

    @property
    def address(self) -> str:
        return f"rediss://127.0.0.1:{self._ports[1]}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, and a certificate that it signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {folder}/key.pem -out {folder}/cert.pem".split()
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *words, *names], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def server(pytestconfig: pytest.Config, certificate: Path) -> Iterator[TLSServer]:
    require(pytestconfig, "redis")
    with TLSServer(certificate) as server:
        yield server


@pytest.mark.parametrize("checked", [True, False])
async def test_session_is_kept_over_tls(server: TLSServer, certificate: Path, checked: bool) -> None:
    options: dict[str, Any] = {"ssl_ca_certs": str(certificate / "cert.pem")} if checked else {"ssl_cert_reqs": "none"}
    async with RedisBackend(server.address, **options) as backend:
        session = await backend.create_session(SessionMetadata("s"))
        await session.add_message(Message("user", "hello"))
        assert [message.content for message in await session.get_messages()] == ["hello"]
        await backend.delete_session("s")


async def test_certificate_that_nobody_vouches_for_is_refused(server: TLSServer) -> None:
    backend = RedisBackend(server.address, retries=0)
    with pytest.raises(StorageUnavailableError):
        await backend.connect()
    await backend.disconnect()


async def test_server_without_tls_is_not_talked_to_in_the_clear(server: TLSServer) -> None:
    backend = RedisBackend(f"rediss://127.0.0.1:{server.port}", retries=0)
    with pytest.raises(StorageUnavailableError):
        await backend.connect()
    await backend.disconnect()
