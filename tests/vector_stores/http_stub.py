"""An HTTP server in a thread, for stand-ins: it keeps connections open, as real servers do, and can fail on demand."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class HttpStub(ABC):
    """The server. Use it as a context manager."""

    most_bytes = 32 * 1024**2

    def __init__(self) -> None:
        self.failing: int | None = None
        """Status that every request is answered with."""
        self.requests: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @abstractmethod
    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[Any, dict[str, str]]:
        """Return the document and the headers of an answer, or raise a refusal. One request at a time."""

    def error(self, refusal: Refusal) -> Any:
        """Return the document of a refusal."""
        return {"status": refusal.status, "error": {"code": refusal.code, "message": str(refusal)}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, t: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop serving, and close every connection. Idempotent."""
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def reply(self, method: str, path: str, headers: Mapping[str, str], data: bytes) -> tuple[int, Any, dict[str, str]]:
        """Return status, document and headers."""
        with self._lock:
            self.requests.append((method, urlsplit(path).path))
            try:
                if self.failing is not None:
                    raise Refusal(self.failing, "UNKNOWN", "as the test wants it")
                if len(data) > self.most_bytes:
                    raise Refusal(413, "PAYLOAD_TOO_LARGE", "the request is too large")
                return 200, *self.answer(method, path, headers, json.loads(data or b"null"))
            except Refusal as refusal:
                return refusal.status, self.error(refusal), {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a client that keeps no connections makes as many as it has calls under way
    stub: HttpStub

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(2)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._reply()

    do_POST = do_PUT = do_DELETE = do_GET

    def _reply(self) -> None:
        stub = cast("_Server", self.server).stub
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, document, headers = stub.reply(self.command, self.path, dict(self.headers), data)
        content = json.dumps(document).encode()
        with suppress(ConnectionError):  # whoever asked has not waited
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""
