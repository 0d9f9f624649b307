"""One question to a model, over any client that is shaped like OpenAI's or Anthropic's, sync or async."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..errors import MemoryConfigurationError
from .errors import InvalidAnswerError, ProviderError

Shape = Literal["openai", "anthropic"]

ERROR_BASES = (("openai", "OpenAIError"), ("anthropic", "AnthropicError"), ("httpx", "HTTPError"))
"""Where the clients keep the base of their errors. Looked up among what is loaded: we import no client."""


def shape_of(client: Any) -> Shape:
    """Return whose interface a client has.

    Raises:
        MemoryConfigurationError: Neither ``chat.completions.create`` nor ``messages.create`` is there.
    """
    completions = getattr(getattr(client, "chat", None), "completions", None)
    if callable(getattr(completions, "create", None)):
        return "openai"
    if callable(getattr(getattr(client, "messages", None), "create", None)):
        return "anthropic"
    raise MemoryConfigurationError(
        f"a client has chat.completions.create or messages.create, {type(client).__name__} has neither",
        suggestion="pass an instance of AsyncOpenAI, OpenAI, AsyncAnthropic or Anthropic, or one of the same shape",
    )


async def ask(
    client: Any,
    shape: Shape,
    *,
    provider: str,
    operation: str,
    model: str,
    system: str,
    prompt: str,
    max_answer_tokens: int,
    options: Mapping[str, Any],
) -> str:
    """Return the text of a model's answer.

    A sync client runs in a thread. Timeouts and retries are the client's.

    Args:
        client: The client.
        shape: Whose interface it has.
        provider: Named in errors.
        operation: Named in errors.
        model: The model, as the client takes it.
        system: The instructions.
        prompt: The user's message.
        max_answer_tokens: Bound of the answer; Anthropic's interface demands one, OpenAI's is left to the model.
        options: Further arguments of the client's call; they win over ours.

    Raises:
        ProviderError: The client failed.
        InvalidAnswerError: The answer holds no text, or was cut off.
    """
    user = {"role": "user", "content": prompt}
    request: dict[str, Any]
    if shape == "openai":
        create = client.chat.completions.create
        request = {
            "messages": [{"role": "system", "content": system}, user],
            "response_format": {"type": "json_object"},
        }
    else:
        create = client.messages.create
        request = {"system": system, "messages": [user], "max_tokens": max_answer_tokens}
    try:
        answer = await _call(create, {"model": model, **request, **options})
    except _client_errors() as exc:
        raise ProviderError(provider, operation, exc) from exc
    text, cut = _chat_text(answer) if shape == "openai" else _messages_text(answer)
    if cut:
        raise InvalidAnswerError(provider, operation, "", "was cut off at the model's limit")
    if not text:
        raise InvalidAnswerError(provider, operation, "", "holds no text")
    return text


async def _call(create: Callable[..., Any], request: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(inspect.unwrap(create)):
        return await create(**request)
    answer = await asyncio.to_thread(create, **request)
    return await answer if inspect.isawaitable(answer) else answer


def _client_errors() -> tuple[type[BaseException], ...]:
    found: list[type[BaseException]] = [OSError]  # TimeoutError and ConnectionError are such
    for module, name in ERROR_BASES:
        base = getattr(sys.modules.get(module), name, None)
        if isinstance(base, type) and issubclass(base, Exception):
            found.append(base)
    return tuple(found)


def _chat_text(answer: Any) -> tuple[str | None, bool]:
    """Return the text of a chat completion, and whether it was cut off."""
    choices = _field(answer, "choices")
    if not isinstance(choices, list | tuple) or not choices:
        return None, False
    text = _field(_field(choices[0], "message"), "content")
    return (text if isinstance(text, str) else None), _field(choices[0], "finish_reason") == "length"


def _messages_text(answer: Any) -> tuple[str | None, bool]:
    """Return the text of an Anthropic message, and whether it was cut off."""
    blocks = _field(answer, "content")
    if not isinstance(blocks, list | tuple):
        return None, False
    texts = [_field(block, "text") for block in blocks if _field(block, "type") == "text"]
    return "".join(text for text in texts if isinstance(text, str)), _field(answer, "stop_reason") == "max_tokens"


def _field(holder: Any, name: str) -> Any:
    """Return a field of an SDK's object, or of the JSON object that other clients return."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
