"""The smallest server that can be brought up as the others are, for tests of the bringing up."""

from __future__ import annotations

import socket
import sys
from textwrap import dedent
from typing import ClassVar

from tests.services.server import Server

PROGRAM = dedent("""
    import pathlib, socket, subprocess, sys
    helper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    pathlib.Path("starts").open("a").write("x")
    print("says this to its log", flush=True)
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
        while True:
            with listening.accept()[0] as connection:
                connection.sendall(connection.recv(64))
""")


class EchoServer(Server):
    """Sends back what it is sent. It has a helper process, which no signal but that of its group reaches."""

    name: ClassVar[str] = "echo"

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        return "1"

    def echo(self, sent: bytes, seconds: float = 10) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(sent)
            return connection.recv(64)

    def _launch(self) -> None:
        self._spawn([sys.executable, "-c", PROGRAM, str(self.port)], self._answers)

    def _answers(self) -> bool:
        try:
            return self.echo(b"ready?") == b"ready?"
        except OSError:
            return False


class FailingServer(EchoServer):
    """Ends instead of serving."""

    def _launch(self) -> None:
        self._spawn(["/bin/sh", "-c", "echo no such setting; exit 3"], lambda: False)


class HesitantServer(EchoServer):
    """Ends at its first start, as a server does whose port somebody else was faster to take."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[int] = []

    def _launch(self) -> None:
        self.tried.append(self.port)
        if len(self.tried) == 1:
            self._spawn(["/bin/false"], lambda: False)
        super()._launch()
