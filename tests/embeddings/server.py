"""A stand-in for a server of embeddings: speaks OpenAI's API over HTTP, and answers what the tests choose."""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""Status, headers and JSON."""


def vector_of(text: str, dimension: int) -> list[float]:
    """A vector that tells the text by its length."""
    return [float(len(text)), *([0.5] * (dimension - 1))]


def answer(request: dict[str, Any], dimension: int = 1536) -> Reply:
    """What OpenAI answers; the vectors in reverse order, which their index mends."""
    length = request.get("dimensions", dimension)
    data = []
    for index, text in enumerate(request["input"]):
        vector: Any = vector_of(text, length)
        if request.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{length}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = 7 * len(request["input"])
    return (
        200,
        {},
        {
            "object": "list",
            "model": request["model"],
            "data": data[::-1],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
    )


def refusal(status: int, code: str | None = None, **headers: str) -> Reply:
    """An error that, as some servers do, quotes what it was sent."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"error": {"message": "cannot read SECRET", "type": "error", "code": code}}


class EmbeddingServer:
    """Answers each request by the next of `replies`, and by `otherwise` when there is none left."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.replies: list[Reply | None] = []
        self.otherwise: Callable[[dict[str, Any]], Reply] = answer

    @property
    def inputs(self) -> list[list[str]]:
        """The texts of each request."""
        return [request["input"] for request in self.requests]


@contextmanager
def running() -> Iterator[EmbeddingServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stand_in.requests.append(request)
            stand_in.keys.append(self.headers["authorization"])
            reply = stand_in.replies.pop(0) if stand_in.replies else stand_in.otherwise(request)
            if reply is None:  # hangs up
                return
            status, headers, document = reply
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        stand_in = EmbeddingServer(f"http://127.0.0.1:{http.server_address[1]}/v1")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield stand_in
        finally:
            http.shutdown()
            thread.join()
