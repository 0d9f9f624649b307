"""A stand-in for the HTTP APIs of models, and clients of the shape that the documents call."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

Json = dict[str, Any]
BLOCK_KEYS = {"text": ("text",), "tool_use": ("id", "name", "input"), "tool_result": ("tool_use_id",)}


def openai_fault(request: Json) -> str | None:
    """Return what the API of chat completions would refuse of the form of a request."""
    for message in request["messages"]:
        if message["role"] not in ("system", "user", "assistant", "tool", "function"):
            return f"role {message['role']}"
        call = message.get("function_call")
        if call is None and not isinstance(message["content"], str | list):
            return "content"
        if call is not None and not (isinstance(call["name"], str) and isinstance(json.loads(call["arguments"]), dict)):
            return "function_call"
        if unknown := set(message) - {"role", "content", "name", "function_call", "tool_calls", "tool_call_id"}:
            return f"unknown {sorted(unknown)}"
    return None if isinstance(request["model"], str) else "model"


def anthropic_fault(request: Json) -> str | None:
    """Return what the API of messages would refuse of the form of a request."""
    before = "assistant"
    for message in request["messages"]:
        if set(message) != {"role", "content"} or message["role"] not in ("user", "assistant"):
            return "message"
        if message["role"] == before:
            return "roles do not alternate from the user on"
        before, content = message["role"], message["content"]
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not given or any(key not in block for block in given for key in BLOCK_KEYS[block["type"]]):
            return "content"
    return None if isinstance(request["max_tokens"], int) and isinstance(request["model"], str) else "max_tokens"


CHECKS = {"/v1/chat/completions": openai_fault, "/v1/messages": anthropic_fault}
ANSWERS: dict[str, Json] = {
    "/v1/chat/completions": {"choices": [{"message": {"role": "assistant", "content": "Done."}}]},
    "/v1/messages": {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
}


class ModelAPI:
    """What the server was asked, and clients that ask it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, Json]] = []

    async def post(self, path: str, **request: Any) -> Json:
        """Send a request as an HTTP client does; a refusal raises ``HTTPError``."""

        def send() -> Json:
            data = json.dumps(request).encode()
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", data)) as reply:
                answer: Json = json.load(reply)
                return answer

        return await asyncio.to_thread(send)

    def openai(self) -> ModuleType:
        """A module with the call of the client of those days, ``ChatCompletion.acreate``."""

        async def acreate(**request: Any) -> Json:
            return await self.post("/v1/chat/completions", **request)

        module = ModuleType("openai")
        module.ChatCompletion = SimpleNamespace(acreate=acreate)  # type: ignore[attr-defined]
        return module

    def anthropic(self) -> ModuleType:
        """A module with ``Anthropic().messages.create``, awaited as the documents do."""

        async def create(**request: Any) -> Json:
            return await self.post("/v1/messages", **request)

        module = ModuleType("anthropic")
        module.Anthropic = lambda: SimpleNamespace(messages=SimpleNamespace(create=create))  # type: ignore[attr-defined]
        return module


@contextmanager
def running() -> Iterator[ModelAPI]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stand_in.requests.append((self.path, request))
            fault = CHECKS[self.path](request)
            body = json.dumps(ANSWERS[self.path] if fault is None else {"error": {"message": fault}}).encode()
            self.send_response(200 if fault is None else 400)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        stand_in = ModelAPI(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield stand_in
        finally:
            http.shutdown()
            thread.join()
