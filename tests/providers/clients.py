"""Stand-ins for the clients of models: the shape of theirs, with answers that the tests choose."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Asked = list[dict[str, Any]]


def chat_answer(text: str | None, finish_reason: str = "stop") -> Any:
    message = SimpleNamespace(role="assistant", content=text)
    return SimpleNamespace(choices=[SimpleNamespace(index=0, message=message, finish_reason=finish_reason)])


def messages_answer(text: str | None, stop_reason: str = "end_turn") -> Any:
    thinking = SimpleNamespace(type="thinking", thinking="{")
    blocks = [] if text is None else [SimpleNamespace(type="text", text=text)]
    return SimpleNamespace(content=[thinking, *blocks], stop_reason=stop_reason)


def openai_client(create: Callable[..., Any]) -> Any:
    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))


def anthropic_client(create: Callable[..., Any]) -> Any:
    return SimpleNamespace(messages=SimpleNamespace(create=create))


def answering(answer: Any, asked: Asked | None = None) -> Callable[..., Any]:
    """An async create() that returns `answer`, or raises it, and notes what it was asked."""

    async def create(**request: Any) -> Any:
        if asked is not None:
            asked.append(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return create


def blocking(answer: Any) -> Callable[..., Any]:
    """The same of a sync client."""

    def create(**request: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return create


def wrapped(create: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function that returns the coroutine of an async one, as the decorators of SDKs make."""

    def call(**request: Any) -> Any:
        return create(**request)

    return call


def decorated(create: Callable[..., Any]) -> Callable[..., Any]:
    """The same with the marks of functools.wraps."""
    return functools.wraps(create)(wrapped(create))
