"""The converters by name of the provider, as functions from conversation to conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from langswarm_memory.formats import (
    messages_from_anthropic,
    messages_from_gemini,
    messages_from_openai,
    messages_from_responses,
    messages_to_anthropic_format,
    messages_to_gemini_format,
    messages_to_openai_format,
    messages_to_responses_format,
)
from langswarm_memory.interfaces.message import Message


class Provider(NamedTuple):
    read: Callable[[list[Any]], list[Message]]
    write: Callable[[list[Message]], list[Any]]

    def again(self, conversation: list[Any]) -> list[Any]:
        """Return the conversation as it comes back out of another provider: system text included."""
        return self.write(self.read(conversation))


PROVIDERS = {
    "openai": Provider(messages_from_openai, messages_to_openai_format),
    "openai_responses": Provider(messages_from_responses, messages_to_responses_format),
    "anthropic": Provider(messages_from_anthropic, messages_to_anthropic_format),
    "gemini": Provider(messages_from_gemini, messages_to_gemini_format),
}


def through(messages: list[Message], provider: str) -> list[Message]:
    """Return the messages as they are read back from another provider's form."""
    form = PROVIDERS[provider].write(messages)
    if provider == "anthropic":
        return messages_from_anthropic(form, system=form.system)  # type: ignore[attr-defined]
    if provider == "gemini":
        return messages_from_gemini(form, system_instruction=form.system_instruction)  # type: ignore[attr-defined]
    return PROVIDERS[provider].read(form)
