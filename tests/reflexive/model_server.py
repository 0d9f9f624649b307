"""A stand-in for OpenAI's chat completions: it answers what the tests say, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ModelServer:
    """Answers in turn; the last one is given again and again. A number is a status instead of an answer."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[str | int] = []
        self.requests: list[dict[str, Any]] = []

    def says(self, *answers: str | int | dict[str, Any]) -> None:
        self.answers = [json.dumps(answer) if isinstance(answer, dict) else answer for answer in answers]

    def next(self) -> str | int:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }


@contextmanager
def running() -> Iterator[ModelServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            answer = server.next()
            status = answer if isinstance(answer, int) else 200
            body = json.dumps({"error": {"message": "no"}} if isinstance(answer, int) else completion(answer)).encode()
            self.send_response(status if self.path == "/v1/chat/completions" else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ModelServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
