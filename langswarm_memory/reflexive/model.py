"""The model that reflects: a client of the caller's, or OpenAI's, and its answers checked."""

from __future__ import annotations

import json
import os
from typing import Any

from .._lazy import installed
from ..errors import MemoryConfigurationError, MissingDependencyError
from ..providers.asking import ask, shape_of
from ..providers.checking import Checked

MODEL = "gpt-4o"
MAX_ANSWER_TOKENS = 1_024
MAX_CHARACTERS = 8_000  # of one text that the model reads; what an agent answers can be endless


class Model:
    """Asks a model for a JSON object.

    Args:
        client: OpenAI- or Anthropic-shaped, sync or async; the caller's to close. None: OpenAI's.
        api_key: For OpenAI's, if no client is given. None: the environment's ``OPENAI_API_KEY``.
        model: The model, as the client takes it.
        name: Who asks; named in errors.

    Raises:
        MemoryConfigurationError: The client has neither shape, there is no key, or the model is no name.
        MissingDependencyError: No client is given, and OpenAI's is not installed.
    """

    def __init__(self, client: Any, api_key: str | None, model: str, name: str) -> None:
        if not isinstance(model, str) or not model:
            raise MemoryConfigurationError("model is the name of a model", name)
        self._own = client is None
        self.client = _client(api_key, name) if client is None else client
        self._shape = shape_of(self.client)
        self._model, self._name = model, name

    async def ask(self, operation: str, rules: str, material: Any) -> Checked:
        """Return what a model answers to rules and JSON.

        Raises:
            ProviderError: The client failed; see ``retryable``.
            InvalidAnswerError: The answer is no JSON object.
        """
        prompt = json.dumps(material, ensure_ascii=False).encode("utf-8", "replace").decode()
        text = await ask(
            self.client,
            self._shape,
            provider=self._name,
            operation=operation,
            model=self._model,
            system=rules,
            prompt=prompt,
            max_answer_tokens=MAX_ANSWER_TOKENS,
            options={},
        )
        return Checked.parse(text, self._name, operation)

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
        if self._own:
            await self.client.close()


def cut(text: str) -> str:
    """Return as much of a text as a model reads."""
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + " [cut]"


def _client(api_key: str | None, name: str) -> Any:
    if not installed("openai"):
        raise MissingDependencyError("openai", extra="embeddings")
    from openai import AsyncOpenAI

    key = api_key or os.environ.get("OPENAI_API_KEY")
    if not key:
        raise MemoryConfigurationError(
            "OpenAI's models need an API key", name, suggestion="pass client or api_key, or set OPENAI_API_KEY"
        )
    return AsyncOpenAI(api_key=key)
