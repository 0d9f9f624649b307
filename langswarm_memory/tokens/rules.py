"""What each provider's format costs besides the text: published rules, observed ones, and stated approximations."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MemoryConfigurationError
from .images import ImageRule, anthropic_image, gemini_image, openai_image

BINARY_TOKENS = 1_500
"""Tokens assumed for audio, a file or a document that comes as data or by reference: nobody can tell without the
provider. About a page of a PDF (Anthropic: 1,500 to 3,000 a page), or 47 seconds of audio (Gemini: 32 a second)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The overheads of one provider's format, in tokens.

    Args:
        per_message: Of a message, besides its role.
        per_name: Of a name, besides its text.
        per_call: Of a tool call, besides its name and arguments.
        parallel_calls: Of a message with more than one call.
        per_further_call: Of each call after the first of a message.
        priming: Of a request, for the beginning of the answer.
        tools: Of a request that defines tools at all.
        declares: Whether tools are counted by OpenAI's rule of declarations; else as their JSON.
        margin: What counts of the text are multiplied by, because the vocabulary is not the provider's own.
        image: The provider's rule of images.
    """

    per_message: int
    per_name: int
    per_call: int
    parallel_calls: int = 0
    per_further_call: int = 0
    priming: int
    tools: int
    declares: bool
    margin: float
    image: ImageRule


PROVIDERS = {
    # Messages, names and priming: OpenAI cookbook, "How to count tokens with tiktoken", section 6; tools: section 7.
    # Calls are not published: these numbers yield the counts of one, two and three calls that a user reported from the
    # API (OpenAI developer community, "Strange token cost calculation for tool_calls").
    "openai": Rules(
        per_message=3,
        per_name=1,
        per_call=4,
        parallel_calls=24,
        per_further_call=5,
        priming=3,
        tools=12,
        declares=True,
        margin=1.0,
        image=openai_image,
    ),
    # 346: "Tool use", the system prompt that tools bring with them for the Claude 4 models.
    "anthropic": Rules(
        per_message=3, per_name=0, per_call=4, priming=0, tools=346, declares=False, margin=1.2, image=anthropic_image
    ),
    "gemini": Rules(
        per_message=1, per_name=0, per_call=4, priming=0, tools=0, declares=False, margin=1.2, image=gemini_image
    ),
}
"""The providers whose formats can be counted. OpenAI's counts are exact for text; those of the others approximate: no
vocabulary of theirs is public, so o200k counts are raised by a margin of 20 %."""


def rules_of(provider: str) -> Rules:
    """Return the rules of a provider.

    Raises:
        MemoryConfigurationError: No rules for a provider of that name.
    """
    found = PROVIDERS.get(provider) if isinstance(provider, str) else None
    if found is None:
        raise MemoryConfigurationError(f"no counting rules for the provider {provider!r}; use one of {list(PROVIDERS)}")
    return found
