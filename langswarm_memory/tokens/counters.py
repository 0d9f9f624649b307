"""Counters by name, and counts in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import MemoryConfigurationError
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from .counting import ESTIMATE, MessageCounter, TokenCounter
from .estimate import estimate_text
from .rules import PROVIDERS
from .vocabulary import ENCODINGS, MODELS, encoding_for_model, family

MESSAGE_OVERHEAD = 4
"""Tokens a chat format spends on each message besides its text: three, and one for the role (OpenAI cookbook, "How to
count tokens with tiktoken")."""

OTHER_PROVIDERS = {"claude": "anthropic", "gemini": "gemini"}
"""How the names of the models of other providers begin."""

_estimate = MessageCounter(ESTIMATE)


def estimate_tokens(message: Message) -> int:
    """Estimate the tokens of a message: text, blocks, calls and name, plus the format's overhead. Needs no library."""
    content = message.content
    if (
        type(content) is str
        and type(message.role) is MessageRole
        and not (message.name or message.tool_calls or message.function_call)
    ):
        # Most messages, on the way of every append: half the time of the general count, and the same result.
        return MESSAGE_OVERHEAD + estimate_text(content)
    return _estimate(message)


def openai_counter(model: str = "gpt-4o", *, encoding: str | None = None) -> MessageCounter:
    """Return the exact counter of an OpenAI model.

    Args:
        model: Its name, as the API takes it; dated and fine-tuned ones too.
        encoding: The vocabulary, for a model that this package does not know yet.

    Raises:
        MemoryConfigurationError: Nothing is published about a model of that name, and no encoding is given.
        MissingDependencyError: The extra ``tokens`` is not installed.
    """
    return MessageCounter(encoding_for_model(model) if encoding is None else encoding, model=model)


def get_token_counter(counter: str | TokenCounter = ESTIMATE) -> TokenCounter:
    """Return a counter by name.

    Args:
        counter: ``"estimate"``; an encoding (``"o200k_base"``, ``"cl100k_base"``); the name of a model (``"gpt-4o"``,
            ``"claude-…"``, ``"gemini-…"``); ``"openai"``, ``"anthropic"`` or ``"gemini"`` for the provider's usual
            one; or a callable of the caller's own, which is returned.

    Raises:
        MemoryConfigurationError: None of these.
        MissingDependencyError: The extra ``tokens`` is not installed, and the counter is not the estimate.
    """
    if not isinstance(counter, str):
        if callable(counter):
            return counter
        raise MemoryConfigurationError(
            f"a token counter is a name or a callable that takes a message, got {type(counter).__name__}"
        )
    if counter == ESTIMATE:
        return estimate_tokens
    if counter in ENCODINGS:
        return MessageCounter(counter)
    return _named(counter)


def _named(name: str, encoding: str | None = None) -> MessageCounter:
    """Return the counter of a provider or of a model."""
    if name in PROVIDERS:
        return MessageCounter(encoding or ENCODINGS[0], name)
    for prefix, provider in OTHER_PROVIDERS.items():
        if name.startswith(prefix):
            return MessageCounter(encoding or ENCODINGS[0], provider, model=name)
    if encoding is None and family(name, MODELS) is None:
        raise MemoryConfigurationError(
            f"no token counter is named {name!r}",
            suggestion=f"use {ESTIMATE!r}, {', '.join(map(repr, ENCODINGS))} or the name of a known model; "
            f"for a new model of OpenAI openai_counter({name!r}, encoding={ENCODINGS[0]!r})",
        )
    return openai_counter(name, encoding=encoding)


def count_text(text: str, counter: str | Callable[[str], int] = ESTIMATE) -> int:
    """Return the tokens of a text alone.

    Args:
        text: Anything; what looks like a special token is text.
        counter: A name as in :func:`get_token_counter`, or a function that takes a text.
    """
    if not isinstance(counter, str):
        return counter(text)
    if counter == ESTIMATE:
        return _estimate.count_text(text)
    return (MessageCounter(counter) if counter in ENCODINGS else _named(counter)).count_text(text)


def count_messages(
    messages: Iterable[Message],
    provider: str = "openai",
    tools: Iterable[dict[str, Any]] | None = None,
    *,
    model: str | None = None,
    encoding: str | None = None,
) -> int:
    """Return the tokens of a whole request: messages, tool definitions and the answer's priming.

    Every message is counted anew; the counts that are stored with messages are those of the backend's counter.

    Args:
        messages: In any order; system messages too.
        provider: ``"openai"``, ``"anthropic"`` or ``"gemini"``. For the latter two an approximation: see
            ``docs/tokens.md``.
        tools: Tool definitions, in any provider's form.
        model: Name of the model; with `encoding` None it says the encoding.
        encoding: The vocabulary, or ``"estimate"``. None: that of the model, o200k without one.

    Raises:
        MemoryConfigurationError: No such provider, encoding or model.
        MissingDependencyError: The extra ``tokens`` is not installed, and the encoding is not the estimate.
    """
    return _for(provider, model, encoding).count_messages(messages, tools)


def count_tools(
    tools: Iterable[dict[str, Any]],
    provider: str = "openai",
    *,
    model: str | None = None,
    encoding: str | None = None,
) -> int:
    """Return the tokens of tool definitions, in any provider's form; 0 when there are none. See `count_messages`."""
    return _for(provider, model, encoding).count_tools(tools)


def _for(provider: str, model: str | None, encoding: str | None) -> MessageCounter:
    if encoding is None:
        encoding = encoding_for_model(model) if model is not None and provider == "openai" else ENCODINGS[0]
    return MessageCounter(encoding, provider, model=model)
